"""Indexing runs over archives: changed, moved, damaged and hostile ones."""

import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from indexer import IndexOptions, forget, switch_library, teach, update_library, verify_library
from indexer.decode import reader
from indexer.embed.archive_order import in_archive_order
from indexer.embed.files import embed_files
from indexer.operations.pipeline import IndexRun, update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import FileEntry
from retrieval import Library
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives.archive import open_path, split_archive_path
from retrieval.media.images.loader import load_image
from retrieval.media.limits import DecodeLimits
from tests.scenarios.helpers import hit_names, kill_index_process, start_index_process
from tests.support.archive_files import COLOR_IMAGES, SUFFIXES, ZIP_METHODS, small_png, write_archive
from tests.support.catalog import committed_segments
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import COLORS, CountingToyEmbedder, RotatedToyEmbedder, ToyEmbedder


def large_png(shade: int) -> bytes:
    """Return an image that gets tiles."""
    file = io.BytesIO()
    Image.new("RGB", (200, 200), (9 * shade, 0, 200)).save(file, "PNG")
    return file.getvalue()


def search_scores(place, words="red", **options) -> dict[str, float]:
    """Return the paths of all hits, relative to the folder of the library, and their scores."""
    with Library.open(place, embedder=ToyEmbedder()) as library:
        hits = library.search(words, count=1_000, **options)
    return {str(hit.path.relative_to(place.parent)): round(hit.score, 3) for hit in hits}


def failure_reasons(place) -> dict[str, str]:
    with Library.open(place, embedder=ToyEmbedder()) as library:
        return {str(each.path.relative_to(place.parent)): each.reason for each in library.failures()}


def counts(report) -> dict[str, int]:
    states = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed")
    return {state: getattr(report, state) for state in states if getattr(report, state)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_in_an_archive_have_the_scores_of_files_in_a_folder(suffix, tmp_path, folder, index, place):
    index(folder)
    plain = search_scores(place)
    shutil.rmtree(place)
    write_archive(tmp_path / "root" / f"a{suffix}", COLOR_IMAGES)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}
    assert search_scores(place) == {
        path.replace("pictures/", f"root/a{suffix}/in/"): score for path, score in plain.items()
    }
    assert counts(index()) == {"unchanged": 7}
    assert verify_library(place).errors == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_option_is_saved_in_the_library(suffix, tmp_path, index, place):
    write_archive(tmp_path / "root" / f"a{suffix}", COLOR_IMAGES)
    report = index(tmp_path / "root")
    assert report.skipped == {suffix: 1}
    assert "--archives" in str(report)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}
    report = index(tmp_path / "root")
    assert counts(report) == {"unchanged": 7}
    assert "--archives" not in str(report)
    assert counts(index(tmp_path / "root", archives=False)) == {"gone": 7}
    assert search_scores(place) == {}
    toy = CountingToyEmbedder()
    report = update_library(
        [tmp_path / "root"], library=place, embedder=toy, options=IndexOptions(archives=True)
    )
    assert len(search_scores(place)) == 7
    assert toy.image_count == 0


def test_archives_turned_off_are_not_taken_for_an_offline_drive(tmp_path, index, place):
    files = {f"{n}.png": small_png((n, 0, 0)) for n in range(60)}
    write_archive(tmp_path / "root" / "a.zip", files)
    index(tmp_path / "root", archives=True)
    assert counts(index(tmp_path / "root", archives=False)) == {"gone": 60}


def test_captions_in_a_shard_belong_to_its_images(tmp_path, index, place, toy):
    shard = {}
    for n, color in enumerate(COLORS):
        shard[f"{n:04d}.png"] = small_png(color)
        shard[f"{n:04d}.txt"] = f"a {color} thing".encode()
        shard[f"{n:04d}.json"] = json.dumps({"caption": f"the {color}", "key": n}).encode()
    del shard["0001.txt"]
    shard["sub/red.txt"] = b"a red note"
    write_archive(tmp_path / "root" / "000000.tar", shard)
    index(tmp_path / "root", archives=True)
    with Library.open(place, embedder=toy) as library:
        texts = library.search("red", kind="text", count=20)
    shard = tmp_path / "root" / "000000.tar"
    assert {(hit.text, hit.path, hit.source) for hit in texts} == {
        *(
            (f"a {color} thing", shard / f"{n:04d}.png", shard / f"{n:04d}.txt")
            for n, color in enumerate(COLORS)
            if n != 1
        ),
        ("the green", shard / "0001.png", shard / "0001.json"),
        ("a red note", shard / "sub" / "red.txt", None),
    }


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_unchanged_archive_is_not_opened(suffix, tmp_path, index, monkeypatch):
    path = write_archive(tmp_path / "root" / f"a{suffix}", COLOR_IMAGES)
    draw_image(tmp_path / "root" / "b.png")
    index(tmp_path / "root", archives=True)
    with monkeypatch.context() as patch:
        patch.setattr("indexer.scan.archive_files.list_archive", lambda *args: pytest.fail("opened"))
        assert counts(index()) == {"unchanged": 8}
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts(index()) == {"unchanged": 8, "failed": 1}  # damaged: the known files are kept


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_moved_archive_is_not_embedded_again(suffix, tmp_path, index, place):
    path = write_archive(tmp_path / "root" / f"a{suffix}", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    (tmp_path / "root" / "sub").mkdir()
    path.rename(tmp_path / "root" / "sub" / f"b{suffix}")
    toy = CountingToyEmbedder()
    assert counts(update_library(library=place, embedder=toy)) == {"moved": 7}
    assert toy.image_count == 0
    assert f"root/sub/b{suffix}/in/red.png" in search_scores(place)
    assert counts(index()) == {"unchanged": 7}


def test_unpacked_archive_counts_as_moved(tmp_path, index, place):
    write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    shutil.unpack_archive(tmp_path / "root" / "a.zip", tmp_path / "root")
    (tmp_path / "root" / "a.zip").unlink()
    assert counts(index()) == {"moved": 7}
    assert "root/in/red.png" in search_scores(place)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_changed_archive_is_compared_file_by_file(suffix, tmp_path, index, place):
    path = tmp_path / "root" / f"a{suffix}"
    files = {"a.png": small_png("red"), "b.png": small_png("green"), "c.png": small_png("blue")}
    write_archive(path, files)
    index(tmp_path / "root", archives=True)
    # Same size, same time: only the bytes differ.
    other = small_png((200, 0, 0))
    assert len(other) == len(files["a.png"])
    write_archive(path, {"a.png": other, "b.png": files["b.png"], "d.png": small_png("white")})
    os.utime(path)
    report = index()
    assert (report.added, report.gone, report.failed) == (1, 1, 0)
    assert report.updated + report.unchanged == 2
    assert report.updated == (
        1 if suffix in ZIP_METHODS else 2
    )  # a tar has no checksums, so all its files are read
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert len(library.search("red", kind="image")) == 3
        assert {hit.path.name for hit in library.search("red", kind="image")} == {"a.png", "b.png", "d.png"}


def test_restored_archive_is_not_embedded_again(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.tgz", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    path.rename(tmp_path / "kept.tgz")
    assert counts(index()) == {"gone": 7}
    (tmp_path / "kept.tgz").rename(path)
    toy = CountingToyEmbedder()
    update_library(library=place, embedder=toy)
    assert toy.image_count == 0
    assert len(search_scores(place)) == 7
    assert counts(index()) == {"unchanged": 7}


def test_exclusions_apply_inside_archives(tmp_path, index, place):
    names = ("a.png", ".hidden.png", "__MACOSX/._a.png", "Private/b.png", "sub/.git/c.png", "sub/d.png")
    write_archive(tmp_path / "root" / "a.zip", {name: small_png("red") for name in names})
    index(tmp_path / "root", archives=True, exclude=["Private/"])
    assert set(search_scores(place)) == {"root/a.zip/a.png"}  # copies are one hit
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert library.status().roots[0].present == 2
    report = index(tmp_path / "root", exclude=[], hidden=True)
    assert (report.added, report.unchanged) == (3, 2)


def test_folder_with_an_archive_suffix_is_a_folder(tmp_path, index, place):
    draw_image(tmp_path / "root" / "a.zip" / "b.png")
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert search_scores(place) == {"root/a.zip/b.png": 1.0}
    assert split_archive_path(os.fsencode(tmp_path / "root" / "a.zip" / "b.png")) is None


def test_links_and_folders_in_archives_are_skipped(tmp_path, index, place):
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
        info.size = len(small_png("red"))
        tar.addfile(info, io.BytesIO(small_png("red")))
    with zipfile.ZipFile(tmp_path / "root" / "b.zip", "w") as zip_file:
        info = zipfile.ZipInfo("link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        zip_file.writestr(info, "/etc/passwd")
        zip_file.mkdir("folder.png")
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert search_scores(place) == {"root/a.tar/e.png": 1.0}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_parent_names_are_rejected_and_absolute_names_become_relative(suffix, tmp_path, index, place):
    names = ["../up.png", "a/../../up.png", "/etc/abs.png", "./dot.png", "a//b.png"]
    write_archive(
        tmp_path / "root" / f"a{suffix}", {name: small_png((n, 0, 0)) for n, name in enumerate(names)}
    )
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3, "failed": 1}
    prefix = f"root/a{suffix}/"
    assert set(search_scores(place)) == {prefix + "etc/abs.png", prefix + "dot.png", prefix + "a/b.png"}
    assert failure_reasons(place) == {
        f"root/a{suffix}": "2 files (../up.png, ...) skipped: a name that is too long or points outside "
        "the archive"
    }
    assert counts(index()) == {"unchanged": 3, "failed": 1}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_last_of_several_members_with_one_name_is_read(suffix, tmp_path, index, place):
    path = write_archive(
        tmp_path / "root" / f"a{suffix}", {"a.png": small_png("red"), "./a.png": small_png("green")}
    )
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1}
    assert search_scores(place, "green") == {f"root/a{suffix}/a.png": 1.0}
    with open_path(path / "a.png") as file:
        assert file.read() == small_png("green")


@requires_non_utf8_names
def test_names_that_are_not_utf8_are_indexed(tmp_path, index, place):
    with tarfile.open(write_archive(tmp_path / "root" / "a.tar", {}), "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(os.fsdecode(b"caf\xe9.png"))
        info.size = len(small_png("red"))
        tar.addfile(info, io.BytesIO(small_png("red")))
    write_archive(tmp_path / "root" / "b.zip", {"cafX.png": small_png("green")})
    zipped = tmp_path / "root" / "b.zip"
    zipped.write_bytes(zipped.read_bytes().replace(b"cafX", b"caf\x82"))  # in code page 437
    write_archive(tmp_path / "root" / "c.zip", {"日本.png": small_png("blue")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3}
    paths = {os.fsencode(path) for path in search_scores(place)}
    assert paths == {
        b"root/a.tar/caf\xe9.png",
        "root/b.zip/café.png".encode(),
        "root/c.zip/日本.png".encode(),
    }
    assert counts(index()) == {"unchanged": 3}


def encrypt(path: Path, names: set[bytes]) -> None:
    """Mark members of a zip as encrypted."""
    data = bytearray(path.read_bytes())
    for mark, flags, length, name in ((b"PK\3\4", 6, 26, 30), (b"PK\1\2", 8, 28, 46)):
        at = -1
        while (at := data.find(mark, at + 1)) >= 0:
            size = int.from_bytes(data[at + length : at + length + 2], "little")
            if bytes(data[at + name : at + name + size]) in names:
                data[at + flags] |= 1
    path.write_bytes(data)


def test_encrypted_members_are_reported_once(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    encrypt(path, {b"in/red.png", b"in/green.png", b"in/blue.png"})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 4, "failed": 1}
    assert failure_reasons(place) == {"root/a.zip": "3 files (in/red.png, ...) skipped: encrypted"}


def test_nested_archives_are_reported_and_not_read(tmp_path, index, place):
    inner = write_archive(tmp_path / "inner.zip", COLOR_IMAGES).read_bytes()
    write_archive(tmp_path / "root" / "a.tar", {"inner.zip": inner, "b.tgz": b"", "a.png": small_png("red")})
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert failure_reasons(place) == {"root/a.tar": "2 archives inside not indexed: unpack to index it"}


def test_sparse_file_is_skipped_and_the_next_is_read(tmp_path, index, place):
    """GNU tar writes type S, four pieces in the header, and the others in a block after it."""
    info = tarfile.TarInfo("holes.png")
    info.size, info.type = 512, tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    rest = write_archive(tmp_path / "rest.tar", {"a.png": small_png("red")}).read_bytes()
    path = tmp_path / "root" / "a.tar"
    path.parent.mkdir()
    path.write_bytes(bytes(block) + bytes(512) + b"\1" * 512 + rest)
    with tarfile.open(tmp_path / "root" / "b.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        pax = tarfile.TarInfo("x.png")
        pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "really.png"}
        tar.addfile(pax)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 2}
    assert search_scores(place) == {"root/a.tar/a.png": 1.0}
    assert failure_reasons(place) == {
        "root/a.tar": "1 file (holes.png) skipped: a sparse file, which clew does not read",
        "root/b.tar": "1 file (really.png) skipped: a sparse file, which clew does not read",
    }


def test_zip_times_use_the_extended_field_and_ignore_1980(tmp_path, index, place):
    path = tmp_path / "root" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as zip_file:
        never = zipfile.ZipInfo("never.png")  # 1980-01-01 stands for no time
        zip_file.writestr(never, small_png("red"))
        exact = zipfile.ZipInfo("exact.png", (1999, 1, 1, 0, 0, 0))
        exact.extra = b"UT\5\0\1" + (1_234_567_890).to_bytes(4, "little")
        zip_file.writestr(exact, small_png("green"))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    index(tmp_path / "root", archives=True)
    with Library.open(place, embedder=ToyEmbedder()) as library:
        times = {hit.path.name: hit.time[:4] for hit in library.search("red")}
    assert times == {"never.png": "2020", "exact.png": "2009"}


def test_concatenated_gzip_streams_are_one_tar(tmp_path, index):
    whole = write_archive(tmp_path / "whole.tar", COLOR_IMAGES).read_bytes()
    import gzip

    path = tmp_path / "root" / "a.tar.gz"
    path.parent.mkdir()
    half = len(whole) // 2
    path.write_bytes(gzip.compress(whole[:half]) + gzip.compress(whole[half:]) + bytes(100))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 7}


def test_archive_format_is_detected_from_content(tmp_path, index, place):
    (tmp_path / "root").mkdir()
    for n, suffix in enumerate((".tar", ".tgz", ".zip")):
        shutil.copy(
            write_archive(tmp_path / f"a{suffix}", {f"{n}.png": small_png((n, 0, 0))}),
            tmp_path / "root" / f"{n}.zip",
        )
    (tmp_path / "root" / "3.cbz").write_bytes(b"Rar!\x1a\x07\x00 and so on")
    (tmp_path / "root" / "4.tar").write_bytes(b"no tar, for sure")
    (tmp_path / "root" / "5.tgz").write_bytes(b"")
    (tmp_path / "root" / "6.zip").write_bytes(b"PK\5\6" + bytes(18))  # an empty zip is valid
    (tmp_path / "root" / "7.tar").write_bytes(bytes(10_240))  # and an empty tar too
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 3, "failed": 3}
    assert failure_reasons(place) == {
        "root/3.cbz": "not an archive: it begins with b'Rar!\\x1a\\x07\\x00 '",
        "root/4.tar": "not an archive: it begins with b'no tar, '",
        "root/5.tgz": "empty file",
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_complete_files_of_a_truncated_tar_are_read(suffix, tmp_path, index, place):
    rng = random.Random(3)
    noise = {f"{n}.png": noise_png(rng) for n in range(6)}
    path = write_archive(tmp_path / "root" / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    report = index(tmp_path / "root", archives=True)
    assert 2 <= report.added <= 4
    (reasons,) = (reason for name, reason in failure_reasons(place).items() if name == f"root/a{suffix}")
    assert "truncated" in reasons
    assert f"root/a{suffix}/0.png" in search_scores(place)
    assert counts(index())["unchanged"] == report.added


def noise_png(rng: random.Random) -> bytes:
    """Return an image that does not compress."""
    file = io.BytesIO()
    Image.frombytes("RGB", (40, 40), rng.randbytes(4_800)).save(file, "PNG")
    return file.getvalue()


def test_tar_is_read_past_a_damaged_header(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.tar", COLOR_IMAGES)
    data = bytearray(path.read_bytes())
    second = data.index(b"in/green.png")
    data[second : second + 20] = b"?" * 20
    path.write_bytes(data)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 6, "failed": 1}
    assert "root/a.tar/in/green.png" not in search_scores(place)
    assert failure_reasons(place)["root/a.tar"].startswith(f"damaged: no valid header at byte {second:,}")


@pytest.mark.parametrize("suffix", [".zip", ".cbz"])
def test_truncated_zip_is_reported_as_without_directory(suffix, tmp_path, index, place):
    path = write_archive(tmp_path / "root" / f"a{suffix}", COLOR_IMAGES)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 30):
        path.write_bytes(whole[:length])
        assert counts(index(tmp_path / "root", archives=True)) == {"failed": 1}
        assert failure_reasons(place) == {
            f"root/a{suffix}": "damaged: no readable directory; its download may be incomplete"
        }


def test_zip_directory_has_a_size_limit(tmp_path, index_within, place):
    write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    write_archive(tmp_path / "root" / "b.zip", {"red.png": small_png("red")})
    report = index_within(DecodeLimits(max_directory_bytes=400), tmp_path / "root", archives=True)
    assert counts(report) == {"added": 1, "failed": 1}
    assert failure_reasons(place)["root/a.zip"].startswith("a directory of 4")
    assert failure_reasons(place)["root/a.zip"].endswith(" bytes, more than the limit of 400")


def test_unsupported_zip_compression_is_named(tmp_path, index, place):
    with zipfile.ZipFile(write_archive(tmp_path / "root" / "a.zip", {}), "w", zipfile.ZIP_LZMA) as zip_file:
        zip_file.writestr("a.png", small_png("red"))
    assert counts(index(tmp_path / "root", archives=True)) == {"failed": 1}
    assert failure_reasons(place) == {
        "root/a.zip": "1 file (a.png) skipped: compressed by LZMA, which clew does not read"
    }


def test_xz_memory_limit_applies_to_each_stream(tmp_path, index_within, place):
    import lzma

    whole = write_archive(tmp_path / "whole.tar", COLOR_IMAGES).read_bytes()
    small, large = lzma.compress(whole[:2048], preset=0), lzma.compress(whole[2048:], preset=9)
    path = tmp_path / "root" / "a.tar.xz"
    path.parent.mkdir()
    path.write_bytes(small + bytes(4) + large)
    report = index_within(DecodeLimits(max_xz_memory_bytes=4_000_000), tmp_path / "root", archives=True)
    assert counts(report) == {"added": 2, "failed": 1}
    assert failure_reasons(place) == {"root/a.tar.xz": "damaged: Memory usage limit exceeded"}
    os.utime(path)
    report = index_within(DecodeLimits(max_xz_memory_bytes=100_000_000), tmp_path / "root")
    assert counts(report) == {"added": 5, "updated": 2}


def test_file_with_a_wrong_checksum_is_reported_and_retried(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    whole, at = path.read_bytes(), path.stat()
    begin = whole.index(small_png("red"))
    path.write_bytes(whole[: begin + 20] + b"?" + whole[begin + 21 :])
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 6, "failed": 1}
    assert failure_reasons(place) == {"root/a.zip/in/red.png": "damaged: wrong checksum"}
    path.write_bytes(whole)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert counts(index()) == {"unchanged": 6, "failed": 1}
    assert counts(index(retry=True)) == {"updated": 1, "unchanged": 6}
    assert failure_reasons(place) == {}


def test_compressed_tar_has_a_limit_of_its_unpacked_size(tmp_path, index_within, place):
    bomb = {"a.png": small_png("red"), "b.txt": bytes(1_000_000_000 // 100), "c.png": small_png("green")}
    path = write_archive(tmp_path / "root" / "a.tar.bz2", bomb)
    limit = max(100_000, 100 * path.stat().st_size)
    report = index_within(DecodeLimits(always_allowed_bytes=100_000), tmp_path / "root", archives=True)
    assert counts(report) == {"added": 1, "failed": 1}
    assert failure_reasons(place) == {
        "root/a.tar.bz2": f"it unpacks to more than the limit of {limit:,} bytes"
    }
    assert search_scores(place) == {"root/a.tar.bz2/a.png": 1.0}


def test_zip_with_overlapping_compressed_files_is_limited(tmp_path, index_within, place):
    """Many entries share compressed data, as in the zip bomb of Fifield (2019)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zip_file:
        zip_file.writestr("a.txt", b"red " * 10_000)
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
    report = index_within(DecodeLimits(always_allowed_bytes=100_000), tmp_path / "root", archives=True)
    assert report.added + report.failed - 1 <= 100 * size // 40_000
    reasons = failure_reasons(place)
    assert reasons.pop("root/a.zip") == (
        f"it unpacks to more than the limit of {100 * size:,} bytes; the rest is skipped"
    )
    assert all(
        "differ" in reason for reason in reasons.values()
    )  # the names in the directory and before the data differ


def test_zip_member_with_a_false_size_is_damaged(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.cbz", {"a.txt": b"red " * 10_000})
    data = path.read_bytes().replace((40_000).to_bytes(4, "little"), (4).to_bytes(4, "little"))
    path.write_bytes(data)
    index(tmp_path / "root", archives=True)
    assert failure_reasons(place) == {"root/a.cbz/a.txt": "damaged: wrong checksum"}


def test_size_limit_applies_to_compressed_members_only(tmp_path, index_within, place):
    for suffix in (".zip", ".cbz", ".tar", ".tgz"):
        text = f"{suffix} red ".encode() * 500
        write_archive(tmp_path / "root" / f"a{suffix}", {"large.txt": text, "small.png": small_png("red")})
    limits = DecodeLimits(max_member_bytes=1_000)
    assert index_within(limits, tmp_path / "root", archives=True).failed == 2
    reasons = failure_reasons(place)
    assert set(reasons) == {"root/a.cbz", "root/a.tgz"}
    assert reasons["root/a.tgz"].startswith("1 file (large.txt) skipped: more than the limit of 1,000 ")


def test_archive_with_too_many_files_is_read_up_to_the_limit(tmp_path, index_within, place):
    write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    report = index_within(DecodeLimits(max_members=3), tmp_path / "root", archives=True)
    assert counts(report) == {"added": 3, "failed": 1}
    assert failure_reasons(place) == {"root/a.zip": "more than the limit of 3 files; the rest is skipped"}


def pax(records: bytes, size: int | None = None) -> bytes:
    """Return a pax header with records."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(records) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)


NO_HEADER = "damaged: invalid header"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (pax(b"", 8_000_000_000), "a file has a header of more than the limit of 100,000 bytes"),
        (pax(b"", -8_000_000_000), "a file has a header of more than the limit of 100,000 bytes"),
        (
            pax(b"20 a=" + b"b" * 14 + b"\n") * 120,
            "a file has a header of more than the limit of 100,000 bytes",
        ),
        (pax(b"13 size=-700\n") + tarfile.TarInfo("b.png").tobuf(), "damaged: a file has a negative size"),
        (pax(b"1" * 90_000), NO_HEADER),
        (pax(b"2 " * 40_000 + b"="), NO_HEADER),
        (pax(b"4 a\n" * 20_000 + b"="), NO_HEADER),
    ],
)
def test_hostile_tar_header_is_not_read(header, reason, tmp_path, index, place):
    path = tmp_path / "root" / "a.tar"
    path.parent.mkdir()
    first = write_archive(tmp_path / "first.tar", {"a.png": small_png("red")}).read_bytes()[:1024]
    path.write_bytes(first + header + bytes(100_000))
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    assert failure_reasons(place) == {"root/a.tar": reason}


def test_members_are_ordered_as_in_their_archive(tmp_path):
    path = write_archive(tmp_path / "a.tgz", {"c.txt": b"c", "a.txt": b"a", "b.txt": b"b"})
    plain = write_text(tmp_path / "d.txt", "d")
    paths = [os.fsencode(path / name) for name in ("a.txt", "b.txt", "gone.txt", "c.txt")]
    turns = list(in_archive_order([os.fsencode(plain), None, *paths], lambda path: path))
    assert [item for item, _ in turns] == [
        os.fsencode(plain),
        None,
        paths[3],
        paths[0],
        paths[1],
        paths[2],
    ]
    assert [opener is None for _, opener in turns] == [True, True, False, False, False, False]
    for _, opener in turns[2:5]:
        opener().close()
    with pytest.raises(FileNotFoundError):
        turns[5][1]()


def test_similar_like_and_teach_take_images_in_archives(tmp_path, index, place, toy, folder):
    path = write_archive(tmp_path / "root" / "a.tgz", {**COLOR_IMAGES, "rose.png": small_png((250, 0, 10))})
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


def test_embed_files_takes_files_in_archives(tmp_path, toy):
    path = write_archive(tmp_path / "a.tar.xz", COLOR_IMAGES)
    files = [FileEntry(os.fsencode(path / name), 0, 0, "picture") for name in ("in/red.png", "in/none.png")]
    vectors, failures = embed_files(toy, files, lambda result, total: None)
    assert vectors[os.fsencode(path / "in/red.png")].image.round(2).tolist() == [1, 0, 0]
    assert [failure.path for failure in failures] == [path / "in" / "none.png"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_model_switch_embeds_archives_again(suffix, tmp_path, index, place):
    write_archive(tmp_path / "root" / f"a{suffix}", {**COLOR_IMAGES, "in/red.txt": b"red"})
    draw_image(tmp_path / "root" / "b.png", (9, 9, 9))
    index(tmp_path / "root", archives=True)
    result = switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert (result.embedded, result.waiting, result.answers) == (9, 0, True)
    assert verify_library(place).errors == []
    again = tmp_path / "again"
    update_library(
        [tmp_path / "root"], library=again, embedder=RotatedToyEmbedder(), options=IndexOptions(archives=True)
    )
    with (
        Library.open(place, embedder=RotatedToyEmbedder()) as switched,
        Library.open(again, embedder=RotatedToyEmbedder()) as fresh,
    ):
        hits = [(hit.path, round(hit.score, 4)) for hit in switched.search("red", count=20)]
        assert sorted(hits) == sorted((h.path, round(h.score, 4)) for h in fresh.search("red", count=20))


def test_model_switch_continues_after_a_file_that_fails(tmp_path, index, place, monkeypatch):
    write_archive(tmp_path / "root" / "a.tgz", {f"{n}.png": large_png(n) for n in range(9)})
    index(tmp_path / "root", archives=True, tiles=True)

    def fails(file, suffix, embedder):
        raise MediaError("damaged")

    monkeypatch.setitem(reader.DECODERS, "picture", fails)
    result = switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert (result.embedded, result.waiting) == (45, 9)


def test_duplicates_never_list_archive_members_for_deletion(tmp_path, clew, place, toy):
    write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    write_archive(tmp_path / "root" / "b.tar", {"red.png": small_png("red"), "again.png": small_png("red")})
    for name in ("long-name-of-red.png", "another-long-name.png"):
        (tmp_path / "root" / name).write_bytes(small_png("red"))
    update_library([tmp_path / "root"], library=place, embedder=toy, options=IndexOptions(archives=True))
    with Library.open(place, embedder=toy) as library:
        (group,) = library.duplicates(by="copy")
    assert len(group.files) == 5
    assert group.files[0].path == tmp_path / "root" / "long-name-of-red.png"
    assert [file.in_archive for file in group.files] == [False, False, True, True, True]
    result = clew("duplicates", "--by", "copy", "--paths")
    assert result.stdout.splitlines() == [str(tmp_path / "root" / "another-long-name.png")]
    os.utime(tmp_path / "root" / "a.zip", (1, 1))  # changed archives are left out
    with Library.open(place, embedder=toy) as library:
        assert len(library.duplicates(by="copy")[0].files) == 4


def test_command_line_shows_paths_in_archives(tmp_path, clew):
    write_archive(tmp_path / "root" / "a.zip", {"in/red.txt": b"a red rose"})
    encrypted = write_archive(tmp_path / "root" / "b.zip", {"x.png": small_png("red")})
    encrypt(encrypted, {b"x.png"})
    result = clew("index", tmp_path / "root", "--archives", "--model", "builtin", "--json")
    assert json.loads(result.stdout)["added"] == 1
    result = clew("search", "red rose", "--paths", "--all")
    assert result.stdout == f"{tmp_path}/root/a.zip/in/red.txt\n"
    assert result.stderr == ""
    assert clew("status", "--errors").stdout == f"{encrypted}\t1 file (x.png) skipped: encrypted\n"
    assert "1 file, 1 could not be read" in clew("status").stdout
    (tmp_path / "root" / "a.zip").unlink()
    assert "no longer exist" in clew("search", "red rose", "--paths", "--all").stderr
    assert json.loads(clew("index", "--json").stdout)["gone"] == 1


def test_file_that_needs_an_extra_is_retried(tmp_path, index, place, monkeypatch):
    path = write_archive(tmp_path / "root" / "a.zip", {"a.png": small_png("red"), "b.txt": b"red"})
    good = reader.DECODERS["picture"]

    def lacking(file, suffix, embedder):
        raise ExtraMissing("PNG", "png")

    monkeypatch.setitem(reader.DECODERS, "picture", lacking)
    assert counts(index(tmp_path / "root", archives=True)) == {"added": 1, "failed": 1}
    monkeypatch.setitem(reader.DECODERS, "picture", good)
    assert counts(index()) == {"updated": 1, "unchanged": 1}
    assert counts(index()) == {"unchanged": 2}
    assert path / "a.png" in {tmp_path / name for name in search_scores(place)}


def test_subfolder_scan_leaves_other_archives(tmp_path, index, place):
    write_archive(tmp_path / "root" / "a" / "a.zip", {"a.png": small_png("red")})
    write_archive(tmp_path / "root" / "b" / "b.zip", {"b.png": small_png("green")})
    index(tmp_path / "root", archives=True)
    (tmp_path / "root" / "a" / "a.zip").unlink()
    (tmp_path / "root" / "b" / "b.zip").unlink()
    assert counts(index(tmp_path / "root" / "a")) == {"gone": 1}
    assert counts(index()) == {"gone": 1}


def test_scan_of_some_files_keeps_all_archives(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.zip", {"a.png": small_png("red"), "b.7z": b""})
    write_archive(tmp_path / "root" / "b" / "b.zip", {"c.zip": b""})
    index(tmp_path / "root", archives=True)
    with LibraryWriter(place, lambda space: ToyEmbedder()) as writer:
        before = writer.catalog.archive_stats()
        for heads in (frozenset(), frozenset({b"a"})):
            beside = writer.roots.target_at(os.fsencode(path.parent), recursive=False)._replace(
                name_stems=heads
            )
            IndexRun(writer).scan([beside])
        assert writer.catalog.archive_stats() == before and len(before) == 2
    assert list(failure_reasons(place)) == ["root/b/b.zip"]


def test_incomplete_archive_is_read_by_a_later_run(tmp_path, index, place, toy):
    path = write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    with LibraryWriter(place, lambda space: toy) as writer:
        early = update_folders(
            writer, [path.parent], IndexOptions(archives=True), should_read=lambda root_path, entry: False
        )
    assert counts(early) == {}
    assert counts(index()) == {"added": 7}


def test_killed_runs_over_archives_lose_nothing(tmp_path):
    files = {f"{n:04d}.png": small_png((n % 256, n // 2, 7)) for n in range(80)}
    files |= {f"{n:04d}.txt": f"red {n}".encode() for n in range(0, 80, 4)}
    root, place = tmp_path / "root", tmp_path / "library"
    write_archive(root / "a.tar.gz", files)
    write_archive(
        root / "b.zip", {f"b-{name}": data + b"\0" for name, data in files.items() if name.endswith("png")}
    )
    update_library(
        [root], library=tmp_path / "whole", embedder=ToyEmbedder(), options=IndexOptions(archives=True)
    )
    everything = committed_segments(tmp_path / "whole")
    kills, rng = 0, random.Random(5)
    while kills < 3:
        before = committed_segments(place)
        child = start_index_process(root, place, "archives")
        kills += kill_index_process(child, max(0.0, rng.uniform(-0.2, 1)))
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


NUMBERED_IMAGES = {f"{number}.png": small_png((number, 255 - number, 7)) for number in range(120)}


@pytest.mark.parametrize("length", [0, 10, 0.5, -1])
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_damaged_archive_keeps_its_known_files(suffix, length, tmp_path, index, place, toy):
    path = write_archive(tmp_path / "root" / f"a{suffix}", NUMBERED_IMAGES)
    complete = path.read_bytes()
    index(tmp_path / "root", archives=True)
    path.write_bytes(complete[: int(len(complete) * length) if isinstance(length, float) else length])
    report = index()
    assert (report.gone, report.offline) == (0, 0)
    assert report.unchanged + report.updated == 120
    if length != -1 or suffix == ".zip":  # a tar without its last zero byte is complete
        assert any(f"Cannot read {path}" in note for note in report.notes)
        assert f"root/a{suffix}" in failure_reasons(place)
    assert index().gone == 0
    assert forget(library=place, purge=True) == (0, 0)
    path.write_bytes(complete)
    report = index()
    assert (report.gone, report.offline, report.unchanged + report.updated) == (0, 0, 120)
    assert failure_reasons(place) == {}


def test_tar_that_ends_between_two_files_keeps_its_known_files(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.tar", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    path.write_bytes(path.read_bytes()[:2_048])  # two files of a header and a block
    report = index()
    assert (report.gone, report.unchanged + report.updated) == (0, 7)
    assert "no end-of-archive marker" in failure_reasons(place)["root/a.tar"]


def test_members_that_cannot_be_opened_now_are_kept(tmp_path, index, place):
    path = write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    data = bytearray(path.read_bytes())
    flags = data.index(b"PK\x01\x02") + 8
    data[flags] |= 1  # encrypted
    path.write_bytes(data)
    report = index()
    assert (report.gone, report.offline, report.unchanged) == (0, 0, 7)
    assert len(search_scores(place)) == 7


def test_many_files_missing_from_an_archive_are_offline_until_confirmed(tmp_path, index):
    path = write_archive(tmp_path / "root" / "a.zip", NUMBERED_IMAGES)
    index(tmp_path / "root", archives=True)
    write_archive(path, dict(list(NUMBERED_IMAGES.items())[:10]), mtime=1_700_000_900)  # also of its files
    assert counts(index()) == {"updated": 10, "offline": 110}
    assert counts(index(confirm_gone=True)) == {"unchanged": 10, "gone": 110}


def test_exclusions_in_an_archive_need_no_confirmation(tmp_path, index):
    write_archive(tmp_path / "root" / "a.zip", NUMBERED_IMAGES)
    index(tmp_path / "root", archives=True)
    assert counts(index(tmp_path / "root", exclude=["*.png"])) == {"gone": 120}


def test_archive_that_is_being_written_is_not_opened(tmp_path, index, place, toy):
    path = write_archive(tmp_path / "root" / "a.zip", COLOR_IMAGES)
    index(tmp_path / "root", archives=True)
    write_archive(path, {"new.png": small_png("red")}, mtime=1_700_000_900)
    with LibraryWriter(place, lambda space: toy) as writer:
        run = IndexRun(writer, should_read=lambda root, entry: entry.path != b"a.zip")
        run.scan(writer.roots.all())
    assert counts(run.report) == {"unchanged": 7}
    assert counts(index()) == {"gone": 6, "moved": 1}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_tables_in_an_archive_are_found(suffix, tmp_path, index, place, toy):
    files = {
        "prices.csv": b"item,price\nlawnmower,12\n",
        "a.png": b"",
        "captions.jsonl": b'{"image": "a.png"}\n',
    }
    write_archive(
        tmp_path / "root" / f"a{suffix}", files | {"captions.csv": b"image,caption\na.png,red sea\n"}
    )
    report = index(tmp_path / "root", archives=True)
    assert (report.added, report.failed, report.skipped[".jsonl"]) == (2, 1, 1)  # a.png is no image
    assert hit_names(place, toy, "lawnmower")[0] == "prices.csv"
    assert hit_names(place, toy, "sea")[0] == "captions.csv"
    assert verify_library(place).errors == []
