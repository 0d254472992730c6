"""Decoder of caption tables, whose segments belong to the images that the rows name."""

import os
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.caption_rows import NO_CAPTIONS, caption_rows
from indexer.decode.text.plain import read_text
from retrieval.errors import MediaError

MAX_PATH_BYTES = 4_000


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the captions with their line and the path of their image, relative to the table."""
    drafts, limits = list[SegmentDraft](), context.limits
    note = None
    for line, image, captions in caption_rows(read_text(file, limits.max_text_bytes), suffix):
        path = os.fsencode(image.encode("utf-8", "replace").decode().replace("\0", "")).replace(b"\\", b"/")
        if len(path) > MAX_PATH_BYTES:
            continue
        for caption in captions:
            drafts += context.chunker.drafts(caption, start=line, end=line, caption_target=path)
        if len(drafts) >= limits.max_captions:
            note = f"only the first {limits.max_captions:,} captions are read (the limit)"
            break
    if not drafts:
        raise MediaError(NO_CAPTIONS)
    return DecodedFile(drafts, note=note)
