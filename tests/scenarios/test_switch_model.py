"""A library switches to another model; the old space stays active until the new one is complete."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from indexer import forget, index_folder, switch_library, update_library, verify_library
from indexer.operations.switch_model import Comparison, switch_space
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval import Library
from retrieval.catalog.reader import Catalog, add_functions
from retrieval.errors import LibraryError, LibraryMissing, QueryError, SpaceMismatch
from tests.support.catalog import REPOSITORY_ROOT, committed_segments, downgrade_catalog, edit_catalog
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, RotatedToyEmbedder, ToyEmbedder, unit_rows


@pytest.fixture
def other():
    return RotatedToyEmbedder()


def switch(place, other, **options):
    return switch_library("other", library=place, embedder=other, **options)


def rounded_hits(library):
    """Return score, id and path of the hits, in this order: equal scores may be rounded differently."""
    return sorted((-round(hit.score, 3), hit.id, hit.path) for hit in library.search("red", count=10))


def test_switch_embeds_all_contents_and_activates_the_space(folder, index, place, toy, other):
    write_text(folder / "notes.md", "red and blue")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hits = rounded_hits(library)
    result = switch(place, other)
    assert (result.old, result.new, result.embedded, result.waiting, result.answers) == (
        "toy",
        "other",
        8,
        0,
        True,
    )
    with Library.open(place, embedder=other) as library:
        assert rounded_hits(library) == hits
        status = library.status()
        assert status.space.name == "other"
        assert status.spaces == {"toy": 8, "other": 8}
        assert {file.kind for file in status.space.indexes} == {"image", "text"}
        assert status.space.complete
    with Library.open(place, embedder=toy, space="toy") as library:
        assert rounded_hits(library) == hits
    assert verify_library(place).errors == []


def test_vectors_after_a_switch_equal_those_of_a_new_library(folder, index, place, other, tmp_path):
    write_text(folder / "red.txt", "red and green")
    index(folder)
    switch(place, other)
    index_folder(folder, library=tmp_path / "fresh", embedder=other).close()

    def vectors(library):
        catalog = Catalog.open(library)
        ids, rows = catalog.vectors_of(catalog.space(), range(99))
        hashes = dict(
            catalog.db.execute(
                "SELECT s.id, hex(c.hash) || s.ordinal FROM segments s JOIN contents c ON c.id = s.content"
            )
        )
        catalog.close()
        return {hashes[id_]: tuple(row) for id_, row in zip(ids.tolist(), rows.tolist(), strict=True)}

    assert vectors(place) == vectors(tmp_path / "fresh")


def test_image_with_unnumbered_pages_of_an_older_version_is_embedded_again(tmp_path, index, place, other):
    pages = [Image.new("RGB", (24, 16), COLORS[name]) for name in ("red", "green")]
    (tmp_path / "pictures").mkdir()
    pages[0].save(tmp_path / "pictures" / "scan.tif", save_all=True, append_images=pages[1:])
    index(tmp_path / "pictures")
    with edit_catalog(place) as db:
        add_functions(db)
        db.execute("DELETE FROM segments WHERE page = 2")
        db.execute("UPDATE segments SET page = NULL")
    result = switch(place, other)
    assert (result.embedded, result.waiting) == (1, 0)


def test_content_is_embedded_once_in_each_space(folder, index, place, toy, other):
    index(folder)
    switch(place, other)
    assert other.embedded_count == 7
    draw_image(folder / "new.png", (9, 9, 9))
    update_library(library=place, embedder=other)
    assert other.embedded_count == 8
    back = switch_library("toy", library=place, embedder=toy)
    assert (back.embedded, back.answers) == (1, True)
    assert switch(place, other).embedded == 0
    assert other.embedded_count == 8


def test_vector_of_a_text_too_long_for_the_new_model_is_the_mean_of_its_parts(tmp_path, place, toy, other):
    write_text(tmp_path / "folder" / "long.md", "red red red red green green")
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    switch(place, other)
    with Library.open(place, embedder=other) as library:
        (hit,) = library.search("red")
    parts = np.roll(unit_rows([(1020, 0, 0), (0, 510, 0)]), 1, axis=1)
    mean = parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0))
    query = np.roll(unit_rows([(255, 0, 0)]), 1, axis=1)[0]
    assert hit.score == pytest.approx(float(mean @ query), abs=1e-3)


def test_interrupted_switch_keeps_the_old_space_and_is_continued_by_the_next(
    folder, index, place, toy, other
):
    index(folder)
    calls = []

    def stop(name, done, total, size=0):
        calls.append((name, done, total))
        if len(calls) == 2:
            raise KeyboardInterrupt

    with LibraryWriter(place, batch_limits=BatchLimits(segments=2)) as writer:
        result = switch_space(writer, other, stop)
    assert (result.interrupted, result.answers) == (True, False)
    assert calls == [("other", 2, 7), ("other", 4, 7)]
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.name == "toy"
        assert library.search("red", count=1)[0].path.name == "red.png"
        assert library.status().spaces["other"] == 4
    assert update_library(library=place, embedder=toy).unchanged == 7
    assert switch(place, other).embedded == 3


def test_offline_files_are_embedded_when_they_return(folder, index, place, toy, other):
    write_text(folder / "red.txt", "red")
    index(folder)
    folder.rename(folder.with_name("away"))
    result = switch(place, other)
    assert (result.embedded, result.waiting, result.answers) == (1, 7, True)
    with Library.open(place, embedder=other) as library:
        assert not library.status().space.complete
        assert [hit.text for hit in library.search("red")] == ["red"]
    assert verify_library(place).errors == []
    folder.with_name("away").rename(folder)
    report = update_library(library=place, embedder=other)
    assert report.segments == 7
    with Library.open(place, embedder=other) as library:
        assert library.status().space.complete
        assert len(library.search("red", kind="image", count=10)) == 7


def test_changed_file_is_embedded_by_the_next_scan(folder, index, place, other):
    index(folder)
    draw_image(folder / "red.png", (1, 2, 3))
    assert switch(place, other).waiting == 1
    assert update_library(library=place, embedder=other).updated == 1


def test_comparison_has_hits_of_both_spaces_and_keeps_the_active_one(folder, place, other):
    update_library(folder, library=place, model="builtin")
    result = switch(place, other, compare=["red", "blue"])
    assert (result.embedded, result.answers) == (7, False)
    for query, comparison in zip(("red", "blue"), result.comparisons, strict=True):
        assert comparison.query == query
        assert comparison.overlap == 1
        assert [hit.space for hit in (comparison.old[0], comparison.new[0])] == ["builtin", "other"]
        assert comparison.old[0].path == comparison.new[0].path == folder / f"{query}.png"
    assert Library.open(place).status().space.name == "builtin"
    with pytest.raises(QueryError, match="empty"):
        switch(place, other, compare=["red", " "])


def test_overlap_is_the_share_of_common_hits(library):
    hits = library.search("red", count=4)
    assert Comparison("red", tuple(hits), tuple(hits[2:])).overlap == 0.5
    assert Comparison("red", (), ()).overlap == 0


def test_all_of_many_returned_files_are_found(tmp_path, place, toy, other):
    """Their segments are older than the last segment in the index, and more than an exact search compares."""
    for number in range(700):
        draw_image(
            tmp_path / "folder" / str(number % 2) / f"{number}.png", (number % 256, number // 3, 90), (4, 4)
        )
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    (tmp_path / "folder" / "0").rename(tmp_path / "away")
    assert switch(place, other).waiting == 350
    (tmp_path / "away").rename(tmp_path / "folder" / "0")
    update_library(library=place, embedder=other)
    with Library.open(place, embedder=other) as library:
        assert len({hit.path for hit in library.search("red", count=700)}) == 700
        assert sum(file.count for file in library.status().space.indexes) + library.status().tail == 700


def test_switch_embeds_a_text_without_tokens_for_the_new_model(tmp_path, place, toy):
    class EmbedderWithoutOdd(RotatedToyEmbedder):
        def count_tokens(self, text):
            return 0 if "odd" in text else len(text.split())

        def embed_texts(self, texts):
            assert all(self.count_tokens(text) for text in texts)
            return super().embed_texts(texts)

    write_text(tmp_path / "folder" / "notes.md", "odd\n\nred")
    update_library([tmp_path / "folder"], library=place, embedder=toy)
    result = switch(place, EmbedderWithoutOdd())
    assert (result.embedded, result.waiting) == (2, 0)
    assert verify_library(place).errors == []


def test_all_spaces_but_the_active_one_can_be_forgotten(folder, index, place, toy, other):
    index(folder)
    switch(place, other)
    with pytest.raises(LibraryError, match="is the active space"):
        forget(library=place, space="other")
    with pytest.raises(LibraryError, match="Its spaces: toy, other"):
        forget(library=place, space="nix")
    assert len(list((place / "indexes").iterdir())) == 2
    forget(library=place, space="toy")
    assert len(list((place / "indexes").iterdir())) == 1
    with Library.open(place, embedder=other) as library:
        assert library.status().spaces == {"other": 7}
        assert len(library.search("red", count=10)) == 7
    assert verify_library(place).errors == []


def test_purge_deletes_vectors_in_all_spaces(folder, index, place, other):
    index(folder)
    switch(place, other)
    (folder / "red.png").unlink()
    update_library(library=place, embedder=other)
    assert forget(library=place, purge=True) == (0, 1)
    with Library.open(place, embedder=other) as library:
        assert library.status().spaces == {"toy": 6, "other": 6}


def test_open_library_uses_the_space_of_a_later_switch(folder, index, place, toy, other):
    index(folder)
    toys = {embedder.fingerprint: embedder for embedder in (toy, other)}
    with Library(Catalog.open(place), load_embedder=lambda space: toys[space.fingerprint]) as library:
        assert library.search("red", count=1)[0].space == "toy"
        switch(place, other)
        assert library.search("red", count=1)[0].space == "other"
        assert library.embedder.name == "other"


def test_library_of_the_first_version_is_migrated(folder, index, place, toy):
    index(folder)
    downgrade_catalog(place, "1-library")
    with pytest.raises(LibraryError, match="to upgrade it"):
        Library.open(place)
    assert index(folder).unchanged == 7
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.complete


def test_missing_library_and_missing_space_are_rejected(place, other, folder, index):
    with pytest.raises(LibraryMissing):
        switch(place, other)
    index(folder)
    with pytest.raises(LibraryError, match="has no space nix"), Library.open(place, space="nix") as library:
        library.search("red")
    with pytest.raises(SpaceMismatch), Library.open(place, space="toy", embedder=other) as library:
        library.search("red")


CHILD = """
import sys, time
from pathlib import Path
from indexer.operations.switch_model import switch_space
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval import Library
from tests.support.toy_embedder import RotatedToyEmbedder
def report(space, done, total, size=0):
    print(done, total, flush=True)
    if done >= float(sys.argv[2]) * total > 0:
        time.sleep(60)
with Library.open(sys.argv[1]) as library:
    counts = library.status().spaces
print("go", flush=True)
report("other", 0, counts["toy"] - counts.get("other", 0))
with LibraryWriter(Path(sys.argv[1]), batch_limits=BatchLimits(segments=8)) as writer:
    switch_space(writer, RotatedToyEmbedder(), report)
"""


def start_switch(place, share):
    """Start a switch in a child process, and wait until it has committed a share of the missing vectors.

    Returns the process, and whether it has committed all vectors. If the share is below 1, the process pauses
    before it has committed all, so that a kill on a slow machine does not come too late.
    """
    pause = (1 + share) / 2 if share < 1 else 2
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place), str(pause)],
        cwd=REPOSITORY_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "go\n"
    while True:
        done, total = map(int, child.stdout.readline().split())
        if done >= share * total:
            return child, done == total


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.large)])
def test_switch_killed_at_any_moment_keeps_the_old_space(kills, busy, tmp_path):
    update_library([busy], library=tmp_path / "original", embedder=ToyEmbedder())
    segments = committed_segments(tmp_path / "original")
    with Library.open(tmp_path / "original", embedder=ToyEmbedder()) as library:
        hits = library.search("red 6", count=50)
    generator, midway, number = np.random.default_rng(4), 0, 0
    while number < kills or (not midway and number < 5 * kills):
        place, number = tmp_path / f"killed-{number % 5}", number + 1
        if not place.exists():
            shutil.copytree(tmp_path / "original", place)
        # Kill before the first commit, between commits, or after the last one, while indexes are built.
        child, has_all_vectors = start_switch(place, min(1.0, max(0.0, generator.uniform(-0.2, 1.1))))
        time.sleep(generator.uniform(0, 1.2 if has_all_vectors else 0.02))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert verify_library(place).errors == []
        with Library.open(place, embedder=ToyEmbedder(), space="toy") as library:
            status = Library.open(place).status()
            midway += 0 < status.spaces.get("other", 0) < len(segments)
            assert status.space.name == "toy" or status.spaces["other"] == len(segments)
            assert library.search("red 6", count=50) == hits
        if status.space.name == "other":
            shutil.rmtree(place)
    assert midway
    place = tmp_path / "killed-0"
    if place.exists():
        switch(place, RotatedToyEmbedder())
        assert Library.open(place).status().spaces["other"] == len(segments)


def test_switch_to_a_model_that_fails_raises_and_keeps_the_old_model(folder, index, place, toy):
    class FailingEmbedder(RotatedToyEmbedder):
        def prepare(self, image):
            raise RuntimeError("no memory")

    draw_image(folder / "large.png", "red", size=(640, 480))
    index(folder, tiles=True)
    with pytest.raises(RuntimeError, match="no memory"):
        switch_library("other", library=place, embedder=FailingEmbedder())
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.name == "toy"
