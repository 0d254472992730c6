"""A killed or failed run loses nothing that is committed, and the next run completes the library."""

import random
import re
import shutil
import signal

import pytest

from indexer import IndexOptions, update_library, verify_library
from indexer.types import BatchLimits
from retrieval import Library
from tests.scenarios.helpers import index_in_batches, kill_index_process, start_index_process
from tests.support.catalog import committed_segments
from tests.support.toy_embedder import ToyEmbedder


@pytest.fixture(scope="module")
def indexed(busy, tmp_path_factory):
    """Index the folder once without interruption; return the library."""
    place = tmp_path_factory.mktemp("reference") / "library"
    *progress, last = start_index_process(busy, place).communicate(timeout=120)[0].splitlines()
    assert last == "done"
    assert [line for line in progress if not re.fullmatch(r"\d+ \d+", line)] == []
    return place


@pytest.fixture(scope="module")
def reference(indexed):
    """Return the segments of the folder."""
    return committed_segments(indexed)


@pytest.mark.parametrize("min_kills", [6, pytest.param(60, marks=pytest.mark.large)])
def test_library_loses_nothing_when_runs_are_killed_at_any_moment(min_kills, busy, reference, tmp_path):
    place, random_, kills, completed = tmp_path / "library", random.Random(11), 0, 0
    while kills < min_kills or (not completed and kills < 5 * min_kills):
        before = committed_segments(place)
        # Before the first commit, between commits, or after the last one, while the index is built.
        share = min(1.0, max(0.0, random_.uniform(-0.2, 1.3)))
        kills += kill_index_process(start_index_process(busy, place), share)
        after = committed_segments(place)
        assert before <= after <= reference
        if (place / "catalogue.sqlite").exists() and after:
            assert verify_library(place).errors == []
            with Library.open(place, embedder=ToyEmbedder()) as library:
                assert {hit.kind for hit in library.search("red")} <= {"image", "text"}
        if after == reference and random_.random() < 0.5:  # start with a new library
            shutil.rmtree(place)
            completed += 1
    assert completed  # some runs were killed while they built the index
    report = update_library([busy], library=place, embedder=ToyEmbedder())
    assert committed_segments(place) == reference
    assert report.failed == 0
    assert update_library([busy], library=place, embedder=ToyEmbedder()).unchanged == 240 + 40 + 1


def test_long_text_is_continued_after_its_last_transaction(busy, tmp_path, monkeypatch):
    from indexer.store import writer

    write = writer.LibraryWriter.write

    def fail(self, root, portions):
        if any(portion.first_ordinal >= 1_000 for portion in portions):
            raise RuntimeError("power failure")
        return write(self, root, portions)

    monkeypatch.setattr(writer.LibraryWriter, "write", fail)
    limits = BatchLimits(segments=8)
    with pytest.raises(RuntimeError, match="power"):
        index_in_batches(limits, [busy], tmp_path, ToyEmbedder())
    committed = {row for row in committed_segments(tmp_path) if row[1] == "text"}
    assert 0 < len(committed) < 2_500
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        hits = library.search("blue", kind="text", count=5_000)
        assert not any(hit.path.name == "long.txt" for hit in hits)
    monkeypatch.setattr(writer.LibraryWriter, "write", write)
    report = index_in_batches(limits, [busy], tmp_path, ToyEmbedder())
    assert report.kinds["text"] >= 2_500 - len(committed)
    assert len({row for row in committed_segments(tmp_path) if row[1] == "text"}) == 2_500


def test_failure_before_new_indexes_are_active_keeps_the_old_ones(indexed, tmp_path, monkeypatch):
    from indexer.maintenance import build_index
    from indexer.store import spaces
    from indexer.store.writer import LibraryWriter

    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        space = library.status().space
        hits = library.search("red", count=30)

    def fail(self, space):
        raise RuntimeError("killed")

    monkeypatch.setattr(spaces.Spaces, "set_indexes", fail)
    with (
        pytest.raises(RuntimeError, match="killed"),
        LibraryWriter(tmp_path) as library_writer,
    ):
        build_index.build_indexes(library_writer, spaces.active_space(library_writer.catalog), "ivf")
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        assert library.status().space == space
        assert library.search("red", count=30) == hits
        assert library.damage is None


def test_library_is_intact_after_ctrl_c(busy, tmp_path):
    child = start_index_process(busy, tmp_path / "library")
    assert child.stdout.readline().split()[0] != "done"  # the first commit
    child.send_signal(signal.SIGINT)
    assert "Traceback" not in (child.communicate(timeout=60)[0] or "")
    report = update_library([busy], library=tmp_path / "library", embedder=ToyEmbedder())
    assert report.added + report.unchanged == 281
    assert verify_library(tmp_path / "library").errors == []


def test_index_that_cannot_be_saved_completely_is_not_used(indexed, tmp_path, monkeypatch):
    from indexer.maintenance import build_index

    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    files = sorted((tmp_path / "indexes").iterdir())

    def fail(index, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_index, "save_index", fail)
    with pytest.raises(OSError, match="No space"):
        update_library(
            [], library=tmp_path, embedder=ToyEmbedder(), options=IndexOptions(index_method="hnsw")
        )
    assert [f for f in sorted((tmp_path / "indexes").iterdir()) if not f.name.startswith(".")] == files
    assert verify_library(tmp_path).errors == []
