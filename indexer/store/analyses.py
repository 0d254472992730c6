"""Where it is written what contents say: text in pictures, speech, sounds. Appended to whole contents."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from indexer.decode.base import SegmentDraft
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.types import Vectors

Analysis = Literal["ocr", "speech", "sounds"]


class PendingContent(NamedTuple):
    """A content that is to be looked over, a file that has it, and how far it is done."""

    content: int
    digest: bytes
    decoder: str
    path: bytes
    progress: float


@dataclass(frozen=True, slots=True)
class PartialResult:
    """What was found in a part of a content; `upto` is how far it is done now, None for all of it."""

    content: int
    drafts: Sequence[SegmentDraft]
    progress: float | None


def pending_contents(
    writer: LibraryWriter, analysis: Analysis, version: str, decoders: Sequence[str]
) -> list[PendingContent]:
    """Return the whole contents that are there and were not looked over by this version, new ones first."""
    marks = ", ".join("?" * len(decoders))
    query = f"""WITH left AS MATERIALIZED (  -- few, of which places are sought
                    SELECT c.id, c.hash, c.reader, iif(a.version = ?1, a.progress, 0.0) AS progress,
                           a.content IS NOT NULL AND a.progress IS NULL AS old
                      FROM contents c LEFT JOIN analyses a ON a.content = c.id AND a.analysis = ?2
                     WHERE c.segments IS NOT NULL AND c.reader IN ({marks})
                           AND (a.version IS NOT ?1 OR a.progress IS NOT NULL)),
                placed AS (
                    SELECT l.*, (SELECT path FROM present_files WHERE content = l.id LIMIT 1) AS place
                      FROM left l)
                SELECT id, hash, reader, place, coalesce(progress, 0.0) FROM placed
                 WHERE place IS NOT NULL ORDER BY old, id"""
    rows = writer.db.conn.execute(query, (version, analysis, *decoders)).fetchall()
    return [PendingContent(*row) for row in rows]


def scene_ranges(writer: LibraryWriter, content: int) -> list[tuple[float, float]]:
    """Return the seconds of the moments that a video is known to have, ascending."""
    query = "SELECT start, end FROM segments WHERE content = ? AND kind = 'video' ORDER BY start"
    return [tuple(row) for row in writer.db.execute(query, (content,))]


def save_results(
    writer: LibraryWriter,
    analysis: Analysis,
    version: str,
    results: Sequence[PartialResult],
    vectors: Vectors,
) -> Counter[str]:
    """Commit pieces with the vectors of their drafts, (n, d), at once; returns kind -> new segments.

    What another version has found in these contents is deleted.
    """
    wrote, begin, execute = Counter[str](), 0, writer.db.conn.execute
    with writer.db.atomic():
        for piece in results:
            key = (piece.content, analysis)
            query = "SELECT version FROM analyses WHERE content = ? AND analysis = ?"
            known = execute(query, key).fetchone()
            if known is not None and known[0] != version:
                _delete_results(writer, analysis, piece.content)
            end = begin + len(piece.drafts)
            writer.add_segments(piece.content, analysis, piece.drafts, vectors[begin:end])
            execute("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?)", (*key, version, piece.progress))
            wrote.update(draft.kind for draft in piece.drafts)
            begin = end
    return wrote


def _delete_results(writer: LibraryWriter, analysis: Analysis, content: int) -> None:
    """Delete what was found in a content, within a transaction."""
    execute = writer.db.conn.execute
    query = "SELECT id FROM segments WHERE content = ? AND origin = ?"
    ids = execute(query, (content, analysis)).fetchall()
    for space in writer.catalog.spaces():
        writer.db.conn.executemany(f"DELETE FROM {vectors_table(space.id)} WHERE segment = ?", ids)
    writer.db.conn.executemany("DELETE FROM segments WHERE id = ?", ids)
    execute("UPDATE contents SET segments = segments - ? WHERE id = ?", (len(ids), content))
