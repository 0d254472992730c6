"""Correct the segments of videos that an older version decoded, or decode these videos again."""

from collections.abc import Iterator, Sequence
from threading import Event
from typing import NamedTuple

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.reader import localize, modified_seconds, open_unchanged, redecode
from indexer.decode.versions import VIDEO_VERSION
from indexer.decode.video.correction import VideoCorrection, find_correction
from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.content_pass import (
    ContentPass,
    OpenableContent,
    PassProgress,
    in_reading_order,
    run_pass,
)
from indexer.prefetch import LinkedEvent
from indexer.store.analyses import Analysis, locate, outdated_contents, set_progress
from retrieval.types import Vectors


class CorrectedVideo(NamedTuple):
    """A content, its correction, and the result if it was decoded again."""

    content: int
    correction: VideoCorrection | None
    decoded: DecodedFile = DecodedFile()


class VideoPass(ContentPass[OpenableContent, CorrectedVideo]):
    """Corrects videos; most need no decoding."""

    threads = 1  # a decoder uses all cores itself
    prefetch_per_thread = 1

    def __init__(self, library: AnalyzedLibrary, contents: Sequence[int], stop: Event | None = None) -> None:
        self.library, self.contents, self.total = library, contents, len(contents)
        self.commit_interval, self.stop = library.batch_limits.seconds, LinkedEvent(stop)
        self.contexts = {
            wanted: DecodeContext(library.embedder, wanted, library.decode_limits, self.stop)
            for wanted in (False, True)
        }

    def pending(self) -> Iterator[OpenableContent]:
        """Yield the contents whose files are present."""
        return in_reading_order(locate(self.library.connection, self.contents), self.library.decode_limits)

    def process(self, item: OpenableContent) -> Sequence[CorrectedVideo]:
        """Find the correction of a video; a missing or changed file waits for a later run."""
        (content, digest, decoder, path, _), opener = item
        limits = self.library.decode_limits
        try:
            with open_unchanged(digest, path, opener, limits, self.stop) as file:
                if file is None:
                    return ()
                correction = find_correction(file)
        except OSError:
            return ()
        if correction is None:
            return [CorrectedVideo(content, None)]
        decoded = localize(correction.metadata, path, modified_seconds(path))
        if correction.needs_decoding:
            context = self.contexts[self.library.wants_thumbnails]
            again = redecode(digest, decoder, path, context, opener)
            if again is None:
                return ()
            decoded = again
        return [CorrectedVideo(content, correction, decoded)]

    def drafts(self, result: CorrectedVideo) -> Sequence[SegmentDraft]:
        """Return the segments of a video that was decoded again."""
        return result.decoded.drafts

    def commit(self, results: Sequence[CorrectedVideo], vectors: Vectors) -> None:
        """Correct times, or replace the segments, in one transaction; then save the thumbnails."""
        start = 0
        with self.library.writing() as writer, writer.db.atomic():
            outdated_ids = set(outdated_contents(writer.connection, "scenes", VIDEO_VERSION))
            for content, correction, decoded in results:
                end = start + len(decoded.drafts)
                if content not in outdated_ids:  # purged, or corrected by another process meanwhile
                    start = end
                    continue
                if correction is not None and correction.needs_decoding:
                    outdated: list[Analysis] = ["ocr"]
                    outdated += ["speech", "sounds"] if correction.has_jumps else []
                    writer.replace_segments(content, decoded.drafts, vectors[start:end], outdated)
                    writer.contents.update_metadata([(content, decoded.properties)])
                elif correction is not None:
                    writer.contents.correct_video(content, correction.shift, decoded.properties)
                set_progress(writer.db.conn, content, "scenes", VIDEO_VERSION)
                start = end
        with self.library.writing() as writer:
            for content, _, decoded in results:
                writer.thumbnails.save_content(content, decoded.drafts)
        self.done += len(results)


def refresh_videos(library: AnalyzedLibrary, progress: PassProgress, stop: Event | None = None) -> int:
    """Correct the videos that an older version decoded, and return their number."""
    videos = VideoPass(library, outdated_contents(library.connection, "scenes", VIDEO_VERSION), stop)
    run_pass(videos, library.embedder, progress)
    return videos.done
