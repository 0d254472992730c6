"""Tests of `clew backup` and `clew restore`."""

import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

from indexer import backup_library, restore_library, verify_library
from indexer.store.lock import library_lock
from retrieval import Library
from retrieval.errors import LibraryBusy, LibraryDamaged, LibraryError
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


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "indexes/../../escaped", "folder/file"])
def test_archive_with_other_names_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        for member in (name, "manifest.json"):
            header = tarfile.TarInfo(member)
            header.size = 2
            tar.addfile(header, io.BytesIO(b"{}"))
    with pytest.raises(LibraryDamaged):
        restore_library(tmp_path / "hostile.tar", library=tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar"]


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
