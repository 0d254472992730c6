"""Read and write shards: a Parquet file with a row for each segment of some files.

A file without segments, or that failed, is one row. Equal rows make equal bytes: the compression, the size of
row groups and the order are fixed, and no time is written. Each page has a checksum. The vectors are a
`fixed_size_list<float16>`, and the other columns are plain ones, so that an engine can read them in place.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.store.writer import FileChunk
from indexer.types import FileEntry
from retrieval.errors import QueryError, first_line
from retrieval.export.files import import_pyarrow
from retrieval.types import MediaProperties

if TYPE_CHECKING:
    import pyarrow

FORMAT = "1"  # of shards
GROUP_ROWS = 1_000  # of a row group
ZSTD_LEVEL = 3
SEGMENT_COLUMNS = {  # name -> type in pyarrow
    "kind": "string",
    "ordinal": "int32",  # of the segment in its file
    "text": "string",
    "start": "float64",  # seconds, or the line of a text
    "end": "float64",
    "page": "int32",
    "left": "int32",  # of the box, in pixels
    "top": "int32",
    "width": "int32",
    "height": "int32",
    "caption_target": "binary",
    "thumbnail": "binary",  # WebP
}
FILE_COLUMNS = {
    "path": "string",  # complete, or a URL
    "file": "binary",  # path under the root
    "size": "int64",
    "mtime": "int64",  # nanoseconds
    "ctime": "int64",
    "decoder": "string",
    "sidecar_of": "binary",
    "hash": "binary",  # SHA-256; null for a file that failed
    "properties": "string",  # JSON of MediaProperties
    "note": "string",  # on the parts that were left out
    "assumption": "string",
    "error": "string",  # why the file could not be read
    "transient": "bool_",
}
COLUMNS = SEGMENT_COLUMNS | FILE_COLUMNS
REPEATED_COLUMNS = [
    name for name, type_ in COLUMNS.items() if type_ in ("string", "binary") and name != "thumbnail"
]
FILTERED_COLUMNS = ["kind", "start", "end", "page", "path", "size", "mtime"]  # with statistics
BOX = ("left", "top", "width", "height")
Row = dict[str, Any]


class ShardDamaged(QueryError):
    """A shard that cannot be read; without it, its run writes it again."""


def write_shard(
    file: Path, chunks: Iterable[FileChunk], root: bytes, dim: int, metadata: Mapping[str, bytes]
) -> None:
    """Write the chunks of files under a root. Raises OSError, and ExtraMissing without pyarrow."""
    pa = import_pyarrow()
    names = [(name, getattr(pa, type_)()) for name, type_ in COLUMNS.items()]
    fields = [("vector", pa.list_(pa.float16(), dim)), *names]
    schema = pa.schema(fields, metadata={"root": root, **metadata})
    rows = (row for chunk in chunks for row in _rows(chunk, root))
    with pa.parquet.ParquetWriter(
        file,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=REPEATED_COLUMNS,
        write_statistics=FILTERED_COLUMNS,
        write_page_checksum=True,
    ) as writer:
        while group := list(islice(rows, GROUP_ROWS)):
            writer.write_batch(_record_batch(pa, schema, group, dim), row_group_size=GROUP_ROWS)


def _rows(chunk: FileChunk, root: bytes) -> Iterator[Row]:
    """Yield a row for each segment of a chunk; one without segment for a file that has none."""
    shared = _file_fields(chunk.read_result, root)
    for at, draft in enumerate(chunk.drafts):
        vector = chunk.vectors[at].astype(np.float16) if draft.has_vector else None
        is_first = chunk.first_ordinal + at == 0
        yield {
            **shared,
            "properties": shared["properties"] if is_first else None,
            "vector": vector,
            "ordinal": chunk.first_ordinal + at,
            "kind": draft.kind,
            "text": draft.text,
            "start": draft.start,
            "end": draft.end,
            "page": draft.page,
            **dict(zip(BOX, draft.box or (), strict=False)),
            "caption_target": draft.caption_target,
            "thumbnail": draft.thumbnail,
        }
    if not chunk.drafts and (chunk.first_ordinal == 0 or chunk.read_result.error is not None):
        yield shared


def _file_fields(read: ReadResult, root: bytes) -> Row:
    entry, decoded = read.entry, read.decoded
    properties = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in asdict(decoded.properties).items()
        if value not in (None, ())
    }
    path = os.fsdecode(os.path.join(root, entry.path)).encode("utf-8", "backslashreplace").decode()
    return {
        **{"path": path, "file": entry.path, "size": entry.size, "mtime": entry.mtime, "ctime": entry.ctime},
        "decoder": entry.decoder,
        "sidecar_of": entry.sidecar_of,
        "hash": read.digest or None,
        "properties": json.dumps(properties, sort_keys=True),
        "note": decoded.note,
        "assumption": decoded.assumption,
        "error": read.error,
        "transient": read.transient,
    }


def _record_batch(pa: Any, schema: "pyarrow.Schema", rows: Sequence[Row], dim: int) -> "pyarrow.RecordBatch":
    vectors = [row.get("vector") for row in rows]
    flat = np.zeros((len(rows), dim), np.float16)
    for at, vector in enumerate(vectors):
        if vector is not None:
            flat[at] = vector
    mask = pa.array([vector is None for vector in vectors])
    arrays = [pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), dim, mask=mask)]
    arrays += [pa.array([row.get(name) for row in rows], schema.field(name).type) for name in COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def read_metadata(file: Path) -> dict[str, bytes]:
    """Return the metadata of a shard. Raises ShardDamaged, and QueryError if it is no shard."""
    pa = import_pyarrow()
    try:
        with pa.parquet.ParquetFile(file) as opened:
            metadata = opened.schema_arrow.metadata or {}
            names = opened.schema_arrow.names
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ShardDamaged(f"Cannot read the shard {file.name}: {first_line(error)}.") from error
    if metadata.get(b"format") != FORMAT.encode() or names != ["vector", *COLUMNS]:
        raise QueryError(f"{file.name} is not a shard of this version of clew.")
    return {key.decode(): value for key, value in metadata.items()}


def read_shard(file: Path) -> Iterator[ReadResult]:
    """Yield the files of a shard; their drafts have their vectors. Raises ShardDamaged."""
    pa = import_pyarrow()
    try:
        with pa.parquet.ParquetFile(file, page_checksum_verification=True) as opened:
            rows = (row for batch in opened.iter_batches(GROUP_ROWS) for row in _batch_rows(batch))
            for _, group in groupby(rows, key=lambda row: (row["file"], row["decoder"])):
                yield _read_result(list(group))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ShardDamaged(f"The shard {file.name} is damaged: {first_line(error)}.") from error


def _batch_rows(batch: "pyarrow.RecordBatch") -> Iterator[Row]:
    column = batch.column("vector")
    vectors = iter(column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size))
    for row, valid in zip(
        batch.select(list(COLUMNS)).to_pylist(), column.is_valid().to_pylist(), strict=True
    ):
        yield {**row, "vector": next(vectors).astype(np.float32) if valid else None}


def _read_result(rows: Sequence[Row]) -> ReadResult:
    """Return a file from its rows; a segment that was not embedded has a text, or nothing."""
    first, last = rows[0], rows[-1]
    entry = FileEntry(
        first["file"], first["size"], first["mtime"], first["decoder"], first["sidecar_of"], first["ctime"]
    )
    if last["error"] is not None:  # segments before it are those of a file that failed later
        return ReadResult(entry, error=last["error"], transient=last["transient"])
    drafts = [_draft(row) for row in rows if row["ordinal"] is not None]
    properties = _properties(first["properties"] or "{}")
    decoded = DecodedFile(drafts, properties, first["note"], first["assumption"])
    return ReadResult(entry, first["hash"], decoded)


def _draft(row: Row) -> SegmentDraft:
    return SegmentDraft(
        kind=row["kind"],
        text=row["text"],
        start=row["start"],
        end=row["end"],
        page=row["page"],
        box=None if row["left"] is None else (row["left"], row["top"], row["width"], row["height"]),
        vector=row["vector"],
        thumbnail=row["thumbnail"],
        caption_target=row["caption_target"],
    )


def _properties(text: str) -> MediaProperties:
    fields = json.loads(text)
    if "perceptual_hash" in fields:
        fields["perceptual_hash"] = bytes.fromhex(fields["perceptual_hash"])
    return MediaProperties(**{**fields, "keywords": tuple(fields.get("keywords", ()))})
