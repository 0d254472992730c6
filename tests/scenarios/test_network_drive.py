"""A library on a network drive: a note for the writer, and private copies for readers."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog import connection
from retrieval.catalog.connection import MAX_COPY_ATTEMPTS
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER
from retrieval.catalog.thumbnails import find_segment_thumbnail
from tests.support.files import draw_image


@pytest.fixture
def network_place(place, mount_drive):
    """Return the path of a library on a network drive."""
    place.mkdir()
    mount_drive(place, "nfs4")
    return place


def opened_files(place: Path) -> list[str]:
    """Return the files of a library that this process has open or mapped into memory."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    opened = [os.readlink(link) for link in links if os.path.lexists(link)]
    mapped = [
        line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line
    ]
    return sorted({name for name in [*opened, *mapped] if name.startswith(f"{place}/")})


@pytest.mark.parametrize(("file_system", "count"), [("nfs4", 1), ("fuse.sshfs", 1), ("ext4", 0)])
def test_run_notes_a_library_on_a_network_drive(file_system, count, folder, place, mount_drive, index):
    mount_drive(place, file_system)
    for _ in range(2):  # in each run
        notes = [note for note in index(folder).notes if "network drive" in note]
        assert len(notes) == count
    assert all(
        file_system.removeprefix("fuse.") in note and "one machine at a time" in note for note in notes
    )


def test_media_on_a_network_drive_are_not_noted(folder, index, mount_drive):
    mount_drive(folder, "nfs4")
    assert index(folder).notes == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_reader_on_a_network_drive_keeps_no_file_of_the_library_open(
    folder, network_place, index, toy, mount_drive
):
    index(folder, index_method="flat")
    assert list((network_place / INDEX_FOLDER).iterdir())
    with Library.open(network_place, embedder=toy) as library:
        assert library.search("red", count=1)[0].path.name == "red.png"
        assert opened_files(network_place) == []
    mount_drive(network_place, "ext4")
    with Library.open(network_place, embedder=toy) as library:
        assert library.search("red", count=1)
        assert str(network_place / CATALOG_FILE) in opened_files(network_place)
        assert any(f"/{INDEX_FOLDER}/" in name for name in opened_files(network_place))


def test_reader_on_a_network_drive_makes_no_file_for_shared_memory(folder, network_place, index, mount_drive):
    index(folder)
    files = sorted(path.name for path in network_place.iterdir())
    for file_system, is_same in (("nfs4", True), ("ext4", False)):
        mount_drive(network_place, file_system)
        with closing(Catalog.open(network_place)) as catalog:
            assert find_segment_thumbnail(catalog, 1)
        assert (sorted(path.name for path in network_place.iterdir()) == files) is is_same


def test_reader_on_a_network_drive_sees_commits(folder, network_place, index, toy):
    index(folder)
    with Library.open(network_place, embedder=toy) as library:
        assert len(library.search("red", count=50)) == 7
        draw_image(folder / "new.png", (200, 3, 4))
        index(folder)
        assert len(library.search("red", count=50)) == 8


def test_writer_on_a_network_drive_reads_its_own_commits(folder, network_place, index, toy):
    index(folder)
    with LibraryWriter(network_place, lambda space: toy) as writer:
        writer.db.execute("UPDATE files SET state = 'gone' WHERE id = 1")
        writer.db.conn.commit()
        query = "SELECT count(*) FROM files WHERE state = 'gone'"
        assert writer.catalog.db.execute(query).fetchone()[0] == 1


def write_during_copies(monkeypatch, write) -> list[Path]:
    """Call `write` after each copy of a catalog; return the copies."""
    copy, copies = connection._copy, list[Path]()

    def copy_and_write(file, folder):
        copies.append(copy(file, folder))
        write(len(copies))
        return copies[-1]

    monkeypatch.setattr(connection, "_copy", copy_and_write)
    return copies


CHANGE = "UPDATE files SET state = 'gone' WHERE id = (SELECT min(id) FROM files WHERE state != 'gone')"


def test_commit_that_extends_the_log_does_not_prevent_a_copy(folder, network_place, index, toy, monkeypatch):
    index(folder)
    with closing(sqlite3.connect(network_place / CATALOG_FILE)) as db:

        def commit(count: int) -> None:
            if count <= MAX_COPY_ATTEMPTS:
                db.execute(CHANGE)
                db.commit()

        commit(1)
        copies = write_during_copies(monkeypatch, commit)
        with closing(Catalog.open(network_place)) as catalog:
            query = "SELECT count(*) FROM files WHERE state = 'gone'"
            assert (len(copies), catalog.db.execute(query).fetchone()[0]) == (1, 1)
            assert catalog.is_outdated()


def test_catalog_whose_log_is_started_again_is_copied_again(folder, network_place, index, toy, monkeypatch):
    index(folder)
    with closing(sqlite3.connect(network_place / CATALOG_FILE)) as db:
        db.execute(CHANGE)
        db.commit()
        status = os.stat(network_place / CATALOG_FILE)

        def restart_log(count: int) -> None:
            if count == 1:
                db.execute("PRAGMA wal_checkpoint(RESTART)")
                db.execute(CHANGE)
                db.commit()
                # As if the checkpoint had been complete before the copy began.
                os.utime(network_place / CATALOG_FILE, ns=(status.st_atime_ns, status.st_mtime_ns))

        copies = write_during_copies(monkeypatch, restart_log)
        with Library.open(network_place, embedder=toy) as library:
            assert len(copies) == 2
            assert len(library.search("red", count=50)) == 5
