"""Decoder of the captions of one image: lines of text, JSON of img2dataset, or an XMP sidecar."""

import json
from typing import BinaryIO

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.decode.metadata.descriptions import xmp_descriptions
from indexer.decode.metadata.properties import sidecar_properties
from indexer.decode.text.chunking import PassageLimit, split_lines
from indexer.decode.text.plain import read_text
from retrieval.errors import MediaError
from retrieval.normalization import without_surrogates
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the segments of each caption, with its line if the file consists of lines."""
    decoded = read_text(file, context)
    text = decoded.text
    lines: list[tuple[int | None, str]]
    properties = MediaProperties()
    if suffix == ".json":
        lines = [(None, caption) for caption in _json_captions(text)]
    elif suffix == ".xmp":
        captions, properties = _xmp_captions(text)
        lines = [(None, caption) for caption in captions]
    else:
        lines = list(enumerate(split_lines(text), start=1))
    limit = PassageLimit(context.limits)
    drafts = limit.take(
        draft for number, line in lines for draft in context.chunker.drafts(line, start=number, end=number)
    )
    return DecodedFile(drafts, properties, limit.note, decoded.assumption)


def _json_captions(text: str) -> list[str]:
    """Return the `caption` of img2dataset, or the `description` that other exporters write."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        return []
    captions = fields.get("caption") or fields.get("description") or []
    captions = captions if isinstance(captions, list) else [captions]
    return [_replace_surrogates(str(caption)) for caption in captions]


def _xmp_captions(text: str) -> tuple[list[str], MediaProperties]:
    try:
        return xmp_descriptions(text), sidecar_properties(text)
    except ValueError as error:
        raise MediaError(str(error)) from error


def _replace_surrogates(text: str) -> str:
    """Return text without the lone surrogates that JSON allows and UTF-8 does not."""
    return without_surrogates(text)
