"""Plain text and Markdown: passages, each with its lines."""

from typing import BinaryIO

from indexer.decode.base import Decoded, Draft
from indexer.decode.text.chunking import split
from indexer.decode.text.encoding import decode_text
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError

LIMIT = 50_000_000  # bytes
MARKUP = ("%PDF-", "{\\rtf")  # how documents begin that are letters throughout


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Split a text file into passages."""
    text = read_text(file)
    if text.startswith(MARKUP):
        raise MediaError("not plain text")
    passages = split(text, embedder.count_tokens, embedder.max_tokens)
    return Decoded([Draft("text", text=p.text, start=p.start, end=p.end) for p in passages])


def read_text(file: BinaryIO) -> str:
    """Return the file as text: by its byte order mark, as UTF-8, or as Windows-1252; raises MediaError."""
    return decode_text(read_bytes(file))


def read_bytes(file: BinaryIO, limit: int = LIMIT) -> bytes:
    """Return all of a file that holds text; raises MediaError where that is more than any text."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise MediaError(f"text of more than {limit:,} bytes")
    return data
