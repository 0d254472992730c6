"""Find the small picture of a hit: WebP, in a file beside the catalogue, all of which can be made again.

The file may lack any of them, and may be damaged or gone: a hit without a thumbnail is as good a hit.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from retrieval.catalog.reader import Catalog, connect_read_only
from retrieval.catalog.schema import THUMBNAILS_FILE
from retrieval.types import Hit, Kind

MIN_FREE_BYTES = 65_536  # bytes that must be left for one more, which takes a fifth of that
THUMBNAIL_KINDS: tuple[Kind, ...] = ("image", "video", "page")  # the kinds that have one of their own
THUMBNAIL_KINDS_SQL = ", ".join(f"'{kind}'" for kind in THUMBNAIL_KINDS)

_KEY_COLUMNS = "s.id, c.hash, c.reader, s.ordinal"
_OWN_KEY_QUERY = f"SELECT {_KEY_COLUMNS} FROM segments s JOIN contents c ON c.id = s.content WHERE s.id = ?"
# What stands in for text, sound and a part of a picture: what is seen on the same page, or last before it,
# or the cover of the sound in which it is heard.
_RELATED_KEY_QUERY = f"""SELECT {_KEY_COLUMNS} FROM segments s JOIN contents c ON c.id = s.content
     WHERE s.content IN ((SELECT content FROM segments WHERE id = :id), :content)
       AND (s.kind IN ({THUMBNAIL_KINDS_SQL}) OR s.kind = 'audio' AND s.ordinal = 0)
       AND s.box IS NULL AND s.id != :id
       AND (s.page IS :page OR s.page IS NULL OR :page IS NULL)
     ORDER BY s.page IS :page DESC,
              coalesce(s.start, 0) <= :at DESC, abs(coalesce(s.start, 0) - :at), s.ordinal LIMIT 1"""


class ThumbnailKey(NamedTuple):
    """A segment, and what it is a segment of: a catalogue that was put back may use its number again."""

    segment: int
    digest: bytes
    decoder: str
    ordinal: int


def thumbnail_checksum(digest: bytes, decoder: str, ordinal: int, webp: bytes) -> int:
    """Return a number that tells a damaged thumbnail, and that of another segment, from the right one."""
    return crc32(webp, crc32(b"%b %b %d" % (digest, decoder.encode(), ordinal)))


def find_thumbnail(catalog: Catalog, hit: Hit) -> bytes | None:
    """Return the thumbnail of a hit as WebP, else that of what it belongs to; None where there is none."""
    with suppress(sqlite3.Error), closing(connect_read_only(catalog.folder / THUMBNAILS_FILE)) as db:
        for key in _candidate_keys(catalog, hit):
            row = db.execute("SELECT seal, picture FROM thumbnails WHERE segment = ?", key[:1]).fetchone()
            if row is not None and row[0] == thumbnail_checksum(*key[1:], row[1]):
                return bytes(row[1])
    return None


def file_size(folder: Path) -> int:
    """Return how many bytes they take."""
    try:
        return (folder / THUMBNAILS_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def is_full(used_bytes: int, max_bytes: int) -> bool:
    """Say whether there is no room for one more."""
    return used_bytes + MIN_FREE_BYTES > max_bytes


def _candidate_keys(catalog: Catalog, hit: Hit) -> list[ThumbnailKey]:
    """Return the segments whose thumbnail shows a hit, the best first."""
    own = [ThumbnailKey(*row) for row in catalog.db.execute(_OWN_KEY_QUERY, (hit.id,))]
    if hit.kind in THUMBNAIL_KINDS and hit.box is None:
        return own
    asked = {
        "id": hit.id,
        "content": catalog.content_at(hit.path),  # a caption's picture
        "page": hit.page,
        "at": hit.start or 0 if hit.timed else 0,
    }
    return own + [ThumbnailKey(*row) for row in catalog.db.execute(_RELATED_KEY_QUERY, asked)]
