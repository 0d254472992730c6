"""Read thumbnails: WebP images in a separate file of the library, each followed by its placeholder.

Any thumbnail may be missing, and the file may be damaged or deleted; hits do not depend on it.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from retrieval.catalog.connection import connect_once
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import THUMBNAILS_FILE
from retrieval.types import VISUAL_KINDS, Hit

MIN_FREE_BYTES = 65_536  # for one more thumbnail, which has about a fifth of that
THUMBNAIL_KINDS_SQL = ", ".join(f"'{kind}'" for kind in VISUAL_KINDS)

_KEY_COLUMNS = "s.id, c.hash, c.decoder, s.ordinal"
_OWN_KEY_QUERY = f"SELECT {_KEY_COLUMNS} FROM segments s JOIN contents c ON c.id = s.content WHERE s.id = ?"
# For text, audio and parts of images: the image on the same page, the last one before it in time, or the
# cover of the audio file.
_RELATED_KEY_QUERY = f"""SELECT {_KEY_COLUMNS} FROM segments s JOIN contents c ON c.id = s.content
     WHERE s.content IN ((SELECT content FROM segments WHERE id = :id), :content)
       AND (s.kind IN ({THUMBNAIL_KINDS_SQL}) OR s.kind = 'audio' AND s.ordinal = 0)
       AND s.box IS NULL AND s.id != :id
       AND (s.page IS :page OR s.page IS NULL OR :page IS NULL)
     ORDER BY s.page IS :page DESC,
              coalesce(s.start, 0) <= :at DESC, abs(coalesce(s.start, 0) - :at), s.ordinal LIMIT 1"""


class ThumbnailKey(NamedTuple):
    """A segment and its content; a catalog restored from a backup may assign the same id again."""

    segment: int
    digest: bytes
    decoder: str
    ordinal: int


def thumbnail_checksum(digest: bytes, decoder: str, ordinal: int, webp: bytes) -> int:
    """Return a checksum that detects damaged thumbnails and those of another segment."""
    return crc32(webp, crc32(b"%b %b %d" % (digest, decoder.encode(), ordinal)))


def split_thumbnail(stored: bytes) -> tuple[bytes, bytes]:
    """Return the WebP of a stored thumbnail, and its placeholder, empty before version 0.6.

    A RIFF file such as WebP contains its size, and what follows is not a part of it.
    """
    end = webp_size(stored)
    return bytes(stored[:end]), bytes(stored[end:])


def webp_size(header: bytes) -> int:
    """Return the size in bytes of a WebP image from its first 8 bytes; RFC 9649."""
    return 8 + int.from_bytes(header[4:8], "little")


def find_thumbnail(catalog: Catalog, hit: Hit) -> bytes | None:
    """Return the thumbnail of a hit or of a related segment as WebP, None if it has none."""
    return _first_thumbnail(catalog, _candidate_keys(catalog, hit))


def find_segment_thumbnail(catalog: Catalog, segment: int) -> bytes | None:
    """Return the thumbnail of a segment itself as WebP, None if it has none."""
    return _first_thumbnail(catalog, _own_keys(catalog, segment))


def _first_thumbnail(catalog: Catalog, keys: Sequence[ThumbnailKey]) -> bytes | None:
    with suppress(sqlite3.Error), closing(connect_once(catalog.folder / THUMBNAILS_FILE)) as db:
        for key in keys:
            row = db.execute("SELECT seal, picture FROM thumbnails WHERE segment = ?", key[:1]).fetchone()
            if row is not None and row[0] == thumbnail_checksum(*key[1:], row[1]):
                return split_thumbnail(row[1])[0]
    return None


def file_size(folder: Path) -> int:
    """Return the size of the thumbnails in bytes."""
    try:
        return (folder / THUMBNAILS_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def is_full(used_bytes: int, max_bytes: int) -> bool:
    """Return True if another thumbnail could exceed the limit."""
    return used_bytes + MIN_FREE_BYTES > max_bytes


def _candidate_keys(catalog: Catalog, hit: Hit) -> list[ThumbnailKey]:
    """Return the segments whose thumbnails represent a hit, best first."""
    own = _own_keys(catalog, hit.id)
    if hit.kind in VISUAL_KINDS and hit.box is None:
        return own
    parameters = {
        "id": hit.id,
        "content": catalog.content_at(hit.path),  # of a caption, its image
        "page": hit.page,
        "at": hit.start or 0 if hit.timed else 0,
    }
    return own + [ThumbnailKey(*row) for row in catalog.db.execute(_RELATED_KEY_QUERY, parameters)]


def _own_keys(catalog: Catalog, segment: int) -> list[ThumbnailKey]:
    return [ThumbnailKey(*row) for row in catalog.db.execute(_OWN_KEY_QUERY, (segment,))]
