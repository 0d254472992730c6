"""Read everything that the catalog knows of a file."""

import json
import os
import sqlite3
from pathlib import Path

from retrieval.catalog.filter_sql import ABSOLUTE_PATH
from retrieval.catalog.hit_rows import decode_path
from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.normalization import nfc
from retrieval.types import Caption, FileDetails, Label, SegmentDetails

_FILES = f"""SELECT f.*, r.path AS root_path, {ABSOLUTE_PATH} AS absolute,
       'offline' IN (f.state, r.state) AS offline
  FROM files f JOIN roots r ON r.id = f.root WHERE f.state != 'gone'"""
_PRESENT_FIRST = "ORDER BY offline, f.id LIMIT 1"
_PROPERTIES = (
    *("width", "height", "taken", "zone", "camera", "lens", "latitude", "longitude", "rating", "duration"),
)
# The contents that describe a file, its own first.
_DESCRIPTIONS = f"""SELECT {", ".join(f"c.{name}" for name in _PROPERTIES)} FROM described_by d
  JOIN contents c ON c.id = d.content WHERE d.file = ? ORDER BY c.id != ?"""
_KEYWORDS = """SELECT DISTINCT k.name FROM described_by d JOIN keywords k USING (content)
 WHERE d.file = ? ORDER BY 1"""
# Captions in the file itself, in its sidecars, and in tables.
_CAPTIONS = f"""SELECT s.text, {ABSOLUTE_PATH} AS source
  FROM files f JOIN roots r ON r.id = f.root JOIN segments s ON s.content = f.content
 WHERE f.id = ?1 AND s.kind = 'text' AND s.start IS NULL AND s.page IS NULL AND s.origin = 'file'
 UNION ALL
SELECT s.text, {ABSOLUTE_PATH} AS source
  FROM files own JOIN files f ON f.root = own.root AND f.sidecar_of = own.path AND f.state != 'gone'
  JOIN roots r ON r.id = f.root JOIN segments s ON s.content = f.content
 WHERE own.id = ?1 AND s.text IS NOT NULL
 UNION ALL
SELECT s.text, {ABSOLUTE_PATH}
  FROM caption_images d JOIN segments s ON s.id = d.segment JOIN files f ON f.id = d.source
  JOIN roots r ON r.id = f.root WHERE d.file = ?1"""


def file_details(catalog: Catalog, file: Path | int) -> FileDetails:
    """Return the details of a file, by its absolute path or by the id of a segment; raises QueryError."""
    row = _find_segment_file(catalog, file) if isinstance(file, int) else _find_file(catalog, file)
    own = row["content"]
    descriptions = catalog.db.execute(_DESCRIPTIONS, (row["id"], own)).fetchall()
    properties = {
        name: next((found[name] for found in descriptions if found[name] is not None), None)
        for name in _PROPERTIES
    }
    keywords = catalog.db.execute(_KEYWORDS, (row["id"],))
    segments = catalog.db.execute("SELECT * FROM segments WHERE content = ? ORDER BY ordinal", (own,))
    copies = catalog.db.execute(f"{_FILES} AND f.content = ? AND f.id != ? ORDER BY f.id", (own, row["id"]))
    return FileDetails(
        path=decode_path(row["absolute"]),
        root=decode_path(row["root_path"]),
        offline=bool(row["offline"]),
        size=row["size"],
        time=row["time"],
        error=row["error"],
        assumption=None if own is None else _assumption(catalog, own),
        **properties,
        keywords=tuple(found[0] for found in keywords),
        labels=_labels(catalog, own),
        captions=tuple(
            Caption(text, decode_path(source)) for text, source in catalog.db.execute(_CAPTIONS, (row["id"],))
        ),
        copies=tuple(decode_path(found["absolute"]) for found in copies),
        segments=tuple(map(_segment, segments)),
    )


def _assumption(catalog: Catalog, content: int) -> str | None:
    row = catalog.db.execute("SELECT assumption FROM contents WHERE id = ?", (content,)).fetchone()
    return row[0]  # type: ignore[no-any-return]


def _find_segment_file(catalog: Catalog, segment: int) -> sqlite3.Row:
    row = catalog.db.execute(
        f"{_FILES} AND f.content = (SELECT content FROM segments WHERE id = ?) {_PRESENT_FIRST}", (segment,)
    ).fetchone()
    if row is None:
        raise QueryError(f"No segment #{segment} in this library. The tables of `clew search` show ids.")
    return row  # type: ignore[no-any-return]


def _find_file(catalog: Catalog, path: Path) -> sqlite3.Row:
    """Return the file at a path, in either Unicode form."""
    absolute = os.fsencode(path)
    for test in (f"{ABSOLUTE_PATH} = ?", f"nfc({ABSOLUTE_PATH}) = ?"):
        row = catalog.db.execute(f"{_FILES} AND {test} {_PRESENT_FIRST}", (absolute,)).fetchone()
        if row is not None:
            return row  # type: ignore[no-any-return]
        absolute = nfc(absolute)
    raise QueryError(f"{path} is not in the library. `clew index` adds the files of a folder.")


def _labels(catalog: Catalog, content: int | None) -> tuple[Label, ...]:
    """Return the labels of a content, each with the confidence of its best segment."""
    rows = catalog.db.execute(
        """SELECT t.name, max(t.confidence) FROM segments s JOIN tags t ON t.segment = s.id
            WHERE s.content = ? GROUP BY t.name ORDER BY 2 DESC, 1""",
        (content,),
    )
    return tuple(Label(name, confidence) for name, confidence in rows)


def _segment(row: sqlite3.Row) -> SegmentDetails:
    box = None if row["box"] is None else tuple(json.loads(row["box"]))
    keys = ("id", "kind", "origin", "text", "start", "end", "page")
    return SegmentDetails(**{key: row[key] for key in keys}, box=box)
