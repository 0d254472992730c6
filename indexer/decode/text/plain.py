"""Decoder of plain text and Markdown."""

from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.chunking import PassageLimit
from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError

DOCUMENT_PREFIXES = ("%PDF-", "{\\rtf")  # of document formats that consist of text


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split a text file into passages with their lines."""
    text = read_text(file, context.limits.max_text_bytes)
    if text.startswith(DOCUMENT_PREFIXES):
        raise MediaError("not plain text")
    limit, passages = PassageLimit(context.limits), context.chunker.passages(text)
    drafts = limit.take(SegmentDraft("text", text=p.text, start=p.start, end=p.end) for p in passages)
    return DecodedFile(drafts, note=limit.note)


def read_text(file: BinaryIO, max_bytes: int) -> str:
    """Return a file as text in its detected encoding; raises MediaError if it is none or too large."""
    return decode_text(read_bytes(file, max_bytes))


def read_bytes(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the bytes of a file; raises MediaError if there are more than `max_bytes`."""
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise MediaError(f"text of more than {max_bytes:,} bytes")
    return data
