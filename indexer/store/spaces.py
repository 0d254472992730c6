"""Write the vector spaces of a library, one of which is active."""

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np

from indexer.models.resolve import resolve_embedder
from indexer.sqlite_tools import sqlite_utils
from indexer.store.settings import save_settings
from indexer.types import Notify
from retrieval.catalog.filter_sql import ABSOLUTE_PATH
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import HAS_NO_VECTOR, vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.embedders.base import Embedder, vector_defect
from retrieval.errors import EmbedderError, LibraryError, SpaceMismatch, describe_differences
from retrieval.formatting import printable
from retrieval.types import Space, Vectors


@dataclass(frozen=True, slots=True)
class Spaces:
    """The tables `spaces`, `indexes` and `vectors_ID`, for writing."""

    db: sqlite_utils.Database
    catalog: Catalog

    def find_or_create(self, embedder: Embedder) -> Space:
        """Return the space of an embedder; a new one has no vectors.

        A space of the same name from another version of the model is renamed.
        """
        alike = [space for space in self.catalog.spaces() if space.fingerprint == embedder.fingerprint]
        if alike:  # the name may differ, if weights have been moved
            return alike[0]
        old = self.catalog.space(embedder.name)
        with self.db.atomic():
            if old is not None:
                aside = f"{old.name} (before {datetime.now():%Y-%m-%d %H:%M:%S.%f})"
                self.db.execute("UPDATE spaces SET name = ? WHERE id = ?", (aside, old.id))
                settings = LibrarySettings.read(self.db.conn)
                if settings.active_space == old.name:
                    save_settings(self.db, replace(settings, active_space=aside))
            self.insert(embedder, complete=False)
        space = self.catalog.space(embedder.name)
        assert space is not None, "inserted above"
        return space

    def insert(self, embedder: Embedder, *, complete: bool) -> int:
        """Insert the space of an embedder, without vectors, and return its id."""
        space = {
            "name": embedder.name,
            "model": embedder.name,
            "fingerprint": embedder.fingerprint,
            "dim": embedder.dim,
            "parts": json.dumps(dict(embedder.parts)),
            "complete": int(complete),
            "arch": getattr(embedder, "arch", None),
        }
        id_ = int(str(self.db.table("spaces").insert(space, pk="id").last_pk))
        self.db.execute(
            f"""CREATE TABLE {vectors_table(id_)} (
                    segment INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT"""
        )
        return id_

    def save_arch(self, space: Space, embedder: Embedder) -> None:
        """Store the architecture of the embedder of a space, which earlier versions did not."""
        arch = getattr(embedder, "arch", None)
        if arch is not None and arch != space.arch:
            with self.db.atomic():
                self.db.execute("UPDATE spaces SET arch = ? WHERE id = ?", (arch, space.id))

    def write_vectors(self, space: Space, segments: Sequence[int], vectors: Vectors) -> None:
        """Commit the missing vectors of segments that exist, unless another process has written them.

        Indexes, tags and maps do not include them, so the first of these segments and all later ones become
        unindexed, untagged and unmapped.
        """
        for segment, vector in zip(segments, vectors, strict=True):
            self.check_vector(segment, vector)
        rows = zip(segments, (vector.astype(np.float16).tobytes() for vector in vectors), strict=True)
        reaches = [
            f"UPDATE {table} SET {column} = min({column}, ?) WHERE {key} = ?"
            for table, column, key in (
                ("spaces", "indexed_to", "id"),
                ("labels", "tagged_to", "space"),
                ("maps", "mapped_to", "space"),
            )
        ]
        with self.db.atomic():
            query = f"""INSERT OR IGNORE INTO {vectors_table(space.id)}
                        SELECT id, ?2 FROM segments WHERE id = ?1"""
            self.db.conn.executemany(query, rows)
            for reach in reaches:
                self.db.execute(reach, (min(segments) - 1, space.id))

    def check_vector(self, segment: int, vector: Vectors) -> None:
        """Raise EmbedderError, with the file of a segment, unless a vector has length 1.

        A text may have zero, the vector of a text of which the model knows no word.
        """
        defect = vector_defect(vector, vector.size)
        if defect is None:
            return
        query = f"""SELECT s.text IS NOT NULL,
                           (SELECT {ABSOLUTE_PATH} FROM files f JOIN roots r ON r.id = f.root
                             WHERE f.content = s.content LIMIT 1)
                      FROM segments s WHERE s.id = ?"""
        is_text, path = self.db.execute(query, (segment,)).fetchone() or (True, None)
        if is_text and not vector.any():
            return
        name = f"segment #{segment}" if path is None else printable(os.fsdecode(path))
        raise EmbedderError(f"The model fails on {name}: {defect}. Use another model.")

    def activate(self, space: Space, *, complete: bool) -> None:
        """Make a space the active one, in one transaction. New files get no vectors in the others."""
        with self.db.atomic():
            self.db.execute("UPDATE spaces SET complete = 0")
            self.set_complete(space, complete)
            settings = LibrarySettings.read(self.db.conn)
            save_settings(self.db, replace(settings, active_space=space.name))

    def set_complete(self, space: Space, complete: bool) -> None:
        """Store whether every segment has its vector in a space."""
        self.db.execute("UPDATE spaces SET complete = ? WHERE id = ?", (int(complete), space.id))

    def delete(self, space: Space) -> None:
        """Delete a space with its vectors; the next build deletes its index files."""
        with self.db.atomic():
            self.db.execute(f"DROP TABLE {vectors_table(space.id)}")
            self.db.execute("DELETE FROM spaces WHERE id = ?", (space.id,))

    def drop(self, name: str) -> int:
        """Delete a space that is not active, and return its number of vectors. Raises LibraryError."""
        space = self.catalog.space(name)
        names = ", ".join(each.name for each in self.catalog.spaces())
        if space is None:
            raise LibraryError(f"Space {name} not found in this library. Its spaces: {names}.")
        if space == self.catalog.space():
            raise LibraryError(f"{name} is the active space. Activate another one first, with `clew switch`.")
        count = self.catalog.count_vectors(space)
        self.delete(space)
        with suppress(sqlite3.OperationalError):  # the disk is full; the space is deleted nevertheless
            self.db.execute("VACUUM")
        return count

    def set_indexes(self, space: Space) -> None:
        """Store the index files of a space."""
        with self.db.atomic():
            self.db.execute("UPDATE spaces SET indexed_to = ? WHERE id = ?", (space.indexed_to, space.id))
            self.db.execute("DELETE FROM indexes WHERE space = ?", (space.id,))
            self.db.execute("DELETE FROM index_tunings WHERE space = ?", (space.id,))
            for file in space.indexes:
                row = {"space": space.id, **asdict(file)}
                tunings = row.pop("tunings")
                self.db.table("indexes").insert(row)
                key = {"space": space.id, "file": file.file}
                self.db.table("index_tunings").insert_all([key | tuning for tuning in tunings])


def active_space(catalog: Catalog) -> Space:
    """Return the active space of a library that has one."""
    space = catalog.space()
    assert space is not None, "created by the writer"
    return space


def space_embedder(
    space: Space,
    embedder: Embedder | None,
    notify: Notify,
    *,
    arch: str | None = None,
    device: str | None = None,
) -> Embedder:
    """Return the given embedder, or that of the space's model; raises SpaceMismatch and EmbedderError."""
    embedder = embedder or resolve_embedder(
        space.model, arch=arch or space.arch, device=device, fingerprint=space.fingerprint, notify=notify
    )
    if embedder.fingerprint != space.fingerprint:
        differences = describe_differences(space.parts, embedder.parts)
        raise SpaceMismatch(embedder.name, space.model, differences)
    return embedder


def delete_vectors_of_silent_sounds(db: sqlite_utils.Database) -> None:
    """Delete the vectors that earlier versions gave to sounds without tags, all the same."""
    for (space,) in db.conn.execute("SELECT id FROM spaces").fetchall():
        silent = f"SELECT id FROM segments s WHERE {HAS_NO_VECTOR}"
        db.execute(f"DELETE FROM {vectors_table(space)} WHERE segment IN ({silent})")
