"""Check the thumbnails of a library, and make missing ones from the files."""

import sqlite3
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import takewhile

from PIL import Image

from indexer.decode.images.placeholder import make_placeholder
from indexer.enrich.content_pass import OpenableContent, PassProgress, run_pass
from indexer.maintenance.refresh_metadata import RedecodePass
from indexer.maintenance.verify_catalog import Findings
from indexer.store.thumbnails import ThumbnailFile
from indexer.store.writer import LibraryWriter
from retrieval.catalog.thumbnails import THUMBNAIL_KINDS_SQL, split_thumbnail, thumbnail_checksum
from retrieval.embedders.base import Embedder
from retrieval.errors import EmbedderError
from retrieval.formatting import pluralize

_ORPHANED_ROWS = "FROM thumbnails WHERE segment NOT IN (SELECT id FROM segments)"
_MISSING_ROWS = f"""FROM segments s
 WHERE s.kind IN ({THUMBNAIL_KINDS_SQL}) AND s.box IS NULL AND s.id NOT IN (SELECT segment FROM thumbnails)
   AND EXISTS (SELECT 1 FROM present_files f WHERE f.content = s.content)"""
_DAMAGED_QUERY = """SELECT t.segment FROM thumbnails t JOIN segments s ON s.id = t.segment
  JOIN contents c ON c.id = s.content WHERE t.seal != seal(c.hash, c.decoder, s.ordinal, t.picture)"""
_THUMBNAILS_AFTER = """SELECT t.segment, c.hash, c.decoder, s.ordinal, t.picture FROM thumbnails t
  JOIN segments s ON s.id = t.segment JOIN contents c ON c.id = s.content
 WHERE t.segment > ? ORDER BY t.segment LIMIT ?"""
PLACEHOLDER_BATCH = 500  # thumbnails in memory


def check_thumbnails(writer: LibraryWriter, findings: Findings) -> None:
    """Add damaged, orphaned and missing thumbnails to the findings."""
    file = writer.thumbnails
    if damage := _damage_message(file):
        findings.errors.append(f"{damage} `clew verify --repair` recreates them.")
    elif file.path.exists() and (count := _count_rows(file, _ORPHANED_ROWS)):
        findings.warnings.append(
            f"{_pluralize_thumbnails(count)} of deleted segments. `clew verify --repair` deletes them."
        )
    elif file.is_accepting and (count := _count_rows(file, _MISSING_ROWS)):
        findings.warnings.append(
            f"{pluralize(count, 'segment')} without a thumbnail. `clew verify --repair` creates them "
            "from the files."
        )


def repair_thumbnails(
    writer: LibraryWriter,
    findings: Findings,
    load_embedder: Callable[[], Embedder],
    progress: PassProgress,
) -> None:
    """Delete damaged and orphaned thumbnails, and create missing ones from the present files.

    `load_embedder` is called only if files have to be decoded.
    """
    file = writer.thumbnails
    if damage := _damage_message(file):
        _drop_damaged(file)
        findings.repaired.append(f"{damage} Deleted.")
    if file.path.exists() and _count_rows(file, _ORPHANED_ROWS):
        findings.repaired.append(f"{_pluralize_thumbnails(file.drop_orphans())} of deleted segments deleted.")
    if file.path.exists() and (count := _add_placeholders(file)):
        findings.repaired.append(f"Placeholders of {_pluralize_thumbnails(count)} added.")
    missing = _count_rows(file, _MISSING_ROWS) if file.is_accepting else 0
    if not missing:
        return
    try:
        embedder = load_embedder()
    except EmbedderError as error:
        findings.warnings.append(f"{pluralize(missing, 'segment')} without a thumbnail: {error}")
        return
    rows = file.open().execute(f"SELECT DISTINCT s.content {_MISSING_ROWS} ORDER BY s.content")
    run_pass(MissingThumbnailPass(writer, embedder, [row[0] for row in rows]), embedder, progress)
    left = _count_rows(file, _MISSING_ROWS)
    findings.repaired += [f"{_pluralize_thumbnails(missing - left)} created."] * (missing > left)
    if left:
        segments = pluralize(left, "segment")
        findings.warnings.append(f"{segments} without a thumbnail: their files cannot be decoded.")
    elif file.note:
        findings.warnings.append(file.note)


class MissingThumbnailPass(RedecodePass):
    """Makes thumbnails for segments that lack one, until their file is full."""

    def pending(self) -> Iterator[OpenableContent]:
        """Yield contents until the file is full."""
        return takewhile(lambda _: self.library.wants_thumbnails, super().pending())


def _damage_message(file: ThumbnailFile) -> str | None:
    """Return a message on damage of the file or of thumbnails in it."""
    if not file.path.exists():
        return None
    try:
        (result,) = file.open().execute("PRAGMA main.quick_check(1)").fetchone()
        count = len(_damaged_segments(file))
    except sqlite3.DatabaseError as error:
        result, count = str(error), 0
    if result != "ok":
        return f"The thumbnails in {file.path} are damaged: {result}."
    return f"{_pluralize_thumbnails(count)} in {file.path} damaged." if count else None


def _drop_damaged(file: ThumbnailFile) -> None:
    """Delete the damaged thumbnails, or the file if it is still damaged then."""
    try:
        file.drop(_damaged_segments(file))
        is_repaired = _damage_message(file) is None
    except sqlite3.DatabaseError:
        is_repaired = False
    if not is_repaired:
        file.delete_file()


def _add_placeholders(file: ThumbnailFile) -> int:
    """Add placeholders to thumbnails that were made without, and return their number."""
    db, count, last = file.open(), 0, 0
    while rows := db.execute(_THUMBNAILS_AFTER, (last, PLACEHOLDER_BATCH)).fetchall():
        last = rows[-1][0]
        with db:
            for segment, digest, decoder, ordinal, stored in rows:
                webp, placeholder = split_thumbnail(stored)
                if not placeholder:
                    stored = webp + make_placeholder(Image.open(BytesIO(webp)).convert("RGB"))
                    values = thumbnail_checksum(digest, decoder, ordinal, stored), stored, segment
                    db.execute("UPDATE thumbnails SET seal = ?, picture = ? WHERE segment = ?", values)
                    count += 1
    return count


def _damaged_segments(file: ThumbnailFile) -> list[int]:
    db = file.open()
    db.create_function("seal", 4, thumbnail_checksum, deterministic=True)
    return [row[0] for row in db.execute(_DAMAGED_QUERY)]


def _count_rows(file: ThumbnailFile, from_clause: str) -> int:
    return int(file.open().execute(f"SELECT count(*) {from_clause}").fetchone()[0])


def _pluralize_thumbnails(count: int) -> str:
    return pluralize(count, "thumbnail")
