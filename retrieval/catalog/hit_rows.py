"""SQL from segments to the files that contain them, and hits from its rows."""

import json
import os
import sqlite3
from functools import lru_cache
from pathlib import Path

from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.file_systems import as_path
from retrieval.types import Hit

MAX_CACHED_PATHS = 8_192  # about 5 MB; the next part of a list begins with the same hits

HIT_COLUMNS = """s.id, s.kind, s.text, s.start, s."end", s.page, s.box,
       EXISTS (SELECT 1 FROM contents c WHERE c.id = s.content AND c.duration IS NOT NULL) AS timed,
       r.path AS root, f.id AS file, f.time"""
# f is the file of a segment; for a caption in a table, it is the image that the caption names.
FROM_FILES = f"""FROM segments s JOIN files f ON f.content = s.content AND f.{DESCRIBES_ITSELF}
  JOIN roots r ON r.id = f.root WHERE f.state != 'gone'"""
FROM_CAPTIONED_IMAGES = """FROM caption_images d JOIN segments s ON s.id = d.segment
  JOIN files t ON t.id = d.source
  JOIN files f ON f.id = d.file JOIN roots r ON r.id = f.root WHERE 1"""
IS_FINDABLE = """iif(s.caption_target IS NULL,
       EXISTS (SELECT 1 FROM files f WHERE f.content = s.content AND f.state != 'gone'),
       EXISTS (SELECT 1 FROM caption_images d WHERE d.segment = s.id))"""

# A segment for a part of an image: a tile, a crop of a panorama, or a later frame.
IS_IMAGE_PART = "s.kind = 'image' AND (s.box IS NOT NULL OR s.start IS NOT NULL)"


@lru_cache(MAX_CACHED_PATHS)
def decode_path(path: bytes) -> Path:
    """Return a path from its bytes in the catalog, which need not be UTF-8."""
    return as_path(os.fsdecode(path))


def join_path(root: bytes, path: bytes) -> bytes:
    """Return an absolute path from that of a root and one under it."""
    return root.rstrip(b"/") + b"/" + path


def hit_from_row(
    row: sqlite3.Row,
    space: str,
    score: float = 0.0,
    confidence: float | None = None,
    usual: float | None = None,
) -> Hit:
    """Return the hit of a row: HIT_COLUMNS, the path of the file, that of the captioned image, and `offline`.

    The path of a caption is that of its image.
    """
    (id_, kind, text, start, end, page, box, timed, root, _, time, file, image, offline) = row
    return Hit(
        id=id_,
        score=score,
        kind=kind,
        path=decode_path(join_path(root, file if image is None else image)),
        space=space,
        confidence=confidence,
        text=text,
        start=start,
        end=end,
        page=page,
        box=None if box is None else tuple(json.loads(box)),
        source=None if image is None else decode_path(join_path(root, file)),
        time=time,
        timed=bool(timed),
        offline=bool(offline),
        usual=usual,
    )
