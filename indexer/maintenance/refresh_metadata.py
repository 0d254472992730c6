"""Decode contents again: for the metadata that older versions did not read, or for thumbnails."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import NamedTuple

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.decode.reader import redecode
from indexer.decode.versions import METADATA_VERSION
from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.content_pass import (
    ContentPass,
    OpenableContent,
    PassProgress,
    in_reading_order,
    run_pass,
)
from indexer.prefetch import LinkedEvent
from indexer.store.analyses import locate, outdated_contents
from retrieval.embedders.base import Embedder
from retrieval.types import Vectors


class RedecodedContent(NamedTuple):
    """A content, and what was decoded: drafts with thumbnails but without pixels."""

    content: int
    decoded: DecodedFile
    is_changed: bool = False  # its segments are replaced


class RedecodePass(ContentPass[OpenableContent, RedecodedContent]):
    """Decodes contents again and saves their thumbnails; nothing is embedded."""

    def __init__(
        self,
        library: AnalyzedLibrary,
        embedder: Embedder,
        contents: Sequence[int],
        stop: Event | None = None,
    ) -> None:
        self.library, self.contents, self.stop = library, contents, LinkedEvent(stop)
        self.commit_interval, limits = library.batch_limits.seconds, library.decode_limits
        self.contexts = {
            wanted: DecodeContext(embedder, wanted, limits, self.stop) for wanted in (False, True)
        }
        self.total = len(contents)

    def pending(self) -> Iterator[OpenableContent]:
        """Yield the contents whose files are present."""
        return in_reading_order(locate(self.library.connection, self.contents), self.library.decode_limits)

    def process(self, item: OpenableContent) -> Sequence[RedecodedContent]:
        """Decode a content; a missing or changed file waits for a later run."""
        (content, digest, decoder, path, _), opener = item
        decoded = redecode(digest, decoder, path, self.contexts[self.library.wants_thumbnails], opener)
        if decoded is None:
            return ()
        drafts = [replace(draft, pixels=None, vector=None) for draft in decoded.drafts]  # to save memory
        return [RedecodedContent(content, replace(decoded, drafts=drafts))]

    def commit(self, results: Sequence[RedecodedContent], vectors: Vectors) -> None:
        """Save the thumbnails."""
        with self.library.writing() as writer:
            for result in results:
                writer.thumbnails.save_content(result.content, result.decoded.drafts)
        self.done += len(results)


class MetadataPass(RedecodePass):
    """Decodes contents again and saves their metadata and thumbnails."""

    def commit(self, results: Sequence[RedecodedContent], vectors: Vectors) -> None:
        """Save the thumbnails and the metadata."""
        super().commit(results, vectors)
        with self.library.writing() as writer:
            writer.contents.update_metadata(
                [(result.content, result.decoded.properties) for result in results]
            )


def refresh_metadata(library: AnalyzedLibrary, progress: PassProgress, stop: Event | None = None) -> int:
    """Decode contents again whose metadata is outdated, and return how many were decoded."""
    contents = outdated_contents(library.connection, "metadata", str(METADATA_VERSION))
    metadata = MetadataPass(library, library.embedder, contents, stop)
    run_pass(metadata, library.embedder, progress)
    return metadata.done
