"""Embed the segments that lack a vector of a space: texts are in the library, pixels on disk."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from indexer.decode.base import SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.reader import redecode
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import TARGET_BATCH
from indexer.embed.long_texts import PLACEHOLDER_TEXT, embed_long_texts
from indexer.enrich.tiles import redecode_tiles
from indexer.prefetch import prefetch
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Kind, Space, Vectors

PAGE_SEGMENTS = 2_000  # segments read at once
PREFETCH_PER_THREAD = 16  # contents read ahead, a thread
TEXT_KINDS = frozenset(("text", "audio"))  # kinds whose vector is that of their text


class MissingVector(NamedTuple):
    """A segment without a vector, its content, and a place where the content is (None if it is nowhere)."""

    segment: int
    origin: str
    position: int  # among the segments of this origin
    content: int
    kind: Kind
    text: str | None
    page: int | None
    digest: bytes
    decoder: str
    path: bytes | None
    start: float | None
    end: float | None


EmbeddingInputs = list[tuple[int, SegmentDraft]]  # segments, and what there is to embed of each


def backfill_vectors(
    writer: LibraryWriter, space: Space, embedder: Embedder, progress: Callable[[int, int], None]
) -> tuple[int, int]:
    """Embed all that lacks a vector in a space, in batches, each committed at once.

    Returns how many vectors were written, and how many segments are left because their file is not there
    (or not as it was). What is cut short goes on from there the next time.
    """
    total, done = count_missing_vectors(writer, space), 0
    context = DecodeContext(embedder, thumbnails=False)
    contents = prefetch(
        lambda turn: _load_inputs(*turn, context),
        in_archive_order(_missing_by_content(writer, space), _source_path),
        threads=cores(),
        depth=PREFETCH_PER_THREAD * cores(),
    )

    def embed(batch: EmbeddingInputs) -> tuple[list[int], Vectors]:
        return [segment for segment, _ in batch], embed_long_texts(embedder, [draft for _, draft in batch])

    turns = embedder.concurrency
    for segments, vectors in prefetch(embed, _batches(contents), threads=turns, depth=turns + 1):
        writer.spaces.write_vectors(space, segments, vectors)
        done += len(segments)
        progress(done, total)
    return done, total - done


def count_missing_vectors(writer: LibraryWriter, space: Space) -> int:
    """Count the segments that have no vector in a space."""
    query = f"SELECT count(*) FROM segments s WHERE {_missing_vector_condition(space)}"
    return int(writer.catalog.db.execute(query).fetchone()[0])


def _missing_vector_condition(space: Space) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {vectors_table(space.id)} v WHERE v.segment = s.id)"


def _missing_by_content(writer: LibraryWriter, space: Space) -> Iterator[list[MissingVector]]:
    """Yield what each content lacks; read in pages, so that no reader holds the log back."""
    last = 0
    query = f"""SELECT s.id, s.origin,
                       s.ordinal - (SELECT min(o.ordinal) FROM segments o
                                     WHERE o.content = s.content AND o.origin = s.origin),
                       s.content, s.kind, s.text, s.page, c.hash, c.reader,
                       (SELECT path FROM present_files WHERE content = c.id LIMIT 1),
                       s.start, s."end"
                  FROM segments s JOIN contents c ON c.id = s.content
                 WHERE s.content > ? AND {_missing_vector_condition(space)} ORDER BY s.content, s.ordinal"""
    while True:
        rows = writer.catalog.db.execute(query, (last,))
        rows.row_factory = None
        page = [MissingVector(*row) for row in rows.fetchmany(PAGE_SEGMENTS)]
        rows.close()
        if len(page) == PAGE_SEGMENTS:  # the last content may be cut: it is the next page's first
            page = [row for row in page if row.content != page[-1].content] or _next_content(
                writer, query, last
            )
        if not page:
            return
        last = page[-1].content
        yield from (list(group) for _, group in groupby(page, key=lambda row: row.content))


def _next_content(writer: LibraryWriter, query: str, last: int) -> list[MissingVector]:
    """Return all of the first content after `last`, which is larger than a page."""
    rows = writer.catalog.db.execute(query, (last,))
    rows.row_factory = None
    _, group = next(groupby((MissingVector(*row) for row in rows), key=lambda row: row.content))
    return list(group)


def _source_path(group: list[MissingVector]) -> bytes | None:
    """Return the file that a content must be read from; None if it is nowhere, or its texts are all."""
    return next((row.path for row in group if row.kind not in TEXT_KINDS), None)


def _load_inputs(
    group: list[MissingVector], opener: Opener | None, context: DecodeContext
) -> EmbeddingInputs:
    """Return what can be embedded of a content: its texts, and its pixels if it is still there."""
    texts = [(row.segment, row.text or "") for row in group if row.kind in TEXT_KINDS]
    said = [
        (segment, text if context.embedder.count_tokens(text) else PLACEHOLDER_TEXT)
        for segment, text in texts
    ]
    ready = [(segment, SegmentDraft("text", text=text)) for segment, text in said]
    seen = [row for row in group if row.kind not in TEXT_KINDS]
    if not seen or seen[0].path is None:
        return ready
    if all(row.kind == "video" for row in seen):
        spans = [(row.start or 0.0, row.end or 0.0) for row in seen]
        decoded = redecode(seen[0].digest, seen[0].decoder, seen[0].path, context, opener, spans)
        again = [] if decoded is None else decoded.drafts
        return ready + [
            (row.segment, one) for row, one in zip(seen, again, strict=False) if _is_embeddable(one)
        ]
    drafts: dict[tuple[str, int], SegmentDraft] = {}
    decodes = any(row.origin == "file" for row in seen)
    if decodes:
        decoded = redecode(seen[0].digest, seen[0].decoder, seen[0].path, context, opener)
        drafts |= {("file", at): draft for at, draft in enumerate([] if decoded is None else decoded.drafts)}
    if any(row.origin == "tiles" for row in seen):
        left = None if decodes else opener  # which opens once
        tiles = redecode_tiles(seen[0].digest, seen[0].path, context.embedder, left)
        drafts |= {("tiles", at): draft for at, draft in enumerate(tiles or ())}
    there = [(row, drafts[row.origin, row.position]) for row in seen if (row.origin, row.position) in drafts]
    return ready + [(row.segment, draft) for row, draft in there if _is_same_segment(row, draft)]


def _is_same_segment(row: MissingVector, draft: SegmentDraft) -> bool:
    """Say whether a draft is what a segment was made of: where a page failed this time, others move up."""
    return draft.matches(row.kind, row.page, row.start) and _is_embeddable(draft)


def _is_embeddable(draft: SegmentDraft) -> bool:
    """Say whether a draft can be embedded, or has been."""
    return draft.pixels is not None or draft.vector is not None


def _batches(contents: Iterator[EmbeddingInputs]) -> Iterator[EmbeddingInputs]:
    batch: EmbeddingInputs = []
    for ready in contents:
        batch += ready
        while len(batch) >= TARGET_BATCH:
            yield batch[:TARGET_BATCH]
            batch = batch[TARGET_BATCH:]
    if batch:
        yield batch
