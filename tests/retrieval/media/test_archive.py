"""Members of archives are listed and opened; hostile archives cannot exceed limits or leave their folder."""

import io
import os
import random
import socket
import tarfile
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import MediaError
from retrieval.media.archives.archive import (
    ArchiveListing,
    archive_suffix,
    list_archive,
    member_openers,
    open_path,
    split_archive_path,
)
from retrieval.media.limits import DecodeLimits
from tests.support.archive_files import COLOR_IMAGES, SUFFIXES, small_png, write_archive

ON_DISK = DecodeLimits(member_memory_bytes=1_000)


def list_all(path, **limits) -> ArchiveListing:
    return list_archive(os.fsencode(path), lambda name: True, DecodeLimits(**limits))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(b"a.zip", ".zip"), (b"A.TAR.GZ", ".tar.gz"), (b"a.gz", None), (b"zip", None), (b"a.zip.txt", None)],
)
def test_archive_suffix_of_a_name(name, suffix):
    assert archive_suffix(name) == suffix


def test_path_is_split_at_the_archive_that_exists(tmp_path):
    (tmp_path / "a.zip").mkdir()
    write_archive(tmp_path / "a.zip" / "b.tar", {})
    archive = os.fsencode(tmp_path / "a.zip" / "b.tar")
    assert split_archive_path(archive + b"/c.zip/d.png") == (archive, b"c.zip/d.png")
    assert split_archive_path(archive) is None
    assert split_archive_path(os.fsencode(tmp_path / "a.zip" / "c.png")) is None


def test_only_names_that_pass_the_filter_are_listed(tmp_path):
    path = write_archive(tmp_path / "a.tar", COLOR_IMAGES)
    listing = list_archive(os.fsencode(path), lambda name: b"red" in name)
    assert [*listing.members] == [b"in/red.png"]
    with pytest.raises(FileNotFoundError, match="Not in"):
        open_path(path / "in" / "none.png")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_formats_keep_long_names_and_times(form, tmp_path):
    name = "/".join(["folder" * 10] * (2 if form == tarfile.USTAR_FORMAT else 6)) + "/é.png"
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = 3, 1_700_000_000.75 if form == tarfile.PAX_FORMAT else 1_700_000_000
        tar.addfile(info, io.BytesIO(b"abc"))
        tar.addfile(tarfile.TarInfo("z.png"))
    ((name_, member), last) = list_all(path).members.items()
    assert (name_, member.size, int(member.mtime)) == (name.encode(), 3, 1_700_000_000)
    assert last[0] == b"z.png"


@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n" * 9])
def test_zip64_with_a_comment_and_a_prefix_is_read(prefix, tmp_path):
    file = io.BytesIO(prefix)
    file.seek(len(prefix))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zip_file:
        with zip_file.open("a.png", "w", force_zip64=True) as member:
            member.write(small_png("red"))
        zip_file.comment = b"a comment"
    path = tmp_path / "a.zip"
    path.write_bytes(file.getvalue())
    listing = list_all(path)
    assert listing.problems == []
    with open_path(path / "a.png") as zip_file:
        assert zip_file.read() == small_png("red")


def test_zip64_directory_of_many_files_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # the limit of the format is 65,535
    path = write_archive(tmp_path / "a.zip", COLOR_IMAGES)
    assert b"PK\6\6" in path.read_bytes()
    listing = list_all(path)
    assert listing.problems == []
    assert [*listing.members] == [name.encode() for name in COLOR_IMAGES]


@pytest.mark.parametrize("suffix", [".cbz", ".ZIP", ".tar.bz2", ".tar.xz"])
def test_dense_compression_has_bounded_memory(suffix, tmp_path):
    path = write_archive(tmp_path / f"a{suffix}", {"a.txt": bytes(24_000_000)})
    tracemalloc.start()
    with open_path(path / "a.txt", ON_DISK) as file:
        assert file.seek(0, os.SEEK_END) == 24_000_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 16_000_000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_large_member_is_a_seekable_file(suffix, tmp_path):
    data = random.Random(1).randbytes(300_000)
    path = write_archive(tmp_path / f"a{suffix}", {"a.txt": b"before", "b.png": data, "c.txt": b"behind"})
    with open_path(path / "b.png", ON_DISK) as file:
        assert file.read(10) == data[:10]
        assert file.seek(-10, os.SEEK_END) == 299_990
        assert file.read() == data[-10:]
        assert file.read() == b""
        assert (file.seek(100), file.tell(), file.read(5)) == (100, 100, data[100:105])
        file.seek(50, os.SEEK_CUR)
        assert file.read(5) == data[155:160]
    assert file.closed


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip", ".cbz", ".tar"])
def test_threads_open_members_in_any_order(suffix, tmp_path):
    files = {f"{n:03d}.txt": random.Random(n).randbytes(1_000) for n in range(200)}
    path = os.fsencode(write_archive(tmp_path / f"a{suffix}", files))
    openers = member_openers(path, list_all(path))
    names = random.Random(7).sample(sorted(openers), 200)

    def bytes_of(name):
        with openers[name]() as file:
            return file.read()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(bytes_of, names)) == [files[name.decode()] for name in names]


changes = st.tuples(  # the suffix, the share of the bytes that is kept, and changed bytes
    st.sampled_from(SUFFIXES), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)))
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Return the bytes of an archive of each format, by suffix."""
    folder = tmp_path_factory.mktemp("archives")
    files = {"a.png": b"a" * 700, "b/c.txt": b"words", "é.jpg": b"", "d.tar": b"x"}
    return {suffix: write_archive(folder / f"a{suffix}", files).read_bytes() for suffix in SUFFIXES}


@given(changes)
@settings(deadline=None, max_examples=200)
def test_damaged_archive_raises_only_media_errors(archives, tmp_path_factory, change):
    suffix, kept_share, flips = change
    data = bytearray(archives[suffix])
    for position, value in flips[:8]:
        data[int(position * len(data))] = value
    path = tmp_path_factory.getbasetemp() / f"broken{suffix}"
    path.write_bytes(data[: max(1, int(kept_share * len(data)))])
    listing = list_all(path)
    for name, opener in member_openers(os.fsencode(path), listing).items():
        assert not name.startswith(b"/")
        assert b".." not in name.split(b"/")
        try:
            with opener() as file:
                assert len(file.read()) == listing.members[name].size < 2**63
        except MediaError as error:
            assert str(error)


@given(st.lists(st.binary(min_size=1, max_size=90), max_size=6))
@settings(deadline=None)
def test_hostile_names_stay_inside_the_archive(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name.decode("utf-8", "surrogateescape")))
    for name in list_all(path).members:
        path_in_archive = os.path.join(b"/root/a.tar", name)
        assert os.path.normpath(path_in_archive) == path_in_archive
        assert path_in_archive.startswith(b"/root/a.tar/")


@given(st.binary(max_size=2_000))
@settings(deadline=None)
def test_random_bytes_never_fail(tmp_path_factory, data):
    for suffix in (".zip", ".tar"):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        path.write_bytes(data)
        listing = list_all(path)
        assert listing.members == {} or suffix == ".zip" or len(data) > 512


def test_zip_with_overlapping_stored_files_is_limited(tmp_path):
    path = write_archive(tmp_path / "a.zip", {f"{n}.txt": b"red " * 10_000 for n in range(2)})
    assert len(list_all(path, always_allowed_bytes=100_000).members) == 2
    data = path.read_bytes()
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[at : data.index(b"PK\1\2", at + 4)]
    entries = b"".join(entry[:46] + b"%05d" % n for n in range(2_000))
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (2_000).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(data[:at] + entries + tail)
    listing = list_all(path, always_allowed_bytes=100_000)
    assert "more than the limit" in listing.problems[0] and len(listing.members) < 500


DIRECTORY_ERRORS = {  # change of the second entry of a directory, at these bytes of it
    "name that is not UTF-8": (b"bXY.png", b"b\xe4\xff.png"),
    "name with half a character": (b"bXY.png", b"b\xed\xa0.png"),
    "extra field that is too long": (b"\1\2\4\0data", b"\1\2\xff\xffdata"),
    "zip64 field without its sizes": (b"\1\2\4\0data", b"\1\0\4\0data"),
    "path field of Info-ZIP that is not UTF-8": (b"\1\2\4\0data", b"\x75\x70\4\0\xff\xff\xff\xff"),
}


def zip_with_entry_error(path, error: str):
    """Write a zip of three images; the directory entry of the second has an error."""
    with zipfile.ZipFile(path, "w") as zipped:
        for name in ("a.png", "bXY.png", "ü.png"):
            info = zipfile.ZipInfo(name)
            info.extra = b"\1\2\4\0data" if name == "bXY.png" else b""
            zipped.writestr(info, small_png("red"))
    data = bytearray(path.read_bytes())
    correct, wrong = DIRECTORY_ERRORS[error]
    if correct.startswith(b"bXY"):  # the local header has the name too, with the flag of UTF-8
        local = data.index(correct)
        data[local : local + len(wrong)] = wrong
        data[local - 24] |= 8
    entry = data.rindex(b"PK\1\2", 0, data.rindex(correct))
    data[entry + 9] |= 8
    at = data.rindex(correct)
    data[at : at + len(wrong)] = wrong
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("error", DIRECTORY_ERRORS)
def test_error_in_one_entry_of_a_zip_loses_no_other(error, tmp_path):
    path = zip_with_entry_error(tmp_path / "a.zip", error)
    listing = list_all(path)
    assert len(listing.members) == 3 and listing.problems == []
    for opener in member_openers(os.fsencode(path), listing).values():
        with opener() as file:
            assert file.read() == small_png("red")


def test_unknown_zip_version_of_one_entry_loses_no_other(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"a.png": b"1", "b.png": b"2"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 6] = 99
    path.write_bytes(data)
    assert list(list_all(path).members) == [b"a.png", b"b.png"]


def test_size_of_a_member_that_cannot_be_read_does_not_count(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"a.png": b"1", "b.png": b"2"})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    data[entry + 24 : entry + 28] = b"\xfe\xff\xff\xff"
    path.write_bytes(data)
    listing = list_all(path, always_allowed_bytes=1_000_000)
    assert list(listing.members) == [b"b.png"] and "1 file (a.png) skipped" in listing.problems[0]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_any_bytes_in_a_zip_directory_lose_at_most_the_rest(tmp_path_factory, offset, wrong):
    path = zip_with_entry_error(tmp_path_factory.mktemp("zip") / "a.zip", "extra field that is too long")
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2")
    at = min(start + offset, len(data) - len(wrong))
    data[at : at + len(wrong)] = wrong
    path.write_bytes(data)
    listing = list_all(path)
    assert len(listing.members) == 3 or listing.problems or offset > 0
    for opener in member_openers(os.fsencode(path), listing).values():
        with suppress(MediaError):
            opener().close()


@pytest.mark.parametrize("name", ["pipe.jpg", "pipe.zip"])
def test_pipe_is_refused_without_waiting(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(MediaError, match="not a regular file but a named pipe"):
        open_path(tmp_path / name)
    with pytest.raises(MediaError, match="not a regular file but a named pipe"):
        list_all(tmp_path / name)


def test_devices_and_sockets_are_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s.jpg"))
        with pytest.raises(MediaError, match="a socket"):
            open_path(tmp_path / "s.jpg")
    (tmp_path / "link.jpg").symlink_to("/dev/zero")
    with pytest.raises(MediaError, match="a device"):
        open_path(tmp_path / "link.jpg")
    with pytest.raises(IsADirectoryError):
        open_path(tmp_path)
