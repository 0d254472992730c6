"""Tests of the lock of a library."""

from pathlib import Path

import pytest

from indexer.store.lock import library_lock
from retrieval.errors import LibraryBusy, LibraryError

FULL_DISK = Path("/dev/full")  # of Linux


@pytest.mark.skipif(not FULL_DISK.exists(), reason="no file that refuses all writes")
def test_full_disk_is_a_library_error_and_leaves_no_lock(tmp_path):
    (tmp_path / "writer.locked-by").symlink_to(FULL_DISK)
    with pytest.raises(LibraryError, match="No space left on device"), library_lock(tmp_path):
        pass
    with library_lock(tmp_path):
        assert not (tmp_path / "writer.locked-by").is_symlink()


def test_error_of_a_run_is_not_one_of_the_lock(tmp_path):
    with pytest.raises(FileNotFoundError), library_lock(tmp_path):
        (tmp_path / "missing").read_bytes()


def test_second_writer_is_told_who_holds_the_lock(tmp_path):
    with library_lock(tmp_path):
        with pytest.raises(LibraryBusy, match="in use by process "), library_lock(tmp_path):
            pass
        assert (tmp_path / "writer.locked-by").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["writer.lock"]
