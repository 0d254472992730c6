"""Completion of commands, options, names and values in a shell."""

import pytest
from click.shell_completion import ShellComplete

from indexer.cli.main import main
from tests.support.files import draw_image


@pytest.fixture
def complete(clew, tmp_path):
    """Index a library with tags and names, and return a function that completes the last argument."""
    draw_image(tmp_path / "in" / "red.png", "red")
    assert clew("index", "in", "--model", "builtin").exit_code == 0
    assert clew("tag", "red thing", "wall", "--at-least", "0").exit_code == 0
    assert clew("save", "beach", "beach | lake").exit_code == 0
    assert clew("save", "beacon", "lighthouse").exit_code == 0

    def values(*arguments):
        completer = ShellComplete(main, {}, "clew", "_CLEW_COMPLETE")
        return [item.value for item in completer.get_completions(list(arguments[:-1]), arguments[-1])]

    return values


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["dup"], ["duplicates"]),
        (["search", "--meaning"], ["--meaning-only"]),
        (["search", "--kind", "v"], ["video"]),
        (["search", "@be"], ["@beach", "@beacon"]),
        (["search", "a dog", "@beac"], ["@beach", "@beacon"]),
        (["@beaco"], ["@beacon"]),
        (["kind:t"], ["kind:text"]),
        (["search", "dog", "tag:w"], ["tag:wall"]),
        (["search", "--tag", "red"], ["red thing"]),
        (["search", "tag:r"], ['tag:"red thing"']),
        (["search", "near:4"], []),
    ],
)
def test_shell_completes_names_of_the_library(complete, arguments, values):
    assert complete(*arguments) == values


def test_missing_library_completes_nothing(clew):
    completer = ShellComplete(main, {}, "clew", "_CLEW_COMPLETE")
    assert completer.get_completions(["search"], "@b") == []


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef clew"), ("fish", "complete ")]
)
def test_command_writes_the_script_of_a_shell(clew, shell, mark):
    done = clew("completion", shell)
    assert done.exit_code == 0
    assert mark in done.output
    assert "_CLEW_COMPLETE" in done.output
    assert clew("completion", "csh").exit_code == 2
