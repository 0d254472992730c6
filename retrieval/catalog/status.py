"""Read the status of a library: roots, counts, settings, failures and progress."""

import json
import os
import socket
import sqlite3
from contextlib import suppress
from pathlib import Path
from time import time

from retrieval.catalog import thumbnails
from retrieval.catalog.filter_sql import ABSOLUTE_PATH
from retrieval.catalog.hit_rows import IS_FINDABLE, IS_IMAGE_PART, decode_path
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import (
    INDEX_FOLDER,
    KEPT_CATALOGS,
    LIBRARY_FILE_NAMES,
    PROGRESS_FILE,
    vectors_table,
)
from retrieval.embedders import registry
from retrieval.types import Failure, Publication, Root, RunProgress, Space, Status

MAX_PROGRESS_AGE_SECONDS = 3_600  # a step such as building an index reports nothing meanwhile
MAX_FOREIGN_AGE_SECONDS = 120  # of the file of another machine, whose processes are not known


def status_of(catalog: Catalog, name: str | None = None) -> Status:
    """Return the status of a library with the space `name`, by default the active one."""
    space = catalog.space(name)
    segments, kept = segment_counts(catalog)
    settings, thumbnail_bytes = catalog.settings(), thumbnails.file_size(catalog.folder)
    return Status(
        folder=catalog.folder,
        roots=roots(catalog),
        segments=segments,
        kept=kept,
        space=space,
        spaces={other.name: catalog.count_vectors(other) for other in catalog.spaces()},
        precision=None if space is None else registry.describe_precision(space.fingerprint),
        ocr=settings.ocr,
        speech=settings.speech_model,
        sounds=settings.sound_model,
        tail=0 if space is None else catalog.count_unindexed(space),
        vectors_url=settings.vectors_url,
        published=0 if space is None else _count_published(catalog, space),
        unpublished=0 if space is None else _count_unpublished(catalog, space),
        size=_library_bytes(catalog.folder),
        thumbnails=thumbnail_bytes,
        thumbnail_limit=settings.thumbnails_max_bytes,
        indexing=read_progress(catalog.folder),
        thumbnails_full=thumbnails.is_full(thumbnail_bytes, settings.thumbnails_max_bytes),
    )


def find_publication(catalog: Catalog, space: Space) -> Publication | None:
    """Return the collection of a space on the Milvus server of the library, None if it has none."""
    row = catalog.db.execute("SELECT * FROM publications WHERE space = ?", (space.id,)).fetchone()
    if row is None:
        return None
    revisions = frozenset((row["revision"], row["previous"])) - {0}
    return Publication(row["collection"], revisions, bool(row["complete"]), row["written"])


def _is_published(catalog: Catalog, space: Space) -> bool:
    """Return True if a publish has compared or written the collection of a space."""
    publication = find_publication(catalog, space)
    return publication is not None and bool(publication.revisions)


def _count_unpublished(catalog: Catalog, space: Space) -> int:
    """Return the number of vectors whose change is not published."""
    if not _is_published(catalog, space):
        return catalog.count_vectors(space) if catalog.settings().vectors_url else 0
    query = "SELECT count(*) FROM unpublished WHERE space = ?"
    return int(catalog.db.execute(query, (space.id,)).fetchone()[0])


def _count_published(catalog: Catalog, space: Space) -> int:
    """Return the number of vectors that are on the server."""
    if not _is_published(catalog, space):
        return 0
    query = f"""SELECT count(*) FROM unpublished u JOIN {vectors_table(space.id)} v ON v.segment = u.segment
                 WHERE u.space = ?"""
    pending = int(catalog.db.execute(query, (space.id,)).fetchone()[0])
    return catalog.count_vectors(space) - pending


def roots(catalog: Catalog) -> tuple[Root, ...]:
    """Return the roots with the numbers of their files in each state, by path."""
    rows = catalog.db.execute(
        """SELECT r.path, r.state, r.scanned,
                  count(f.id) FILTER (WHERE f.state = 'present' AND r.state = 'present') AS present,
                  count(f.id) FILTER (WHERE f.state = 'offline'
                                         OR f.state = 'present' AND r.state = 'offline') AS offline,
                  count(f.id) FILTER (WHERE f.state = 'gone') AS gone,
                  count(f.id) FILTER (WHERE f.state != 'gone' AND f.error IS NOT NULL)
                    + (SELECT count(error) FROM archives a WHERE a.root = r.id)
                    + (SELECT count(*) FROM unreadable u WHERE u.root = r.id) AS failed,
                  count(f.id) FILTER (WHERE f.state != 'gone' AND f.error IS NULL
                                        AND f.content IN (SELECT id FROM contents WHERE note IS NOT NULL))
                    AS partial,
                  r.options
             FROM roots r LEFT JOIN files f ON f.root = r.id GROUP BY r.id ORDER BY r.path"""
    )
    return tuple(_root(row) for row in rows)


def _root(row: sqlite3.Row) -> Root:
    rules = json.loads(row["options"])
    return Root(
        decode_path(row["path"]),
        row["state"],
        row["scanned"],
        row["present"],
        row["offline"],
        row["gone"],
        row["failed"],
        partial=row["partial"],
        exclude=tuple(rules.get("exclude", ())),
        hidden=rules.get("hidden", False),
        archives=rules.get("archives", False),
    )


def segment_counts(catalog: Catalog) -> tuple[dict[str, int], int]:
    """Return kind -> number of findable segments, and the number of segments of deleted files.

    Parts of images have the kind `part`.
    """
    rows = catalog.db.execute(
        f"""SELECT iif({IS_IMAGE_PART}, 'part', kind) AS kind, count(*) AS every,
                   count(*) FILTER (WHERE {IS_FINDABLE}) AS live
              FROM segments s GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    waiting = catalog.db.execute(
        """SELECT count(DISTINCT c.segment) FROM captions c JOIN files t ON t.id = c.file
            WHERE t.state != 'gone' AND c.segment NOT IN (SELECT segment FROM caption_images)"""
    ).fetchone()[0]
    kept = sum(row["every"] - row["live"] for row in rows) - int(waiting)
    return {row["kind"]: row["live"] for row in rows if row["live"]}, kept


def failures(catalog: Catalog) -> list[Failure]:
    """Return the files, folders and archives that could not be read, or only in part, by path."""
    rows = catalog.db.execute(
        f"""SELECT {ABSOLUTE_PATH} AS path, f.error FROM files f JOIN roots r ON r.id = f.root
             WHERE f.error IS NOT NULL AND f.state != 'gone'
             UNION ALL
            SELECT {ABSOLUTE_PATH}, f.error FROM archives f JOIN roots r ON r.id = f.root
             WHERE f.error IS NOT NULL
             UNION ALL
            SELECT {ABSOLUTE_PATH}, 'cannot be read: no permission, or a disk error'
              FROM unreadable f JOIN roots r ON r.id = f.root
             UNION ALL
            SELECT {ABSOLUTE_PATH}, 'read in part: ' || c.note
              FROM contents c JOIN files f ON f.content = c.id JOIN roots r ON r.id = f.root
             WHERE c.note IS NOT NULL AND f.error IS NULL AND f.state != 'gone' ORDER BY 1"""
    )
    return [Failure(decode_path(row["path"]), row["error"]) for row in rows]


def _library_bytes(folder: Path) -> int:
    """Return the size of the files of a library; a writer may delete some meanwhile."""
    sizes = []
    for path in [
        *map(folder.joinpath, LIBRARY_FILE_NAMES - {INDEX_FOLDER}),
        *folder.joinpath(INDEX_FOLDER).glob("*"),
        *folder.glob(KEPT_CATALOGS),
    ]:
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def read_progress(folder: Path) -> RunProgress | None:
    """Return the progress of a run that writes to the library now, None without one."""
    try:
        values = json.loads((folder / PROGRESS_FILE).read_bytes())
        process, machine, written = int(values["process"]), str(values["machine"]), float(values["time"])
        title, done, total = str(values["title"]), int(values["done"]), int(values["total"])
        seconds = float(values["seconds"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    is_here = machine == socket.gethostname()
    if abs(time() - written) > (MAX_PROGRESS_AGE_SECONDS if is_here else MAX_FOREIGN_AGE_SECONDS):
        return None
    if is_here and not _is_running(process):  # it was killed
        return None
    rate = done / seconds if done > 0 and seconds > 0 else None
    left = (total - done) / rate if rate and total > done else None
    return RunProgress(title, done, total, rate and round(rate, 2), left and round(left, 1))


def _is_running(process: int) -> bool:
    """Return True if a process of this machine has this number."""
    try:
        if process > 0:
            os.kill(process, 0)  # sends nothing
    except PermissionError:  # of another user
        return True
    except (OSError, OverflowError):
        return False
    return process > 0
