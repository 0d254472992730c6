"""Read the catalog with sqlite3, read-only, so that no reader can damage a library."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from retrieval.catalog.connection import (
    FileVersion,
    check_version,
    connect_catalog,
    file_version,
)
from retrieval.catalog.filter_sql import (
    ABSOLUTE_PATH,
    distance_km,
    fetch_ids,
    find_allowed,
    where_clause,
)
from retrieval.catalog.hit_rows import (
    FROM_CAPTIONED_IMAGES,
    FROM_FILES,
    HIT_COLUMNS,
    IS_FINDABLE,
    IS_IMAGE_PART,
    hit_from_row,
)
from retrieval.catalog.named_segments import NamedSegments
from retrieval.catalog.schema import CATALOG_FILE, vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.id_sets import union
from retrieval.normalization import nfc
from retrieval.scoring.calibration import Calibration, QueryMode, nearest_count
from retrieval.types import KINDS, Filters, Hit, Ids, IndexFile, IndexTuning, Kind, ScoredId, Space, Vectors

MAX_ID = 2**63 - 1
_KINDS_QUERY = "SELECT " + ", ".join(
    f"EXISTS (SELECT 1 FROM segments WHERE kind = '{kind}')" for kind in KINDS
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """An open catalog; every method is one query."""

    folder: Path
    db: sqlite3.Connection
    snapshot: FileVersion | None = None  # the version of the file, if the connection does not follow it
    named_segments: NamedSegments = field(default_factory=NamedSegments, compare=False, repr=False)

    @classmethod
    def open(cls, folder: Path, *, follows_writer: bool = False) -> "Catalog":
        """Open the library in `folder`; raises LibraryMissing or LibraryVersionMismatch.

        `follows_writer` is for the process that writes the library.
        """
        connection = connect_catalog(folder / CATALOG_FILE, follows_writer=follows_writer)
        db = connection.db
        db.row_factory = sqlite3.Row
        add_functions(db)
        try:
            check_version(db, folder)
        except BaseException:
            db.close()
            raise
        return cls(folder, db, connection.version)

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def is_outdated(self) -> bool:
        """Return True if another process has written what this connection will never show."""
        return self.snapshot is not None and self.snapshot != file_version(self.folder / CATALOG_FILE)

    def data_version(self) -> int:
        """Return a number that changes whenever another process has written."""
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def change_count(self) -> int:
        """Return a number that grows with each change to what filters and backgrounds are read from."""
        return int(self.db.execute("SELECT changes FROM change_count").fetchone()[0])

    def settings(self) -> LibrarySettings:
        """Return the saved settings."""
        return LibrarySettings.read(self.db)

    def space(self, name: str | None = None) -> Space | None:
        """Return the space with this name, by default the active one."""
        name = self.settings().active_space if name is None else name
        row = self.db.execute("SELECT * FROM spaces WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        known = {key: row[key] for key in ("id", "name", "model", "fingerprint", "dim", "arch")}
        return Space(
            **known,
            indexed_to=row["indexed_to"],
            parts=json.loads(row["parts"]),
            complete=bool(row["complete"]),
            indexes=self._index_files(row["id"]),
        )

    def _index_files(self, space_id: int) -> tuple[IndexFile, ...]:
        tunings = dict[str, list[IndexTuning]]()
        columns = ", ".join(field.name for field in fields(IndexTuning))
        query = f"SELECT file, {columns} FROM index_tunings WHERE space = ? ORDER BY query_mode DESC"
        for file, *values in self.db.execute(query, (space_id,)):
            tunings.setdefault(file, []).append(IndexTuning(*values))
        columns = ", ".join(field.name for field in fields(IndexFile) if field.name != "tunings")
        query = f"SELECT {columns} FROM indexes WHERE space = ? ORDER BY kind, indexed_after"
        files = (IndexFile(*values) for values in self.db.execute(query, (space_id,)))
        return tuple(replace(file, tunings=tuple(tunings.get(file.file, ()))) for file in files)

    def spaces(self) -> list[Space]:
        """Return all spaces, oldest first."""
        names = [row["name"] for row in self.db.execute("SELECT name FROM spaces ORDER BY id")]
        return [space for name in names if (space := self.space(name))]

    def count_segments(self, kind: Kind) -> int:
        """Return the number of segments of a kind, including those of deleted files."""
        return int(self.db.execute("SELECT count(*) FROM segments WHERE kind = ?", (kind,)).fetchone()[0])

    def count_vectors(self, space: Space) -> int:
        """Return the number of vectors in a space."""
        return int(self.db.execute(f"SELECT count(*) FROM {vectors_table(space.id)}").fetchone()[0])

    def count_vectors_between(self, space: Space, kind: Kind, after: int, to: int) -> int:
        """Return the number of vectors of a kind after this segment and up to another."""
        # Of a complete space, every segment has a vector, except sounds without tags.
        join = f"JOIN {vectors_table(space.id)} v ON v.segment = s.id" * (
            not space.complete or kind == "audio"
        )
        query = f"SELECT count(*) FROM segments s {join} WHERE s.kind = ? AND s.id > ? AND s.id <= ?"
        return int(self.db.execute(query, (kind, after, to)).fetchone()[0])

    def last_vector(self, space: Space) -> int:
        """Return the last segment that has a vector, 0 if none has."""
        query = f"SELECT coalesce(max(segment), 0) FROM {vectors_table(space.id)}"
        return int(self.db.execute(query).fetchone()[0])

    def kinds(self) -> list[Kind]:
        """Return the kinds that have segments."""
        rows = self.db.execute(_KINDS_QUERY).fetchone()
        return [kind for kind, exists in zip(KINDS, rows, strict=True) if exists]

    def allowed_ids(self, filters: Filters) -> Ids:
        """Return the ids of the segments that pass, ascending."""
        ids = find_allowed(self.db, filters)
        if ids is None:
            ids = self._join_allowed(filters)
        if (not filters.kinds or "text" in filters.kinds) and self._has_caption_tables():
            tests, values = where_clause(filters, per_row=True)
            captions = self._query_ids(f"SELECT s.id {FROM_CAPTIONED_IMAGES} AND {tests}", values)
            ids = np.concatenate([ids, captions])
        return union(ids)

    def _join_allowed(self, filters: Filters) -> Ids:
        kinds = ", ".join(f"'{kind}'" for kind in sorted(filters.kinds))
        tests, values = where_clause(filters, per_row=False)
        # The plus keeps SQLite from scanning all segments of a kind if another index finds the files.
        kind = "+s.kind" if replace(filters, under=()).has_non_kind_filters else "s.kind"
        kind_test = f"{kind} IN ({kinds})" if kinds else "1"
        return fetch_ids(self.db, f"SELECT s.id {FROM_FILES} AND {kind_test} AND {tests}", values)

    def _has_caption_tables(self) -> bool:
        return self.db.execute("SELECT 1 FROM captions LIMIT 1").fetchone() is not None

    def _query_ids(self, query: str, values: Sequence[object] = ()) -> Ids:
        rows = self.db.execute(query, values)
        rows.row_factory = None
        return np.fromiter((id_ for (id_,) in rows), dtype=np.int64)

    def vectors_after(
        self, space: Space, kind: Kind, after_id: int, *, to: int = MAX_ID, batch_size: int = 8_192
    ) -> Iterator[tuple[Ids, Vectors]]:
        """Yield ids and unit vectors of a kind after this segment and up to another, by id, in batches."""
        rows = self.db.execute(
            f"""SELECT v.segment, v.vector
                  FROM segments s JOIN {vectors_table(space.id)} v ON v.segment = s.id
                 WHERE s.kind = ? AND s.id > ? AND s.id <= ? ORDER BY s.id""",
            (kind, after_id, to),
        )
        rows.row_factory = None
        while chunk := rows.fetchmany(batch_size):
            yield _decode_vectors(chunk, space.dim)

    def vector_ids(self, space: Space, kind: Kind, after: int = 0, to: int = MAX_ID) -> Ids:
        """Return the ids of the segments of a kind that have vectors, ascending."""
        return self._query_ids(
            f"""SELECT s.id FROM segments s JOIN {vectors_table(space.id)} v ON v.segment = s.id
                 WHERE s.kind = ? AND s.id > ? AND s.id <= ? ORDER BY s.id""",
            (kind, after, to),
        )

    def segment_ids(self, kind: Kind) -> Ids:
        """Return the ids of the segments of a kind, ascending."""
        return fetch_ids(self.db, "SELECT id FROM segments WHERE kind = ? ORDER BY id", (kind,))

    def vectors_of(self, space: Space, ids: Iterable[int]) -> tuple[Ids, Vectors]:
        """Return ids and unit vectors of the given segments that have one, ascending."""
        rows = self.db.execute(
            f"""SELECT segment, vector FROM {vectors_table(space.id)}
                 WHERE segment IN (SELECT value FROM json_each(?)) ORDER BY segment""",
            (json.dumps([int(id_) for id_ in ids]),),
        )
        rows.row_factory = None
        return _decode_vectors(rows.fetchall(), space.dim)

    def hits(
        self,
        scored_ids: Sequence[ScoredId],
        space: str,
        filters: Filters,
        *,
        include_copies: bool = False,
    ) -> list[Hit]:
        """Return a hit for each (segment, score) with a file that passes, in the given order.

        Copies of a file are one hit, or with `include_copies` one hit each. A caption of several images is a
        hit for each of them.
        """
        tests, values = where_clause(filters, per_row=True)
        condition = f"s.id IN (SELECT value FROM json_each(?)) AND {tests}"
        rows = self.db.execute(
            f"""SELECT {HIT_COLUMNS}, f.path, f.sidecar_of AS image_path,
                       'offline' IN (f.state, r.state) AS offline
                  {FROM_FILES} AND {condition}
                 UNION ALL
                SELECT {HIT_COLUMNS}, t.path, f.path, 'offline' IN (f.state, t.state, r.state)
                  {FROM_CAPTIONED_IMAGES} AND {condition} ORDER BY offline, file""",
            (json.dumps([scored[0] for scored in scored_ids]), *values) * 2,
        )
        files: dict[int, dict[object, sqlite3.Row]] = {}
        for row in rows:  # present files first, then offline ones, each oldest first
            path = row["path"] if include_copies and row["image_path"] is None else row["image_path"]
            key = None if path is None else (row["root"], path)
            files.setdefault(row["id"], {}).setdefault(key, row)
        return [
            hit_from_row(row, space, *rating)
            for id_, *rating in scored_ids
            for row in files.get(id_, {}).values()
        ]

    def background_queries(self, space: Space, mode: QueryMode) -> Vectors | None:
        """Return the background queries of this mode, (m, d), None if there are none yet."""
        row = self.db.execute(
            "SELECT vectors FROM backgrounds WHERE space = ? AND query_mode = ?", (space.id, mode)
        ).fetchone()
        if row is None:
            return None
        return np.frombuffer(row[0], dtype=np.float16).astype(np.float32).reshape(-1, space.dim)

    def calibrations(self, space: Space) -> dict[tuple[QueryMode, Kind], Calibration]:
        """Return the calibration of each query mode and kind."""
        rows = self.db.execute(
            "SELECT * FROM calibrations WHERE space = ? AND center IS NOT NULL", (space.id,)
        )
        return {
            (row["query_mode"], row["kind"]): Calibration(
                row["center"], row["spread"], nearest_count(row["count"])
            )
            for row in rows
        }

    def findable_ids(self, ids: Ids) -> Ids:
        """Return the given segments that have a file that is not gone."""
        return self._query_ids(
            f"SELECT s.id FROM segments s WHERE s.id IN (SELECT value FROM json_each(?)) AND {IS_FINDABLE}",
            (json.dumps(ids.tolist()),),
        )

    def ids_of_kind(self, ids: Ids, kind: Kind) -> Ids:
        """Return the given segments of a kind, ascending."""
        query = (
            "SELECT id FROM segments WHERE id IN (SELECT value FROM json_each(?)) AND kind = ? ORDER BY id"
        )
        return self._query_ids(query, (json.dumps(ids.tolist()), kind))

    def tag_counts(self) -> dict[str, int]:
        """Return label -> number of findable segments, most frequent first."""
        rows = self.db.execute(
            f"""SELECT l.name, count(*) FILTER (WHERE EXISTS (
                        SELECT 1 FROM segments s WHERE s.id = t.segment AND {IS_FINDABLE})) AS count
                 FROM labels l LEFT JOIN tags t ON t.name = l.name
                GROUP BY l.name ORDER BY count DESC, l.name"""
        )
        return {row["name"]: row["count"] for row in rows}

    def segments_of(self, digest: bytes) -> list[int]:
        """Return the segments of the content with this SHA-256; a complete image comes before its parts."""
        query = """SELECT s.id FROM segments s JOIN contents c ON c.id = s.content WHERE c.hash = ?
                    ORDER BY s.ordinal"""
        return [row[0] for row in self.db.execute(query, (digest,))]

    def image_parts_between(self, first: int, last: int) -> Ids:
        """Return the segments from `first` to `last` that are parts of images, ascending."""
        query = f"SELECT s.id FROM segments s WHERE s.id BETWEEN ? AND ? AND {IS_IMAGE_PART} ORDER BY s.id"
        return self._query_ids(query, (first, last))

    def image_parts_of(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Return pairs of a given image segment and a segment of the same image, including itself."""
        rows = self.db.execute(
            """SELECT own.id, s.id
                 FROM segments own JOIN segments s ON s.content = own.content AND s.kind = own.kind
                WHERE own.id IN (SELECT value FROM json_each(?)) AND own.kind = 'image'
                  AND own.page IS s.page""",
            (json.dumps([*ids]),),
        )
        return [tuple(row) for row in rows]

    def texts_of_images(self, ids: Iterable[int]) -> Ids:
        """Return the texts of the images among the given segments: captions, and text in the images."""
        return self._query_ids(
            """WITH shown (file, root, path) AS (
                   SELECT f.id, f.root, f.path FROM segments s JOIN files f ON f.content = s.content
                    WHERE s.id IN (SELECT value FROM json_each(?1)) AND s.kind = 'image'
                      AND f.state != 'gone')
               SELECT s.id FROM shown p JOIN files c ON c.root = p.root AND c.sidecar_of = p.path
                 JOIN segments s ON s.content = c.content WHERE c.state != 'gone'
                UNION SELECT d.segment FROM shown JOIN caption_images d ON d.file = shown.file
                UNION SELECT t.id FROM segments s JOIN segments t ON t.content = s.content AND t.kind = 'text'
                       WHERE s.id IN (SELECT value FROM json_each(?1)) AND s.kind = 'image'
                         AND t.page IS s.page""",
            (json.dumps([int(id_) for id_ in ids]),),
        )

    def kind_of(self, segment: int) -> Kind | None:
        """Return the kind of a segment, None if it does not exist."""
        row = self.db.execute("SELECT kind FROM segments WHERE id = ?", (segment,)).fetchone()
        return None if row is None else row["kind"]

    def page_text(self, segment: int) -> str | None:
        """Return the text on the page of a segment, None if the page has none."""
        rows = self.db.execute(
            """SELECT s.text FROM segments own JOIN segments s ON s.content = own.content
                  AND s.page = own.page WHERE own.id = ? AND s.text IS NOT NULL ORDER BY s.ordinal""",
            (segment,),
        ).fetchall()
        return " ".join(row[0] for row in rows) or None

    def content_at(self, path: Path) -> int | None:
        """Return the content of the file at this absolute path, for a caption that of its image."""
        absolute = os.fsencode(path)
        for root, folder in self.db.execute("SELECT id, path FROM roots ORDER BY id").fetchall():
            prefix = folder.rstrip(b"/") + b"/"
            if not absolute.startswith(prefix):
                continue
            row = self.db.execute(
                """SELECT coalesce(p.content, f.content) FROM files f
                     LEFT JOIN files p ON p.root = f.root AND p.path = f.sidecar_of AND p.state != 'gone'
                    WHERE f.root = ? AND f.path = ? AND f.state != 'gone'""",
                (root, absolute.removeprefix(prefix)),
            ).fetchone()
            if row is not None and row[0] is not None:
                return int(row[0])
        return None

    def segment_at(self, path: Path, seconds: float) -> int | None:
        """Return the segment of the file at this absolute path that starts at this tenth of a second."""
        query = """SELECT id FROM segments WHERE content = ? AND start BETWEEN ? AND ?
                    ORDER BY kind != 'video', start, ordinal LIMIT 1"""
        bounds = (seconds - 0.05, seconds + 0.1)
        row = self.db.execute(query, (self.content_at(path), *bounds)).fetchone()
        return None if row is None else int(row[0])

    def archive_stats(self) -> dict[bytes, tuple[int, int]]:
        """Return absolute path -> size and mtime of each archive when it was indexed."""
        rows = self.db.execute(
            f"SELECT {ABSOLUTE_PATH}, f.size, f.mtime FROM archives f JOIN roots r ON r.id = f.root"
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def count_unindexed(self, space: Space) -> int:
        """Return the number of vectors that are not in an index."""
        query = f"SELECT count(*) FROM {vectors_table(space.id)} WHERE segment > ?"
        return int(self.db.execute(query, (space.indexed_to,)).fetchone()[0])


def add_functions(db: sqlite3.Connection) -> None:
    """Add the SQL functions of filters and keyword tables to a connection."""
    db.create_function("kilometres", 4, distance_km, deterministic=True)
    db.create_function("nfc", 1, nfc, deterministic=True)


def _decode_vectors(rows: Sequence[tuple[int, bytes]], dim: int) -> tuple[Ids, Vectors]:
    """Return ids (n,) and vectors (n, dim) as float32; their length is 1 within the precision of float16."""
    ids = np.fromiter((id_ for id_, _ in rows), dtype=np.int64, count=len(rows))
    flat = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float16)
    return ids, flat.astype(np.float32).reshape(len(rows), dim)
