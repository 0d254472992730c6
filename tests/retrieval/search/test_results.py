"""Tests of the merging of several rankings."""

from pathlib import Path

import pytest

from retrieval.search.results import merge_by_confidence
from retrieval.types import Hit


def hit(name, score, confidence=None, space="a", **values):
    return Hit(1, score, values.pop("kind", "image"), Path(name), space, confidence, **values)


def merged(*rankings):
    return [hit.path.name for hit in merge_by_confidence(rankings, lambda hit: hit.path)]


LARGE = [hit("strong", 0.4, 0.9), hit("weak", 0.3, 0.6), hit("weaker", 0.2, 0.1)]


@pytest.mark.parametrize(
    ("score", "place"),
    [(0.5, 0), (0.4, 1), (0.35, 1), (0.3, 2), (0.25, 2), (0.1, 3)],
)
def test_unrated_hit_is_placed_by_cosine_among_rated_hits_of_its_space_and_kind(score, place):
    assert merged(LARGE, [hit("own", score)]).index("own") == place
    assert merged([hit("own", score)], LARGE).index("own") == place


def test_unrated_hit_better_than_weak_hits_of_its_kind_comes_before_all_weak_ones():
    others = [hit("confident text", 0.9, 0.8, kind="text"), hit("weak text", 0.8, 0.7, kind="text")]
    ranking = [*others, *LARGE[1:]]
    assert merged(ranking, [hit("own", 0.31)])[:3] == ["confident text", "own", "weak text"]


@pytest.mark.parametrize("values", [{"space": "b"}, {"kind": "text"}])
def test_unrated_hit_that_compares_with_no_other_comes_between_confident_and_weak_ones(values):
    own = [hit("first", 0.05, **values), hit("second", 0.04, **values)]
    assert merged(LARGE, own) == ["strong", "first", "second", "weak", "weaker"]


def test_unrated_hit_is_not_held_back_by_weak_hits_of_another_kind_before_it():
    own = [hit("note", 0.7, 0.05, kind="text"), hit("own", 0.35)]
    assert merged(LARGE, own) == ["strong", "own", "weak", "weaker", "note"]


@pytest.mark.parametrize(
    ("score", "usual", "place"),
    [(0.3, None, 1), (0.1, None, 3), (0.29, 0.25, 2), (0.2, 0.1, 2), (0.2, 0.19, 3)],
)
def test_unrated_hit_below_all_rated_ones_of_its_kind_is_rated_by_how_far_it_is(score, usual, place):
    texts = [hit("text", 0.9, 0.8, kind="text"), hit("weak text", 0.8, 0.55, kind="text")]
    assert merged([hit("image", 0.31, 0.9, usual=usual), *texts], [hit("own", score)]).index("own") == place


def test_words_raise_no_unrated_hit():
    large = [
        hit("words", 0.1, 0.99, has_words=True),
        hit("raised", 0.2, 0.8, words=0.5),
        hit("other", 0.3, 0.7),
    ]
    assert merged(large, [hit("own", 0.25)]) == ["words", "raised", "other", "own"]


def test_file_that_one_ranking_rates_is_returned_once_with_its_confidence():
    hits = merge_by_confidence([[hit("same", 0.4)], [hit("same", 0.399, 0.8)]], lambda hit: hit.path)
    assert [hit.confidence for hit in hits] == [0.8]


def test_rankings_without_any_confidence_are_merged_by_cosine():
    assert merged([hit("a", 0.4), hit("c", 0.2)], [hit("b", 0.3, space="b")]) == ["a", "b", "c"]


def test_ranking_keeps_its_order():
    ranking = [hit("a", 0.1, 0.5), hit("b", 0.2, 0.9)]
    assert merged(ranking, [hit("c", 0.3, 0.7)]) == ["c", "a", "b"]
