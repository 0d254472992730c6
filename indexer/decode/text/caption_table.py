"""A table of captions: a segment for each, which belongs to the picture that its row names."""

import os
from functools import lru_cache
from typing import BinaryIO

from indexer.decode.base import Decoded, Draft
from indexer.decode.text.caption_rows import EXPECTED, rows
from indexer.decode.text.chunking import WORDS, split
from indexer.decode.text.plain import read_text
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError

MOST_CAPTIONS = 200_000
LONGEST = 4_000  # bytes of a path


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Return the captions with their line and the path, from the table's folder, of their picture."""
    drafts = list[Draft]()
    note, tokens = None, lru_cache(WORDS)(embedder.count_tokens)
    for line, picture, captions in rows(read_text(file), suffix):
        path = os.fsencode(picture.encode("utf-8", "replace").decode().replace("\0", "")).replace(b"\\", b"/")
        if len(path) > LONGEST:
            continue
        for caption in captions:
            drafts += [
                Draft("text", text=passage.text, start=line, end=line, picture=path)
                for passage in split(caption, tokens, embedder.max_tokens)
            ]
        if len(drafts) >= MOST_CAPTIONS:
            note = f"the first {MOST_CAPTIONS:,} captions are read, which is the limit"
            break
    if not drafts:
        raise MediaError(EXPECTED)
    return Decoded(drafts, note=note)
