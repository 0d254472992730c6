"""Tests of `clew backup` and `clew restore`."""

import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing

import numpy as np
import pytest

from indexer import backup_library, restore_library, verify_library
from indexer.store.lock import library_lock, unnamed_lock
from retrieval import Library
from retrieval.errors import LibraryBusy, LibraryDamaged, LibraryError, LibraryVersionMismatch
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image


def hits(place, toy):
    with Library.open(place, embedder=toy) as library:
        return library.search("red", count=50)


def test_restored_library_gives_the_same_hits(folder, index, place, toy, tmp_path):
    index(folder)
    backup = backup_library(tmp_path / "library.tar", library=place)
    assert (backup.files, backup.segments) == (7, 7)
    assert backup.bytes == (tmp_path / "library.tar").stat().st_size
    restored = restore_library(tmp_path / "library.tar", library=tmp_path / "other")
    assert (restored.files, restored.segments, restored.kept) == (7, 7, None)
    assert hits(tmp_path / "other", toy) == hits(place, toy)
    assert verify_library(tmp_path / "other").errors == []


def test_backup_in_a_folder_is_named_by_its_time(folder, index, place, tmp_path):
    index(folder)
    (tmp_path / "backups").mkdir()
    backup = backup_library(tmp_path / "backups", library=place)
    assert backup.file.parent == tmp_path / "backups"
    assert backup.file.name.startswith("clew-20")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [backup.file.name]


def test_path_without_suffix_is_made_a_folder(folder, index, place, tmp_path):
    index(folder)
    for _ in range(2):
        backup = backup_library(tmp_path / "Backups", library=place)
        assert backup.file.parent == tmp_path / "Backups"
    with pytest.raises(LibraryError, match="No such file"):
        backup_library(tmp_path / "unmounted" / "Backups", library=place)
    assert not (tmp_path / "unmounted").exists()


def test_backup_replaces_the_target_of_a_link(folder, index, place, tmp_path):
    index(folder)
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "old.tar").write_text("old")
    (tmp_path / "link.tar").symlink_to(tmp_path / "drive" / "old.tar")
    backup = backup_library(tmp_path / "link.tar", library=place, overwrite=True)
    assert (tmp_path / "link.tar").is_symlink()
    assert (tmp_path / "drive" / "old.tar").stat().st_size == backup.bytes > 3


def change_vectors(place):
    """Change the vectors on the disk, which SQLite cannot detect."""
    catalog = place / "catalogue.sqlite"
    data, red = catalog.read_bytes(), np.array([1, 0, 0], np.float16)
    with closing(sqlite3.connect(catalog)) as db:
        (vector,) = db.execute("SELECT vector FROM vectors_1 WHERE segment = 3").fetchone()
    assert data.count(vector) == 1
    catalog.write_bytes(data.replace(vector, red.tobytes()))


def destroy_pages(place):
    """Overwrite the pages of the segments."""
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        pages = [row[0] for row in db.execute("SELECT pageno FROM dbstat WHERE name = 'segments'")]
    with (place / "catalogue.sqlite").open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 16_384)
            file.write(b"\xa5" * 16_384)


@pytest.mark.parametrize("damage", [change_vectors, destroy_pages])
def test_damaged_catalog_is_not_backed_up(folder, index, place, tmp_path, damage):
    index(folder)
    damage(place)
    with pytest.raises(LibraryDamaged, match=r"page of the catalog changed.* `clew verify --repair` first"):
        backup_library(tmp_path / "library.tar", library=place)
    assert not (tmp_path / "library.tar").exists()
    verify_library(place, repair=True)
    backup_library(tmp_path / "library.tar", library=place)


def test_copy_of_a_catalog_in_use_is_checked(folder, index, place, tmp_path):
    index(folder)
    with library_lock(place):
        backup_library(tmp_path / "library.tar", library=place)
        destroy_pages(place)
        with pytest.raises(LibraryDamaged, match=r"catalogue\.sqlite: .* `clew verify --repair` first"):
            backup_library(tmp_path / "library.tar", library=place, overwrite=True)
    assert restore_library(tmp_path / "library.tar", library=tmp_path / "other").files == 7


def test_existing_file_is_overwritten_only_on_demand(folder, index, place, tmp_path):
    index(folder)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LibraryError, match="--overwrite"):
        backup_library(tmp_path / "notes.txt", library=place)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    backup_library(tmp_path / "notes.txt", library=place, overwrite=True)
    assert tarfile.is_tarfile(tmp_path / "notes.txt")


def test_existing_library_is_kept_when_it_is_replaced(folder, index, place, toy, tmp_path):
    index(folder)
    old = hits(place, toy)
    backup_library(tmp_path / "library.tar", library=place)
    draw_image(folder / "new.png", "red", size=(99, 99))
    index(folder)
    new = hits(place, toy)
    with pytest.raises(LibraryError, match="--replace"):
        restore_library(tmp_path / "library.tar", library=place)
    assert hits(place, toy) == new
    restored = restore_library(tmp_path / "library.tar", library=place, replace=True)
    assert hits(place, toy) == old
    assert hits(restored.kept, toy) == new
    assert index(folder).added == 1


def test_no_lock_is_held_after_a_library_was_replaced(folder, index, place, tmp_path):
    index(folder)
    backup_library(tmp_path / "library.tar", library=place)
    kept = restore_library(tmp_path / "library.tar", library=place, replace=True).kept
    assert not [name for name in os.listdir(kept) if "locked-by" in name or "progress" in name]
    with library_lock(place):  # is free
        pass


def test_restore_deletes_what_killed_restores_have_left(folder, index, place, tmp_path):
    index(folder)
    backup_library(tmp_path / "library.tar", library=place)
    killed, running, other = (
        tmp_path / name for name in (".new.restore-1", ".new.restore-2", ".newer.restore-1")
    )
    for left in (killed, running, other):
        (left / "indexes").mkdir(parents=True)
        (left / "catalogue.sqlite").write_bytes(b"partial")
    with unnamed_lock(running):
        restore_library(tmp_path / "library.tar", library=tmp_path / "new")
    assert not killed.exists()
    assert (running / "catalogue.sqlite").exists()  # of a process that is alive
    assert (other / "catalogue.sqlite").exists()  # of another library
    assert sorted(path.name for path in tmp_path.glob(".new*")) == [running.name, other.name]


def test_library_behind_a_link_is_restored_in_its_place(folder, index, place, toy, tmp_path):
    index(folder)
    backup_library(tmp_path / "library.tar", library=place)
    (tmp_path / "drive").mkdir()
    place.rename(tmp_path / "drive" / "library")
    place.symlink_to(tmp_path / "drive" / "library")
    restored = restore_library(tmp_path / "library.tar", library=place, replace=True)
    assert place.is_symlink()
    assert restored.library == place
    assert restored.kept.parent == tmp_path / "drive"
    assert not restored.kept.is_symlink()
    assert hits(place, toy) == hits(restored.kept, toy)


def change_migrations(place, statement):
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute(statement)
    (place / "catalogue.checksums").unlink()


def test_backup_of_a_newer_version_is_refused(folder, index, place, tmp_path):
    index(folder)
    change_migrations(
        place,
        """INSERT INTO _sqlite_migrations (migration_set, name, applied_at)
           VALUES ('clew', '999-future', '2030-01-01')""",
    )
    backup_library(tmp_path / "library.tar", library=place)
    with pytest.raises(LibraryVersionMismatch, match=r"newer version of clew made .*library\.tar"):
        restore_library(tmp_path / "library.tar", library=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_backup_of_an_older_version_is_restored(folder, index, place, tmp_path):
    index(folder)
    change_migrations(
        place, "DELETE FROM _sqlite_migrations WHERE name = (SELECT max(name) FROM _sqlite_migrations)"
    )
    backup_library(tmp_path / "library.tar", library=place)
    assert restore_library(tmp_path / "library.tar", library=tmp_path / "other").files == 7


def test_missing_backup_is_named(tmp_path):
    with pytest.raises(LibraryError, match=r"Cannot read .*missing\.tar: No such file"):
        restore_library(tmp_path / "missing.tar", library=tmp_path / "new" / "library")
    assert list(tmp_path.iterdir()) == []


def test_library_that_is_a_file_is_not_replaced(folder, index, place, tmp_path):
    index(folder)
    backup_library(tmp_path / "library.tar", library=place)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LibraryError, match="Not a directory"):
        restore_library(tmp_path / "library.tar", library=tmp_path / "file", replace=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_library_in_use_is_not_replaced(folder, index, place, tmp_path):
    index(folder)
    backup_library(tmp_path / "library.tar", library=place)
    with library_lock(place), pytest.raises(LibraryBusy):
        restore_library(tmp_path / "library.tar", library=place, replace=True)
    assert verify_library(place).errors == []
    assert not [path for path in tmp_path.iterdir() if "restore-" in path.name]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_damaged_backup_is_refused_and_changes_nothing(folder, index, place, toy, tmp_path, share):
    index(folder)
    file = tmp_path / "library.tar"
    backup_library(file, library=place)
    data = bytearray(file.read_bytes())
    used = len(data.rstrip(b"\0"))
    data[int(share * used)] ^= 0x55
    file.write_bytes(data)
    try:
        restore_library(file, library=tmp_path / "other")
    except LibraryDamaged:
        assert not (tmp_path / "other").exists()
    else:  # a byte between two members
        assert hits(tmp_path / "other", toy) == hits(place, toy)


def test_truncated_backup_is_refused(folder, index, place, tmp_path):
    index(folder)
    file = tmp_path / "library.tar"
    backup_library(file, library=place)
    size = file.stat().st_size
    for share in (0, 0.1, 0.5, 0.9):
        os.truncate(file, int(size * share)) if share else file.write_bytes(b"")
        with pytest.raises(LibraryDamaged):
            restore_library(file, library=tmp_path / "other")
        file.unlink()
        backup_library(file, library=place)
    assert not (tmp_path / "other").exists()


def write_archive(file, members, manifest=b""):
    """Write an archive of members, name -> bytes, by default with a correct manifest."""
    if manifest == b"":
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
        listed = [{"name": name, "sha256": digest} for name, digest in digests.items()]
        manifest = {"format": "clew-backup-1", "members": listed}
    with tarfile.open(file, "w") as tar:
        for name, data in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))


@pytest.fixture
def catalog(folder, index, place):
    """Return the bytes of a catalog."""
    index(folder)
    return (place / "catalogue.sqlite").read_bytes()


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "indexes/../../escaped", "folder/file", ".."])
def test_archive_with_other_names_is_refused(catalog, tmp_path, name):
    write_archive(tmp_path / "library.tar", {"catalogue.sqlite": catalog, "indexes/file": b"data"})
    assert restore_library(tmp_path / "library.tar", library=tmp_path / "good").files == 7
    write_archive(tmp_path / "hostile.tar", {"catalogue.sqlite": catalog, name: b"data"})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LibraryDamaged, match="which is not of a library"):
        restore_library(tmp_path / "hostile.tar", library=tmp_path / "other")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("links", [["catalogue.sqlite"], ["manifest.json"]])
def test_archive_with_a_link_to_itself_is_refused(tmp_path, links):
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        for name in ("catalogue.sqlite", "manifest.json"):
            header = tarfile.TarInfo(name)
            if name in links:
                header.type, header.linkname = tarfile.SYMTYPE, name
            tar.addfile(header)
    with pytest.raises(LibraryDamaged, match=r"not of a library|not a complete backup"):
        restore_library(tmp_path / "hostile.tar", library=tmp_path / "other")


@pytest.mark.parametrize(
    "manifest",
    [
        *([], {}, None, "text", {"format": "clew-backup-1"}),
        *({"format": "clew-backup-1", "members": members} for members in ([1], 1, [{}], [{"name": "a"}])),
    ],
)
def test_archive_with_an_invalid_manifest_is_refused(catalog, tmp_path, manifest):
    write_archive(tmp_path / "hostile.tar", {"catalogue.sqlite": catalog}, manifest)
    with pytest.raises(LibraryDamaged, match="list of members is invalid"):
        restore_library(tmp_path / "hostile.tar", library=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_archive_of_another_format_is_refused(catalog, tmp_path):
    digest = hashlib.sha256(catalog).hexdigest()
    manifest = {"format": "clew-backup-2", "members": [{"name": "catalogue.sqlite", "sha256": digest}]}
    write_archive(tmp_path / "later.tar", {"catalogue.sqlite": catalog}, manifest)
    with pytest.raises(LibraryVersionMismatch, match=r"Another version of clew made .*later\.tar"):
        restore_library(tmp_path / "later.tar", library=tmp_path / "other")


def test_backup_while_the_library_is_written_is_of_one_moment(folder, index, place, toy, tmp_path):
    for number in range(120):
        draw_image(folder / f"{number}.png", "red", size=(10 + number, 10))
    script = [sys.executable, "-m", "tests.support.index_process", folder, place]
    child = subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY_ROOT)
    assert child.stdout.readline() == "go\n"
    child.stdout.readline()
    counts = []
    for number in range(4):
        backup_library(tmp_path / f"{number}.tar", library=place)
        restored = restore_library(tmp_path / f"{number}.tar", library=tmp_path / f"copy{number}")
        assert verify_library(restored.library).errors == []
        counts.append(restored.segments)
        assert len(hits(restored.library, toy)) == min(50, restored.segments)
    child.communicate(timeout=60)
    assert counts == sorted(counts)
    assert verify_library(place).errors == []


def test_commands_report_as_text_and_json(folder, clew, tmp_path):
    clew("index", folder)
    file = tmp_path / "library.tar"
    assert clew("backup", file).stdout.startswith(f"{file}: 7 files, 7 segments, ")
    assert clew("backup", file).exit_code == 2
    backup = json.loads(clew("backup", file, "--overwrite", "--json").stdout)
    assert backup == {"file": str(file), "bytes": file.stat().st_size, "files": 7, "segments": 7}
    done = clew("restore", file, "--replace")
    assert "7 files, 7 segments" in done.stdout
    assert "library.replaced-" in done.stderr
    restored = json.loads(clew("restore", file, "--json", "--library", tmp_path / "other").stdout)
    assert restored == {"library": str(tmp_path / "other"), "files": 7, "segments": 7, "kept": None}
