"""Other bytes of the same size and time are noticed by the ctime, and `again` reads all files again."""

import os
import shutil
import sqlite3
import tarfile
import zipfile
from contextlib import closing

import pytest

from indexer.decode import reader
from retrieval.catalog.schema import CATALOG_FILE
from tests.scenarios.helpers import draw_images, hit_names
from tests.support.catalog import downgrade_catalog
from tests.support.files import write_text


@pytest.fixture
def hashed(monkeypatch):
    """Record the hashes that are computed."""
    digests = []
    original = reader._hash

    def record(*args):
        digests.append(original(*args))
        return digests[-1]

    monkeypatch.setattr(reader, "_hash", record)
    return digests


def replace_bytes(path, data: bytes, *, in_place: bool = True) -> None:
    """Write other bytes of the same length, and restore the times, as `exiftool -P` does."""
    status = path.stat()
    assert len(data) == status.st_size
    target = path if in_place else path.with_name("temporary")
    target.write_bytes(data)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    target.replace(path)


@pytest.fixture
def texts(tmp_path):
    for name in ("one", "two", "red"):
        write_text(tmp_path / "texts" / f"{name}.txt", f"{name} apple")
    return tmp_path / "texts"


def ids(place) -> list[tuple]:
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute("SELECT id, content, ordinal, text FROM segments ORDER BY id").fetchall()


@pytest.mark.parametrize("in_place", [True, False])
def test_other_bytes_of_the_same_size_and_time_are_read(texts, index, place, toy, in_place):
    index(texts)
    replace_bytes(texts / "one.txt", b"six boats", in_place=in_place)
    report = index()
    assert (report.updated, report.unchanged, report.segments) == (1, 2, 1)
    assert hit_names(place, toy, "boats")[0] == "one.txt"
    assert index().unchanged == 3


def test_changed_permissions_and_links_keep_everything(texts, index, place, hashed):
    index(texts)
    before, known = ids(place), len(hashed)
    (texts / "one.txt").chmod(0o600)
    os.link(texts / "two.txt", texts.parent / "link")
    report = index()
    assert (report.unchanged, report.updated, report.added, report.segments) == (3, 0, 0, 0)
    assert len(hashed) == known + 2
    assert ids(place) == before
    assert (index().unchanged, len(hashed)) == (3, known + 2)


def test_restored_folder_is_not_read_again(tmp_path, index, hashed):
    draw_images(tmp_path / "root", 60)
    index(tmp_path / "root")
    known = len(hashed)
    shutil.copytree(tmp_path / "root", tmp_path / "backup")
    shutil.rmtree(tmp_path / "root")
    shutil.copytree(tmp_path / "backup", tmp_path / "root")
    report = index()
    assert (report.unchanged, report.segments, len(hashed)) == (60, 0, known)
    assert f"clew index --again {tmp_path / 'root'}" in report.notes[0]
    report = index()
    assert (report.unchanged, report.notes, len(hashed)) == (60, [], known)


def test_library_without_ctimes_reads_nothing_again(tmp_path, texts, index, place, hashed):
    with zipfile.ZipFile(texts / "packed.zip", "w") as packed:
        packed.writestr("packed.txt", "packed apple")
    with tarfile.open(texts / "packed.tar", "w") as packed:
        packed.add(texts / "two.txt", "copied.txt")
    index(texts, archives=True)
    known = len(hashed)
    downgrade_catalog(place, "24-change-count")
    assert (index().unchanged, len(hashed)) == (5, known)
    replace_bytes(texts / "one.txt", b"six boats")
    report = index()
    assert (report.updated, report.unchanged, len(hashed)) == (1, 4, known + 1)


def test_again_reads_all_files_and_embeds_only_other_content(texts, index, place, toy, hashed):
    index(texts)
    replace_bytes(texts / "one.txt", b"six boats")
    downgrade_catalog(place, "24-change-count")  # without the ctimes
    assert index().unchanged == 3
    before, known = ids(place), len(hashed)
    report = index(texts, again=True)
    assert (report.updated, report.unchanged, report.segments) == (1, 2, 1)
    assert len(hashed) == known + 3
    assert set(ids(place)) > set(before)  # nothing else has changed
    assert hit_names(place, toy, "boats")[0] == "one.txt"
    assert index(texts, again=True).unchanged == 3


def test_again_reads_only_the_named_folder(tmp_path, texts, index, hashed):
    write_text(texts / "sub" / "three.txt", "three")
    index(texts)
    known = len(hashed)
    assert (index(texts / "sub", again=True).unchanged, len(hashed)) == (1, known + 1)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_other_bytes_in_an_archive_of_the_same_size_and_time_are_read(tmp_path, index, place, toy, kind):
    folder = tmp_path / "root"
    write_text(folder / "a.md", "a")

    def pack(text: bytes) -> bytes:
        if kind == "zip":
            with zipfile.ZipFile(tmp_path / "new", "w") as packed:
                packed.writestr(zipfile.ZipInfo("a.txt", (2020, 1, 1, 0, 0, 0)), text)
                packed.writestr(zipfile.ZipInfo("b.txt", (2020, 1, 1, 0, 0, 0)), b"same")
        else:
            with tarfile.open(tmp_path / "new", "w") as packed:
                (tmp_path / "a.txt").write_bytes(text)
                os.utime(tmp_path / "a.txt", (10**9, 10**9))
                packed.add(tmp_path / "a.txt", "a.txt")
                (tmp_path / "a.txt").write_bytes(b"same")
                os.utime(tmp_path / "a.txt", (10**9, 10**9))
                packed.add(tmp_path / "a.txt", "b.txt")
        return (tmp_path / "new").read_bytes()

    (folder / f"packed.{kind}").write_bytes(pack(b"one apple"))
    assert index(folder, archives=True).added == 3
    replace_bytes(folder / f"packed.{kind}", pack(b"six boats"))
    report = index()
    assert (report.updated, report.unchanged, report.segments) == (1, 2, 1)
    assert hit_names(place, toy, "boats")[0] == "a.txt"
    (folder / f"packed.{kind}").chmod(0o600)
    report = index()
    assert (report.updated, report.unchanged, report.segments) == (0, 3, 0)


def test_other_rating_in_a_sidecar_is_read(tmp_path, index, place):
    draw_images(tmp_path / "root", 1)
    sidecar = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"/></rdf:RDF></x:xmpmeta>'
    )
    write_text(tmp_path / "root" / "0.xmp", sidecar)
    index(tmp_path / "root")
    replace_bytes(tmp_path / "root" / "0.xmp", sidecar.replace('"3"', '"5"').encode())
    assert index().updated == 1
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        query = "SELECT rating FROM contents JOIN files f ON f.content = contents.id WHERE f.path = '0.xmp'"
        assert db.execute(query.replace("'0.xmp'", "CAST('0.xmp' AS BLOB)")).fetchall() == [(5,)]
