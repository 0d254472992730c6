"""Decoder of web pages, alone or in a MIME archive: passages of their visible text."""

import re
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.documents.html_text import Paragraph, extract_paragraphs
from indexer.decode.text.chunking import Chunker, PassageLimit
from indexer.decode.text.encoding import decode_text
from indexer.decode.text.plain import read_bytes
from retrieval.errors import MediaError

CHARSET_DECLARATION = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.I)


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split the visible text into passages with their lines in the source."""
    data = read_bytes(file, context.limits.max_html_bytes)
    html = (
        _extract_mhtml_page(data)
        if suffix in (".mht", ".mhtml")
        else decode_text(data, declared_charset(data))
    )
    paragraphs = extract_paragraphs(html.replace("\r\n", "\n").replace("\r", "\n"))
    limit = PassageLimit(context.limits)
    drafts = limit.take(split_paragraphs(paragraphs, context.chunker))
    if not drafts:
        raise MediaError("no text in it")
    return DecodedFile(drafts, note=limit.note)


def split_paragraphs(paragraphs: Iterable[Paragraph], chunker: Chunker) -> Iterator[SegmentDraft]:
    """Split paragraphs into passages with their lines."""
    for text, line in paragraphs:
        for part in chunker.passages(text):
            yield SegmentDraft("text", text=part.text, start=line + part.start - 1, end=line + part.end - 1)


def declared_charset(data: bytes) -> str | None:
    """Return the encoding that a page declares near its start, if any."""
    match = CHARSET_DECLARATION.search(data[:4096])
    return None if match is None else match[1].decode()


def _extract_mhtml_page(data: bytes) -> str:
    """Return the first HTML part of a MIME archive (.mhtml)."""
    try:
        pages = (part for part in message_from_bytes(data).walk() if part.get_content_type() == "text/html")
        page = next(pages, None)
        body = None if page is None else page.get_payload(decode=True)
        charset = None if page is None else page.get_content_charset()
    except (RecursionError, ValueError, LookupError) as error:
        raise MediaError(f"damaged: {error}") from error
    if not isinstance(body, bytes):
        raise MediaError("no web page in it")
    return decode_text(body, charset or declared_charset(body))
