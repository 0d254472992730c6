"""A file that is written while it is read gives nothing under its old hash."""

import hashlib
import os
from time import sleep, time_ns
from types import SimpleNamespace

import pytest

from indexer.decode import reader
from indexer.decode.context import DecodeContext
from indexer.decode.reader import read_file, redecode
from indexer.enrich.tiles import redecode_tiles
from indexer.types import FileEntry
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import ToyEmbedder


@pytest.fixture
def overwrite_after_hash(monkeypatch):
    """Return a function that makes the next reading write other bytes after the hash is computed."""
    original, pending = reader._hash, list[tuple]()

    def hash_and_write(*args):
        digest = original(*args)
        if pending:
            path, data, keep_time = pending.pop()
            status = path.stat()
            path.write_bytes(data)
            if keep_time:
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return digest

    monkeypatch.setattr(reader, "_hash", hash_and_write)
    return lambda *args: pending.append(args)


@pytest.mark.parametrize("keep_time", [False, True])
@pytest.mark.parametrize("decode_again", ["redecode", "redecode_tiles"])
def test_file_that_is_written_while_it_is_decoded_again_gives_nothing(
    decode_again, keep_time, tmp_path, overwrite_after_hash
):
    path, other = draw_image(tmp_path / "a.png", "red", (200, 160)), tmp_path / "b.png"
    digest = hashlib.sha256(path.read_bytes()).digest()
    data = draw_image(other, "blue", (200, 160)).read_bytes()
    size = max(len(data), path.stat().st_size)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    digest = hashlib.sha256(path.read_bytes()).digest()
    context = DecodeContext(ToyEmbedder())

    def decode():
        if decode_again == "redecode":
            return redecode(digest, "picture", os.fsencode(path), context)
        return redecode_tiles(digest, os.fsencode(path), context)

    assert decode()
    overwrite_after_hash(path, data.ljust(size, b"\0"), keep_time)
    assert decode() is None


@pytest.mark.parametrize("keep_time", [False, True])
def test_file_that_is_written_while_it_is_read_is_read_again(tmp_path, overwrite_after_hash, keep_time):
    path = write_text(tmp_path / "a.txt", "red")
    overwrite_after_hash(path, b"sea", keep_time)
    entry = FileEntry(b"a.txt", 0, 0, "text")
    result = read_file(os.fsencode(tmp_path), entry, DecodeContext(ToyEmbedder()), lambda *_: False)
    assert [draft.text for draft in result.decoded.drafts] == ["sea"]
    assert result.digest == hashlib.sha256(b"sea").digest()


@pytest.fixture
def coarse_times(monkeypatch):
    """Let files have times in steps of 10 ms, as on Linux before 6.13."""
    fstat, tick = os.fstat, 10_000_000

    def coarse_fstat(handle):
        status = fstat(handle)
        times = status.st_mtime_ns // tick * tick, status.st_ctime_ns // tick * tick
        return SimpleNamespace(
            st_mode=status.st_mode, st_size=status.st_size, st_mtime_ns=times[0], st_ctime_ns=times[1]
        )

    monkeypatch.setattr(os, "fstat", coarse_fstat)


def wait_for_tick() -> None:
    """Return at the start of a step of 10 ms, so that all of a short test is in it."""
    while time_ns() % 10_000_000 > 1_000_000:
        sleep(0.0002)


@pytest.mark.usefixtures("coarse_times")
def test_file_that_is_written_again_within_a_clock_tick_is_read_again(tmp_path, overwrite_after_hash):
    wait_for_tick()
    path = write_text(tmp_path / "a.txt", "red")
    overwrite_after_hash(path, b"sea", False)
    entry = FileEntry(b"a.txt", 0, 0, "text")
    result = read_file(os.fsencode(tmp_path), entry, DecodeContext(ToyEmbedder()), lambda *_: False)
    assert [draft.text for draft in result.decoded.drafts] == ["sea"]
    assert result.digest == hashlib.sha256(b"sea").digest()


@pytest.mark.usefixtures("coarse_times")
def test_file_that_is_written_within_a_clock_tick_is_not_decoded_again(tmp_path, overwrite_after_hash):
    wait_for_tick()
    path = write_text(tmp_path / "a.txt", "red")
    overwrite_after_hash(path, b"sea", False)
    digest, context = hashlib.sha256(b"red").digest(), DecodeContext(ToyEmbedder())
    assert redecode(digest, "text", os.fsencode(path), context) is None
