"""Filters and exclusions without words list files, newest first."""

import json
import os

import pytest

from retrieval import Library, SearchOptions
from retrieval.errors import QueryError
from tests.support.files import draw_image, write_text

DAY = 86_400


@pytest.fixture
def dated(tmp_path):
    """Return a folder with a file of each day from 1 January 2021, a captioned image, and a long text."""
    folder = tmp_path / "dated"
    for number, color in enumerate(("red", "green", "blue", "red", "green")):
        draw_image(folder / f"{number}.png", color)
    write_text(folder / "2.txt", "a blue wall")
    write_text(folder / "notes.md", "\n\n".join(f"red {number}" * 40 for number in range(9)))
    for number, name in enumerate(("0.png", "1.png", "2.png", "3.png", "4.png", "2.txt", "notes.md")):
        os.utime(folder / name, (1_609_500_000 + number * DAY,) * 2)
    return folder


def names(hits):
    return [hit.path.name for hit in hits]


def test_filter_alone_lists_each_file_once_newest_first(dated, index, place, toy):
    index(dated)
    with Library.open(place, embedder=toy) as library:
        hits = library.search(options=SearchOptions(date="2021"))
        assert names(hits) == ["notes.md", "4.png", "3.png", "2.png", "1.png", "0.png"]
        assert {(hit.score, hit.confidence, hit.match) for hit in hits} == {(0.0, None, None)}
        assert names(library.search("kind:image date:2021", count=2)) == ["4.png", "3.png"]
        assert names(library.search(kind="text")) == ["notes.md", "2.png"]
        assert library.search("date:2020") == []


@pytest.mark.parametrize(
    ("sort", "first"),
    [("score", "notes.md"), ("date-desc", "notes.md"), ("date", "0.png"), ("name", "0.png")],
)
def test_sort_order_decides_which_files_are_first(dated, index, place, toy, sort, first):
    index(dated)
    with Library.open(place, embedder=toy) as library:
        every = names(library.search("date:2021", options=SearchOptions(sort=sort)))
        assert every[0] == first
        for count in range(1, 6):
            hits = library.search("date:2021", count=count, options=SearchOptions(sort=sort))
            assert names(hits) == every[:count]


@pytest.mark.parametrize("kinds", ["kind:image", "kind:image kind:text"])
def test_first_files_by_name_are_those_of_a_longer_list(tmp_path, index, place, toy, kinds):
    """Of equal names, the absolute path decides, also if the folders were indexed in another order."""
    shown = ["b/x/1.jpg", "a/y/1.jpg", "a/Éa.jpg", "a/éb.jpg", "a/ß.jpg", "b/İx.jpg", "a/Zz.jpg", "b/ya.jpg"]
    for number, name in enumerate(shown):
        draw_image(tmp_path / name, (20 * number, 255 - 20 * number, 90))
    write_text(tmp_path / "a" / "éb.txt", "a blue wall")
    index(tmp_path / "b")
    index(tmp_path / "a")
    by_name = SearchOptions(sort="name")
    with Library.open(place, embedder=toy) as library:
        every = [hit.path for hit in library.search(kinds, count=100, options=by_name)]
        assert names(library.search(kinds, count=100, options=by_name))[-1] != "Zz.jpg"
        assert len(every) == len(shown)
        for count in range(1, len(every)):
            assert [hit.path for hit in library.search(kinds, count=count, options=by_name)] == every[:count]


def test_exclusion_alone_lists_the_files_that_a_search_with_it_keeps(tmp_path, index, place, toy):
    colors = {"a": (250, 30, 30), "b": (250, 250, 30), "c": (240, 60, 60), "d": (30, 30, 250)}
    for name, color in colors.items():
        draw_image(tmp_path / "in" / f"{name}.png", color)
    index(tmp_path / "in")
    with Library.open(place, embedder=toy) as library:
        assert sorted(names(library.search("not:blue"))) == ["a.png", "b.png", "c.png"]
        assert sorted(names(library.search("red not:blue"))) == ["a.png", "b.png", "c.png"]
        assert len(library.search("not:blue", count=2)) == 2


def test_listing_may_be_grouped_and_diversified(dated, index, place, toy):
    index(dated)
    with Library.open(place, embedder=toy) as library:
        grouped = library.search(kind="image", options=SearchOptions(group=True))
        assert sum(1 + len(hit.more) for hit in grouped) == 5
        assert len(library.search(kind="image", options=SearchOptions(diversity=0.5))) == 5


def test_query_without_words_and_filters_is_an_error(dated, index, place, toy):
    index(dated)
    with Library.open(place, embedder=toy) as library:
        for empty in (None, "", " "):
            with pytest.raises(QueryError, match="empty"):
                library.search(empty)
        with pytest.raises(QueryError, match="only negative terms"):
            library.search("- red", kind="image")
        with pytest.raises(QueryError, match="keywords"):
            library.search("kind:image", options=SearchOptions(by="keyword"))


def test_command_lists_files_with_filters_only(dated, clew):
    clew("index", dated)
    done = clew("--date", "2021", "--sort", "date", "--kind", "image", "--paths")
    assert [os.path.basename(path) for path in done.stdout.splitlines()] == [f"{n}.png" for n in range(5)]
    hits = json.loads(clew("search", "kind:image", "date:2021-01-02", "--json").stdout)
    assert names_of(hits) == ["1.png"]
    assert clew("search", "kind:video").exit_code == 1
    assert clew("search", "--kind", "text").exit_code == 0
    assert clew("search").exit_code == 2


def names_of(rows):
    return [os.path.basename(row["path"]) for row in rows]
