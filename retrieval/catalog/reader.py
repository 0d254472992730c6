"""Read the catalogue: raw sqlite3, read-only, so that no reader can harm a library."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from retrieval.catalog.filter_sql import ABSOLUTE_PATH, distance_km, where_clause
from retrieval.catalog.hit_rows import (
    FROM_CAPTIONED_IMAGES,
    FROM_FILES,
    HIT_COLUMNS,
    IS_FINDABLE,
    IS_IMAGE_PART,
    hit_from_row,
)
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.schema import CATALOG_FILE, vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.errors import LibraryMissing, LibraryVersionMismatch
from retrieval.scoring.calibration import Calibration, QueryMode
from retrieval.types import KINDS, Filters, Hit, Ids, IndexFile, Kind, Space, Vectors


@dataclass(frozen=True, slots=True)
class Catalog:
    """An open catalogue; every method is one question to it."""

    folder: Path
    db: sqlite3.Connection

    @classmethod
    def open(cls, folder: Path) -> "Catalog":
        """Open the library in `folder`; raises LibraryMissing or LibraryVersion."""
        file = folder / CATALOG_FILE
        if not file.is_file():
            raise LibraryMissing(folder)
        db = connect_read_only(file)
        db.row_factory = sqlite3.Row
        db.create_function("kilometres", 4, distance_km, deterministic=True)
        try:
            check_version(db, folder)
        except BaseException:
            db.close()
            raise
        return cls(folder, db)

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def data_version(self) -> int:
        """Return a number that changes whenever another process has written."""
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def settings(self) -> LibrarySettings:
        """Return the saved settings."""
        return LibrarySettings.read(self.db)

    def space(self, name: str | None = None) -> Space | None:
        """Return the space of this name, or the one that answers now."""
        wanted = self.settings().active_space if name is None else name
        row = self.db.execute("SELECT * FROM spaces WHERE name = ?", (wanted,)).fetchone()
        if row is None:
            return None
        columns = ", ".join(field.name for field in fields(IndexFile))
        query = f"SELECT {columns} FROM indexes WHERE space = ? ORDER BY kind"
        files = tuple(IndexFile(*file) for file in self.db.execute(query, (row["id"],)))
        known = {key: row[key] for key in ("id", "name", "model", "fingerprint", "dim")}
        return Space(
            **known,
            indexed_to=row["indexed_to"],
            parts=json.loads(row["parts"]),
            complete=bool(row["complete"]),
            indexes=files,
        )

    def spaces(self) -> list[Space]:
        """Return every space, the oldest first."""
        names = [row["name"] for row in self.db.execute("SELECT name FROM spaces ORDER BY id")]
        return [space for name in names if (space := self.space(name))]

    def count_segments(self, kind: Kind) -> int:
        """Count the segments of a kind, those of files that are gone too."""
        return int(self.db.execute("SELECT count(*) FROM segments WHERE kind = ?", (kind,)).fetchone()[0])

    def count_vectors(self, space: Space) -> int:
        """Count the vectors of a space."""
        return int(self.db.execute(f"SELECT count(*) FROM {vectors_table(space.id)}").fetchone()[0])

    def kinds(self) -> list[Kind]:
        """Return the kinds of segments there are."""
        there = "SELECT 1 FROM segments WHERE kind = ? LIMIT 1"
        return [kind for kind in KINDS if self.db.execute(there, (kind,)).fetchone()]

    def allowed_ids(self, filters: Filters) -> Ids:
        """Return the ids that pass, ascending."""
        kinds = ", ".join(f"'{kind}'" for kind in sorted(filters.kinds))
        tests, values = where_clause(filters, per_row=False)
        # The plus keeps SQLite from walking all segments of a kind where an index says which files pass.
        kind = "+s.kind" if replace(filters, under=()).has_non_kind_filters else "s.kind"
        ofkind = f"{kind} IN ({kinds})" if kinds else "1"
        passing = self._query_ids(f"SELECT s.id {FROM_FILES} AND {ofkind} AND {tests}", values)
        if (not kinds or "text" in filters.kinds) and self._has_caption_tables():
            tests, values = where_clause(filters, per_row=True)
            named = self._query_ids(f"SELECT s.id {FROM_CAPTIONED_IMAGES} AND {tests}", values)
            passing = np.concatenate([passing, named])
        return np.unique(passing)  # of a million in two thirds of the time that SQLite takes

    def _has_caption_tables(self) -> bool:
        return self.db.execute("SELECT 1 FROM captions LIMIT 1").fetchone() is not None

    def _query_ids(self, query: str, values: Sequence[object] = ()) -> Ids:
        rows = self.db.execute(query, values)
        rows.row_factory = None
        return np.fromiter((id_ for (id_,) in rows), dtype=np.int64)

    def vectors_after(
        self, space: Space, kind: Kind, after_id: int, *, batch_size: int = 8_192
    ) -> Iterator[tuple[Ids, Vectors]]:
        """Yield (ids, unit vectors) of a kind after this segment, by id, at most `size` at a time."""
        rows = self.db.execute(
            f"""SELECT v.segment, v.vector
                  FROM segments s JOIN {vectors_table(space.id)} v ON v.segment = s.id
                 WHERE s.kind = ? AND s.id > ? ORDER BY s.id""",
            (kind, after_id),
        )
        rows.row_factory = None
        while chunk := rows.fetchmany(batch_size):
            yield _decode_vectors(chunk, space.dim)

    def vector_ids(self, space: Space, kind: Kind) -> Ids:
        """Return the ids of a kind's vectors, ascending."""
        return self._query_ids(
            f"""SELECT s.id FROM segments s JOIN {vectors_table(space.id)} v ON v.segment = s.id
                 WHERE s.kind = ? ORDER BY s.id""",
            (kind,),
        )

    def vectors_of(self, space: Space, ids: Iterable[int]) -> tuple[Ids, Vectors]:
        """Return those of these segments that exist, ascending, with their unit vectors."""
        rows = self.db.execute(
            f"""SELECT segment, vector FROM {vectors_table(space.id)}
                 WHERE segment IN (SELECT value FROM json_each(?)) ORDER BY segment""",
            (json.dumps([int(id_) for id_ in ids]),),
        )
        rows.row_factory = None
        return _decode_vectors(rows.fetchall(), space.dim)

    def hits(
        self,
        scored_ids: Sequence[tuple[int, float]],
        space: str,
        filters: Filters,
        *,
        include_copies: bool = False,
    ) -> list[Hit]:
        """Return a hit for each (segment, score) with a place that passes, in order; the rest drop out.

        Copies of a file are one hit, or with `copies` one each; a caption that several pictures share is
        a hit of each.
        """
        tests, values = where_clause(filters, per_row=True)
        wanted = f"s.id IN (SELECT value FROM json_each(?)) AND {tests}"
        rows = self.db.execute(
            f"""SELECT {HIT_COLUMNS}, f.path, f.picture, 'offline' IN (f.state, r.state) AS offline
                  {FROM_FILES} AND {wanted}
                 UNION ALL
                SELECT {HIT_COLUMNS}, t.path, f.path, 'offline' IN (f.state, t.state, r.state)
                  {FROM_CAPTIONED_IMAGES} AND {wanted} ORDER BY offline, file""",
            (json.dumps([id_ for id_, _ in scored_ids]), *values) * 2,
        )
        places: dict[int, dict[object, sqlite3.Row]] = {}
        for row in rows:  # those that are there first, then the oldest
            picture = row["path"] if include_copies and row["picture"] is None else row["picture"]
            place = None if picture is None else (row["root"], picture)
            places.setdefault(row["id"], {}).setdefault(place, row)
        return [
            hit_from_row(row, score, space)
            for id_, score in scored_ids
            for row in places.get(id_, {}).values()
        ]

    def background_queries(self, space: Space, mode: QueryMode) -> Vectors | None:
        """Return the background queries that were asked in this way, (m, d); None if there are none yet."""
        row = self.db.execute(
            "SELECT vectors FROM backgrounds WHERE space = ? AND query_mode = ?", (space.id, mode)
        ).fetchone()
        if row is None:
            return None
        return np.frombuffer(row[0], dtype=np.float16).astype(np.float32).reshape(-1, space.dim)

    def calibrations(self, space: Space) -> dict[tuple[QueryMode, Kind], Calibration]:
        """Return how background queries match each kind, by the way they were asked."""
        rows = self.db.execute(
            "SELECT * FROM calibrations WHERE space = ? AND center IS NOT NULL", (space.id,)
        )
        return {(row["query_mode"], row["kind"]): Calibration(row["center"], row["spread"]) for row in rows}

    def findable_ids(self, ids: Ids) -> Ids:
        """Return those of these segments of which a file is not gone."""
        return self._query_ids(
            f"SELECT s.id FROM segments s WHERE s.id IN (SELECT value FROM json_each(?)) AND {IS_FINDABLE}",
            (json.dumps(ids.tolist()),),
        )

    def tag_counts(self) -> dict[str, int]:
        """Return label -> segments that have it and can be found, the most frequent first."""
        rows = self.db.execute(
            f"""SELECT l.name, count(*) FILTER (WHERE EXISTS (
                        SELECT 1 FROM segments s WHERE s.id = t.segment AND {IS_FINDABLE})) AS count
                 FROM labels l LEFT JOIN tags t ON t.name = l.name
                GROUP BY l.name ORDER BY count DESC, l.name"""
        )
        return {row["name"]: row["count"] for row in rows}

    def segments_of(self, digest: bytes) -> list[int]:
        """Return the segments of the content with this SHA-256, a whole picture before its parts."""
        query = """SELECT s.id FROM segments s JOIN contents c ON c.id = s.content WHERE c.hash = ?
                    ORDER BY s.ordinal"""
        return [row[0] for row in self.db.execute(query, (digest,))]

    def image_parts_between(self, first: int, last: int) -> Ids:
        """Return which segments from `first` to `last` are parts of pictures, ascending."""
        query = f"SELECT s.id FROM segments s WHERE s.id BETWEEN ? AND ? AND {IS_IMAGE_PART} ORDER BY s.id"
        return self._query_ids(query, (first, last))

    def image_parts_of(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Return, of those that are of pictures, each with every segment of its picture, itself too."""
        rows = self.db.execute(
            """SELECT own.id, s.id
                 FROM segments own JOIN segments s ON s.content = own.content AND s.kind = own.kind
                WHERE own.id IN (SELECT value FROM json_each(?)) AND own.kind = 'image'
                  AND own.page IS s.page""",
            (json.dumps([*ids]),),
        )
        return [tuple(row) for row in rows]

    def kind_of(self, segment: int) -> Kind | None:
        """Return the kind of a segment, None if there is no such one."""
        row = self.db.execute("SELECT kind FROM segments WHERE id = ?", (segment,)).fetchone()
        return None if row is None else row["kind"]

    def content_at(self, path: Path) -> int | None:
        """Return the content of the file at this whole path, of a caption that of its picture."""
        whole = os.fsencode(path)
        for root, folder in self.db.execute("SELECT id, path FROM roots ORDER BY id").fetchall():
            prefix = folder.rstrip(b"/") + b"/"
            if not whole.startswith(prefix):
                continue
            row = self.db.execute(
                """SELECT coalesce(p.content, f.content) FROM files f
                     LEFT JOIN files p ON p.root = f.root AND p.path = f.picture AND p.state != 'gone'
                    WHERE f.root = ? AND f.path = ? AND f.state != 'gone'""",
                (root, whole.removeprefix(prefix)),
            ).fetchone()
            if row is not None and row[0] is not None:
                return int(row[0])
        return None

    def segment_at(self, path: Path, seconds: float) -> int | None:
        """Return the segment of the file at this whole path that begins at this tenth of a second."""
        query = """SELECT id FROM segments WHERE content = ? AND start BETWEEN ? AND ?
                    ORDER BY kind != 'video', start, ordinal LIMIT 1"""
        bounds = (seconds - 0.05, seconds + 0.1)
        row = self.db.execute(query, (self.content_at(path), *bounds)).fetchone()
        return None if row is None else int(row[0])

    def archive_stats(self) -> dict[bytes, tuple[int, int]]:
        """Return the whole path of each archive, and its size and time when it was read."""
        rows = self.db.execute(
            f"SELECT {ABSOLUTE_PATH}, f.size, f.mtime FROM archives f JOIN roots r ON r.id = f.root"
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def count_unindexed(self, space: Space) -> int:
        """Count the vectors that the index does not reach."""
        query = f"SELECT count(*) FROM {vectors_table(space.id)} WHERE segment > ?"
        return int(self.db.execute(query, (space.indexed_to,)).fetchone()[0])


def connect_read_only(file: Path) -> sqlite3.Connection:
    """Open a database in WAL mode to read, from any thread."""
    # In a folder that cannot be written, one that nobody writes can still be read.
    still = not os.access(file.parent, os.W_OK) and not file.with_name(file.name + "-wal").exists()
    address = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def check_version(db: sqlite3.Connection, folder: Path) -> None:
    """Raise LibraryVersion unless this catalogue has exactly the steps that this clew knows."""
    try:
        query = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'clew'"
        steps = {row[0] for row in db.execute(query)}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise LibraryMissing(folder) from error  # one that is being made this moment
        raise LibraryVersionMismatch(
            f"{folder / CATALOG_FILE} cannot be read as a library: {error}."
        ) from error
    except sqlite3.DatabaseError as error:
        raise LibraryVersionMismatch(f"{folder / CATALOG_FILE} is not a clew library: {error}.") from error
    if steps - set(MIGRATIONS):
        raise LibraryVersionMismatch(f"The library at {folder} was made by a newer clew; upgrade this one.")
    if set(MIGRATIONS) - steps:
        raise LibraryVersionMismatch(
            f"The library at {folder} was made by an older clew; `clew index` brings it up to date."
        )


def _decode_vectors(rows: Sequence[tuple[int, bytes]], dim: int) -> tuple[Ids, Vectors]:
    """Return ids (n,) and the vectors (n, dim) as float32, their length 1 within float16."""
    ids = np.fromiter((id_ for id_, _ in rows), dtype=np.int64, count=len(rows))
    flat = np.frombuffer(b"".join(vector for _, vector in rows), dtype=np.float16)
    return ids, flat.astype(np.float32).reshape(len(rows), dim)
