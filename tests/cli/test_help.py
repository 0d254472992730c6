"""The help: grouped commands and options, in 80 columns."""

import click
import pytest

from indexer.cli.main import COMMAND_GROUPS, main
from retrieval.cli.command import GroupedCommand, option_group
from retrieval.cli.options import combine

GROUPS = {
    "search": ["Search", "Filter", "Result", "Output", "General"],
    "similar": ["Filter", "Result", "Output", "General"],
    "index": ["What to index", "What to read", "Model", "Run", "Output", "General"],
}


def titles(text: str) -> list[str]:
    return [line.removesuffix(":") for line in text.splitlines() if line[:1].isalpha() and line.endswith(":")]


def test_commands_are_listed_in_groups_in_the_order_of_use(clew):
    text = clew("--help").stdout
    assert titles(text) == ["Options", *COMMAND_GROUPS]
    names = [line.split()[0] for line in text.partition("Start:")[2].splitlines() if line.startswith("  ")]
    assert names == [name for group in COMMAND_GROUPS.values() for name in group]
    assert set(names) == set(main.commands)
    assert "..." not in text.partition("Start:")[2]  # every short help is complete


@pytest.mark.parametrize("name", GROUPS)
def test_options_are_listed_in_groups(clew, name):
    assert titles(clew(name, "--help").stdout) == GROUPS[name]


@pytest.mark.parametrize("name", main.commands)
def test_help_of_a_command_fits_80_columns(clew, name):
    done = clew(name, "--help")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 5
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(option, id=f"{name} {option.opts[0]}")
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option)
    ],
)
def test_help_of_an_option_is_a_sentence_that_names_repetition_and_default(option):
    assert option.help[0].isupper() and option.help.endswith((".", ".."))
    assert ("Repeatable" in option.help) == option.multiple
    assert "[default" not in option.help


def test_options_keep_the_order_of_their_declaration_within_groups():
    first, second = option_group("First"), option_group("Second")

    @click.command("x", cls=GroupedCommand)
    @combine(first("--a", help="A."), first("--b", help="B."))
    @second("--c", help="C.")
    @click.option("--d", help="D.")
    @first("--e", help="E.")
    def command() -> None: ...

    text = command.get_help(click.Context(command, info_name="x"))
    assert titles(text) == ["First", "Second", "General"]
    assert [word for word in text.split() if word.startswith("--")] == [
        "--a",
        "--b",
        "--e",
        "--c",
        "--d",
        "--help",
    ]
