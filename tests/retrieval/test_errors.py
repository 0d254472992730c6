"""Tests of the helpers for error messages."""

import pytest

from retrieval.errors import first_line


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
