"""Examples of relevance feedback."""

from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.query.input_types import as_examples, parse_segment_id
from retrieval.query.relevance_feedback import fit_feedback_probe


@pytest.mark.parametrize(
    ("example", "segment"),
    [("#12", 12), ("#", None), ("12", None), ("#x", None), ("#" + "9" * 30, None), (12, None),
     (Path("#1"), None)],
)  # fmt: skip
def test_segment_id_is_a_number_after_a_hash(example, segment):
    assert parse_segment_id(example) == segment


def test_single_examples_become_a_list():
    assert as_examples("#12") == [12]
    assert as_examples(12) == [12]
    assert as_examples(Path("a.jpg")) == [Path("a.jpg")]
    assert as_examples(("#1", "a.jpg", 3)) == [1, "a.jpg", 3]
    assert as_examples(()) == []


def test_unliked_examples_require_liked_ones(toy):
    with pytest.raises(QueryError, match="--unlike requires --like"):
        fit_feedback_probe(None, toy, [], [1])
