"""Filters are offered for words that name a date, tag, folder or camera, and for what hits share."""

from datetime import date
from pathlib import Path

import pytest

from retrieval.catalog.browse.facets import Facets
from retrieval.server.queries.offers import narrow_to, read_as
from retrieval.server.queries.query_tokens import query_tokens
from retrieval.types import Hit

KNOWN = Facets(
    folders={"/home/a/Pictures/My Trips": 3, "/home/a/Beach": 9},
    tags={"Sunset": 4},
    cameras={"Canon EOS 5D": 7},
)
TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ("a dog July 2022", ["date:2022-07"]),
        ("dog 2021", ["date:2021"]),
        ("beach last summer", ["date:2026-06..2026-08", "under:Beach"]),
        ("my trips", ['under:"My Trips"']),
        ("canon sunset", ["tag:Sunset", "camera:Canon"]),
        ("a dog in march", []),
        ("they may come", []),
        ('"July 2022"', []),
        ("date:2022 dog", []),
        ("", []),
    ],
)
def test_words_are_offered_as_filters(query, offered):
    assert sorted(offer["token"] for offer in read_as(query_tokens(query), KNOWN, TODAY)) == sorted(offered)


def hit(number, folder, time="2022-07-01T12:00:00"):
    return Hit(number, 0.5, "image", Path(folder) / f"{number}.jpg", "toy", time=time)


def test_value_that_most_hits_share_is_offered():
    hits = [hit(n, "/a/Beach" if n < 8 else "/a/Other", f"20{10 + n}-01-01") for n in range(10)]
    cameras = dict.fromkeys(range(7), "Canon EOS 5D")
    offers = narrow_to(hits, cameras, query_tokens("a dog"))
    assert [(offer["token"], offer["share"]) for offer in offers] == [
        ("camera:Canon", 0.7),
        ("under:Beach", 0.8),
    ]
    tokens = query_tokens("a dog under:Beach")
    assert [offer["token"] for offer in narrow_to(hits, cameras, tokens)] == ["camera:Canon"]


def test_few_hits_or_a_value_that_all_share_are_no_offer():
    assert not narrow_to([hit(n, "/a/Beach") for n in range(4)], {}, [])
    assert not narrow_to([hit(n, "/a/Beach") for n in range(9)], {}, [])
