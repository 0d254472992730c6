"""A caption file beside its picture: lines of text, img2dataset's JSON, or an XMP sidecar."""

import json
from typing import BinaryIO

from indexer.decode.base import Decoded, Draft
from indexer.decode.metadata.descriptions import xmp_descriptions
from indexer.decode.metadata.properties import sidecar_details
from indexer.decode.text.chunking import split
from indexer.decode.text.plain import read_text
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Return a segment for each caption, with its line where it has one."""
    text = read_text(file)
    lines: list[tuple[int | None, str]]
    details = MediaProperties()
    if suffix == ".json":
        lines = [(None, caption) for caption in _of_json(text)]
    elif suffix == ".xmp":
        captions, details = _of_xmp(text)
        lines = [(None, caption) for caption in captions]
    else:
        lines = list(enumerate(text.splitlines(), start=1))
    return Decoded(
        [
            Draft("text", text=passage.text, start=number, end=number)
            for number, line in lines
            for passage in split(line, embedder.count_tokens, embedder.max_tokens)
        ],
        details,
    )


def _of_json(text: str) -> list[str]:
    """Return img2dataset's `caption`, or the `description` other exporters write."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        return []
    said = fields.get("caption") or fields.get("description") or []
    return [_clean(str(caption)) for caption in (said if isinstance(said, list) else [said])]


def _of_xmp(text: str) -> tuple[list[str], MediaProperties]:
    try:
        return xmp_descriptions(text), sidecar_details(text)
    except ValueError as error:
        raise MediaError(str(error)) from error


def _clean(text: str) -> str:
    """Return text without halves of characters, which JSON can spell and nothing else can hold."""
    return text.encode("utf-8", "replace").decode()
