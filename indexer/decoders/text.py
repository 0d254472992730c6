"""Plain text and Markdown: passages, each with its lines."""

from typing import BinaryIO

from indexer.decoders import Decoded, Draft
from indexer.passages import split
from retrieval.embedders import Embedder
from retrieval.errors import MediaError

LIMIT = 50_000_000  # bytes


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Split a text file into passages."""
    passages = split(read_text(file), embedder.tokens, embedder.context)
    return Decoded([Draft("text", text=p.text, start=p.start, end=p.end) for p in passages])


def read_text(file: BinaryIO) -> str:
    """Return the file as text: by its byte order mark, as UTF-8, or as Windows-1252; raises MediaError."""
    data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise MediaError(f"text of more than {LIMIT:,} bytes")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise MediaError("not text: it holds zero bytes")
    return text
