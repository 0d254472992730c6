"""Decoder of caption tables, whose segments belong to the images that the rows name."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.caption_rows import NO_CAPTIONS, CaptionRow, caption_rows
from indexer.decode.text.chunking import PassageLimit
from indexer.decode.text.plain import read_text
from retrieval.errors import MediaError
from retrieval.normalization import without_surrogates

MAX_PATH_BYTES = 4_000


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the captions with their line and the path of their image, relative to the table."""
    decoded = read_text(file, context)
    rows = caption_rows(decoded.text, suffix)
    limit = PassageLimit(context.limits)
    drafts = limit.take(draft for row in rows for draft in _row_drafts(row, context))
    if not drafts:
        raise MediaError(NO_CAPTIONS)
    return DecodedFile(drafts, note=limit.note, assumption=decoded.assumption)


def _row_drafts(row: CaptionRow, context: DecodeContext) -> Iterator[SegmentDraft]:
    """Yield the segments of the captions in a row."""
    line, image, captions = row
    path = os.fsencode(without_surrogates(image).replace("\0", "")).replace(b"\\", b"/")
    if len(path) <= MAX_PATH_BYTES:
        for caption in captions:
            yield from context.chunker.drafts(caption, start=line, end=line, caption_target=path)
