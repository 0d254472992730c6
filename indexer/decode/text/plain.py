"""Decoder of plain text and Markdown, of tables without captions, and of calendars."""

import re
from dataclasses import replace
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.registry import SOURCE_SUFFIXES
from indexer.decode.text.chunking import PassageLimit, split_lines
from indexer.decode.text.encoding import DecodedText, detect_and_decode
from indexer.decode.text.records import (
    CALENDAR_SUFFIXES,
    TABLE_SUFFIXES,
    calendar_records,
    table_records,
)
from retrieval.errors import MediaError
from retrieval.media.limits import DecodeLimits

JSON_SUFFIXES = (".json", ".json5")
JSON_ESCAPES = re.compile(r"""((?:\\u[0-9a-fA-F]{4})+)|\\(["\\/bfnrt])""")
LINE_BREAKS_AND_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
DOCUMENT_PREFIXES = ("%PDF-", "{\\rtf")  # of document formats that consist of text


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split a text file into passages with their lines."""
    decoded = read_text(file, context)
    text, assumption = decoded.text, decoded.assumption
    if text.startswith(DOCUMENT_PREFIXES):
        raise MediaError("not plain text")
    if suffix in TABLE_SUFFIXES or suffix in CALENDAR_SUFFIXES:
        return replace(_decode_records(text, suffix, context), assumption=assumption)
    if suffix in JSON_SUFFIXES:
        text = JSON_ESCAPES.sub(_unescape_json, text)
    limit = PassageLimit(context.limits, _max_passages(text, suffix, context.limits))
    passages = context.chunker.passages(text)
    drafts = limit.take(SegmentDraft("text", text=p.text, start=p.start, end=p.end) for p in passages)
    return DecodedFile(drafts, note=limit.note, assumption=assumption)


def _unescape_json(escape: re.Match[str]) -> str:
    """Return the characters of escapes (RFC 8259, 7); line breaks are spaces, so that lines keep numbers."""
    if escape[2]:
        return escape[2] if escape[2] in '"\\/' else " "
    units = bytes.fromhex(escape[1].replace("\\u", ""))
    return LINE_BREAKS_AND_CONTROLS.sub(" ", units.decode("utf-16-be", "replace"))


def _max_passages(text: str, suffix: str, limits: DecodeLimits) -> int | None:
    """Return the limit of the passages of code, data or a log; None for other texts."""
    if suffix not in SOURCE_SUFFIXES:
        return None
    is_generated = any(len(line) > limits.max_source_line for line in split_lines(text))
    return 1 if is_generated else limits.max_source_passages


def _decode_records(text: str, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the segments of each row of a table, or of each event of a calendar."""
    is_table = suffix in TABLE_SUFFIXES
    limit = PassageLimit(context.limits, context.limits.max_table_passages if is_table else None)
    drafts = limit.take(
        draft
        for record, line in (table_records(text) if is_table else calendar_records(text))
        for draft in context.chunker.drafts(record, start=line, end=line)
    )
    return DecodedFile(drafts, note=limit.note)


def read_text(file: BinaryIO, context: DecodeContext) -> DecodedText:
    """Return a file as text in its detected encoding; raises MediaError if it is none or too large."""
    return detect_and_decode(read_bytes(file, context.limits.max_text_bytes), language=context.language)


def read_bytes(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the bytes of a file; raises MediaError if there are more than `max_bytes`."""
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise MediaError(f"text of more than {max_bytes:,} bytes")
    return data
