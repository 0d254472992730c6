"""Tiles: crops of pictures, embedded beside the whole, so that small things in them are found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.images.crops import TILE_SIDE_SHARE, iter_crops, tile_boxes
from indexer.decode.metadata.properties import ImageHeader
from indexer.decode.reader import open_unchanged
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import TARGET_BATCH, embed_drafts
from indexer.prefetch import prefetch
from indexer.store.writer import LibraryWriter
from retrieval.embedders.base import Embedder
from retrieval.errors import ClewError, MediaError
from retrieval.media.archives.archive import Opener
from retrieval.media.images.loader import decode_image, open_image
from retrieval.system import cores
from retrieval.types import Vectors

PREFETCH_PER_THREAD = 16  # pictures decoded ahead, a thread


class UntiledImage(NamedTuple):
    """A picture that has no tiles, and a file that has it."""

    content: int
    digest: bytes
    path: bytes


@dataclass(frozen=True, slots=True)
class ImageTiles:
    """A picture and its tiles; None where its file is not as it was, and another run may find it."""

    content: int
    drafts: Sequence[SegmentDraft] | None


def add_tiles(writer: LibraryWriter, progress: Callable[[int, int], None]) -> tuple[int, int]:
    """Give every picture that has none its tiles, in batches, each committed; what is cut short goes on.

    Returns how many tiles were written, and of how many pictures. What is cut up already, as panoramas and
    pages are, gets none.
    """
    embedder, untiled = writer.embedder, writer.contents.untiled_images()
    tiles = pictures = done = 0

    def read(turn: tuple[UntiledImage, Opener | None]) -> ImageTiles:
        one, opener = turn
        return ImageTiles(one.content, redecode_tiles(one.digest, one.path, embedder, opener))

    def embed(batch: Sequence[ImageTiles]) -> tuple[Sequence[ImageTiles], Vectors]:
        return batch, embed_drafts(embedder, [draft for one in batch for draft in one.drafts or ()])

    turns = in_archive_order(map(UntiledImage._make, untiled), lambda one: one.path)
    reads = prefetch(read, turns, threads=cores(), depth=PREFETCH_PER_THREAD * cores())
    at_once = embedder.concurrency
    for batch, vectors in prefetch(embed, _batches(reads), threads=at_once, depth=at_once + 1):
        ends = np.cumsum([len(one.drafts or ()) for one in batch])
        parts = np.split(vectors, ends[:-1])
        writer.write_tiles(
            [
                (one.content, one.drafts, part)
                for one, part in zip(batch, parts, strict=True)
                if one.drafts is not None
            ]
        )
        tiles += len(vectors)
        pictures += sum(bool(one.drafts) for one in batch)
        done += len(batch)
        progress(done, len(untiled))
    return tiles, pictures


def redecode_tiles(
    digest: bytes, path: bytes, embedder: Embedder, opener: Opener | None = None
) -> list[SegmentDraft] | None:
    """Decode the tiles of a picture that was read before; None where its file is not as it was.

    They are cut from a larger picture than the whole is embedded from, so that each has its full share.
    """
    try:
        with open_unchanged(digest, path, opener) as file:
            if file is None:
                return None
            with open_image(file) as original:
                header = ImageHeader.from_image(original)
                picture = decode_image(original, min_side=ceil(embedder.min_image_side / TILE_SIDE_SHARE))
    except MediaError:  # what is no picture, whatever its name, has none
        return []
    except (OSError, ClewError):
        return None
    size = header.width, header.height
    return [
        SegmentDraft("image", pixels=embedder.prepare(part), box=box)
        for box, part in iter_crops(picture, tile_boxes(*size), *size)
    ]


def _batches(reads: Iterator[ImageTiles]) -> Iterator[list[ImageTiles]]:
    batch, held = list[ImageTiles](), 0
    for one in reads:
        batch.append(one)
        held += len(one.drafts or ())
        if held >= TARGET_BATCH or len(batch) >= TARGET_BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
