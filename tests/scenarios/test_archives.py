"""Files in archives are files of their own, whatever is packed, moved, broken or hostile."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import IndexOptions, switch_library, teach, update_library, verify_library
from indexer.decode import reader
from indexer.embed.archive_order import in_archive_order
from indexer.embed.files import embed_files
from indexer.operations.pipeline import IndexRun, update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import FileEntry
from retrieval import Library
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives import archive, decompress
from retrieval.media.archives.archive import list_archive, member_openers, open_path, split_archive_path
from retrieval.media.images.loader import load_image
from tests.support.catalog import REPOSITORY_ROOT, committed_segments
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import COLORS, RotatedToyEmbedder, ToyEmbedder

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
ZIPS = {".zip": zipfile.ZIP_STORED, ".cbz": zipfile.ZIP_DEFLATED, ".ZIP": zipfile.ZIP_BZIP2}
EVERY = (*TARS, *ZIPS)


class Counting(ToyEmbedder):
    """Count what is embedded."""

    def __init__(self):
        self.pictures = 0

    def embed_images(self, pictures):
        self.pictures += len(pictures)
        return super().embed_images(pictures)


def picture(colour: str | tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    from PIL import Image

    Image.new("RGB", (24, 16), COLORS.get(colour, colour)).save(file, "PNG")
    return file.getvalue()


def large(shade: int) -> bytes:
    """Return a picture that gets tiles."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (200, 200), (9 * shade, 0, 200)).save(file, "PNG")
    return file.getvalue()


def pack(path: Path, files: dict[str, bytes], at: float = 1_700_000_000) -> Path:
    """Write an archive of these files, by its suffix; its own time is `at` too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = next(suffix for suffix in sorted(EVERY, key=len, reverse=True) if path.name.endswith(suffix))
    if name in TARS:
        with tarfile.open(path, TARS[name]) as tar:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size, info.mtime = len(data), at
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(path, "w", ZIPS[name]) as opened:
            for member, data in files.items():
                info = zipfile.ZipInfo(member, time.localtime(at)[:6])
                opened.writestr(info, data, ZIPS[name])
    os.utime(path, (at, at))
    return path


def found(place, words="red", **how) -> dict[str, float]:
    """Return the paths that are found below the folder of the library, with their scores."""
    with Library.open(place, embedder=ToyEmbedder()) as library:
        hits = library.search(words, count=1_000, **how)
    return {str(hit.path.relative_to(place.parent)): round(hit.score, 3) for hit in hits}


def reasons(place) -> dict[str, str]:
    with Library.open(place, embedder=ToyEmbedder()) as library:
        return {str(each.path.relative_to(place.parent)): each.reason for each in library.failures()}


def counts(report) -> dict[str, int]:
    states = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed")
    return {state: getattr(report, state) for state in states if getattr(report, state)}


COLOURED = {f"in/{colour}.png": picture(colour) for colour in COLORS}


@pytest.mark.parametrize("suffix", EVERY)
def test_what_is_in_an_archive_is_found_as_in_a_folder(suffix, tmp_path, folder, index, place):
    index(folder)
    plain = found(place)
    shutil.rmtree(place)
    pack(tmp_path / "root" / f"a{suffix}", COLOURED)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}
    assert found(place) == {
        path.replace("pictures/", f"root/a{suffix}/in/"): score for path, score in plain.items()
    }
    assert counts(index()) == {"unchanged": 7}
    assert verify_library(place).errors == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_are_passed_over_unless_asked_for_and_that_is_remembered(suffix, tmp_path, index, place):
    pack(tmp_path / "root" / f"a{suffix}", COLOURED)
    report = index(tmp_path / "root")
    assert report.skipped == {suffix: 1}
    assert "--archives" in str(report)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}
    report = index(tmp_path / "root")
    assert counts(report) == {"unchanged": 7}
    assert "--archives" not in str(report)
    assert counts(index(tmp_path / "root", archives=False)) == {"gone": 7}
    assert found(place) == {}
    toy = Counting()
    report = update_library(
        [tmp_path / "root"], library=place, embedder=toy, options=IndexOptions(archives=True)
    )
    assert len(found(place)) == 7
    assert toy.pictures == 0


def test_many_files_of_archives_that_are_not_wanted_any_more_are_no_drive_that_is_away(
    tmp_path, index, place
):
    files = {f"{n}.png": picture((n, 0, 0)) for n in range(60)}
    pack(tmp_path / "root" / "a.zip", files)
    index(tmp_path / "root", archives=True)
    assert counts(index(tmp_path / "root", archives=False)) == {"gone": 60}


def test_captions_beside_pictures_of_a_shard_belong_to_them(tmp_path, index, place, toy):
    shard = {}
    for n, colour in enumerate(COLORS):
        shard[f"{n:04d}.png"] = picture(colour)
        shard[f"{n:04d}.txt"] = f"a {colour} thing".encode()
        shard[f"{n:04d}.json"] = json.dumps({"caption": f"the {colour}", "key": n}).encode()
    del shard["0001.txt"]
    shard["sub/red.txt"] = b"a red note"
    pack(tmp_path / "root" / "000000.tar", shard)
    index(tmp_path / "root", archives=True)
    with Library.open(place, embedder=toy) as library:
        texts = library.search("red", kind="text", count=20)
    shard = tmp_path / "root" / "000000.tar"
    assert {(hit.text, hit.path, hit.source) for hit in texts} == {
        *(
            (f"a {colour} thing", shard / f"{n:04d}.png", shard / f"{n:04d}.txt")
            for n, colour in enumerate(COLORS)
            if n != 1
        ),
        ("the green", shard / "0001.png", shard / "0001.json"),
        ("a red note", shard / "sub" / "red.txt", None),
    }


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_unchanged_archive_is_not_opened(suffix, tmp_path, index):
    path = pack(tmp_path / "root" / f"a{suffix}", COLOURED)
    draw_image(tmp_path / "root" / "b.png")
    index(tmp_path / "root", archives=True)
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts(index()) == {"unchanged": 8}
    path.write_bytes(b"?" * status.st_size)
    os.utime(path)
    assert counts(index()) == {"unchanged": 1, "gone": 7, "failed": 1}


@pytest.mark.parametrize("suffix", EVERY)
def test_a_moved_archive_is_moved_files_and_embeds_nothing(suffix, tmp_path, index, place):
    path = pack(tmp_path / "root" / f"a{suffix}", COLOURED)
    index(tmp_path / "root", archives=True)
    (tmp_path / "root" / "sub").mkdir()
    path.rename(tmp_path / "root" / "sub" / f"b{suffix}")
    toy = Counting()
    assert counts(update_library(library=place, embedder=toy)) == {"moved": 7}
    assert toy.pictures == 0
    assert f"root/sub/b{suffix}/in/red.png" in found(place)
    assert counts(index()) == {"unchanged": 7}


def test_unpacking_an_archive_and_deleting_it_is_a_move_too(tmp_path, index, place):
    pack(tmp_path / "root" / "a.zip", COLOURED)
    index(tmp_path / "root", archives=True)
    shutil.unpack_archive(tmp_path / "root" / "a.zip", tmp_path / "root")
    (tmp_path / "root" / "a.zip").unlink()
    assert counts(index()) == {"moved": 7}
    assert "root/in/red.png" in found(place)


@pytest.mark.parametrize("suffix", EVERY)
def test_a_changed_archive_is_compared_file_by_file(suffix, tmp_path, index, place):
    path = tmp_path / "root" / f"a{suffix}"
    files = {"a.png": picture("red"), "b.png": picture("green"), "c.png": picture("blue")}
    pack(path, files)
    index(tmp_path / "root", archives=True)
    # Same size, same time: only the bytes tell.
    other = picture((200, 0, 0))
    assert len(other) == len(files["a.png"])
    pack(path, {"a.png": other, "b.png": files["b.png"], "d.png": picture("white")})
    os.utime(path)
    report = index()
    assert (report.added, report.gone, report.failed) == (1, 1, 0)
    assert report.updated + report.unchanged == 2
    assert report.updated == (1 if suffix in ZIPS else 2)  # of a tar all is read, as no checksum tells
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert len(library.search("red", kind="image")) == 3
        assert {hit.path.name for hit in library.search("red", kind="image")} == {"a.png", "b.png", "d.png"}


def test_an_archive_that_went_and_came_back_embeds_nothing(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.tgz", COLOURED)
    index(tmp_path / "root", archives=True)
    path.rename(tmp_path / "kept.tgz")
    assert counts(index()) == {"gone": 7}
    (tmp_path / "kept.tgz").rename(path)
    toy = Counting()
    update_library(library=place, embedder=toy)
    assert toy.pictures == 0
    assert len(found(place)) == 7
    assert counts(index()) == {"unchanged": 7}


def test_what_is_left_out_of_folders_is_left_out_of_archives(tmp_path, index, place):
    names = ("a.png", ".hidden.png", "__MACOSX/._a.png", "Private/b.png", "sub/.git/c.png", "sub/d.png")
    pack(tmp_path / "root" / "a.zip", {name: picture("red") for name in names})
    index(tmp_path / "root", archives=True, exclude=["Private/"])
    assert set(found(place)) == {"root/a.zip/a.png"}  # copies are one hit
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert library.status().roots[0].present == 2
    report = index(tmp_path / "root", exclude=[], hidden=True)
    assert (report.added, report.unchanged) == (3, 2)


def test_a_folder_named_like_an_archive_is_a_folder(tmp_path, index, place):
    draw_image(tmp_path / "root" / "a.zip" / "b.png")
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert found(place) == {"root/a.zip/b.png": 1.0}
    assert split_archive_path(os.fsencode(tmp_path / "root" / "a.zip" / "b.png")) is None


def test_links_and_folders_in_archives_are_passed_over(tmp_path, index, place):
    path = tmp_path / "root" / "a.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            ("a.png", tarfile.SYMTYPE),
            ("b.png", tarfile.LNKTYPE),
            ("c.png", tarfile.DIRTYPE),
            ("d.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("e.png")
        info.size = len(picture("red"))
        tar.addfile(info, io.BytesIO(picture("red")))
    with zipfile.ZipFile(tmp_path / "root" / "b.zip", "w") as opened:
        info = zipfile.ZipInfo("link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
        opened.mkdir("folder.png")
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert found(place) == {"root/a.tar/e.png": 1.0}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_names_that_lead_out_are_refused_and_absolute_ones_made_harmless(suffix, tmp_path, index, place):
    names = ["../up.png", "a/../../up.png", "/etc/abs.png", "./dot.png", "a//b.png"]
    pack(tmp_path / "root" / f"a{suffix}", {name: picture((n, 0, 0)) for n, name in enumerate(names)})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3, "failed": 1}
    prefix = f"root/a{suffix}/"
    assert set(found(place)) == {prefix + "etc/abs.png", prefix + "dot.png", prefix + "a/b.png"}
    assert reasons(place) == {
        f"root/a{suffix}": "2 files (../up.png, ...) left out: a name that leads out of the archive, "
        "or is too long"
    }
    assert counts(index()) == {"unchanged": 3, "failed": 1}


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_of_several_files_of_one_name_the_last_counts(suffix, tmp_path, index, place):
    path = pack(tmp_path / "root" / f"a{suffix}", {"a.png": picture("red"), "./a.png": picture("green")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert found(place, "green") == {f"root/a{suffix}/a.png": 1.0}
    with open_path(path / "a.png") as file:
        assert file.read() == picture("green")


@requires_non_utf8_names
def test_names_that_are_no_utf8_are_found(tmp_path, index, place):
    with tarfile.open(pack(tmp_path / "root" / "a.tar", {}), "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(os.fsdecode(b"caf\xe9.png"))
        info.size = len(picture("red"))
        tar.addfile(info, io.BytesIO(picture("red")))
    pack(tmp_path / "root" / "b.zip", {"cafX.png": picture("green")})
    zipped = tmp_path / "root" / "b.zip"
    zipped.write_bytes(zipped.read_bytes().replace(b"cafX", b"caf\x82"))  # as the first PCs wrote it
    pack(tmp_path / "root" / "c.zip", {"日本.png": picture("blue")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3}
    paths = {os.fsencode(path) for path in found(place)}
    assert paths == {
        b"root/a.tar/caf\xe9.png",
        "root/b.zip/café.png".encode(),
        "root/c.zip/日本.png".encode(),
    }
    assert counts(index()) == {"unchanged": 3}


def encrypt(path: Path, names: set[bytes]) -> None:
    """Mark files of a zip as encrypted."""
    data = bytearray(path.read_bytes())
    for mark, flags, length, name in ((b"PK\3\4", 6, 26, 30), (b"PK\1\2", 8, 28, 46)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            size = int.from_bytes(data[at + length : at + length + 2], "little")
            if bytes(data[at + name : at + name + size]) in names:
                data[at + flags] |= 1
    path.write_bytes(data)


def test_what_is_encrypted_is_said_once_and_the_rest_is_read(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.zip", COLOURED)
    encrypt(path, {b"in/red.png", b"in/green.png", b"in/blue.png"})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 4, "failed": 1}
    assert reasons(place) == {"root/a.zip": "3 files (in/red.png, ...) left out: encrypted"}


def test_archives_in_archives_are_not_followed_and_that_is_said(tmp_path, index, place):
    inner = pack(tmp_path / "inner.zip", COLOURED).read_bytes()
    pack(tmp_path / "root" / "a.tar", {"inner.zip": inner, "b.tgz": b"", "a.png": picture("red")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert reasons(place) == {"root/a.tar": "2 archives in it left out: unpack to have it read"}


def test_a_sparse_file_is_left_out_and_what_is_behind_it_is_read(tmp_path, index, place):
    """As GNU tar writes it: type S, four pieces in the header, more in a block behind it."""
    info = tarfile.TarInfo("holes.png")
    info.size, info.type = 512, tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    rest = pack(tmp_path / "rest.tar", {"a.png": picture("red")}).read_bytes()
    path = tmp_path / "root" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(bytes(block) + bytes(512) + b"\1" * 512 + rest)
    with tarfile.open(tmp_path / "root" / "b.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        pax = tarfile.TarInfo("x.png")
        pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "really.png"}
        tar.addfile(pax)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 2}
    assert found(place) == {"root/a.tar/a.png": 1.0}
    assert reasons(place) == {
        "root/a.tar": "1 file (holes.png) left out: stored as sparse, which clew does not read",
        "root/b.tar": "1 file (really.png) left out: stored as sparse, which clew does not read",
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_times_of_each_format_of_tars(form, tmp_path):
    name = "/".join(["folder" * 10] * (2 if form == tarfile.USTAR_FORMAT else 6)) + "/é.png"
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = 3, 1_700_000_000.75 if form == tarfile.PAX_FORMAT else 1_700_000_000
        tar.addfile(info, io.BytesIO(b"abc"))
        tar.addfile(tarfile.TarInfo("z.png"))
    (member, last) = list_archive(os.fsencode(path), lambda name: True).members.items()
    assert (member[0], member[1].size, int(member[1].mtime)) == (name.encode(), 3, 1_700_000_000)
    assert last[0] == b"z.png"


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n" * 9])
def test_a_zip_with_large_fields_a_comment_and_something_before_it(before, tmp_path):
    file = io.BytesIO(before)
    file.seek(len(before))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        with opened.open("a.png", "w", force_zip64=True) as member:
            member.write(picture("red"))
        opened.comment = b"no end"
    path = tmp_path / "a.zip"
    path.write_bytes(file.getvalue())
    listing = list_archive(os.fsencode(path), lambda name: True)
    assert listing.problems == []
    with open_path(path / "a.png") as opened:
        assert opened.read() == picture("red")


def test_a_zip_of_very_many_files_says_where_its_directory_is_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # that of the format is 65,535
    path = pack(tmp_path / "a.zip", COLOURED)
    assert b"PK\6\6" in path.read_bytes()
    listing = list_archive(os.fsencode(path), lambda name: True)
    assert listing.problems == []
    assert [*listing.members] == [name.encode() for name in COLOURED]


def test_a_zip_with_lying_times_and_extended_ones(tmp_path, index, place):
    path = tmp_path / "root" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as opened:
        never = zipfile.ZipInfo("never.png")  # 1980-01-01, which is no time
        opened.writestr(never, picture("red"))
        exact = zipfile.ZipInfo("exact.png", (1999, 1, 1, 0, 0, 0))
        exact.extra = b"UT\5\0\1" + (1_234_567_890).to_bytes(4, "little")
        opened.writestr(exact, picture("green"))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    index(tmp_path / "root", archives=True)
    with Library.open(place, embedder=ToyEmbedder()) as library:
        times = {hit.path.name: hit.time[:4] for hit in library.search("red")}
    assert times == {"never.png": "2020", "exact.png": "2009"}


def test_packed_streams_that_follow_each_other_are_one(tmp_path, index):
    whole = pack(tmp_path / "whole.tar", COLOURED).read_bytes()
    import gzip

    path = tmp_path / "root" / "a.tar.gz"
    path.parent.mkdir()
    half = len(whole) // 2
    path.write_bytes(gzip.compress(whole[:half]) + gzip.compress(whole[half:]) + bytes(100))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}


def test_the_bytes_tell_what_an_archive_is_not_its_name(tmp_path, index, place):
    (tmp_path / "root").mkdir()
    for n, suffix in enumerate((".tar", ".tgz", ".zip")):
        shutil.copy(
            pack(tmp_path / f"a{suffix}", {f"{n}.png": picture((n, 0, 0))}), tmp_path / "root" / f"{n}.zip"
        )
    (tmp_path / "root" / "3.cbz").write_bytes(b"Rar!\x1a\x07\x00 and so on")
    (tmp_path / "root" / "4.tar").write_bytes(b"no tar, for sure")
    (tmp_path / "root" / "5.tgz").write_bytes(b"")
    (tmp_path / "root" / "6.zip").write_bytes(b"PK\5\6" + bytes(18))  # an empty zip is a good one
    (tmp_path / "root" / "7.tar").write_bytes(bytes(10_240))  # and so is an empty tar
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3, "failed": 3}
    assert reasons(place) == {
        "root/3.cbz": "not an archive: it begins with b'Rar!\\x1a\\x07\\x00 '",
        "root/4.tar": "not an archive: it begins with b'no tar, '",
        "root/5.tgz": "empty file",
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_of_a_tar_that_breaks_off_the_whole_files_are_read(suffix, tmp_path, index, place):
    draw_ = random.Random(3)
    noise = {f"{n}.png": noisy(draw_) for n in range(6)}
    path = pack(tmp_path / "root" / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    report = index(tmp_path / "root", archives=True)
    assert 2 <= report.added <= 4
    (said,) = (reason for name, reason in reasons(place).items() if name == f"root/a{suffix}")
    assert "breaks off" in said
    assert f"root/a{suffix}/0.png" in found(place)
    assert counts(index())["unchanged"] == report.added


def noisy(draw_: random.Random) -> bytes:
    """Draw a picture that no archive makes much smaller."""
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (40, 40), draw_.randbytes(4_800)).save(file, "PNG")
    return file.getvalue()


def test_behind_a_broken_header_of_a_tar_the_next_one_is_searched_for(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.tar", COLOURED)
    data = bytearray(path.read_bytes())
    second = data.index(b"in/green.png")
    data[second : second + 20] = b"?" * 20
    path.write_bytes(data)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 6, "failed": 1}
    assert "root/a.tar/in/green.png" not in found(place)
    assert reasons(place)["root/a.tar"].startswith(f"damaged: there is no header at byte {second:,}")


@pytest.mark.parametrize("suffix", [".zip", ".cbz"])
def test_a_zip_that_breaks_off_has_lost_its_directory_which_is_said(suffix, tmp_path, index, place):
    path = pack(tmp_path / "root" / f"a{suffix}", COLOURED)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 30):
        path.write_bytes(whole[:length])
        assert counts(index(tmp_path / "root", archives=True)) == {"failed": 1}
        assert reasons(place) == {
            f"root/a{suffix}": "damaged: it has no directory that can be read; perhaps its download broke off"
        }


def test_a_zip_of_a_large_directory_is_not_read(tmp_path, index, place, monkeypatch):
    from retrieval.media.archives import zip

    monkeypatch.setattr(zip, "MAX_DIRECTORY_BYTES", 400)
    pack(tmp_path / "root" / "a.zip", COLOURED)
    pack(tmp_path / "root" / "b.zip", {"red.png": picture("red")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert reasons(place)["root/a.zip"].startswith("its directory of 4")
    assert reasons(place)["root/a.zip"].endswith(" bytes is more than the limit of 400")


def test_how_a_zip_may_not_be_compressed_is_named(tmp_path, index, place):
    with zipfile.ZipFile(pack(tmp_path / "root" / "a.zip", {}), "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("a.png", picture("red"))
    assert counts(index(tmp_path / "root", archives=True)) == {"failed": 1}
    assert reasons(place) == {
        "root/a.zip": "1 file (a.png) left out: compressed by LZMA, which clew does not read"
    }


@pytest.mark.parametrize("suffix", [".cbz", ".ZIP", ".tar.bz2", ".tar.xz"])
def test_what_is_packed_densely_takes_no_more_memory_than_it_is_read(suffix, tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(decompress, "MAX_IN_MEMORY_BYTES", 1_000)
    path = pack(tmp_path / f"a{suffix}", {"a.txt": bytes(24_000_000)})
    tracemalloc.start()
    with open_path(path / "a.txt") as file:
        assert file.seek(0, os.SEEK_END) == 24_000_000
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 16_000_000


def test_xz_may_take_so_much_memory_in_each_of_its_streams(tmp_path, index, place, monkeypatch):
    import lzma

    monkeypatch.setattr(decompress, "MAX_XZ_MEMORY_BYTES", 4_000_000)
    whole = pack(tmp_path / "whole.tar", COLOURED).read_bytes()
    small, large = lzma.compress(whole[:2048], preset=0), lzma.compress(whole[2048:], preset=9)
    path = tmp_path / "root" / "a.tar.xz"
    path.parent.mkdir()
    path.write_bytes(small + bytes(4) + large)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 2, "failed": 1}
    assert reasons(place) == {"root/a.tar.xz": "damaged: Memory usage limit exceeded"}
    monkeypatch.setattr(decompress, "MAX_XZ_MEMORY_BYTES", 100_000_000)
    os.utime(path)
    assert counts(index(tmp_path / "root")) == {"added": 5, "updated": 2}


def test_a_file_whose_checksum_is_wrong_is_said_and_retry_reads_it_again(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.zip", COLOURED)
    whole, at = path.read_bytes(), path.stat()
    begin = whole.index(picture("red"))
    path.write_bytes(whole[: begin + 20] + b"?" + whole[begin + 21 :])
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 6, "failed": 1}
    assert reasons(place) == {"root/a.zip/in/red.png": "damaged: its checksum is wrong"}
    path.write_bytes(whole)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert counts(index()) == {"unchanged": 6, "failed": 1}
    assert counts(index(retry=True)) == {"updated": 1, "unchanged": 6}
    assert reasons(place) == {}


def test_a_packed_tar_may_unpack_to_so_much_and_no_more(tmp_path, index, place, monkeypatch):
    monkeypatch.setattr(decompress, "ALWAYS_ALLOWED_BYTES", 100_000)
    bomb = {"a.png": picture("red"), "b.txt": bytes(1_000_000_000 // 100), "c.png": picture("green")}
    path = pack(tmp_path / "root" / "a.tar.bz2", bomb)
    limit = max(100_000, 100 * path.stat().st_size)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert reasons(place) == {"root/a.tar.bz2": f"it unpacks to more than the limit of {limit:,} bytes"}
    assert found(place) == {"root/a.tar.bz2/a.png": 1.0}


def test_a_zip_whose_files_overlap_may_unpack_to_so_much_and_no_more(tmp_path, index, place, monkeypatch):
    """Many entries of one packed stretch, as Fifield's bomb has them."""
    monkeypatch.setattr(decompress, "ALWAYS_ALLOWED_BYTES", 100_000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.txt", b"red " * 10_000)
    data = file.getvalue()
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entries = b"".join(
        data[at : at + 28] + (9).to_bytes(2, "little") + data[at + 30 : at + 46] + b"%05d.txt" % n
        for n in range(300)
    )
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (300).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.zip").write_bytes(data[:at] + entries + tail)
    size = (tmp_path / "root" / "a.zip").stat().st_size
    report = index(tmp_path / "root", archives=True)
    assert report.added + report.failed - 1 <= 100 * size // 40_000
    said = reasons(place)
    assert said.pop("root/a.zip") == (
        f"it unpacks to more than the limit of {100 * size:,} bytes; the rest is left out"
    )
    assert all("differ" in reason for reason in said.values())  # as names do, in the directory and the file


def test_a_zip_that_holds_more_than_it_says_is_damaged(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.cbz", {"a.txt": b"red " * 10_000})
    data = path.read_bytes().replace((40_000).to_bytes(4, "little"), (4).to_bytes(4, "little"))
    path.write_bytes(data)
    index(tmp_path / "root", archives=True)
    assert reasons(place) == {"root/a.cbz/a.txt": "damaged: its checksum is wrong"}


def test_a_packed_file_that_is_too_large_is_named_and_a_stored_one_is_read(
    tmp_path, index, place, monkeypatch
):
    monkeypatch.setattr(decompress, "MAX_MEMBER_BYTES", 1_000)
    for suffix in (".zip", ".cbz", ".tar", ".tgz"):
        text = f"{suffix} red ".encode() * 500
        pack(tmp_path / "root" / f"a{suffix}", {"large.txt": text, "small.png": picture("red")})
    from retrieval.media.archives import zip

    monkeypatch.setattr(zip, "MAX_MEMBER_BYTES", 1_000)
    assert index(tmp_path / "root", archives=True).failed == 2
    said = reasons(place)
    assert set(said) == {"root/a.cbz", "root/a.tgz"}
    assert said["root/a.tgz"].startswith("1 file (large.txt) left out: more than the limit of ")


def test_an_archive_of_too_many_files_is_read_up_to_the_limit(tmp_path, index, place, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    pack(tmp_path / "root" / "a.zip", COLOURED)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3, "failed": 1}
    assert reasons(place) == {"root/a.zip": "more than the limit of 3 files; the rest is left out"}


def pax(records: bytes, size: int | None = None) -> bytes:
    """Return a header of these records."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(records) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)


NO_HEADER = "damaged: what stands before a file is no header"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (pax(b"", 8_000_000_000), "a file's header takes more than the limit of 100,000 bytes"),
        (pax(b"", -8_000_000_000), "a file's header takes more than the limit of 100,000 bytes"),
        (
            pax(b"20 a=" + b"b" * 14 + b"\n") * 120,
            "a file's header takes more than the limit of 100,000 bytes",
        ),
        (pax(b"13 size=-700\n") + tarfile.TarInfo("b.png").tobuf(), "damaged: a file's size is below zero"),
        (pax(b"1" * 90_000), NO_HEADER),
        (pax(b"2 " * 40_000 + b"="), NO_HEADER),
        (pax(b"4 a\n" * 20_000 + b"="), NO_HEADER),
    ],
)
def test_an_endless_header_of_a_tar_is_not_read(header, reason, tmp_path, index, place):
    path = tmp_path / "root" / "a.tar"
    path.parent.mkdir()
    first = pack(tmp_path / "first.tar", {"a.png": picture("red")}).read_bytes()[:1024]
    path.write_bytes(first + header + bytes(100_000))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert reasons(place) == {"root/a.tar": reason}


@pytest.mark.parametrize("suffix", EVERY)
def test_large_members_go_through_a_file_and_can_be_read_anywhere(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "MAX_IN_MEMORY_BYTES", 1_000)
    data = random.Random(1).randbytes(300_000)
    path = pack(tmp_path / f"a{suffix}", {"a.txt": b"before", "b.png": data, "c.txt": b"behind"})
    with open_path(path / "b.png") as file:
        assert file.read(10) == data[:10]
        assert file.seek(-10, os.SEEK_END) == 299_990
        assert file.read() == data[-10:]
        assert file.read() == b""
        assert (file.seek(100), file.tell(), file.read(5)) == (100, 100, data[100:105])
        file.seek(50, os.SEEK_CUR)
        assert file.read(5) == data[155:160]
    assert file.closed


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip", ".cbz", ".tar"])
def test_members_are_opened_by_any_thread_in_any_order(suffix, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    files = {f"{n:03d}.txt": random.Random(n).randbytes(1_000) for n in range(200)}
    path = os.fsencode(pack(tmp_path / f"a{suffix}", files))
    opens = member_openers(path, list_archive(path, lambda name: True))
    names = random.Random(7).sample(sorted(opens), 200)

    def bytes_of(name):
        with opens[name]() as file:
            return file.read()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(bytes_of, names)) == [files[name.decode()] for name in names]


def test_members_take_their_turn_in_the_order_of_their_archive(tmp_path):
    path = pack(tmp_path / "a.tgz", {"c.txt": b"c", "a.txt": b"a", "b.txt": b"b"})
    plain = write_text(tmp_path / "d.txt", "d")
    places = [os.fsencode(path / name) for name in ("a.txt", "b.txt", "gone.txt", "c.txt")]
    turns = list(in_archive_order([os.fsencode(plain), None, *places], lambda place: place))
    assert [item for item, _ in turns] == [
        os.fsencode(plain),
        None,
        places[3],
        places[0],
        places[1],
        places[2],
    ]
    assert [opener is None for _, opener in turns] == [True, True, False, False, False, False]
    for _, opener in turns[2:5]:
        opener().close()
    with pytest.raises(FileNotFoundError):
        turns[5][1]()


broken = st.tuples(
    st.sampled_from(EVERY), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)))
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Make an archive of each kind: suffix -> bytes."""
    folder = tmp_path_factory.mktemp("whole")
    files = {"a.png": b"a" * 700, "b/c.txt": b"words", "é.jpg": b"", "d.tar": b"x"}
    return {suffix: pack(folder / f"a{suffix}", files).read_bytes() for suffix in EVERY}


@given(broken)
@settings(deadline=None, max_examples=200)
def test_whatever_is_broken_is_said_and_nothing_else_happens(whole, tmp_path_factory, given_):
    suffix, keep, flips = given_
    data = bytearray(whole[suffix])
    for place, value in flips[:8]:
        data[int(place * len(data))] = value
    path = tmp_path_factory.getbasetemp() / f"broken{suffix}"
    path.write_bytes(data[: max(1, int(keep * len(data)))])
    listing = list_archive(os.fsencode(path), lambda name: True)
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
def test_hostile_names_stay_below_their_archive(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name.decode("utf-8", "surrogateescape")))
    for name in list_archive(os.fsencode(path), lambda name: True).members:
        whole = os.path.join(b"/root/a.tar", name)
        assert os.path.normpath(whole) == whole
        assert whole.startswith(b"/root/a.tar/")


@given(st.binary(max_size=2_000))
@settings(deadline=None)
def test_any_bytes_are_an_archive_or_none(tmp_path_factory, data):
    for suffix in (".zip", ".tar"):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        path.write_bytes(data)
        listing = list_archive(os.fsencode(path), lambda name: True)
        assert listing.members == {} or suffix == ".zip" or len(data) > 512


def test_similar_pictures_and_examples_may_be_in_archives(tmp_path, index, place, toy, folder):
    path = pack(tmp_path / "root" / "a.tgz", {**COLOURED, "rose.png": picture((250, 0, 10))})
    index(tmp_path / "root", archives=True)
    with Library.open(place, embedder=toy) as library:
        best = library.similar(path / "in" / "red.png", count=1)
        assert [(hit.path, round(hit.score, 3)) for hit in best] == [(path / "rose.png", 0.999)]
        assert library.search(image=path / "in" / "blue.png", count=1)[0].path == path / "in" / "blue.png"
        liked = library.search("", like=[path / "in" / "red.png"], count=1)
        assert liked[0].path == path / "rose.png"
        with pytest.raises(FileNotFoundError, match="Not in"):
            library.similar(path / "nothing.png")
    assert load_image(path / "in" / "red.png").getpixel((0, 0)) == (255, 0, 0)
    examples = [path / "in" / "red.png"], [path / "in" / "blue.png"]
    taught = teach("warm", examples[0], against=examples[1], library=place, embedder=toy, anyway=True)
    assert (taught.positives, taught.negatives) == (1, 1)


def test_files_in_archives_are_embedded_without_a_library_too(tmp_path, toy):
    path = pack(tmp_path / "a.tar.xz", COLOURED)
    files = [FileEntry(os.fsencode(path / name), 0, 0, "picture") for name in ("in/red.png", "in/none.png")]
    every, failures = embed_files(toy, files, lambda done, total: None)
    assert every[os.fsencode(path / "in/red.png")].image.round(2).tolist() == [1, 0, 0]
    assert [failure.path for failure in failures] == [path / "in" / "none.png"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_a_switch_reads_archives_again(suffix, tmp_path, index, place):
    pack(tmp_path / "root" / f"a{suffix}", {**COLOURED, "in/red.txt": b"red"})
    draw_image(tmp_path / "root" / "b.png", (9, 9, 9))
    index(tmp_path / "root", archives=True)
    done = switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert (done.embedded, done.waiting, done.answers) == (9, 0, True)
    assert verify_library(place).errors == []
    again = tmp_path / "again"
    update_library(
        [tmp_path / "root"], library=again, embedder=RotatedToyEmbedder(), options=IndexOptions(archives=True)
    )
    with (
        Library.open(place, embedder=RotatedToyEmbedder()) as one,
        Library.open(again, embedder=RotatedToyEmbedder()) as two,
    ):
        first = [(hit.path, round(hit.score, 4)) for hit in one.search("red", count=20)]
        assert sorted(first) == sorted((h.path, round(h.score, 4)) for h in two.search("red", count=20))


def test_a_file_that_decodes_no_more_costs_a_switch_no_other(tmp_path, index, place, monkeypatch):
    pack(tmp_path / "root" / "a.tgz", {f"{n}.png": large(n) for n in range(9)})
    index(tmp_path / "root", archives=True, tiles=True)

    def fails(file, suffix, embedder):
        raise MediaError("damaged")

    monkeypatch.setitem(reader.DECODERS, "picture", fails)
    done = switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert (done.embedded, done.waiting) == (45, 9)


def test_duplicates_know_archives_and_never_name_what_is_in_one_for_deletion(tmp_path, clew, place, toy):
    pack(tmp_path / "root" / "a.zip", COLOURED)
    pack(tmp_path / "root" / "b.tar", {"red.png": picture("red"), "again.png": picture("red")})
    for name in ("long-name-of-red.png", "another-long-name.png"):
        (tmp_path / "root" / name).write_bytes(picture("red"))
    update_library([tmp_path / "root"], library=place, embedder=toy, options=IndexOptions(archives=True))
    with Library.open(place, embedder=toy) as library:
        (group,) = library.duplicates(by="copy")
    assert len(group.files) == 5
    assert group.files[0].path == tmp_path / "root" / "long-name-of-red.png"
    assert [file.in_archive for file in group.files] == [False, False, True, True, True]
    done = clew("duplicates", "--by", "copy", "--paths")
    assert done.stdout.splitlines() == [str(tmp_path / "root" / "another-long-name.png")]
    os.utime(tmp_path / "root" / "a.zip", (1, 1))  # what has changed is not there
    with Library.open(place, embedder=toy) as library:
        assert len(library.duplicates(by="copy")[0].files) == 4


def test_the_command_shows_paths_in_archives_and_notes_those_that_have_gone(tmp_path, clew):
    pack(tmp_path / "root" / "a.zip", {"in/red.txt": b"a red rose"})
    encrypted = pack(tmp_path / "root" / "b.zip", {"x.png": picture("red")})
    encrypt(encrypted, {b"x.png"})
    done = clew("index", tmp_path / "root", "--archives", "--model", "builtin", "--json")
    assert json.loads(done.stdout)["added"] == 1
    done = clew("search", "red rose", "--paths", "--all")
    assert done.stdout == f"{tmp_path}/root/a.zip/in/red.txt\n"
    assert done.stderr == ""
    assert clew("status", "--errors").stdout == f"{encrypted}\t1 file (x.png) left out: encrypted\n"
    assert "1 file, 1 could not be read" in clew("status").stdout
    (tmp_path / "root" / "a.zip").unlink()
    assert "have gone" in clew("search", "red rose", "--paths", "--all").stderr
    assert json.loads(clew("index", "--json").stdout)["gone"] == 1


def test_a_file_that_needs_an_extra_is_tried_again_by_the_next_run(tmp_path, index, place, monkeypatch):
    path = pack(tmp_path / "root" / "a.zip", {"a.png": picture("red"), "b.txt": b"red"})
    good = reader.DECODERS["picture"]

    def lacking(file, suffix, embedder):
        raise ExtraMissing("PNG", "png")

    monkeypatch.setitem(reader.DECODERS, "picture", lacking)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    monkeypatch.setitem(reader.DECODERS, "picture", good)
    assert counts(index()) == {"updated": 1, "unchanged": 1}
    assert counts(index()) == {"unchanged": 2}
    assert path / "a.png" in {tmp_path / name for name in found(place)}


def test_a_part_of_a_root_with_archives_is_looked_at_alone(tmp_path, index, place):
    pack(tmp_path / "root" / "a" / "a.zip", {"a.png": picture("red")})
    pack(tmp_path / "root" / "b" / "b.zip", {"b.png": picture("green")})
    index(tmp_path / "root", archives=True)
    (tmp_path / "root" / "a" / "a.zip").unlink()
    (tmp_path / "root" / "b" / "b.zip").unlink()
    assert counts(index(tmp_path / "root" / "a")) == {"gone": 1}
    assert counts(index()) == {"gone": 1}


def test_a_look_at_the_files_beside_archives_forgets_no_archive(tmp_path, index, place):
    path = pack(tmp_path / "root" / "a.zip", {"a.png": picture("red"), "b.7z": b""})
    pack(tmp_path / "root" / "b" / "b.zip", {"c.zip": b""})
    index(tmp_path / "root", archives=True)
    with LibraryWriter(place, lambda space: ToyEmbedder()) as writer:
        before = writer.catalog.archive_stats()
        for heads in (frozenset(), frozenset({b"a"})):
            beside = writer.roots.target_at(os.fsencode(path.parent), recursive=False)._replace(
                name_stems=heads
            )
            IndexRun(writer).scan([beside])
        assert writer.catalog.archive_stats() == before and len(before) == 2
    assert list(reasons(place)) == ["root/b/b.zip"]


def test_an_archive_that_was_not_whole_yet_is_read_when_it_is(tmp_path, index, place, toy):
    path = pack(tmp_path / "root" / "a.zip", COLOURED)
    with LibraryWriter(place, lambda space: toy) as writer:
        early = update_folders(
            writer, [path.parent], IndexOptions(archives=True), should_read=lambda top, found: False
        )
    assert counts(early) == {}
    assert counts(index()) == {"added": 7}


def test_a_zip_whose_stored_files_overlap_may_hold_so_much_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(decompress, "ALWAYS_ALLOWED_BYTES", 100_000)
    path = pack(tmp_path / "a.zip", {f"{n}.txt": b"red " * 10_000 for n in range(2)})
    assert len(list_archive(os.fsencode(path), lambda name: True).members) == 2
    data = path.read_bytes()
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[at : data.index(b"PK\1\2", at + 4)]
    entries = b"".join(entry[:46] + b"%05d" % n for n in range(2_000))
    tail = bytearray(data[end:])
    tail[8:10] = tail[10:12] = (2_000).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    path.write_bytes(data[:at] + entries + tail)
    listing = list_archive(os.fsencode(path), lambda name: True)
    assert "more than the limit" in listing.problems[0] and len(listing.members) < 500


def test_killed_while_a_shard_is_read_nothing_is_lost_or_left_out(tmp_path):
    files = {f"{n:04d}.png": picture((n % 256, n // 2, 7)) for n in range(80)}
    files |= {f"{n:04d}.txt": f"red {n}".encode() for n in range(0, 80, 4)}
    root, place = tmp_path / "root", tmp_path / "library"
    pack(root / "a.tar.gz", files)
    pack(root / "b.zip", {f"b-{name}": data + b"\0" for name, data in files.items() if name.endswith("png")})
    update_library(
        [root], library=tmp_path / "whole", embedder=ToyEmbedder(), options=IndexOptions(archives=True)
    )
    everything = committed_segments(tmp_path / "whole")
    kills, draw_ = 0, random.Random(5)
    while kills < 3:
        before = committed_segments(place)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.index_process", str(root), str(place), "archives"],
            cwd=REPOSITORY_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert child.stdout.readline() == "go\n"
        time.sleep(draw_.uniform(0, 0.4))
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
        after = committed_segments(place)
        assert before <= after <= everything
        if after == everything:
            shutil.rmtree(place)
    report = update_library(
        [root], library=place, embedder=ToyEmbedder(), options=IndexOptions(archives=True)
    )
    assert committed_segments(place) == everything
    assert report.failed == 0
    assert update_library([root], library=place, embedder=ToyEmbedder()).unchanged == 100 + 80
    assert verify_library(place).errors == []
