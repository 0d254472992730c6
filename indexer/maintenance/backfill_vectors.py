"""Embed the segments that lack a vector of a space: texts are in the library, pixels on disk."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from indexer.decode.base import Draft
from indexer.decode.images.thumbnail import thumbnails_wanted
from indexer.decode.reader import read_again
from indexer.embed.archive_order import in_turn
from indexer.embed.batches import USUAL
from indexer.embed.long_texts import NOTHING, embed_whole
from indexer.enrich.tiles import tiles_again
from indexer.prefetch import ahead
from indexer.store.writer import Writer
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Kind, Space, Vectors

PAGE = 2_000  # segments read at once
AHEAD = 16  # contents read ahead, a thread
WORDS = frozenset(("text", "audio"))  # kinds whose vector is that of their text


class Lacking(NamedTuple):
    """A segment without a vector, its content, and a place where the content is (None if it is nowhere)."""

    segment: int
    origin: str
    position: int  # among the segments of this origin
    content: int
    kind: Kind
    text: str | None
    page: int | None
    digest: bytes
    reader: str
    place: bytes | None
    start: float | None
    end: float | None


Ready = list[tuple[int, Draft]]  # segments, and what there is to embed of each


def fill(
    writer: Writer, space: Space, embedder: Embedder, progress: Callable[[int, int], None]
) -> tuple[int, int]:
    """Embed all that lacks a vector in a space, in batches, each committed at once.

    Returns how many vectors were written, and how many segments are left because their file is not there
    (or not as it was). What is cut short goes on from there the next time.
    """
    total, done = count_lacking(writer, space), 0
    contents = ahead(
        lambda turn: _read(*turn, embedder),
        in_turn(_contents(writer, space), _needed),
        threads=cores(),
        depth=AHEAD * cores(),
    )

    def embed(batch: Ready) -> tuple[list[int], Vectors]:
        return [segment for segment, _ in batch], embed_whole(embedder, [draft for _, draft in batch])

    turns = embedder.at_once
    for segments, vectors in ahead(embed, _batches(contents), threads=turns, depth=turns + 1):
        writer.spaces.write_vectors(space, segments, vectors)
        done += len(segments)
        progress(done, total)
    return done, total - done


def count_lacking(writer: Writer, space: Space) -> int:
    """Count the segments that have no vector in a space."""
    query = f"SELECT count(*) FROM segments s WHERE {_lacks(space)}"
    return int(writer.catalog.db.execute(query).fetchone()[0])


def _lacks(space: Space) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {vectors_table(space.id)} v WHERE v.segment = s.id)"


def _contents(writer: Writer, space: Space) -> Iterator[list[Lacking]]:
    """Yield what each content lacks; read in pages, so that no reader holds the log back."""
    last = 0
    query = f"""SELECT s.id, s.origin,
                       s.ordinal - (SELECT min(o.ordinal) FROM segments o
                                     WHERE o.content = s.content AND o.origin = s.origin),
                       s.content, s.kind, s.text, s.page, c.hash, c.reader,
                       (SELECT path FROM present_files WHERE content = c.id LIMIT 1),
                       s.start, s."end"
                  FROM segments s JOIN contents c ON c.id = s.content
                 WHERE s.content > ? AND {_lacks(space)} ORDER BY s.content, s.ordinal"""
    while True:
        rows = writer.catalog.db.execute(query, (last,))
        rows.row_factory = None
        page = [Lacking(*row) for row in rows.fetchmany(PAGE)]
        rows.close()
        if len(page) == PAGE:  # the last content may be cut: it is the next page's first
            page = [row for row in page if row.content != page[-1].content] or _whole(writer, query, last)
        if not page:
            return
        last = page[-1].content
        yield from (list(group) for _, group in groupby(page, key=lambda row: row.content))


def _whole(writer: Writer, query: str, last: int) -> list[Lacking]:
    """Return all of the first content after `last`, which is larger than a page."""
    rows = writer.catalog.db.execute(query, (last,))
    rows.row_factory = None
    _, group = next(groupby((Lacking(*row) for row in rows), key=lambda row: row.content))
    return list(group)


def _needed(group: list[Lacking]) -> bytes | None:
    """Return the file that a content must be read from; None if it is nowhere, or its texts are all."""
    return next((row.place for row in group if row.kind not in WORDS), None)


def _read(group: list[Lacking], opener: Opener | None, embedder: Embedder) -> Ready:
    """Return what can be embedded of a content: its texts, and its pixels if it is still there."""
    texts = [(row.segment, row.text or "") for row in group if row.kind in WORDS]
    said = [(segment, text if embedder.tokens(text) else NOTHING) for segment, text in texts]
    ready = [(segment, Draft("text", text=text)) for segment, text in said]
    seen = [row for row in group if row.kind not in WORDS]
    if not seen or seen[0].place is None:
        return ready
    if all(row.kind == "video" for row in seen):
        spans = [(row.start or 0.0, row.end or 0.0) for row in seen]
        decoded = read_again(seen[0].digest, seen[0].reader, seen[0].place, embedder, opener, spans)
        again = [] if decoded is None else decoded.drafts
        return ready + [(row.segment, one) for row, one in zip(seen, again, strict=False) if _has_vector(one)]
    drafts: dict[tuple[str, int], Draft] = {}
    decodes = any(row.origin == "file" for row in seen)
    if decodes:
        with thumbnails_wanted(False):
            decoded = read_again(seen[0].digest, seen[0].reader, seen[0].place, embedder, opener)
        drafts |= {("file", at): draft for at, draft in enumerate([] if decoded is None else decoded.drafts)}
    if any(row.origin == "tiles" for row in seen):
        left = None if decodes else opener  # which opens once
        tiles = tiles_again(seen[0].digest, seen[0].place, embedder, left)
        drafts |= {("tiles", at): draft for at, draft in enumerate(tiles or ())}
    there = [(row, drafts[row.origin, row.position]) for row in seen if (row.origin, row.position) in drafts]
    return ready + [(row.segment, draft) for row, draft in there if _is_same(row, draft)]


def _is_same(row: Lacking, draft: Draft) -> bool:
    """Say whether a draft is what a segment was made of: where a page failed this time, others move up."""
    return draft.is_of(row.kind, row.page, row.start) and _has_vector(draft)


def _has_vector(draft: Draft) -> bool:
    """Say whether a draft can be embedded, or has been."""
    return draft.pixels is not None or draft.vector is not None


def _batches(contents: Iterator[Ready]) -> Iterator[Ready]:
    batch: Ready = []
    for ready in contents:
        batch += ready
        while len(batch) >= USUAL:
            yield batch[:USUAL]
            batch = batch[USUAL:]
    if batch:
        yield batch
