"""Shards contain what was decoded and embedded, and damage is found."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.distributed.shard_file import COLUMNS, read_metadata, read_shard, write_shard
from indexer.store.writer import FileChunk
from indexer.types import FileEntry
from retrieval.errors import QueryError
from retrieval.types import MediaProperties

METADATA = {"format": b"1", "model": b"toy", "fingerprint": b"f"}
PHOTO = ReadResult(
    FileEntry(b"caf\xe9.jpg", 5, -7, "picture", None, 8),
    b"h" * 32,
    DecodedFile(
        [
            SegmentDraft("image", pixels=np.zeros((4, 4, 3), np.uint8), thumbnail=b"webp"),
            SegmentDraft("image", text=None, pixels=np.zeros((4, 4, 3), np.uint8), box=(1, 2, 3, 4)),
            SegmentDraft("text", text="a\x00b", start=1.0, end=2.5, page=3, caption_target=b"x\xff.jpg"),
        ],
        MediaProperties(width=7, taken="2024-05-01T00:00:00", keywords=("b",), perceptual_hash=b"\xff" * 8),
        "cut short",
        "UTF-8",
    ),
)
SILENT = ReadResult(FileEntry(b"a.mp3", 1, 2, "sound"), b"s" * 32, DecodedFile([SegmentDraft("audio")]))
EMPTY = ReadResult(FileEntry(b"b.txt", 0, 2, "caption", b"b.png"), b"e" * 32)
FAILED = ReadResult(FileEntry(b"c.png", 1, 2, "picture"), error="damaged", transient=True)
VECTORS = np.array([[1, 0, 0], [0, 0.6, 0.8], [0, 0, 0]], np.float32)


def chunk(read, vectors=None):
    rows = np.zeros((len(read.decoded.drafts), 3), np.float32) if vectors is None else vectors
    return FileChunk(read, read.decoded.drafts, vectors=rows)


def write(path, *chunks):
    write_shard(path, chunks, b"/m\xe9dia", 3, METADATA)
    return path


@pytest.fixture
def shard(tmp_path):
    return write(tmp_path / "a.parquet", chunk(PHOTO, VECTORS), chunk(SILENT), chunk(EMPTY), chunk(FAILED))


def test_shard_returns_the_files_and_their_vectors(shard):
    photo, silent, empty, failed = read_shard(shard)
    stored = [replace(draft, pixels=None, vector=None) for draft in PHOTO.decoded.drafts]
    assert [replace(draft, vector=None) for draft in photo.decoded.drafts] == stored
    np.testing.assert_array_equal(
        np.stack([draft.vector for draft in photo.decoded.drafts]), VECTORS.astype(np.float16)
    )
    assert replace(photo, decoded=replace(photo.decoded, drafts=[])) == replace(
        PHOTO, decoded=replace(PHOTO.decoded, drafts=[])
    )
    assert (silent, empty, failed) == (SILENT, EMPTY, FAILED)
    assert not silent.decoded.drafts[0].has_vector


def test_shard_has_a_fixed_size_list_of_float16_and_plain_columns(shard):
    schema = pyarrow.parquet.read_schema(shard)
    assert str(schema.field("vector").type) == "fixed_size_list<element: halffloat>[3]"
    assert schema.names == ["vector", *COLUMNS]
    table = pyarrow.parquet.read_table(shard)
    assert table["path"].to_pylist()[0] == "/m\\udce9dia/caf\\udce9.jpg"
    assert table["kind"].to_pylist() == ["image", "image", "text", "audio", None, None]
    assert table["vector"].null_count == 3
    metadata = read_metadata(shard)
    assert (metadata["root"], metadata["model"], metadata["fingerprint"]) == (b"/m\xe9dia", b"toy", b"f")


def test_equal_files_make_equal_bytes(shard, tmp_path):
    again = write(tmp_path / "b.parquet", chunk(PHOTO, VECTORS), chunk(SILENT), chunk(EMPTY), chunk(FAILED))
    assert again.read_bytes() == shard.read_bytes()


def test_large_file_in_chunks_is_one_file_and_fails_as_a_whole(tmp_path):
    drafts = [SegmentDraft("text", text=str(number)) for number in range(2_500)]
    read = ReadResult(
        FileEntry(b"t.txt", 1, 2, "text"), b"t" * 32, DecodedFile(drafts, MediaProperties(width=1))
    )
    vectors = np.tile(np.array([1, 0, 0], np.float32), (1_500, 1))
    first = FileChunk(read, drafts[:1_500], 0, False, vectors)
    path = write(tmp_path / "a.parquet", first, FileChunk(read, drafts[1_500:], 1_500, True, vectors[:1_000]))
    (found,) = read_shard(path)
    assert [draft.text for draft in found.decoded.drafts] == [str(number) for number in range(2_500)]
    assert found.decoded.properties == MediaProperties(width=1)
    failure = FileChunk(ReadResult(read.entry, error="the model fails"), (), 1_500)
    assert list(read_shard(write(tmp_path / "b.parquet", first, failure))) == [
        ReadResult(read.entry, error="the model fails")
    ]


def test_damaged_shard_is_refused(shard):
    data = bytearray(shard.read_bytes())
    at = data.index(b"webp")
    data[at] ^= 1
    shard.write_bytes(data)
    read_metadata(shard)
    with pytest.raises(QueryError, match="is damaged"):
        list(read_shard(shard))
    shard.write_bytes(data[: len(data) // 2])
    with pytest.raises(QueryError, match="Cannot read the shard"):
        read_metadata(shard)


def test_other_parquet_file_is_refused(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"vector": [1]}), tmp_path / "a.parquet")
    with pytest.raises(QueryError, match="not a shard"):
        read_metadata(tmp_path / "a.parquet")
