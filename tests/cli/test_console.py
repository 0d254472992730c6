"""Notes and errors are wrapped at words in a terminal only."""

from hypothesis import given
from hypothesis import strategies as st

from retrieval.cli.console import wrap
from tests.support.terminal import run_in_terminal


def test_long_lines_are_wrapped_at_spaces():
    text = "Run `clew switch ViT-B-32-256/datacomp_s34b_b86k` when it can be fetched.\n  " + "x" * 90
    first, second, last = wrap(text, 60).split("\n")
    assert (first, second) == ("Run `clew switch ViT-B-32-256/datacomp_s34b_b86k` when it", "can be fetched.")
    assert last == "  " + "x" * 90
    assert wrap(text, None) == text


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
