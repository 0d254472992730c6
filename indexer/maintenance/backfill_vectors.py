"""Embed the segments that lack a vector of a space: texts from the catalog, pixels from the files."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from threading import Event
from typing import NamedTuple

from indexer.decode.base import SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.reader import redecode
from indexer.embed.archive_order import in_archive_order
from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.content_pass import ContentPass, PassProgress, run_pass
from indexer.enrich.tiles import redecode_tiles
from indexer.prefetch import LinkedEvent
from retrieval.catalog.schema import HAS_NO_VECTOR, vectors_table
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.types import Kind, Space, Vectors

PAGE_SEGMENTS = 2_000  # after which a page of contents ends
TEXT_KINDS = frozenset(("text", "audio"))  # kinds whose text is embedded


class MissingVector(NamedTuple):
    """A segment without a vector."""

    segment: int
    origin: str
    position: int  # among the segments of this origin in the content
    kind: Kind
    text: str | None
    page: int | None
    digest: bytes  # of the content
    decoder: str
    path: bytes | None  # of a present file
    start: float | None
    end: float | None


MissingContent = list[MissingVector]  # the segments of one content that lack a vector
EmbeddingInput = tuple[int, SegmentDraft]  # a segment and what is embedded for it


class VectorPass(ContentPass[tuple[MissingContent, Opener | None], EmbeddingInput]):
    """Embeds the segments that have no vector of a space, or other segments that fulfill a condition."""

    def __init__(
        self,
        library: AnalyzedLibrary,
        space: Space,
        embedder: Embedder,
        stop: Event | None = None,
        *,
        condition: str | None = None,
    ) -> None:
        self.library, self.space, self.stop = library, space, LinkedEvent(stop)
        self.batch_size = library.batch_limits.segments
        self.context = DecodeContext(embedder, thumbnails=False, limits=library.decode_limits, stop=self.stop)
        self.embed_threads = embedder.concurrency
        has_vector = f"EXISTS (SELECT 1 FROM {vectors_table(space.id)} v WHERE v.segment = s.id)"
        self._condition = condition or f"NOT ({HAS_NO_VECTOR}) AND NOT {has_vector}"
        self._page_ends = list[int]()  # the last content of each page
        self.total = self._count_and_paginate()

    def _count_and_paginate(self) -> int:
        query = f"SELECT content, count(*) FROM segments s WHERE {self._condition} GROUP BY content"
        total = page_start = content = 0
        for content, count in self.library.connection.execute(query + " ORDER BY content"):
            total += count
            if total - page_start >= PAGE_SEGMENTS:
                self._page_ends.append(content)
                page_start = total
        if total > page_start:
            self._page_ends.append(content)
        return total

    def pending(self) -> Iterator[tuple[MissingContent, Opener | None]]:
        """Yield the segments without vector of each content."""
        return in_archive_order(self._missing_by_content(), _source_path, limits=self.library.decode_limits)

    def _missing_by_content(self) -> Iterator[MissingContent]:
        """Read in pages, so that no open query keeps SQLite's log from being truncated."""
        query = f"""SELECT s.id, s.origin,
                           s.ordinal - (SELECT min(o.ordinal) FROM segments o
                                         WHERE o.content = s.content AND o.origin = s.origin),
                           s.kind, s.text, s.page, c.hash, c.decoder,
                           (SELECT path FROM present_files WHERE content = c.id LIMIT 1),
                           s.start, s."end", s.content
                      FROM segments s JOIN contents c ON c.id = s.content
                     WHERE s.content > ? AND s.content <= ? AND {self._condition}
                     ORDER BY s.content, s.ordinal"""
        for start, end in pairwise([0, *self._page_ends]):
            rows = self.library.connection.execute(query, (start, end)).fetchall()
            for _, group in groupby(rows, key=lambda row: row[-1]):
                yield [MissingVector(*row[:-1]) for row in group]

    def process(self, item: tuple[MissingContent, Opener | None]) -> Sequence[EmbeddingInput]:
        """Return the texts of a content, and its pixels if its file is present and unchanged."""
        return _load_inputs(*item, self.context)

    def recover(
        self, item: tuple[MissingContent, Opener | None], error: Exception
    ) -> Sequence[EmbeddingInput]:
        """Raise the error: a space must not be activated without vectors that its model cannot make."""
        raise error

    def drafts(self, result: EmbeddingInput) -> Sequence[SegmentDraft]:
        """Return the one draft of a segment."""
        return result[1:]

    def commit(self, results: Sequence[EmbeddingInput], vectors: Vectors) -> None:
        """Write the vectors."""
        with self.library.writing() as writer:
            writer.spaces.write_vectors(self.space, [segment for segment, _ in results], vectors)
        self.done += len(results)


def backfill_vectors(
    library: AnalyzedLibrary,
    space: Space,
    embedder: Embedder,
    progress: PassProgress,
    stop: Event | None = None,
) -> tuple[int, int]:
    """Embed all segments without a vector of a space.

    Returns the number of new vectors, and of segments that wait because their file is missing or has changed.
    """
    vectors = VectorPass(library, space, embedder, stop)
    run_pass(vectors, embedder, progress)
    return vectors.done, vectors.total - vectors.done


def _source_path(content: MissingContent) -> bytes | None:
    """Return the file to decode; None if none is present or only texts are embedded."""
    return next((row.path for row in content if row.kind not in TEXT_KINDS), None)


def _load_inputs(
    content: MissingContent, opener: Opener | None, context: DecodeContext
) -> list[EmbeddingInput]:
    """Return the texts of a content, and its pixels if its file is present and unchanged."""
    texts = [
        (row.segment, SegmentDraft("text", text=row.text or "")) for row in content if row.kind in TEXT_KINDS
    ]
    visual = [row for row in content if row.kind not in TEXT_KINDS]
    path = visual[0].path if visual else None
    if path is None:
        return texts
    digest, decoder = visual[0].digest, visual[0].decoder
    if all(row.kind == "video" for row in visual):
        scenes = [(row.start or 0.0, row.end or 0.0) for row in visual]
        decoded = redecode(digest, decoder, path, context, opener, scenes)
        drafts = [] if decoded is None else decoded.drafts
        return texts + [
            (row.segment, draft) for row, draft in zip(visual, drafts, strict=False) if _is_embeddable(draft)
        ]
    drafts_at: dict[tuple[str, int], SegmentDraft] = {}
    decodes_file = any(row.origin == "file" for row in visual)
    if decodes_file:
        decoded = redecode(digest, decoder, path, context, opener)
        drafts = [] if decoded is None else decoded.drafts
        drafts_at |= {("file", position): draft for position, draft in enumerate(drafts)}
    if any(row.origin == "tiles" for row in visual):
        tile_opener = None if decodes_file else opener  # an opener opens only once
        tiles = redecode_tiles(digest, path, context, tile_opener)
        drafts_at |= {("tiles", position): draft for position, draft in enumerate(tiles or ())}
    pairs = [(row, drafts_at.get((row.origin, row.position))) for row in visual]
    return texts + [
        (row.segment, draft) for row, draft in pairs if draft is not None and _is_same_segment(row, draft)
    ]


def _is_same_segment(row: MissingVector, draft: SegmentDraft) -> bool:
    """Return True if the segment was made of such a draft; pages move up if one before them fails now."""
    return draft.matches(row.kind, row.page, row.start) and _is_embeddable(draft)


def _is_embeddable(draft: SegmentDraft) -> bool:
    """Return True if a draft has pixels, or was embedded by its decoder."""
    return draft.pixels is not None or draft.vector is not None
