"""kill -9 at any moment: nothing committed is lost, nothing is left over, the next run completes."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from indexer import IndexOptions, update_library, verify_library
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from tests.support.catalog import REPOSITORY_ROOT, committed_segments
from tests.support.toy_embedder import ToyEmbedder


def start(folder, place):
    """Start a run, and return when it begins to work."""
    command = [sys.executable, "-m", "tests.support.index_process", str(folder), str(place)]
    child = subprocess.Popen(
        command, cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert child.stdout.readline() == "go\n"
    return child


@pytest.fixture(scope="module")
def whole(busy, tmp_path_factory):
    """Index the folder once without any harm; returns what it holds and how long it took."""
    place = tmp_path_factory.mktemp("whole") / "library"
    child = start(busy, place)
    begun = time.monotonic()
    assert child.communicate(timeout=120)[0] == "done\n"
    return committed_segments(place), time.monotonic() - begun


@pytest.mark.parametrize("least", [12, pytest.param(60, marks=pytest.mark.large)])
def test_killed_at_any_moment_a_library_loses_nothing(least, busy, whole, tmp_path):
    everything, seconds = whole
    place, draw_, kills, finished = tmp_path / "library", random.Random(11), 0, 0
    while kills < least or (not finished and kills < 5 * least):
        before = committed_segments(place)
        child = start(busy, place)
        time.sleep(draw_.uniform(0, seconds * 0.5))
        child.send_signal(signal.SIGKILL)
        ended = child.wait()
        child.stdout.close()
        kills += ended == -signal.SIGKILL
        after = committed_segments(place)
        assert before <= after <= everything
        if (place / "catalogue.sqlite").exists() and after:
            assert verify_library(place).errors == []
            with Library.open(place, embedder=ToyEmbedder()) as library:
                assert {hit.kind for hit in library.search("red")} <= {"image", "text"}
        if after == everything and draw_.random() < 0.5:  # begin again from nothing
            shutil.rmtree(place)
            finished += 1
    assert finished  # some kills came late: while the index was built
    report = update_library([busy], library=place, embedder=ToyEmbedder())
    assert committed_segments(place) == everything
    assert report.failed == 0
    assert update_library([busy], library=place, embedder=ToyEmbedder()).unchanged == 240 + 40 + 1


def test_a_run_after_a_kill_embeds_at_most_one_batch_again(busy, tmp_path, monkeypatch):
    """The text of 2,500 passages goes on from its last transaction."""
    from indexer.embed import batches
    from indexer.store import writer

    monkeypatch.setattr(batches, "TARGET_BATCH", 8)
    write_ = writer.LibraryWriter.write

    def stop(self, root, portions):
        if any(portion.first_ordinal >= 1_000 for portion in portions):
            raise RuntimeError("the power is gone")
        return write_(self, root, portions)

    monkeypatch.setattr(writer.LibraryWriter, "write", stop)
    with pytest.raises(RuntimeError, match="power"):
        update_library([busy], library=tmp_path, embedder=ToyEmbedder())
    there = {row for row in committed_segments(tmp_path) if row[1] == "text"}
    assert 0 < len(there) < 2_500
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        hits = library.search("blue", kind="text", count=5_000)
        assert not any(hit.path.name == "long.txt" for hit in hits)
    monkeypatch.setattr(writer.LibraryWriter, "write", write_)
    report = update_library([busy], library=tmp_path, embedder=ToyEmbedder())
    assert report.kinds["text"] >= 2_500 - len(there)
    assert len({row for row in committed_segments(tmp_path) if row[1] == "text"}) == 2_500


def test_a_crash_before_the_pointer_moves_changes_nothing(busy, tmp_path, monkeypatch):
    from indexer.maintenance import build_index
    from indexer.store import spaces
    from indexer.store.writer import LibraryWriter

    update_library([busy], library=tmp_path, embedder=ToyEmbedder())
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        space = library.status().space
        hits = library.search("red", count=30)

    def fail(self, space):
        raise RuntimeError("killed")

    monkeypatch.setattr(spaces.Spaces, "set_indexes", fail)
    with (
        pytest.raises(RuntimeError, match="killed"),
        LibraryWriter(tmp_path) as opened,
    ):
        build_index.build_indexes(opened, spaces.active_space(opened.catalog), "ivf")
    with Library.open(tmp_path, embedder=ToyEmbedder()) as library:
        assert library.status().space == space
        assert library.search("red", count=30) == hits
        assert library.damage is None


def has_segments(place) -> bool:
    """Say whether the child has committed something."""
    try:
        with closing(sqlite3.connect(f"file:{place / CATALOG_FILE}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM segments").fetchone() is not None
    except sqlite3.OperationalError:  # it has not made its tables yet
        return False


def test_ctrl_c_leaves_a_good_library(busy, tmp_path):
    child = start(busy, tmp_path / "library")
    while child.poll() is None and not has_segments(tmp_path / "library"):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert "Traceback" not in (child.communicate(timeout=60)[0] or "")
    report = update_library([busy], library=tmp_path / "library", embedder=ToyEmbedder())
    assert report.added + report.unchanged == 281
    assert verify_library(tmp_path / "library").errors == []


def test_an_index_that_cannot_be_written_whole_is_not_pointed_at(busy, tmp_path, monkeypatch):
    """A full disk: the callback that faiss writes through raises, and the old state stays."""
    from indexer.maintenance import build_index

    update_library([busy], library=tmp_path, embedder=ToyEmbedder())
    files = sorted((tmp_path / "indexes").iterdir())

    def full(index, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_index, "save_index", full)
    with pytest.raises(OSError, match="No space"):
        update_library(
            [], library=tmp_path, embedder=ToyEmbedder(), options=IndexOptions(index_method="hnsw")
        )
    assert [f for f in sorted((tmp_path / "indexes").iterdir()) if not f.name.startswith(".")] == files
    assert verify_library(tmp_path).errors == []
