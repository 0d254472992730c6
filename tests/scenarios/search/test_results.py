"""Tests of diversity, grouping and sort order, which arrange the best hits."""

import json
import os

import pytest

from indexer import index_folder
from retrieval import Library, SearchOptions
from retrieval.errors import QueryError
from tests.support.files import draw_image

COLORS_BY_NAME = {"a": (255, 0, 0), "c": (255, 9, 9), "B": (255, 40, 0), "d": (200, 0, 90), "e": (0, 0, 255)}
MODIFIED_DAYS = {"a": 4, "c": 2, "B": 5, "d": 1, "e": 3}


@pytest.fixture
def red_library(tmp_path, place, toy):
    """Index five images, ordered from most to least red, with modification times on five days."""
    for name, color in COLORS_BY_NAME.items():
        path = draw_image(tmp_path / "p" / f"{name}.png", color)
        os.utime(path, (MODIFIED_DAYS[name] * 86_400,) * 2)
    with index_folder(tmp_path / "p", library=place, embedder=toy) as library:
        yield library


def stems(hits):
    return "".join(hit.path.stem for hit in hits)


@pytest.mark.parametrize(
    ("sort", "expected"), [("score", "acB"), ("date", "caB"), ("date-desc", "Bac"), ("name", "aBc")]
)
def test_sort_reorders_the_best_hits_without_changing_them(red_library, sort, expected):
    assert stems(red_library.search("red", count=3, options=SearchOptions(sort=sort))) == expected
    scores = {hit.path: hit.score for hit in red_library.search("red", count=3)}
    assert {
        hit.path: hit.score for hit in red_library.search("red", count=3, options=SearchOptions(sort=sort))
    } == scores


def test_sort_keeps_the_rank_order_of_equal_keys(red_library, tmp_path):
    for name in COLORS_BY_NAME:
        os.utime(tmp_path / "p" / f"{name}.png", (86_400,) * 2)
    index_folder(tmp_path / "p", library=red_library.folder, embedder=red_library.embedder).close()
    assert (
        stems(red_library.search("red", options=SearchOptions(sort="date")))
        == stems(red_library.search("red", options=SearchOptions(sort="date-desc")))
        == "acBde"
    )


def test_diversity_prefers_hits_that_differ_from_earlier_ones(red_library):
    assert stems(red_library.search("red")) == "acBde"
    assert stems(red_library.search("red", options=SearchOptions(diversity=0))) == "acBde"
    assert stems(red_library.search("red", count=2, options=SearchOptions(diversity=1))) == "ae"
    # A score is 0.1 times the cosine to the query, 1 for `a` to 0 for `e`, minus 0.9 times the cosine to the
    # nearest earlier hit. After `a`: c 0.1 - 0.9, B 0.099 - 0.889, d 0.091 - 0.82, e 0. `e` changes no other.
    assert stems(red_library.search("red", count=3, options=SearchOptions(diversity=0.9))) == "aed"
    assert (
        stems(red_library.search("red", count=3, options=SearchOptions(diversity=0.9, sort="name"))) == "ade"
    )
    assert (
        stems(red_library.similar(red_library.search("red")[0].path, options=SearchOptions(diversity=0.1)))
        == "cBde"
    )


def test_diversity_of_a_group_is_that_of_its_first_hit(red_library, tmp_path):
    draw_image(tmp_path / "p" / "large.png", COLORS_BY_NAME["a"], size=(48, 32))
    index_folder(tmp_path / "p", library=red_library.folder, embedder=red_library.embedder).close()
    hits = red_library.search("red", count=2, options=SearchOptions(diversity=1, group=True))
    assert [(hit.path.stem, stems(hit.more)) for hit in hits] == [("large", "acB"), ("e", "")]


@pytest.mark.parametrize(
    "options", [{"sort": "size"}, {"diversity": 1.1}, {"diversity": -0.1}, {"diversity": float("nan")}]
)
def test_invalid_sort_or_diversity_is_rejected(red_library, options):
    with pytest.raises(QueryError, match=r"sort order|diversity"):
        red_library.search("red", options=SearchOptions(**options))


def test_empty_result_is_not_changed(red_library):
    assert (
        red_library.search("red", kind="text", options=SearchOptions(group=True, diversity=0.5, sort="date"))
        == []
    )


def test_search_command_sorts_and_diversifies(clew, tmp_path):
    for name, color in COLORS_BY_NAME.items():
        draw_image(tmp_path / "p" / f"{name}.png", color)
    assert clew("index", tmp_path / "p").exit_code == 0
    hits = json.loads(clew("red", "--sort", "name", "--json").stdout)
    assert [os.path.basename(hit["path"]) for hit in hits] == ["a.png", "B.png", "c.png", "d.png", "e.png"]
    diverse = json.loads(clew("red", "--diversity", "0.3", "--group", "--sort", "date", "--json").stdout)
    assert sum(1 + len(hit["more"]) for hit in diverse) == 5
    assert clew("red", "--diversity", "1.5").exit_code == 2
    assert clew("red", "--sort", "size").exit_code == 2
    with Library.open(tmp_path / "library") as library:
        first = library.search("red")[0]
        assert library.search("red", options=SearchOptions(diversity=1))[0] == first
