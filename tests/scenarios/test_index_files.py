"""Index files are built, rebuilt, kept and deleted."""

import pytest

from indexer import forget, verify_library
from retrieval import Library
from tests.scenarios.helpers import draw_images
from tests.support.files import draw_image, write_text


def test_index_is_rebuilt_when_more_than_a_tenth_is_new(tmp_path, index, place, toy):
    draw_images(tmp_path / "images", 100)
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        status = library.status()
        (file,) = status.space.indexes
        assert (file.kind, file.count, status.tail, file.recall) == ("image", 100, 0, 1.0)
    for number in range(10):
        draw_image(tmp_path / "images" / f"new{number}.png", (255, number, number))
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        assert library.status().tail == 10
        assert len(library.search("red", count=200)) == 110
    draw_image(tmp_path / "images" / "new10.png", (255, 99, 9))
    draw_image(tmp_path / "images" / "new11.png", (255, 98, 9))
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        assert (library.status().space.indexes[0].count, library.status().tail) == (112, 0)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_index_method_is_saved_and_gives_the_same_hits(tmp_path, index, place, toy, method):
    draw_images(tmp_path / "images", 200)
    index(tmp_path / "images", index_method=method)
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes[0].method == method
        assert library.status().space.indexes[0].recall == pytest.approx(1, abs=0.01)
        hits = [(hit.path.name, round(hit.score, 5)) for hit in library.search("green", count=20)]
    index(index_method="flat")
    assert index().segments == 0
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes[0].method == "flat"
        assert [(hit.path.name, round(hit.score, 5)) for hit in library.search("green", count=20)] == hits


def test_automatic_index_method_replaces_a_saved_one(tmp_path, index, place, toy):
    draw_images(tmp_path / "images", 60)
    write_text(tmp_path / "images" / "notes.txt", "red\n\ngreen")
    index(tmp_path / "images", index_method="ivf")
    index(index_method="auto")
    with Library.open(place, embedder=toy) as library:
        assert {file.method for file in library.status().space.indexes} == {"flat"}


def test_index_of_a_kind_without_new_vectors_is_kept(tmp_path, index, place, toy):
    draw_images(tmp_path / "images", 60)
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        (image_index,) = library.status().space.indexes
    write_text(tmp_path / "images" / "notes.txt", "\n\n".join(f"red {n}" for n in range(30)))
    index()
    with Library.open(place, embedder=toy) as library:
        image, text = library.status().space.indexes
        assert image == image_index
        assert text.count == 30


def test_purge_of_all_contents_deletes_all_indexes(folder, index, place, toy):
    index(folder)
    forget(folder, library=place, purge=True)
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes == ()
        assert library.search("red") == []
    assert list((place / "indexes").iterdir()) == []
    assert verify_library(place).errors == []


def test_damaged_indexes_change_no_hits_and_are_rebuilt(folder, index, place, toy):
    (folder / "note.txt").write_text("red and blue")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hits = library.search("red", count=20)
    for file in (place / "indexes").iterdir():
        data = file.read_bytes()
        file.write_bytes(data[:20] + bytes([data[20] ^ 0xFF]) + data[21:])  # in its header
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", count=20) == hits
        assert "checksum" in library.damage
    index()
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", count=20) == hits
        assert library.damage is None
