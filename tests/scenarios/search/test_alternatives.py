"""Alternatives (|) and saved searches (@NAME), from the query to the command."""

import json
import os

import pytest

from indexer.tag.saved_searches import delete_search, rename_search, save_search
from retrieval import Library, SearchOptions
from retrieval.errors import QueryError
from retrieval.query.parser import parse
from tests.support.files import draw_image, write_text


@pytest.fixture
def varied(tmp_path, index):
    """Index images of many colors, in folders, and a note."""
    for number in range(60):
        color = ((37 * number) % 256, (91 * number) % 256, (151 * number) % 256)
        draw_image(tmp_path / "in" / ("even", "odd")[number % 2] / f"{number}.png", color)
    for number, name in enumerate(("red", "green", "blue")):
        draw_image(tmp_path / "in" / f"{name}{number}.png", name)
    write_text(tmp_path / "in" / "notes.md", "a red wall")
    for number, path in enumerate(sorted(tmp_path.glob("in/**/*.*"))):
        os.utime(path, (1_600_000_000 + 60 * number,) * 2)
    index(tmp_path / "in")


def level(hit):
    return hit.has_words, hit.score if hit.confidence is None else hit.confidence


@pytest.mark.parametrize(
    "query", ["red | blue", "red under:even | blue under:odd | green", "red kind:image | blue"]
)
def test_hits_of_alternatives_have_the_larger_confidence(varied, place, toy, query):
    with Library.open(place, embedder=toy) as library:
        parts = [library.search(part, kind="image", count=1_000) for part in query.split("|")]
        every = library.search(query, kind="image", count=1_000)
        best = {}
        for hit in (hit for part in parts for hit in part):
            best[hit.id] = max(best.get(hit.id, (False, -1.0)), level(hit))
        assert {hit.id: level(hit) for hit in every} == best
        levels = [level(hit) for hit in every]
        assert levels == sorted(levels, reverse=True)
        for count in (1, 3, 10, 40):
            assert library.search(query, kind="image", count=count) == every[:count]


def test_order_of_each_alternative_stays(varied, place, toy):
    with Library.open(place, embedder=toy) as library:
        red = [hit.id for hit in library.search("red under:even", count=100)]
        both = [hit.id for hit in library.search("red under:even | green under:odd", count=100)]
    assert [id_ for id_ in both if id_ in red] == red


def test_filters_alone_list_the_files_of_any_alternative(varied, place, toy):
    with Library.open(place, embedder=toy) as library:
        files = library.search("under:even | under:odd", count=100)
        assert len(files) == 60
        assert [hit.path for hit in files] == [
            hit.path for hit in library.search(count=100, options=SearchOptions(under=["even", "odd"]))
        ]
        with pytest.raises(QueryError, match="filters only"):
            library.search("red | under:odd")


def test_reasons_tell_the_terms_of_each_alternative(varied, place, toy):
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red | blue", kind="image", options=SearchOptions(why=True))[0]
    assert [score.asked for score in hit.why] == ["red", "blue"]


def test_saved_search_answers_as_its_query(varied, place, toy):
    save_search("warm", "red under:even", library=place)
    save_search("cold", "@warm | blue", library=place)
    with Library.open(place, embedder=toy) as library:
        assert library.search("@warm") == library.search("red under:even")
        assert library.search("@cold") == library.search("red under:even | blue")
        assert library.saved_searches() == {"cold": "@warm | blue", "warm": "red under:even"}
    rename_search("warm", "hot", library=place)
    with Library.open(place, embedder=toy) as library:
        assert library.saved_searches() == {"cold": "@hot | blue", "hot": "red under:even"}
    with pytest.raises(QueryError, match="contains"):
        delete_search("hot", library=place)
    delete_search("cold", library=place)
    delete_search("@hot", library=place)
    with Library.open(place, embedder=toy) as library, pytest.raises(QueryError, match="Unknown name @hot"):
        library.search("@hot")


def test_saved_search_names_absolute_files_and_folders(varied, place, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    query = (
        'red + ./a.png not:file:"b c.png" under:../x -under:. under:Trips under:.hidden | ~/d.png under:~/e'
    )
    saved, home = save_search("mine", query, library=place), tmp_path / "home"
    assert parse(saved) == parse(
        f'red + file:"{tmp_path}/a.png" not:file:"{tmp_path}/b c.png" under:"{tmp_path.parent}/x" '
        f'-under:"{tmp_path}" under:Trips under:.hidden | file:"{home}/d.png" under:"{home}/e"'
    )
    assert save_search("plain", "  red under:Trips/", library=place) == "  red under:Trips/"
    assert parse(save_search("byte", "caf\udce9 red", library=place)) == parse("caf? red")
    with pytest.raises(QueryError, match="not UTF-8"):
        save_search("no", "./caf\udce9.png", library=place)


def test_renamed_search_leaves_quoted_text_as_it_is(varied, place, toy):
    save_search("warm", "red", library=place)
    save_search(
        "cold", """"@warm" tag:"@warm" 2:@warm not:"mail@warm" \\@warm | -@warm blue""", library=place
    )
    rename_search("warm", "hot", library=place)
    with Library.open(place, embedder=toy) as library:
        assert parse(library.saved_searches()["cold"]) == parse(
            """"@warm" tag:"@warm" 2:@hot not:"mail@warm" \\@warm | -@hot blue"""
        )


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("warm", "blue", "already"),
        ("a b", "blue", "Invalid name"),
        ("self", "@self + blue", "names itself"),
        ("other", "@missing + blue", "@missing is no concept"),
        ("broken", "dog |", "Column"),
        ("empty", "  ", "empty"),
    ],
)
def test_search_that_cannot_be_saved_changes_nothing(varied, place, toy, name, query, message):
    save_search("warm", "red", library=place)
    with pytest.raises(QueryError, match=message):
        save_search(name, query, library=place)
    with Library.open(place, embedder=toy) as library:
        assert library.saved_searches() == {"warm": "red"}


def test_command_saves_lists_renames_and_deletes(clew, tmp_path):
    draw_image(tmp_path / "in" / "red.png", "red")
    draw_image(tmp_path / "in" / "blue.png", "blue")
    assert clew("index", "in", "--model", "builtin").exit_code == 0
    assert "No saved searches yet" in clew("save").output
    done = clew("save", "warm", "a red wall kind:image")
    assert (done.exit_code, done.output) == (0, "Saved a red wall kind:image as @warm.\n")
    assert clew("save").output == "@warm  a red wall kind:image\n"
    assert json.loads(clew("save", "--json").output) == [{"name": "warm", "query": "a red wall kind:image"}]
    assert (
        clew("search", "@warm", "--paths", "--all").output
        == clew("search", "a red wall kind:image", "--paths", "--all").output
    )
    assert clew("save", "warm", "other").exit_code == 2
    assert clew("save", "warm", "a blue wall", "--replace").exit_code == 0
    assert clew("teach", "warm", "in/red.png").exit_code == 2
    done = clew("save", "warm", "blue", "--replace", "--json")
    assert json.loads(done.stdout) == {"name": "warm", "query": "blue"}
    assert clew("save", "warm", "--rename", "cold").output == "@warm is now @cold.\n"
    done = clew("save", "cold", "--rename", "warm", "--json")
    assert json.loads(done.stdout) == {"name": "warm", "renamed": "cold"}
    assert json.loads(clew("save", "warm", "--delete", "--json").stdout) == {"deleted": "warm"}
    assert clew("save", "cold", "blue").exit_code == 0
    assert clew("save", "cold", "--delete").output == "@cold deleted.\n"
    assert clew("save", "cold", "--delete").exit_code == 2
    assert clew("save", "cold").exit_code == 2
