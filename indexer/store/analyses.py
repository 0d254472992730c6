"""The table `analyses`: which version has analyzed each content, and how far.

The segments that an analysis finds are appended to complete contents.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from retrieval.catalog.schema import vectors_table

if TYPE_CHECKING:
    from indexer.decode.base import SegmentDraft

Analysis = Literal["ocr", "speech", "sounds", "tiles", "metadata", "scenes", "text"]

# The decoder that wrote the segments of a content `c`: a file with a wrong suffix is read by another decoder
# than that of its suffix, which the content keeps as a part of its key.
_ACTUAL_DECODER = """coalesce((SELECT CASE s.kind WHEN 'image' THEN 'picture' WHEN 'page' THEN 'document'
                                              WHEN 'video' THEN 'video' WHEN 'audio' THEN 'sound' END
                                FROM segments s WHERE s.content = c.id AND s.ordinal = 0), c.decoder)"""


class PendingContent(NamedTuple):
    """A content to process, a file that holds it, and how far it has been analyzed."""

    content: int
    digest: bytes
    decoder: str
    path: bytes
    progress: float = 0.0  # seconds or pages


@dataclass(frozen=True, slots=True)
class PartialResult:
    """The segments that were found in a part of a content."""

    content: int
    drafts: "Sequence[SegmentDraft]"
    progress: float | None  # seconds or pages up to the end of this part; None completes the content


def pending_contents(
    db: sqlite3.Connection,
    analysis: Analysis,
    version: str,
    decoders: Sequence[str],
    condition: str = "TRUE",
) -> list[int]:
    """Return the complete contents that lack this version of an analysis and have a present file.

    Contents that no version has analyzed come first. `condition` is SQL on the content `c`.
    """
    marks = ", ".join("?" * len(decoders))
    query = f"""WITH pending AS MATERIALIZED (  -- few, so that few files are looked up
                    SELECT c.id, a.content IS NOT NULL AND a.progress IS NULL AS is_outdated
                      FROM contents c LEFT JOIN analyses a ON a.content = c.id AND a.analysis = ?2
                     WHERE c.segments IS NOT NULL AND (a.version IS NOT ?1 OR a.progress IS NOT NULL)
                           AND {_ACTUAL_DECODER} IN ({marks}) AND {condition})
                SELECT id FROM pending
                 WHERE EXISTS (SELECT 1 FROM present_files WHERE content = id) ORDER BY is_outdated, id"""
    return [row[0] for row in db.execute(query, (version, analysis, *decoders))]


def outdated_contents(db: sqlite3.Connection, analysis: Analysis, version: str) -> list[int]:
    """Return the contents that another version has analyzed and that have a present file.

    Faster than `pending_contents` where each content is analyzed when it is added.
    """
    query = """SELECT content FROM (
                   SELECT content FROM analyses WHERE analysis = ?1 AND version < ?2
                    UNION ALL SELECT content FROM analyses WHERE analysis = ?1 AND version > ?2) a
                WHERE EXISTS (SELECT 1 FROM present_files f WHERE f.content = a.content) ORDER BY content"""
    return [row[0] for row in db.execute(query, (analysis, version))]


def locate(
    db: sqlite3.Connection, contents: Iterable[int], analysis: str = "", version: str = ""
) -> Iterator[PendingContent]:
    """Yield contents with a present file, and how far this version of an analysis has come.

    Contents that another process has purged meanwhile are left out.
    """
    query = f"""SELECT c.id, c.hash, {_ACTUAL_DECODER},
                      (SELECT path FROM present_files WHERE content = c.id LIMIT 1),
                      coalesce((SELECT progress FROM analyses
                                 WHERE content = c.id AND analysis = ?2 AND version = ?3), 0.0)
                 FROM contents c WHERE c.id = ?1"""
    for content in contents:
        row = db.execute(query, (content, analysis, version)).fetchone()
        if row is not None and (pending := PendingContent(*row)).path is not None:
            yield pending


def set_progress(
    db: sqlite3.Connection, content: int, analysis: Analysis, version: str, progress: float | None = None
) -> None:
    """Record how far a version has analyzed a content, None for all of it, within a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO analyses (content, analysis, version, progress) VALUES (?, ?, ?, ?)",
        (content, analysis, version, progress),
    )


def is_saved(db: sqlite3.Connection, result: PartialResult, analysis: Analysis, version: str) -> bool:
    """Return True if this version has saved this part of a content already, perhaps in another process."""
    query = """SELECT 1 FROM analyses WHERE content = ? AND analysis = ? AND version = ?
                  AND (progress IS NULL OR progress >= ?)"""
    return db.execute(query, (result.content, analysis, version, result.progress)).fetchone() is not None


def scene_ranges(db: sqlite3.Connection, content: int) -> list[tuple[float, float]]:
    """Return start and end, in seconds, of the scenes of a video, ascending."""
    query = "SELECT start, end FROM segments WHERE content = ? AND kind = 'video' ORDER BY start"
    return [tuple(row) for row in db.execute(query, (content,))]


def delete_analysis(db: sqlite3.Connection, analysis: Analysis, space_ids: Iterable[int]) -> int:
    """Delete all results of an analysis, within a transaction; return the number of deleted segments."""
    found = "SELECT id FROM segments WHERE origin = ?"
    for id_ in space_ids:
        db.execute(f"DELETE FROM {vectors_table(id_)} WHERE segment IN ({found})", (analysis,))
    db.execute(
        """UPDATE contents SET segments = segments - n
             FROM (SELECT content, count(*) AS n FROM segments WHERE origin = ? GROUP BY content) f
            WHERE f.content = contents.id""",
        (analysis,),
    )
    count = int(db.execute("DELETE FROM segments WHERE origin = ?", (analysis,)).rowcount)
    db.execute("DELETE FROM analyses WHERE analysis = ?", (analysis,))
    return count
