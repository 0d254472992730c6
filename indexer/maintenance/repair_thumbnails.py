"""Look the thumbnails over, and make from the files what is missing of them."""

import sqlite3
from collections.abc import Callable

from indexer.maintenance.refresh_metadata import read_contents
from indexer.maintenance.verify import Findings
from indexer.store.thumbnails import ThumbnailFile
from indexer.store.writer import Writer
from retrieval.catalog.thumbnails import KINDS, seal
from retrieval.embedders.base import Embedder
from retrieval.errors import EmbedderError
from retrieval.formatting import some

_LEFT_OVER = "FROM thumbnails WHERE segment NOT IN (SELECT id FROM segments)"
_LACKING = f"""FROM segments s
 WHERE s.kind IN ({KINDS}) AND s.box IS NULL AND s.id NOT IN (SELECT segment FROM thumbnails)
   AND EXISTS (SELECT 1 FROM present_files f WHERE f.content = s.content)"""
_DAMAGED = """SELECT t.segment FROM thumbnails t JOIN segments s ON s.id = t.segment
  JOIN contents c ON c.id = s.content WHERE t.seal != seal(c.hash, c.reader, s.ordinal, t.picture)"""


def check_thumbnails(writer: Writer, findings: Findings) -> None:
    """Add to the findings what is damaged of the thumbnails, what is left over, and what lacks one."""
    file = writer.thumbnails
    if wrong := _damage(file):
        findings.wrong.append(f"{wrong} `clew verify --repair` makes them again.")
    elif file.path.exists() and (count := _count(file, _LEFT_OVER)):
        findings.notes.append(
            f"{_thumbnails(count)} of what is no more; `clew verify --repair` deletes them."
        )
    elif file.wanted and (count := _count(file, _LACKING)):
        findings.notes.append(
            f"{some(count, 'segment')} without a thumbnail; `clew verify --repair` makes them from the files."
        )


def mend_thumbnails(
    writer: Writer, findings: Findings, load: Callable[[], Embedder], progress: Callable[[int, int], None]
) -> None:
    """Delete what is damaged or left over, and make what is missing from the files that are there.

    `load` is asked for the embedder if files are to be read: decoders want to know whom they read for.
    """
    file = writer.thumbnails
    if wrong := _damage(file):
        _drop_damaged(file)
        findings.mended.append(f"{wrong} Deleted.")
    if file.path.exists() and _count(file, _LEFT_OVER):
        findings.mended.append(f"{_thumbnails(file.drop_orphans())} of what is no more deleted.")
    lacking = _count(file, _LACKING) if file.wanted else 0
    if not lacking:
        return
    try:
        _remake(writer, load(), progress)
    except EmbedderError as error:
        findings.notes.append(f"{some(lacking, 'segment')} without a thumbnail: {error}")
        return
    left = _count(file, _LACKING)
    findings.mended += [f"{_thumbnails(lacking - left)} made."] * (lacking > left)
    if left:
        findings.notes.append(f"{some(left, 'segment')} without a thumbnail: their files give none.")
    elif file.note:
        findings.notes.append(file.note)


def _remake(writer: Writer, embedder: Embedder, progress: Callable[[int, int], None]) -> None:
    """Make the thumbnails that are missing, each content's committed, as long as there is room."""
    file = writer.thumbnails
    rows = file.open().execute(f"SELECT DISTINCT s.content {_LACKING} ORDER BY s.content")
    contents = [row[0] for row in rows]
    for number, (content, decoded) in enumerate(read_contents(writer, contents, embedder), start=1):
        if decoded is not None:
            file.keep_content(content, decoded.drafts)
        if not file.wanted:
            break
        progress(number, len(contents))


def _damage(file: ThumbnailFile) -> str | None:
    """Say what is not as it was written: the whole file, or some thumbnails."""
    if not file.path.exists():
        return None
    try:
        (wrong,) = file.open().execute("PRAGMA main.quick_check(1)").fetchone()
        count = len(_damaged(file))
    except sqlite3.DatabaseError as error:
        wrong, count = str(error), 0
    if wrong != "ok":
        return f"The thumbnails in {file.path} are damaged: {wrong}."
    return f"{_thumbnails(count)} in {file.path} damaged." if count else None


def _drop_damaged(file: ThumbnailFile) -> None:
    """Delete the thumbnails that are damaged, or the file where that does not mend it."""
    try:
        file.drop(_damaged(file))
        mended = _damage(file) is None
    except sqlite3.DatabaseError:
        mended = False
    if not mended:
        file.begin_anew()


def _damaged(file: ThumbnailFile) -> list[int]:
    db = file.open()
    db.create_function("seal", 4, seal, deterministic=True)
    return [row[0] for row in db.execute(_DAMAGED)]


def _count(file: ThumbnailFile, found: str) -> int:
    return int(file.open().execute(f"SELECT count(*) {found}").fetchone()[0])


def _thumbnails(count: int) -> str:
    return some(count, "thumbnail")
