"""Where segments are: the SQL that leads from them to files, and hits made of its rows."""

import json
import os
import sqlite3
from pathlib import Path

from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.types import Hit

HIT_COLUMNS = """s.id, s.kind, s.text, s.start, s."end", s.page, s.box,
       EXISTS (SELECT 1 FROM contents c WHERE c.id = s.content AND c.duration IS NOT NULL) AS timed,
       r.path AS root, f.id AS file, f.time"""
# Where segments are: in the files f that hold them, but a table's captions at the pictures f that they name.
FROM_FILES = f"""FROM segments s JOIN files f ON f.content = s.content AND f.{DESCRIBES_ITSELF}
  JOIN roots r ON r.id = f.root WHERE f.state != 'gone'"""
FROM_CAPTIONED_IMAGES = """FROM caption_images d JOIN segments s ON s.id = d.segment
  JOIN files t ON t.id = d.source
  JOIN files f ON f.id = d.file JOIN roots r ON r.id = f.root WHERE 1"""
IS_FINDABLE = """iif(s.caption_target IS NULL,
       EXISTS (SELECT 1 FROM files f WHERE f.content = s.content AND f.state != 'gone'),
       EXISTS (SELECT 1 FROM caption_images d WHERE d.segment = s.id))"""

# A part of a picture that is a segment itself: a tile, a crop of a panorama, a later frame.
IS_IMAGE_PART = "s.kind = 'image' AND (s.box IS NOT NULL OR s.start IS NOT NULL)"


def decode_path(path: bytes) -> Path:
    """Return a path of the catalogue, whose bytes may be no UTF-8."""
    return Path(os.fsdecode(path))


def hit_from_row(row: sqlite3.Row, score: float, space: str) -> Hit:
    """Make a hit of a row; a caption's path is its picture's."""
    root, place = decode_path(row["root"]), decode_path(row["path"])
    picture = row["picture"]
    return Hit(
        id=row["id"],
        score=score,
        kind=row["kind"],
        path=root / (place if picture is None else decode_path(picture)),
        space=space,
        text=row["text"],
        start=row["start"],
        end=row["end"],
        page=row["page"],
        box=None if row["box"] is None else tuple(json.loads(row["box"])),
        source=None if picture is None else root / place,
        time=row["time"],
        timed=bool(row["timed"]),
        offline=bool(row["offline"]),
    )
