"""Decode texts, documents and tags of sounds again that an older version decoded."""

from collections.abc import Sequence
from threading import Event

from indexer.decode.base import SegmentDraft
from indexer.decode.versions import TEXT_VERSION
from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.content_pass import OpenableContent, PassProgress, run_pass
from indexer.maintenance.refresh_metadata import RedecodedContent, RedecodePass
from indexer.store.analyses import outdated_contents, set_progress
from indexer.store.contents import has_same_segments
from retrieval.types import Vectors


class TextPass(RedecodePass):
    """Decodes contents again, and embeds and replaces the segments of those that differ."""

    changed = 0  # contents

    def process(self, item: OpenableContent) -> Sequence[RedecodedContent]:
        """Decode a content, and compare it with its stored segments."""
        db = self.library.catalog.db
        return [
            result._replace(is_changed=not has_same_segments(db, result.content, result.decoded))
            for result in super().process(item)
        ]

    def drafts(self, result: RedecodedContent) -> Sequence[SegmentDraft]:
        """Return the segments of a content that differ."""
        return result.decoded.drafts if result.is_changed else ()

    def commit(self, results: Sequence[RedecodedContent], vectors: Vectors) -> None:
        """Replace the segments that differ, in one transaction; then save the thumbnails."""
        start = 0
        with self.library.writing() as writer, writer.db.atomic():
            outdated_ids = set(outdated_contents(writer.connection, "text", TEXT_VERSION))
            for result in results:
                content, decoded = result.content, result.decoded
                end = start + len(self.drafts(result))
                if content in outdated_ids:  # not purged or decoded by another process meanwhile
                    if result.is_changed:
                        writer.replace_segments(content, decoded.drafts, vectors[start:end], ())
                        writer.contents.write_notes(content, decoded)
                        writer.contents.update_metadata([(content, decoded.properties)])
                        self.changed += 1
                    set_progress(writer.db.conn, content, "text", TEXT_VERSION)
                start = end
        super().commit(results, vectors)


def refresh_texts(library: AnalyzedLibrary, progress: PassProgress, stop: Event | None = None) -> int:
    """Decode the texts again that an older version decoded, and return the number of those that differ."""
    texts = TextPass(
        library, library.embedder, outdated_contents(library.connection, "text", TEXT_VERSION), stop
    )
    run_pass(texts, library.embedder, progress)
    return texts.changed
