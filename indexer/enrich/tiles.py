"""Tiles: crops of an image that are embedded in addition to the image, so that small objects are found."""

from collections.abc import Iterator, Sequence
from math import ceil
from threading import Event
from typing import BinaryIO

from indexer.decode.base import SegmentDraft
from indexer.decode.context import DecodeContext, Prepare
from indexer.decode.images.crops import TILE_SIDE_SHARE, iter_crops, tile_boxes
from indexer.decode.metadata.properties import ImageHeader
from indexer.decode.reader import open_unchanged
from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.content_pass import ContentPass, OpenableContent, PassProgress, in_reading_order, run_pass
from indexer.prefetch import LinkedEvent
from indexer.store.analyses import PartialResult, locate, pending_contents
from retrieval.errors import ClewError, MediaError
from retrieval.media.archives.archive import Opener
from retrieval.media.images.loader import decode_image, open_image
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandboxed_calls import call_sandboxed
from retrieval.types import Vectors

VERSION = "1"  # a larger one cuts every image into tiles again
_IS_ONE_SEGMENT = """NOT EXISTS (  -- panoramas and pages are stored as several segments
    SELECT 1 FROM segments s WHERE s.content = c.id AND s.kind = 'image' AND s.origin = 'file'
       AND coalesce(s.box, s.page, s.start) IS NOT NULL)"""


class TilesPass(ContentPass[OpenableContent, PartialResult]):
    """Cuts images into tiles, unless they are stored as several segments already."""

    def __init__(self, library: AnalyzedLibrary, stop: Event | None = None) -> None:
        self.library, self.stop = library, LinkedEvent(stop)
        self.batch_size, self.commit_interval = library.batch_limits.segments, library.batch_limits.seconds
        self.context = DecodeContext(
            library.embedder, thumbnails=False, limits=library.decode_limits, stop=self.stop
        )
        self.embed_threads = library.embedder.concurrency
        self.contents = pending_contents(library.connection, "tiles", VERSION, ("picture",), _IS_ONE_SEGMENT)
        self.total = len(self.contents)
        self.tile_count = self.image_count = 0

    def pending(self) -> Iterator[OpenableContent]:
        """Yield the images without tiles."""
        return in_reading_order(locate(self.library.connection, self.contents), self.library.decode_limits)

    def process(self, item: OpenableContent) -> Sequence[PartialResult]:
        """Return the tiles of an image."""
        image, opener = item
        tiles = redecode_tiles(image.digest, image.path, self.context, opener)
        return () if tiles is None else [PartialResult(image.content, tiles, None)]

    def drafts(self, result: PartialResult) -> Sequence[SegmentDraft]:
        """Return the tiles."""
        return result.drafts

    def commit(self, results: Sequence[PartialResult], vectors: Vectors) -> None:
        """Append the tiles to their images."""
        with self.library.writing() as writer:
            writer.save_results("tiles", VERSION, results, vectors)
        self.done += len(results)
        self.tile_count += len(vectors)
        self.image_count += sum(bool(result.drafts) for result in results)


def add_tiles(library: AnalyzedLibrary, progress: PassProgress, stop: Event | None = None) -> TilesPass:
    """Cut images that have no tiles; return the finished pass. Images that fail are retried later."""
    tiles = TilesPass(library, stop)
    run_pass(tiles, library.embedder, progress)
    return tiles


def redecode_tiles(
    digest: bytes, path: bytes, context: DecodeContext, opener: Opener | None = None
) -> list[SegmentDraft] | None:
    """Decode the tiles of a stored image; return None if its file is missing or has changed.

    They are cut from a larger image than the one that is embedded, so that each has its full resolution.
    """
    limits = context.limits
    try:
        with open_unchanged(digest, path, opener, limits, context.stop) as file:
            if file is None:
                return None
            min_side = ceil(context.embedder.min_image_side / TILE_SIDE_SHARE)
            arguments = (min_side, context.remote_prepare, limits)
            tiles = call_sandboxed(read_tiles, file, *arguments, limits=limits, stop=context.stop)
    except MediaError:  # not an image, whatever its suffix
        return []
    except (OSError, ClewError):
        return None
    return context.prepare_received(tiles)


def read_tiles(file: BinaryIO, min_side: int, prepare: Prepare, limits: DecodeLimits) -> list[SegmentDraft]:
    """Return the tiles of an upright image that is decoded at the scale of `min_side`; raises MediaError."""
    with open_image(file, limits) as original:
        header = ImageHeader.from_image(original)
        image, size = decode_image(original, limits, min_side=min_side), (header.width, header.height)
        return [
            SegmentDraft("image", pixels=prepare(tile), box=box)
            for box, tile in iter_crops(image, tile_boxes(*size), *size)
        ]
