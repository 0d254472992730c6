"""A caption file beside its picture: lines of text, img2dataset's JSON, or an XMP sidecar."""

import json
from typing import BinaryIO

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.decode.metadata.descriptions import xmp_descriptions
from indexer.decode.metadata.properties import sidecar_properties
from indexer.decode.text.plain import read_text
from retrieval.errors import MediaError
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return a segment for each caption, with its line where it has one."""
    text = read_text(file)
    lines: list[tuple[int | None, str]]
    details = MediaProperties()
    if suffix == ".json":
        lines = [(None, caption) for caption in _json_captions(text)]
    elif suffix == ".xmp":
        captions, details = _xmp_captions(text)
        lines = [(None, caption) for caption in captions]
    else:
        lines = list(enumerate(text.splitlines(), start=1))
    return DecodedFile(
        [draft for number, line in lines for draft in context.chunker.drafts(line, start=number, end=number)],
        details,
    )


def _json_captions(text: str) -> list[str]:
    """Return img2dataset's `caption`, or the `description` other exporters write."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        return []
    said = fields.get("caption") or fields.get("description") or []
    return [_replace_surrogates(str(caption)) for caption in (said if isinstance(said, list) else [said])]


def _xmp_captions(text: str) -> tuple[list[str], MediaProperties]:
    try:
        return xmp_descriptions(text), sidecar_properties(text)
    except ValueError as error:
        raise MediaError(str(error)) from error


def _replace_surrogates(text: str) -> str:
    """Return text without halves of characters, which JSON can spell and nothing else can hold."""
    return text.encode("utf-8", "replace").decode()
