"""Saved searches are written out in the queries that name them."""

import pytest

from retrieval.errors import QueryError
from retrieval.query.names import MAX_ALTERNATIVES, expand_saved_searches
from retrieval.query.parser import parse

SAVED = {
    "beach": "beach -people date:2019.. not:boat",
    "sea": "2:sea",
    "pets": "dog | cat tag:home",
    "trip": "@beach + @sea",
    "loop": "@pool",
    "pool": "water + @loop",
    "both": "@pets @pets",
}


@pytest.mark.parametrize(
    ("query", "expanded"),
    [
        ("@beach + dog", "beach - people + dog not:boat date:2019.."),
        ("dog kind:image - 3:@sea", "dog - 6:sea kind:image"),
        ("@trip", "beach - people + 2:sea not:boat date:2019.."),
        ("wet @pets", "wet + dog | wet + cat tag:home"),
        ("@pets | bird", "dog | cat tag:home | bird"),
        ("dog not:@sea", "dog not:sea"),
        ("@rex + dog", "@rex + dog"),
    ],
)
def test_saved_search_takes_the_sign_and_weight_of_its_name(query, expanded):
    assert expand_saved_searches(parse(query), SAVED) == parse(expanded)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("dog - @beach", "not subtracted"),
        ("dog -@pets", "not subtracted"),
        ("dog not:@beach", "several parts"),
        ("@loop", "names itself"),
        ("@both @both @both", "alternatives"),
        (" | ".join("dog" for _ in range(MAX_ALTERNATIVES + 1)), "alternatives"),
    ],
)
def test_saved_search_that_cannot_be_written_out_is_an_error(query, message):
    with pytest.raises(QueryError, match=message):
        expand_saved_searches(parse(query), SAVED)
