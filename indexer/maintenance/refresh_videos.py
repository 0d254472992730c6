"""Correct the segments of videos that an older version decoded, or decode these videos again."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.reader import localize, modified_seconds, open_unchanged, redecode
from indexer.decode.video.correction import VIDEO_VERSION, VideoCorrection, find_correction
from indexer.enrich.content_pass import (
    ContentPass,
    OpenableContent,
    PassProgress,
    in_reading_order,
    run_pass,
)
from indexer.store.analyses import Analysis, locate, outdated_contents, set_progress
from indexer.store.writer import LibraryWriter
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

    def __init__(self, writer: LibraryWriter, contents: Sequence[int]) -> None:
        self.writer, self.contents, self.total = writer, contents, len(contents)
        self.commit_interval = writer.batch_limits.seconds

    def pending(self) -> Iterator[OpenableContent]:
        """Yield the contents whose files are present."""
        return in_reading_order(locate(self.writer.db.conn, self.contents), self.writer.decode_limits)

    def process(self, item: OpenableContent) -> Sequence[CorrectedVideo]:
        """Find the correction of a video; a missing or changed file waits for a later run."""
        (content, digest, decoder, path, _), opener = item
        limits = self.writer.decode_limits
        try:
            with open_unchanged(digest, path, opener, limits) as file:
                if file is None:
                    return ()
                correction = find_correction(file)
        except OSError:
            return ()
        if correction is None:
            return [CorrectedVideo(content, None)]
        decoded = localize(correction.metadata, path, modified_seconds(path))
        if correction.needs_decoding:
            context = DecodeContext(self.writer.embedder, self.writer.thumbnails.is_accepting, limits)
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
        start, writer = 0, self.writer
        with writer.db.atomic():
            for content, correction, decoded in results:
                end = start + len(decoded.drafts)
                if correction is not None and correction.needs_decoding:
                    outdated: list[Analysis] = ["ocr"]
                    outdated += ["speech", "sounds"] if correction.has_jumps else []
                    writer.replace_segments(content, decoded.drafts, vectors[start:end], outdated)
                    writer.contents.update_metadata([(content, decoded.properties)])
                elif correction is not None:
                    writer.contents.correct_video(content, correction.shift, decoded.properties)
                set_progress(writer.db.conn, content, "scenes", VIDEO_VERSION)
                start = end
        for content, _, decoded in results:
            writer.thumbnails.save_content(content, decoded.drafts)
        self.done += len(results)


def refresh_videos(writer: LibraryWriter, progress: PassProgress) -> int:
    """Correct the videos that an older version decoded, and return their number."""
    videos = VideoPass(writer, outdated_contents(writer.db.conn, "scenes", VIDEO_VERSION))
    run_pass(videos, writer.embedder, progress)
    return videos.done
