"""An open library answers rightly: every filter, every kind, whatever happens to its files meanwhile."""

import os
from pathlib import Path

import numpy as np
import pytest

from indexer import index_folder
from indexer.operations.forget import forget
from retrieval import Library
from retrieval.errors import LibraryError, LibraryMissing, LibraryVersionMismatch, QueryError
from retrieval.types import Filters
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS


def names(hits):
    return [hit.path.name for hit in hits]


def test_words_find_pictures_best_first(library):
    hits = library.search("red", count=7)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert names(hits)[0] == "red.png"
    assert set(names(hits)) == {f"{colour}.png" for colour in COLORS}


def test_a_picture_finds_itself_and_similar_leaves_it_out(library, folder):
    assert names(library.search(image=folder / "red.png", count=1)) == ["red.png"]
    assert "red.png" not in names(library.similar(folder / "red.png", count=10))
    assert set(names(library.similar(folder / "red.png", count=2))) == {"yellow.png", "magenta.png"}


def test_similar_leaves_out_every_copy_and_takes_strangers(library, folder, tmp_path, index):
    stranger = draw_image(tmp_path / "stranger.png", (250, 4, 4))
    assert names(library.similar(stranger, count=1)) == ["red.png"]
    (folder / "copy.png").write_bytes((folder / "red.png").read_bytes())
    index(folder)
    found = names(library.similar(folder / "copy.png", count=10))
    assert len(found) == 6
    assert not {"red.png", "copy.png"} & set(found)


def test_more_is_asked_for_than_there_is(library):
    assert len(library.search("red", count=1_000)) == 7
    assert len(library.search("red", count=10**15)) == 7


@pytest.mark.parametrize(
    "narrow",
    [{"kind": "text"}, {"under": "nowhere"}, {"after": "2100"}, {"before": "1970"}],
)
def test_a_filter_that_nothing_passes_finds_nothing(library, narrow):
    assert library.search("red", **narrow) == []


@pytest.fixture
def tree(tmp_path, index, place, toy):
    """Index pictures and texts in some folders."""
    for path in ("Trips/Rome/a.png", "Trips/b.png", "My Trips/c.png", "d.png"):
        draw_image(tmp_path / "tree" / path, (200, len(path), 9))
        write_text((tmp_path / "tree" / path).with_name(Path(path).stem + "-notes.md"), f"red {path}")
    index(tmp_path / "tree")
    with Library.open(place, embedder=toy) as opened:
        yield opened


def test_under_is_a_folder_by_name_by_place_or_by_path(tree, tmp_path, monkeypatch):
    root = tmp_path / "tree"
    assert set(names(tree.search("red", kind="image", under="Trips"))) == {"a.png", "b.png"}
    assert names(tree.search("red", kind="image", under="Trips/Rome")) == ["a.png"]
    assert set(names(tree.search("red", kind="image", under=root / "Trips"))) == {"a.png", "b.png"}
    assert len(tree.search("red", kind="image", under=root)) == 4
    monkeypatch.chdir(root)
    assert names(tree.search("red", kind="image", under="./My Trips")) == ["c.png"]
    assert tree.search("red", under="rip") == []
    assert tree.search("red", under="%") == []


def test_kinds_are_mixed_in_one_list_and_narrowed_by_name(tree):
    assert {hit.kind for hit in tree.search("red", count=8)} == {"image", "text"}
    assert {hit.kind for hit in tree.search("red", kind="text")} == {"text"}
    assert len(tree.search("red", kind=["image", "text"], count=20)) == 8


def test_wrong_questions_say_what_is_wrong(library, folder, tmp_path):
    for question, message in (
        ({}, "query is empty"),
        ({"words": "  "}, "query is empty"),
        ({"words": "- red"}, "negative terms"),
        ({"words": "red - red"}, "cancel each other"),
        ({"words": "#999"}, "No segment #999"),
        ({"words": "red", "kind": "movie"}, "Unknown kind 'movie'"),
        ({"words": "red", "after": "yesterday"}, "Invalid after"),
        ({"words": "red", "before": "2021-02-30"}, "Invalid before"),
        ({"words": "red", "count": 0}, "1 or more"),
        ({"image": tmp_path / "none.png"}, "file not found"),
    ):
        with pytest.raises(QueryError, match=message):
            library.search(**question)
    with pytest.raises(QueryError, match="Cannot use"):
        library.similar(tmp_path / "none.png")


@pytest.mark.parametrize(
    "words", ["red \0 blue", "🐶", "x" * 100_000, "'; DROP TABLE files; --", "\udce9", "\ud800"]
)
def test_hostile_words_are_words(library, words):
    assert len(library.search(words)) == 7


@pytest.mark.parametrize("under", ["a\0b", "/a\0b", "x" * 5_000, "%_*?[", "'\"", "~/none", "\ud800"])
def test_hostile_folders_are_folders(library, under):
    assert library.search("red", under=under) == []


def test_an_open_library_follows_the_writer(folder, library, index):
    assert len(library.search("red", count=20)) == 7
    draw_image(folder / "new.png", (255, 1, 0))
    index(folder)
    assert len(library.search("red", count=20)) == 8
    (folder / "red.png").unlink()
    index(folder)
    assert "red.png" not in names(library.search("red", count=20))
    forget(library=library.status().folder, purge=True)
    assert len(library.search("red", count=20)) == 7


def drawn(tmp_path, refresh, count, method):
    """Index many pictures of many colours."""
    draw_ = np.random.default_rng(5)
    for number, colour in enumerate(draw_.integers(0, 256, (count, 3))):
        draw_image(
            tmp_path / "many" / str(number % 7) / f"{number}.png", tuple(map(int, colour)), size=(4, 4)
        )
    refresh(tmp_path / "many", index_method=method)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_answers_are_exact_with_every_index_under_every_filter(
    tmp_path, index, place, toy, method, monkeypatch
):
    monkeypatch.setattr(
        "retrieval.vectors.space_index.MAX_EXACT_SCAN_VECTORS", 20
    )  # so that filters go through the index
    drawn(tmp_path, index, 600, method)
    with Library.open(place, embedder=toy) as library:
        space = library._catalog.space()
        every = list(library._catalog.vectors_after(space, "image", 0))
        ids, vectors = np.concatenate([c[0] for c in every]), np.concatenate([c[1] for c in every])
        for words in ("red", "green blue", "yellow white"):
            query = toy.embed_texts([words])[0]
            for under, count in ((None, 15), ("3", 15), ("3", 600)):
                allowed = ids if under is None else library._catalog.allowed_ids(Filters(under=(under,)))
                scores = np.where(np.isin(ids, allowed), vectors @ query, -np.inf)
                order = np.lexsort((ids, -scores))[: min(count, len(allowed))]
                hits = library.search(words, under=under, count=count)
                found = np.array([hit.score for hit in hits], np.float32)
                own = [vectors[np.searchsorted(ids, hit.id)] @ query for hit in hits]
                np.testing.assert_allclose(found, own, atol=1e-6)
                np.testing.assert_allclose(found, scores[order], atol=1e-6)
                hit_ids = np.array([hit.id for hit in hits])
                assert len(np.unique(hit_ids)) == len(order)
                np.testing.assert_array_equal(hit_ids, hit_ids[np.lexsort((hit_ids, -found))])
                # Scores that differ by one unit in the last place may be in either order.
                gaps = np.diff(scores[order], prepend=np.inf, append=-np.inf) < -1e-6
                distinct = gaps[:-1] & gaps[1:]
                assert distinct.sum() > len(order) / 4
                np.testing.assert_array_equal(hit_ids[distinct], ids[order][distinct])


def index_file(place):
    (file,) = (place / "indexes").iterdir()
    return file


@pytest.mark.parametrize("harm", ["missing", "truncated", "garbage"])
def test_a_damaged_index_costs_no_answers_and_is_built_again(folder, index, place, toy, harm):
    index(folder)
    file = index_file(place)
    if harm == "missing":
        file.unlink()
    elif harm == "truncated":
        os.truncate(file, 20)
    else:
        file.write_bytes(os.urandom(file.stat().st_size))
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("red", count=1)) == ["red.png"]
        assert len(library.search("red", count=20)) == 7
        assert "`clew index` rebuilds it" in library.damage
    index()
    with Library.open(place, embedder=toy) as library:
        assert (library.damage, library.status().space.indexes[0].count) == (None, 7)


def test_a_library_that_cannot_be_written_can_be_searched(folder, index, place, toy, monkeypatch):
    index(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    before = sorted(path.name for path in place.iterdir())
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("red", count=1)) == ["red.png"]
    assert sorted(path.name for path in place.iterdir()) == before


def test_what_is_no_library_is_said(tmp_path):
    with pytest.raises(LibraryMissing, match="clew index"):
        Library.open(tmp_path / "none")
    write_text(tmp_path / "odd" / "catalogue.sqlite", "not a database" * 100)
    with pytest.raises(LibraryVersionMismatch, match="not a clew library"):
        Library.open(tmp_path / "odd")


def test_status_tells_what_there_is(library, folder, place):
    status = library.status()
    assert status.folder == place
    assert status.segments == {"image": 7}
    assert status.roots[0].path == folder
    assert status.roots[0].present == 7
    assert (status.space.name, status.space.indexes[0].method, status.space.indexed_to) == ("toy", "flat", 7)
    assert status.size > 0


def test_the_default_library_is_the_persons_own():
    from retrieval import default_library

    assert default_library().is_absolute()
    assert default_library().name == "clew"


def test_index_folder_returns_the_library_open(folder, place, toy):
    with index_folder(str(folder), library=str(place), embedder=toy) as library:
        assert names(library.search("cyan", count=1)) == ["cyan.png"]


def test_a_pillow_image_and_a_date_are_taken_too(library, folder):
    from datetime import date

    from PIL import Image

    with Image.open(folder / "red.png") as picture:
        assert library.search(image=picture)[0] == library.search(image=str(folder / "red.png"))[0]
        assert names(library.similar(picture, count=1)) == ["red.png"]
    assert len(library.search("red", after=2021, before=date(2100, 1, 1))) == 7
    assert library.search("red", after=2100) == []
    assert library.search("red")[0].time.startswith("20")


def test_a_closed_library_says_so(library):
    library.close()
    library.close()
    with pytest.raises(LibraryError, match="is closed"):
        library.search("red")
    assert str(library.folder) in repr(library)


def test_as_many_answers_come_as_there_are_things(tmp_path, index, place, toy):
    """Many captions of one picture are one answer, and do not crowd out the others."""
    for number in range(4):
        draw_image(tmp_path / "p" / f"{number}.png", (number, 9, 9))
    for name, colour in (("0", "red"), ("1", "red yellow"), ("2", "red blue")):
        write_text(tmp_path / "p" / f"{name}.txt", "\n".join(f"{colour} {n}" for n in range(30)))
    write_text(tmp_path / "p" / "notes.md", "red\n\nred red\n\nblue")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=7)) == 7  # four pictures, three passages
        everything = library.search("red", count=50)
        assert len(everything) == 7
        for count in range(1, 8):
            hits = library.search("red", count=count)  # of equal captions any may lead
            assert [(h.path, h.score) for h in hits] == [(h.path, h.score) for h in everything[:count]]
        assert len(library.search("red", kind="text", count=50)) == 50


def test_a_linked_root_is_filtered_by_the_folder_that_was_given(folder, index, place, toy, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    index(tmp_path / "link")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", under=tmp_path / "link")) == 7
        assert library.search("red", under=folder) == []


def test_a_graph_that_does_not_reach_all_equals_still_returns_them(tmp_path, index, place, toy):
    for number in range(300):
        write_text(tmp_path / "p" / f"{number}.txt", "red" + " " * number)
    index(tmp_path / "p", index_method="hnsw")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=300)) == 300


def test_the_best_of_a_long_list_are_the_short_list(tmp_path, index, place, toy):
    for number in range(12):
        draw_image(tmp_path / "p" / f"{number}.png", (200 - number, number * 9, 9))
    write_text(tmp_path / "p" / "0.txt", "\n".join(f"red {n}" for n in range(26)))
    write_text(tmp_path / "p" / "notes.md", "red yellow\n\nred magenta")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        everything = library.search("red", count=100)
        assert len(everything) == 14
        assert library.search("red", count=5) == everything[:5]


def test_files_that_are_gone_do_not_hide_those_that_are_there(tmp_path, index, place, toy):
    for number in range(300):
        write_text(tmp_path / "p" / f"{number}.txt", f"red {number}")
    for number in range(5):
        write_text(tmp_path / "p" / "kept" / f"{number}.txt", f"blue green {number}")
    index(tmp_path / "p")
    for number in range(300):
        (tmp_path / "p" / f"{number}.txt").unlink()
    index(confirm_gone=True)
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=5)) == 5


def test_what_is_usual_is_drawn_from_old_and_new_alike(tmp_path, index, place, toy):
    from retrieval.vectors.space_index import SpaceIndex

    drawn(tmp_path, index, 900, "flat")
    with Library.open(place, embedder=toy) as library:
        nearest = SpaceIndex(library._catalog, library._catalog.space())
        some = nearest.background_vectors("image")
        everything = np.concatenate(
            [rows for _, rows in library._catalog.vectors_after(nearest.space, "image", 0)]
        )
        assert len(some) == 500
        np.testing.assert_array_equal(some[[0, -1]], everything[[0, -1]])
