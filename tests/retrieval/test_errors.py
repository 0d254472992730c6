"""Errors: their hierarchy, and messages with the value and what to do."""

import inspect
from pathlib import Path

import pytest

from retrieval import errors
from retrieval.errors import ClewError, LibraryBusy, SpaceMismatch, describe_differences, first_line

ERRORS = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, Exception)]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_a_clew_error_in_the_documented_tree(error):
    assert issubclass(error, ClewError)
    assert f" {error.__name__} " in f"{errors.__doc__} ".replace("\n", " ")


def test_space_mismatch_names_both_models_or_the_differences():
    other = str(SpaceMismatch("b", "a"))
    assert "a, not b" in other and "`clew switch b`" in other
    changed = str(SpaceMismatch("my model", "my model", "weights 1, now 2"))
    assert "(weights 1, now 2)" in changed and "`clew switch 'my model'`" in changed


def test_busy_library_names_its_writer():
    assert "in use by clew index (pid 12)" in str(LibraryBusy(Path("/lib"), "clew index (pid 12)"))
    assert "in use by another process." in str(LibraryBusy(Path("/lib"), ""))


def test_differences_list_changed_and_missing_parts():
    assert describe_differences({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == "b 2, now 3"
    assert describe_differences({}, {"c": "4"}) == "c unknown, now 4"
    assert describe_differences({"a": "1"}, {"a": "1"}) == "its fingerprint"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("No such model.", "No such model"),
        ("\n  out of memory\ndetails\n", "out of memory"),
        ("", "ValueError"),
        (" \n", "ValueError"),
    ],
)
def test_first_line_returns_the_first_line_or_the_type_of_an_empty_message(message, line):
    assert first_line(ValueError(message)) == line
