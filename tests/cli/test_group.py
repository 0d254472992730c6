"""The group of commands: names close to a command, help, version, and conflicting options."""

import subprocess
import sys

import pytest

from indexer.cli.main import main
from retrieval.cli.command import ClewCommand


@pytest.fixture
def indexed(clew, folder):
    assert clew("index", folder).exit_code == 0
    return clew


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["serach", "dog"], "clew search dog"),
        (["wacth"], "clew watch"),
        (["INDX", "My Trips"], "clew index 'My Trips'"),
        (["esarch", "dog"], "clew search dog"),
        (["similiar", "./a.jpg"], "clew similar ./a.jpg"),
        (["ls"], "clew status"),
        (["dups"], "clew duplicates"),
        (["rm", "-k", "3"], "clew forget -k 3"),
        (["add", "."], "clew index ."),
        (["list", "."], "clew status"),
        (["ls", ".", "--library", "lib"], "clew status --library lib"),
    ],
)
def test_misspelled_command_is_not_searched(clew, arguments, meant):
    done = clew(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"Did you mean `{meant}`?" in done.stderr
    assert f"`clew search {arguments[0]}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["dog"], ["beach"], ["statue"], ["evil"], ["watches"], ["list"], ["find", "dog"], ["rex"], ["IMG_2022"],
     ["serach dog"], ["search", "serach"], ["help", "me", "dog"], ["version", "two"]],
)  # fmt: skip
def test_word_is_searched(indexed, arguments):
    assert indexed(*arguments, "--all").stdout.startswith("1\t")


def test_help_and_version_are_no_searches(clew):
    assert clew("help").stdout == clew("--help").stdout
    assert clew("help", "index").stdout == clew("index", "--help").stdout
    assert clew("version").stdout == clew("--version").stdout


def test_all_commands_refuse_conflicting_options():
    assert all(isinstance(command, ClewCommand) for command in main.commands.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "dog", "--json", "--csv"], "--json and --csv exclude each other"),
        (["dog", "--nl", "-0", "--json"], "--nl and -0 exclude each other"),
        (["duplicates", "--paths", "--json"], "--paths and --json exclude each other"),
        (["dog", "--keyword-only", "--meaning-only"], "--keyword-only and --meaning-only exclude each other"),
        (["status", "--library", "a", "--library", "b"], "--library is given 2 times"),
        (["dog", "--date", "2021", "--date", "2022"], "--date is given 2 times"),
        (["dog", "-k", "3", "--count", "5"], "-k is given 2 times"),
        (["index", "--model", "a", "--model", "b"], "--model is given 2 times"),
    ],
)
def test_conflicting_options_are_refused(clew, arguments, message):
    done = clew(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_watch_of_servers_alone_is_refused(clew):
    done = clew("serve", "--watch", "--library", "http://127.0.0.1:9")
    assert done.exit_code == 2
    assert "--watch follows the folders of libraries on this machine" in done.stderr


def test_repeatable_options_and_repeated_flags_are_accepted(indexed):
    done = indexed("red", "--kind", "image", "--kind", "text", "--json", "--json", "--group", "--group")
    assert done.exit_code == 0


@pytest.mark.parametrize("module", ["indexer", "retrieval"])
def test_package_runs_as_a_module(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "search" in done.stdout
    assert ("forget" in done.stdout) == (module == "indexer")


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "red", "-green"],
        ["red", "-green"],
        ["-green red"],
        ["-green", "red"],
        ["-k", "3", "red", "-green"],
        ["red", "-green", "-k3"],
        ["red", "--", "-green"],
        ["red", "-houses"],
        ["red", "-kids"],
        ["red", "-2:green"],
        ["red", "-0.5:green"],
        ["red", "-@none"],
    ],
)
def test_word_after_a_hyphen_is_part_of_the_query(indexed, arguments):
    done = indexed(*arguments, *(["--all"] if "--" not in arguments else []))
    assert "No such option" not in done.output
    assert "Usage" not in done.output
    assert done.stdout or "@none" in done.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("-p", "No such option '-p'"),
        ("-kind", "Did you mean '--kind'?"),
        ("-json", "Did you mean '--json'?"),
        ("-under=Trips", "Did you mean '--under'?"),
        ("--imge", "'--image'"),
        ("-k", "requires an argument"),
    ],
)
def test_mistyped_option_is_an_error(clew, option, message):
    done = clew("search", "red", option)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_value_of_an_option_may_begin_with_a_hyphen(indexed):
    done = indexed("red", "--camera", "-green")
    assert (done.exit_code, done.stdout) == (1, "")
