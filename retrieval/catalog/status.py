"""What a library holds: its roots, how much of what, and what could not be read."""

from contextlib import suppress
from pathlib import Path

from retrieval.catalog import thumbnails
from retrieval.catalog.filter_sql import ABSOLUTE_PATH
from retrieval.catalog.hit_rows import IS_FINDABLE, IS_IMAGE_PART, decode_path
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER, LIBRARY_FILE_NAMES
from retrieval.embedders import registry
from retrieval.types import Failure, Root, Status


def status_of(catalog: Catalog, name: str | None = None) -> Status:
    """Return what a library holds; `name` is that of a space, None is the one that answers."""
    space = catalog.space(name)
    segments, kept = segment_counts(catalog)
    settings, held = catalog.settings(), thumbnails.file_size(catalog.folder)
    return Status(
        folder=catalog.folder,
        roots=roots(catalog),
        segments=segments,
        kept=kept,
        space=space,
        spaces={each.name: catalog.count_vectors(each) for each in catalog.spaces()},
        precision=None if space is None else registry.describe_precision(space.fingerprint),
        ocr=settings.ocr,
        speech=settings.speech_model,
        sounds=settings.sound_model,
        tail=0 if space is None else catalog.count_unindexed(space),
        size=_library_bytes(catalog.folder),
        thumbnails=held,
        thumbnail_limit=settings.thumbnails_max_bytes,
        thumbnails_full=thumbnails.is_full(held, settings.thumbnails_max_bytes),
    )


def roots(catalog: Catalog) -> tuple[Root, ...]:
    """Return the roots with the number of their files in each state."""
    rows = catalog.db.execute(
        """SELECT r.path, r.state, r.scanned,
                  count(f.id) FILTER (WHERE f.state = 'present' AND r.state = 'present') AS present,
                  count(f.id) FILTER (WHERE f.state = 'offline'
                                         OR f.state = 'present' AND r.state = 'offline') AS offline,
                  count(f.id) FILTER (WHERE f.state = 'gone') AS gone,
                  count(f.id) FILTER (WHERE f.state != 'gone' AND f.error IS NOT NULL)
                    + (SELECT count(error) FROM archives a WHERE a.root = r.id) AS failed
             FROM roots r LEFT JOIN files f ON f.root = r.id GROUP BY r.id ORDER BY r.path"""
    )
    return tuple(Root(decode_path(row["path"]), *tuple(row)[1:]) for row in rows)


def segment_counts(catalog: Catalog) -> tuple[dict[str, int], int]:
    """Return kind -> segments that can be found, and how many are kept for files that are gone.

    Parts of pictures count as `part`.
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
    """Return the files that could not be read, by path."""
    rows = catalog.db.execute(
        f"""SELECT {ABSOLUTE_PATH} AS path, f.error FROM files f JOIN roots r ON r.id = f.root
             WHERE f.error IS NOT NULL AND f.state != 'gone'
             UNION ALL
            SELECT {ABSOLUTE_PATH}, f.error FROM archives f JOIN roots r ON r.id = f.root
             WHERE f.error IS NOT NULL ORDER BY 1"""
    )
    return [Failure(decode_path(row["path"]), row["error"]) for row in rows]


def _library_bytes(folder: Path) -> int:
    """Return the bytes of a library's own files, which a writer may be changing."""
    sizes = []
    for path in [
        *map(folder.joinpath, LIBRARY_FILE_NAMES - {INDEX_FOLDER}),
        *folder.joinpath(INDEX_FOLDER).glob("*"),
    ]:
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)
