"""Notes and errors are wrapped at words in a terminal only."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.cli.console import note, wrap, write
from retrieval.cli.hits.output import show_hits
from retrieval.types import Hit, Hits
from tests.support.terminal import run_in_terminal


def test_long_lines_are_wrapped_at_spaces():
    text = "Run `clew switch ViT-B-32-256/datacomp_s34b_b86k` when it can be fetched.\n  " + "x" * 90
    first, second, last = wrap(text, 60).split("\n")
    assert (first, second) == ("Run `clew switch ViT-B-32-256/datacomp_s34b_b86k` when it", "can be fetched.")
    assert last == "  " + "x" * 90
    assert wrap(text, None) == text


def test_long_lines_are_continued_below_their_text():
    assert wrap("Found by  name of it, text", 18, 10) == "Found by  name of\n          it, text"
    assert wrap("dog\t12\tname", 19) == "dog     12\nname"


@given(st.text(st.sampled_from("ab- \n/"), max_size=300))
def test_wrapping_changes_only_spaces(text):
    assert wrap(text, 30).split() == text.split()


def test_error_in_a_terminal_is_wrapped(tmp_path):
    library = tmp_path / "none"
    output = run_in_terminal(["search", "a", "dog", "--library", str(library)], tmp_path)
    assert f"{library}" in output.replace("\r", "")
    assert output.startswith("Error: No library at")
    assert all(len(line) <= 80 or str(library) in line for line in output.splitlines())
    assert len(output.splitlines()) > 1


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_closed_stream_is_no_error(monkeypatch, name):
    """Python has None for a stream that the shell closed."""
    monkeypatch.setattr(sys, name, None)
    library = SimpleNamespace(damage=None, is_outdated=False, text=lambda hit: None)
    write("red\n")
    note("blue")
    show_hits(Hits([Hit(1, 0.5, "image", Path("/a.jpg"), "space")], "green"), library)
