"""The shown list: what is best stays the ranking's affair; it is spread and sorted as asked."""

import json
import os

import pytest

from indexer import index_folder
from retrieval import Library
from retrieval.errors import QueryError
from tests.support.files import draw_image

REDS = {"a": (255, 0, 0), "c": (255, 9, 9), "B": (255, 40, 0), "d": (200, 0, 90), "e": (0, 0, 255)}
DAYS = {"a": 4, "c": 2, "B": 5, "d": 1, "e": 3}


@pytest.fixture
def reds(tmp_path, place, toy):
    """Index five pictures, less and less red, written on five days."""
    for name, colour in REDS.items():
        path = draw_image(tmp_path / "p" / f"{name}.png", colour)
        os.utime(path, (DAYS[name] * 86_400,) * 2)
    with index_folder(tmp_path / "p", library=place, embedder=toy) as library:
        yield library


def stems(hits):
    return "".join(hit.path.stem for hit in hits)


@pytest.mark.parametrize(
    ("sort", "shown"), [("score", "acB"), ("date", "caB"), ("date-desc", "Bac"), ("name", "aBc")]
)
def test_the_best_hits_are_sorted_and_stay_the_same_ones(reds, sort, shown):
    assert stems(reds.search("red", count=3, sort=sort)) == shown
    scores = {hit.path: hit.score for hit in reds.search("red", count=3)}
    assert {hit.path: hit.score for hit in reds.search("red", count=3, sort=sort)} == scores


def test_equals_stay_as_they_were_ranked(reds, tmp_path):
    for name in REDS:
        os.utime(tmp_path / "p" / f"{name}.png", (86_400,) * 2)
    index_folder(tmp_path / "p", library=reds.folder, embedder=reds.embedder).close()
    assert stems(reds.search("red", sort="date")) == stems(reds.search("red", sort="date-desc")) == "acBde"


def test_diversity_prefers_what_is_unlike_the_hits_before_it(reds):
    assert stems(reds.search("red")) == "acBde"
    assert stems(reds.search("red", diversity=0)) == "acBde"
    assert stems(reds.search("red", count=2, diversity=1)) == "ae"
    # Cosines from 1 for `a` to 0 for `e` count a tenth, less nine of those to the nearest before. After `a`:
    # c 0.1 - 0.9, B 0.099 - 0.889, d 0.091 - 0.82, e 0; and after `e` the others as they were.
    assert stems(reds.search("red", count=3, diversity=0.9)) == "aed"
    assert stems(reds.search("red", count=3, diversity=0.9, sort="name")) == "ade"
    assert stems(reds.similar(reds.search("red")[0].path, diversity=0.1)) == "cBde"


def test_a_group_is_spread_as_its_leader(reds, tmp_path):
    draw_image(tmp_path / "p" / "large.png", REDS["a"], size=(48, 32))
    index_folder(tmp_path / "p", library=reds.folder, embedder=reds.embedder).close()
    hits = reds.search("red", count=2, diversity=1, group=True)
    assert [(hit.path.stem, stems(hit.more)) for hit in hits] == [("large", "acB"), ("e", "")]


@pytest.mark.parametrize(
    "wrong", [{"sort": "size"}, {"diversity": 1.1}, {"diversity": -0.1}, {"diversity": float("nan")}]
)
def test_what_cannot_be_done_is_refused(reds, wrong):
    with pytest.raises(QueryError, match=r"sort order|diversity"):
        reds.search("red", **wrong)


def test_nothing_found_is_nothing_shaped(reds):
    assert reds.search("red", kind="text", group=True, diversity=0.5, sort="date") == []


def test_the_command_sorts_and_spreads(clew, tmp_path):
    for name, colour in REDS.items():
        draw_image(tmp_path / "p" / f"{name}.png", colour)
    assert clew("index", tmp_path / "p").exit_code == 0
    hits = json.loads(clew("red", "--sort", "name", "--json").stdout)
    assert [os.path.basename(hit["path"]) for hit in hits] == ["a.png", "B.png", "c.png", "d.png", "e.png"]
    spread = json.loads(clew("red", "--diversity", "0.3", "--group", "--sort", "date", "--json").stdout)
    assert sum(1 + len(hit["more"]) for hit in spread) == 5
    assert clew("red", "--diversity", "1.5").exit_code == 2
    assert clew("red", "--sort", "size").exit_code == 2
    with Library.open(tmp_path / "library") as library:
        first = library.search("red")[0]
        assert library.search("red", diversity=1)[0] == first
