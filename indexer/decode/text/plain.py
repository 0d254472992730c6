"""Plain text and Markdown: passages, each with its lines."""

from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError

MAX_TEXT_BYTES = 50_000_000  # bytes
DOCUMENT_PREFIXES = ("%PDF-", "{\\rtf")  # how documents begin that are letters throughout


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split a text file into passages."""
    text = read_text(file)
    if text.startswith(DOCUMENT_PREFIXES):
        raise MediaError("not plain text")
    passages = context.chunker.passages(text)
    return DecodedFile([SegmentDraft("text", text=p.text, start=p.start, end=p.end) for p in passages])


def read_text(file: BinaryIO) -> str:
    """Return the file as text: by its byte order mark, as UTF-8, or as Windows-1252; raises MediaError."""
    return decode_text(read_bytes(file))


def read_bytes(file: BinaryIO, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return all of a file that holds text; raises MediaError where that is more than any text."""
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise MediaError(f"text of more than {max_bytes:,} bytes")
    return data
