"""Read how segments are drawn: ratio, duration, number of pages, thumbnail."""

import json
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from retrieval.catalog.connection import connect_once
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import THUMBNAILS_FILE
from retrieval.catalog.thumbnails import webp_size
from retrieval.types import VISUAL_KINDS, Hit

WEBP_HEADER_BYTES = 30
MAX_PLACEHOLDER_BYTES = 40

_PROPERTIES = """SELECT s.id, s.content, s.kind, c.width, c.height, c.duration,
       CASE s.kind WHEN 'page' THEN
         (SELECT max(p.page) FROM segments p WHERE p.content = s.content AND p.kind = 'page') END AS pages
  FROM segments s JOIN contents c ON c.id = s.content WHERE s.id IN (SELECT value FROM json_each(?))"""
# The segments whose thumbnails represent text, audio and parts of images.
_RELATED = """SELECT s.id, t.id FROM segments s JOIN segments t ON t.content = s.content
 WHERE s.id IN (SELECT value FROM json_each(?)) AND t.id != s.id AND t.box IS NULL
   AND (t.kind IN ('image', 'video', 'page') OR t.kind = 'audio' AND t.ordinal = 0)
   AND (t.page IS s.page OR t.page IS NULL)"""
_HEADERS = f"""SELECT segment, substr(picture, 1, {WEBP_HEADER_BYTES}), length(picture),
       substr(picture, -{MAX_PLACEHOLDER_BYTES}) FROM thumbnails
 WHERE segment IN (SELECT value FROM json_each(?))"""


@dataclass(frozen=True, slots=True)
class Display:
    """How a segment is drawn; None if unknown."""

    ratio: float | None = None  # width / height
    duration: float | None = None  # seconds, of the file
    pages: int | None = None  # of the document
    placeholder: str | None = None  # in base64; see `indexer.decode.images.placeholder`
    has_thumbnail: bool = False
    is_picture: bool = False  # the file is an image or a video; the segment may be text or speech in it


@dataclass(frozen=True, slots=True)
class StoredThumbnail:
    """What a stored thumbnail tells of an image without being decoded."""

    ratio: float | None = None
    placeholder: str | None = None


_NO_THUMBNAIL = StoredThumbnail()


def display_of(catalog: Catalog, hits: Iterable[Hit]) -> dict[int, Display]:
    """Return how each of some hits is drawn, by their ids."""
    boxes = {hit.id: (hit.kind, hit.box) for hit in hits}
    rows = catalog.db.execute(_PROPERTIES, (json.dumps([*boxes]),)).fetchall()
    derived = [hit_id for hit_id, (kind, box) in boxes.items() if kind not in VISUAL_KINDS or box]
    related: dict[int, list[int]] = {}
    for segment, other in catalog.db.execute(_RELATED, (json.dumps(derived),)):
        related.setdefault(segment, []).append(other)
    shown = {*boxes, *(other for others in related.values() for other in others)}
    stored = stored_thumbnails(catalog, sorted(shown))
    found = {
        hit_id: next((stored[each] for each in (hit_id, *related.get(hit_id, ())) if each in stored), None)
        for hit_id in boxes
    }
    return {row["id"]: _display(row, found[row["id"]]) for row in rows}


def _display(row: sqlite3.Row, thumbnail: StoredThumbnail | None) -> Display:
    shown = thumbnail or _NO_THUMBNAIL
    return Display(
        ratio=_ratio(row["width"], row["height"]) or shown.ratio,
        duration=row["duration"],
        pages=row["pages"],
        placeholder=shown.placeholder,
        has_thumbnail=thumbnail is not None,
        is_picture=row["width"] is not None,
    )


def stored_thumbnails(catalog: Catalog, segments: Sequence[int]) -> dict[int, StoredThumbnail]:
    """Return the thumbnails of those segments that have one."""
    try:
        with closing(connect_once(catalog.folder / THUMBNAILS_FILE)) as db:
            rows = db.execute(_HEADERS, (json.dumps(segments),)).fetchall()
    except sqlite3.Error:  # a missing or damaged file
        return {}
    return {
        segment: StoredThumbnail(ratio, _placeholder(length - webp_size(header), tail))
        for segment, header, length, tail in rows
        if (ratio := webp_ratio(header))
    }


def _placeholder(count: int, tail: bytes) -> str | None:
    """Return the last `count` bytes of a thumbnail in base64, None if it has no placeholder."""
    return b64encode(tail[-count:]).decode() if 0 < count <= len(tail) else None


def webp_ratio(header: bytes) -> float | None:
    """Return width / height from the first 30 bytes of a WebP image, None for other data. RFC 9649."""
    form, data = header[12:16], header[20:WEBP_HEADER_BYTES]
    if header[:4] != b"RIFF" or header[8:12] != b"WEBP" or len(data) < 10:
        return None
    if form == b"VP8X":  # 24 bits each, less one
        return _ratio(int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1)
    if form == b"VP8L":  # 14 bits each, less one, after a signature
        bits = int.from_bytes(data[1:5], "little")
        return _ratio((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if form == b"VP8 ":  # 14 bits each, after a frame tag and a start code
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        return _ratio(width, height)
    return None


def _ratio(width: int | None, height: int | None) -> float | None:
    return round(width / height, 4) if width and height else None
