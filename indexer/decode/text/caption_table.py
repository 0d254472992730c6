"""A table of captions: a segment for each, which belongs to the picture that its row names."""

import os
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.caption_rows import NO_CAPTIONS, caption_rows
from indexer.decode.text.plain import read_text
from retrieval.errors import MediaError

MAX_CAPTIONS = 200_000
MAX_PATH_BYTES = 4_000  # bytes of a path


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the captions with their line and the path, from the table's folder, of their picture."""
    drafts = list[SegmentDraft]()
    note = None
    for line, picture, captions in caption_rows(read_text(file), suffix):
        path = os.fsencode(picture.encode("utf-8", "replace").decode().replace("\0", "")).replace(b"\\", b"/")
        if len(path) > MAX_PATH_BYTES:
            continue
        for caption in captions:
            drafts += context.chunker.drafts(caption, start=line, end=line, caption_target=path)
        if len(drafts) >= MAX_CAPTIONS:
            note = f"the first {MAX_CAPTIONS:,} captions are read, which is the limit"
            break
    if not drafts:
        raise MediaError(NO_CAPTIONS)
    return DecodedFile(drafts, note=note)
