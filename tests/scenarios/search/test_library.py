"""Searches of an open library: filters, kinds, invalid queries, damaged indexes and concurrent updates."""

import math
import os
from contextlib import suppress
from dataclasses import fields
from datetime import date
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import index_folder
from indexer.operations.forget import forget
from indexer.store.writer import LibraryWriter
from retrieval import Libraries, Library, SearchOptions
from retrieval.catalog import file_details
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.errors import ClewError, LibraryError, LibraryMissing, LibraryVersionMismatch, QueryError
from retrieval.query.arguments import join_arguments
from retrieval.types import Filters
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder


def names(hits):
    return [hit.path.name for hit in hits]


def test_text_query_returns_images_by_descending_score(library):
    hits = library.search("red", count=7)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert names(hits)[0] == "red.png"
    assert set(names(hits)) == {f"{color}.png" for color in COLORS}


def test_image_query_returns_the_image_itself_and_similar_does_not(library, folder):
    assert names(library.search(image=folder / "red.png", count=1)) == ["red.png"]
    assert "red.png" not in names(library.similar(folder / "red.png", count=10))
    assert set(names(library.similar(folder / "red.png", count=2))) == {"yellow.png", "magenta.png"}


def test_similar_excludes_copies_and_accepts_unindexed_images(library, folder, tmp_path, index):
    unindexed = draw_image(tmp_path / "unindexed.png", (250, 4, 4))
    assert names(library.similar(unindexed, count=1)) == ["red.png"]
    (folder / "copy.png").write_bytes((folder / "red.png").read_bytes())
    index(folder)
    found = names(library.similar(folder / "copy.png", count=10))
    assert len(found) == 6
    assert not {"red.png", "copy.png"} & set(found)


def test_image_that_is_indexed_meanwhile_is_not_similar_to_itself(library, folder, place, index):
    image = draw_image(folder / "new.png", (250, 4, 4))

    class Slow(ToyEmbedder):
        def embed_images(self, images):
            index(folder)
            return super().embed_images(images)

    with Library.open(place, embedder=Slow()) as opened:
        assert set(names(opened.similar(image, count=10))) == {f"{color}.png" for color in COLORS}


def test_details_of_a_file_that_is_purged_meanwhile_are_an_error(library, folder, place, monkeypatch):
    find_file = file_details._find_file

    def find_and_purge(catalog, path):
        row = find_file(catalog, path)
        forget([folder], library=place, purge=True)
        return row

    monkeypatch.setattr(file_details, "_find_file", find_and_purge)
    with pytest.raises(QueryError, match="is not in the library"):
        library.details(folder / "red.png")


def test_count_may_exceed_the_number_of_hits(library):
    assert len(library.search("red", count=1_000)) == 7
    assert len(library.search("red", count=10**15)) == 7


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "text"},
        {"options": SearchOptions(under="nowhere")},
        {"options": SearchOptions(after="2100")},
        {"options": SearchOptions(before="1970")},
    ],
)
def test_filter_without_matches_returns_nothing(library, arguments):
    assert library.search("red", **arguments) == []


@pytest.fixture
def tree(tmp_path, index, place, toy):
    """Yield a library of images and notes in nested folders."""
    for path in ("Trips/Rome/a.png", "Trips/b.png", "My Trips/c.png", "d.png"):
        draw_image(tmp_path / "tree" / path, (200, len(path), 9))
        write_text((tmp_path / "tree" / path).with_name(Path(path).stem + "-notes.md"), f"red {path}")
    index(tmp_path / "tree")
    with Library.open(place, embedder=toy) as opened:
        yield opened


def test_under_is_a_folder_name_or_a_relative_or_absolute_path(tree, tmp_path, monkeypatch):
    root = tmp_path / "tree"
    assert set(names(tree.search("red", kind="image", options=SearchOptions(under="Trips")))) == {
        "a.png",
        "b.png",
    }
    assert names(tree.search("red", kind="image", options=SearchOptions(under="Trips/Rome"))) == ["a.png"]
    assert set(names(tree.search("red", kind="image", options=SearchOptions(under=root / "Trips")))) == {
        "a.png",
        "b.png",
    }
    assert len(tree.search("red", kind="image", options=SearchOptions(under=root))) == 4
    monkeypatch.chdir(root)
    assert names(tree.search("red", kind="image", options=SearchOptions(under="./My Trips"))) == ["c.png"]
    assert tree.search("red", options=SearchOptions(under="rip")) == []
    assert tree.search("red", options=SearchOptions(under="%")) == []


def test_hits_of_all_kinds_are_merged_and_filtered_by_kind(tree):
    assert {hit.kind for hit in tree.search("red", count=8)} == {"image", "text"}
    assert {hit.kind for hit in tree.search("red", kind="text")} == {"text"}
    assert len(tree.search("red", kind=["image", "text"], count=20)) == 8


def test_invalid_query_is_an_error_that_names_the_problem(library, folder, tmp_path):
    for query, message in (
        ({}, "query is empty"),
        ({"words": "  "}, "query is empty"),
        ({"words": "- red"}, "negative terms"),
        ({"words": "red - red"}, "cancel each other"),
        ({"words": "#999"}, "No segment #999"),
        ({"words": "red", "kind": "movie"}, "Unknown kind 'movie'"),
        (
            {"words": "red", "options": SearchOptions(after="soon")},
            "Invalid time for after: 'soon'",
        ),
        (
            {"words": "red", "options": SearchOptions(before="2021-02-30")},
            "Invalid time for before: '2021-02-30'",
        ),
        ({"words": "red", "count": 0}, "1 or more"),
        ({"image": tmp_path / "none.png"}, "file not found"),
    ):
        with pytest.raises(QueryError, match=message):
            library.search(**query)
    with pytest.raises(QueryError, match="Cannot use"):
        library.similar(tmp_path / "none.png")


@pytest.mark.parametrize(
    "words", ["red \0 blue", "🐶", "x" * 100_000, "'; DROP TABLE files; --", "\udce9", "\ud800"]
)
def test_unusual_text_is_a_valid_query(library, words):
    assert len(library.search(words)) == 7


@pytest.mark.parametrize("under", ["a\0b", "/a\0b", "x" * 5_000, "%_*?[", "'\"", "~/none", "\ud800"])
def test_unusual_folder_name_is_a_valid_filter(library, under):
    assert library.search("red", options=SearchOptions(under=under)) == []


def test_open_library_sees_changes_of_the_writer(folder, library, index):
    assert len(library.search("red", count=20)) == 7
    draw_image(folder / "new.png", (255, 1, 0))
    index(folder)
    assert len(library.search("red", count=20)) == 8
    (folder / "red.png").unlink()
    index(folder)
    assert "red.png" not in names(library.search("red", count=20))
    forget(library=library.status().folder, purge=True)
    assert len(library.search("red", count=20)) == 7


@pytest.mark.parametrize("kind_between", [None, "text"])
def test_commit_of_the_writer_does_not_reload_unindexed_vectors(
    library, folder, index, toy, monkeypatch, kind_between
):
    with LibraryWriter(library.folder, lambda _: toy) as writer, writer.db.atomic():
        writer.db.execute("UPDATE spaces SET indexed_to = 0")
        writer.db.execute("DELETE FROM indexes")
    everything = names(library.search("red", count=20))
    read, vectors_after = [], Catalog.vectors_after

    def recorded(catalog, space, kind, after_id, **bounds):
        for ids, vectors in vectors_after(catalog, space, kind, after_id, **bounds):
            read.extend(ids.tolist())
            yield ids, vectors

    monkeypatch.setattr(Catalog, "vectors_after", recorded)
    with LibraryWriter(library.folder, lambda _: toy) as writer:
        writer.save_settings(writer.settings())
    if kind_between:  # the vectors of images are kept although this search does not need them
        library.search("red", kind=kind_between)
        with LibraryWriter(library.folder, lambda _: toy) as writer:
            writer.save_settings(writer.settings())
    assert names(library.search("red", count=20)) == everything
    assert read == []
    with LibraryWriter(library.folder, lambda _: toy) as writer, writer.db.atomic():
        last = writer.db.execute("SELECT max(id) FROM segments").fetchone()[0]
        writer.db.execute(
            "INSERT INTO contents (hash, decoder, segments) SELECT x'01', decoder, 1 FROM contents LIMIT 1"
        )
        content = writer.db.execute("SELECT max(id) FROM contents").fetchone()[0]
        writer.db.execute("INSERT INTO segments (content, ordinal, kind) VALUES (?, 0, 'image')", (content,))
        table = vectors_table(writer.space_id)
        writer.db.execute(f"INSERT INTO {table} SELECT {last + 1}, vector FROM {table} WHERE segment = 1")
        writer.db.execute(f"DELETE FROM {table} WHERE segment = 2")
    hits = library.search("red", count=20)
    assert read == [last + 1]
    assert len(hits) == len(everything) - 1  # the new segment has no file


@pytest.fixture
def filter_reads(monkeypatch):
    """Return a list to which every filter is added that is read from the catalog."""
    reads, allowed_ids = [], Catalog.allowed_ids

    def recorded(catalog, filters):
        reads.append(filters)
        return allowed_ids(catalog, filters)

    monkeypatch.setattr(Catalog, "allowed_ids", recorded)
    return reads


def test_commit_that_does_not_concern_filters_keeps_what_was_read(
    library, folder, toy, filter_reads, monkeypatch
):
    under = SearchOptions(under=folder)
    before = library.search("red", options=under)
    read = len(filter_reads)
    assert read
    monkeypatch.setattr(Catalog, "background_queries", lambda *args: pytest.fail("read again"))
    for value in range(3):
        with LibraryWriter(library.folder, lambda _: toy) as writer, writer.db.atomic():
            writer.db.execute("INSERT OR REPLACE INTO settings VALUES ('unknown', ?)", (str(value),))
            writer.db.execute("UPDATE roots SET last_file = last_file + 1, scanned = ?", (str(value),))
        assert library.search("red", options=under) == before
    assert len(filter_reads) == read


CHANGES_OF_FILTERS = {
    "tag": "INSERT INTO tags (segment, name, confidence) VALUES (1, 'dog', 0.9)",
    "keyword": "INSERT INTO keywords (content, name) VALUES (1, 'dog')",
    "gone": "UPDATE files SET state = 'gone' WHERE id = 1",
    "moved": "UPDATE files SET path = x'31' WHERE id = 1",
    "metadata": "UPDATE contents SET rating = 3 WHERE id = 1",
    "segment": "INSERT INTO segments (content, ordinal, kind) VALUES (1, 77, 'image')",
    "deleted": "DELETE FROM files WHERE id = 1",
    "caption": "INSERT INTO captions (segment, file, image) VALUES (1, 2, x'31')",
    "root": "UPDATE roots SET path = x'2f31'",
    "offline root": "UPDATE roots SET state = 'offline'",
}


@pytest.mark.parametrize("change", CHANGES_OF_FILTERS)
def test_commit_that_concerns_filters_reads_them_again(library, toy, filter_reads, change):
    options = SearchOptions(after="1980")
    library.search("red", options=options)
    read = len(filter_reads)
    library.search("red", options=options)
    assert len(filter_reads) == read
    with LibraryWriter(library.folder, lambda _: toy) as writer, writer.db.atomic():
        writer.db.execute(CHANGES_OF_FILTERS[change])
    library.search("red", options=options)
    assert len(filter_reads) > read


def test_new_file_and_new_label_pass_the_filters_of_an_open_library(library, folder, index):
    under, tagged = SearchOptions(under=folder), SearchOptions(tag="dog")
    assert len(library.search("red", count=30, options=under)) == 7
    assert library.search("red", options=tagged) == []
    draw_image(folder / "new.png", (255, 1, 0))
    write_text(folder / "new.csv", "image,caption\nblue.png,a heron\n")
    index(folder)
    assert {"new.png", "blue.png"} <= {*names(library.search("red", count=30, options=under))}
    with LibraryWriter(library.folder) as writer, writer.db.atomic():
        writer.db.execute("INSERT INTO tags (segment, name, confidence) VALUES (1, 'dog', 0.9)")
    assert [hit.id for hit in library.search("red", options=tagged)] == [1]


def index_random_images(tmp_path, index, count, method):
    """Index images of random colors in seven folders."""
    generator = np.random.default_rng(5)
    for number, color in enumerate(generator.integers(0, 256, (count, 3))):
        draw_image(tmp_path / "many" / str(number % 7) / f"{number}.png", tuple(map(int, color)), size=(4, 4))
    index(tmp_path / "many", index_method=method)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_hits_equal_exact_search_with_every_index_and_filter(
    tmp_path, index, place, toy, method, monkeypatch
):
    monkeypatch.setattr(
        "retrieval.vectors.space_index.MAX_EXACT_SCAN_VECTORS", 20
    )  # so that filters go through the index
    index_random_images(tmp_path, index, 600, method)
    with Library.open(place, embedder=toy) as library:
        space = library._catalog.space()
        chunks = list(library._catalog.vectors_after(space, "image", 0))
        ids, vectors = np.concatenate([c[0] for c in chunks]), np.concatenate([c[1] for c in chunks])
        for words in ("red", "green blue", "yellow white"):
            query = toy.embed_texts([words])[0]
            for under, count in ((None, 15), ("3", 15), ("3", 600)):
                allowed = ids if under is None else library._catalog.allowed_ids(Filters(under=(under,)))
                exact = vectors.astype(np.float64) @ query.astype(np.float64)
                scores = np.where(np.isin(ids, allowed), exact, -np.inf)
                order = np.lexsort((ids, -scores))[: min(count, len(allowed))]
                hits = library.search(words, count=count, options=SearchOptions(under=under))
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


@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage"])
def test_damaged_index_is_bypassed_and_rebuilt(folder, index, place, toy, damage):
    index(folder)
    file = index_file(place)
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
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


def test_missing_or_foreign_catalog_is_an_error(tmp_path):
    with pytest.raises(LibraryMissing, match="clew index"):
        Library.open(tmp_path / "none")
    write_text(tmp_path / "foreign" / "catalogue.sqlite", "not a database" * 100)
    with pytest.raises(LibraryVersionMismatch, match="not a clew library"):
        Library.open(tmp_path / "foreign")


def test_status_has_counts_roots_and_the_active_space(library, folder, place):
    status = library.status()
    assert status.folder == place
    assert status.segments == {"image": 7}
    assert status.roots[0].path == folder
    assert status.roots[0].present == 7
    assert (status.space.name, status.space.indexes[0].method, status.space.indexed_to) == ("toy", "flat", 7)
    assert status.size > 0


def test_default_library_is_a_folder_named_clew():
    from retrieval import default_library

    assert default_library().is_absolute()
    assert default_library().name == "clew"


def test_index_folder_returns_an_open_library(folder, place, toy):
    with index_folder(str(folder), library=str(place), embedder=toy) as library:
        assert names(library.search("cyan", count=1)) == ["cyan.png"]


def test_pillow_images_and_date_objects_are_accepted(library, folder):
    from datetime import date

    from PIL import Image

    with Image.open(folder / "red.png") as image:
        assert library.search(image=image)[0] == library.search(image=str(folder / "red.png"))[0]
        assert names(library.similar(image, count=1)) == ["red.png"]
    assert len(library.search("red", options=SearchOptions(after=2021, before=date(2100, 1, 1)))) == 7
    assert library.search("red", options=SearchOptions(after=2100)) == []
    assert library.search("red")[0].time.startswith("20")


@pytest.mark.parametrize("name", ["~no-such-user/a b.jpg", "~no\0user/a b.jpg"])
def test_name_after_a_tilde_that_is_no_user_is_the_name_of_a_file(library, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = [
        lambda: library.search(f'file:"{name}"'),
        lambda: library.search(image=name),
        lambda: library.search(like=name),
        lambda: library.search("red", like=1, unlike=name),
        lambda: library.search(join_arguments([f"file:{name}", "red"])),
        lambda: library.similar(name),
        lambda: library.details(name),
        lambda: library.clip(f"{name} @ 01:23.4", "a.mp4"),
        lambda: Library.open(name),
        lambda: Libraries.open([name.replace("\0", ""), tmp_path]),
    ]
    for call in calls:
        with pytest.raises(ClewError):
            call()
    assert library.search("kind:image", options=SearchOptions(under=name)) == []
    if "\0" not in name:
        draw_image(tmp_path / name, "red")
        assert names(library.search(f'file:"{name}"', count=1)) == ["red.png"]


def test_damaged_and_closed_images_of_a_program_are_refused(library, tmp_path):
    noise = Image.effect_noise((300, 300), 90)
    noise.save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    closed = Image.new("RGB", (50, 50))
    closed.close()
    for image in (Image.open(BytesIO(data[:200])), Image.new("La", (50, 50)), closed):
        for name in ("image", "like"):
            with pytest.raises(QueryError, match=r"Cannot use <PIL.* as a query: "):
                library.search(**{name: image})


def test_search_of_a_closed_library_is_an_error(library):
    library.close()
    library.close()
    with pytest.raises(LibraryError, match="is closed"):
        library.search("red")
    assert str(library.folder) in repr(library)


def test_captions_of_one_image_are_one_hit(tmp_path, index, place, toy):
    for number in range(4):
        draw_image(tmp_path / "p" / f"{number}.png", (number, 9, 9))
    for name, colors in (("0", "red"), ("1", "red yellow"), ("2", "red blue")):
        write_text(tmp_path / "p" / f"{name}.txt", "\n".join(f"{colors} {n}" for n in range(30)))
    write_text(tmp_path / "p" / "notes.md", "red\n\nred red\n\nblue")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=7)) == 7  # four images, three passages
        everything = library.search("red", count=50)
        assert len(everything) == 7
        for count in range(1, 8):
            hits = library.search(
                "red", count=count
            )  # which of equal captions represents its image is undefined
            assert [(h.path, h.score) for h in hits] == [(h.path, h.score) for h in everything[:count]]
        assert len(library.search("red", kind="text", count=50)) == 50


def test_image_of_the_query_is_not_returned_by_its_captions(tmp_path, index, place, toy):
    for number in range(4):
        draw_image(tmp_path / "p" / f"{number}.png", (250 - number, 9, 9))
        write_text(tmp_path / "p" / f"{number}.txt", "red")
    write_text(tmp_path / "p" / "captions.csv", "image,caption\n0.png,red image\n1.png,red image\n")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        query = library.search("red", kind="image", count=1)[0]
        for hits in (
            library.search(f"#{query.id}", count=50),
            library.search(like=[query.id], kind=["image", "text"], count=50),
            library.similar(query.path, kind=["image", "text"], count=50),
        ):
            assert {hit.path for hit in hits} == {tmp_path / "p" / f"{n}.png" for n in range(4)} - {
                query.path
            }


def test_root_that_is_a_link_is_filtered_by_its_own_path(folder, index, place, toy, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    index(tmp_path / "link")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", options=SearchOptions(under=tmp_path / "link"))) == 7
        assert library.search("red", options=SearchOptions(under=folder)) == []


def test_hnsw_index_returns_all_of_many_equal_vectors(tmp_path, index, place, toy):
    for number in range(300):
        write_text(tmp_path / "p" / f"{number}.txt", "red" + " " * number)
    index(tmp_path / "p", index_method="hnsw")
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=300)) == 300


def test_hits_of_a_small_count_are_the_first_of_a_larger_count(tmp_path, index, place, toy):
    for number in range(12):
        draw_image(tmp_path / "p" / f"{number}.png", (200 - number, number * 9, 9))
    write_text(tmp_path / "p" / "0.txt", "\n".join(f"red {n}" for n in range(26)))
    write_text(tmp_path / "p" / "notes.md", "red yellow\n\nred magenta")
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        everything = library.search("red", count=100)
        assert len(everything) == 14
        assert library.search("red", count=5) == everything[:5]


def test_gone_files_do_not_reduce_the_number_of_hits(tmp_path, index, place, toy):
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


def test_gone_files_do_not_make_a_search_list_all_segments(folder, index, library, monkeypatch):
    (folder / "red.png").unlink()
    index(folder)
    monkeypatch.setattr(type(library._catalog), "allowed_ids", lambda *args: pytest.fail("listed"))
    assert set(names(library.search("red", count=6))) == {f"{color}.png" for color in COLORS} - {"red.png"}


def test_background_vectors_are_sampled_from_first_to_last(tmp_path, index, place, toy):
    from retrieval.vectors.space_index import SpaceIndex

    index_random_images(tmp_path, index, 900, "flat")
    with Library.open(place, embedder=toy) as library:
        space_index = SpaceIndex(library._catalog, library._catalog.space())
        sample = space_index.background_vectors("image")
        vectors = np.concatenate(
            [rows for _, rows in library._catalog.vectors_after(space_index.space, "image", 0)]
        )
        assert len(sample) == 500
        np.testing.assert_array_equal(sample[[0, -1]], vectors[[0, -1]])


@pytest.mark.parametrize(
    ("count", "options"),
    [(0, {}), ("5", {}), (2.5, {}), (5, {"by": "words"}), (5, {"size": 7}), (5, {"size": ("a", 2, 3)})],
)
def test_value_of_a_wrong_type_is_a_query_error(library, count, options):
    with pytest.raises(QueryError, match="Invalid"):
        library.search("red", count=count, options=SearchOptions(**options))


WRONG_VALUES = [
    *(b"", b"abc", 2.5, math.nan, 1j, 10**30, -1, True, object(), int, lambda: 1),
    *([], [b""], [None], [1, "a", b"c"], {}, {"a": 1}, (), ("a",), range(3)),
    *("", " ", "#", "\0", "\ud800", "./\0 a", "x" * 5_000, Path(), Path("/no/file"), date(2020, 1, 1)),
    *(np.int64(1), np.zeros((3, 3)), np.array([1, 2]), Image.new("RGB", (1, 1)), Image.new("RGB", (0, 0))),
]


@pytest.mark.parametrize("value", WRONG_VALUES, ids=lambda value: f"{type(value).__name__}-{value!r:.12}")
def test_any_value_is_accepted_or_a_clew_error(library, value):
    def options(**fields):
        return library.search("red", options=SearchOptions(**fields))

    calls = [
        library.search,
        *(
            partial(lambda name, value: library.search("red", **{name: value}), name)
            for name in ("image", "like", "kind", "count", "options")
        ),
        lambda value: library.search(image=value),
        lambda value: library.search("red", like=1, unlike=value),
        library.similar,
        lambda value: library.similar("/no/file", kind=value),
        *(
            partial(lambda name, value: options(**{name: value}), field.name)
            for field in fields(SearchOptions)
        ),
        library.duplicates,
        lambda value: library.duplicates(by=value),
        library.details,
        library.thumbnail,
        lambda value: library.clip(value, "clip.mp4"),
        library.unknown_filter_values,
    ]
    for call in calls:
        with suppress(ClewError):
            call(value)


@pytest.mark.parametrize("image", [b"", b"abc", 2.5, None, [None], object()])
def test_image_of_a_wrong_type_is_a_query_error_that_says_what_to_use(library, image):
    with pytest.raises(QueryError, match="Use a path or a Pillow image"):
        library.search(like=[image])
    if image is not None:
        with pytest.raises(QueryError, match="Use a path or a Pillow image"):
            library.search("red", image=image)


def test_values_of_related_types_are_accepted(library, folder):
    from datetime import UTC, datetime, timedelta

    hit = library.search("red", count=1)[0]
    for like in (hit, [hit], np.int64(hit.id), [np.int64(hit.id)]):
        assert names(library.search(like=like, count=2)) == names(library.search(like=hit.id, count=2))
    ago = timedelta(days=1, microseconds=5)
    for after in (datetime.now() - ago, datetime.now(UTC) - ago):
        assert len(library.search("red", options=SearchOptions(after=after))) == 7
    options = SearchOptions(under=os.fsencode(folder), size=(1, 1), tag=())
    assert len(library.search("red", count=np.int64(7), options=options)) == 7
    assert library.search("red", options=SearchOptions(tag=5)) == []


def test_nearest_finds_by_a_vector_as_a_search_by_that_vector_finds(library):
    [stored] = library.search("blue", count=1)
    blue = library.embedder.embed_texts(["blue"])
    hits = library.nearest(7 * blue[0], count=3)
    assert [hit.id for hit in hits][:1] == [stored.id]
    expected = library.search("blue", count=3, options=SearchOptions(by="meaning"))
    assert [(hit.id, hit.score) for hit in hits] == [
        (hit.id, pytest.approx(hit.score, abs=1e-6)) for hit in expected
    ]
    assert library.nearest(blue, kind="video") == []
    under = SearchOptions(under="elsewhere")
    assert library.nearest(blue, options=under) == []


@pytest.mark.parametrize(
    "vector", [[1.0], [0, 0, 0], [float("nan"), 0, 0], ["a", "b", "c"], None, 5, [10**400, 0, 0]]
)
def test_vector_that_does_not_fit_the_space_is_refused(library, vector):
    with pytest.raises(QueryError):
        library.nearest(vector)
