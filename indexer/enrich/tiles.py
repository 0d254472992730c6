"""Tiles: crops of pictures, embedded beside the whole, so that small things in them are found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from indexer.decode.base import Draft
from indexer.decode.images.crops import PART, crops, tile_boxes
from indexer.decode.metadata.properties import Header
from indexer.decode.reader import open_again
from indexer.embed.archive_order import in_turn
from indexer.embed.batches import USUAL, embed_drafts
from indexer.prefetch import ahead
from indexer.store.writer import Writer
from retrieval.embedders.base import Embedder
from retrieval.errors import ClewError, MediaError
from retrieval.media.archives.archive import Opener
from retrieval.media.images.loader import decode, opened
from retrieval.system import cores
from retrieval.types import Vectors

AHEAD = 16  # pictures decoded ahead, a thread


class Untiled(NamedTuple):
    """A picture that has no tiles, and a file that has it."""

    content: int
    digest: bytes
    place: bytes


@dataclass(frozen=True, slots=True)
class Tiled:
    """A picture and its tiles; None where its file is not as it was, and another run may find it."""

    content: int
    drafts: Sequence[Draft] | None


def add_tiles(writer: Writer, progress: Callable[[int, int], None]) -> tuple[int, int]:
    """Give every picture that has none its tiles, in batches, each committed; what is cut short goes on.

    Returns how many tiles were written, and of how many pictures. What is cut up already, as panoramas and
    pages are, gets none.
    """
    embedder, untiled = writer.embedder, writer.contents.untiled()
    tiles = pictures = done = 0

    def read(turn: tuple[Untiled, Opener | None]) -> Tiled:
        one, opener = turn
        return Tiled(one.content, tiles_again(one.digest, one.place, embedder, opener))

    def embed(batch: Sequence[Tiled]) -> tuple[Sequence[Tiled], Vectors]:
        return batch, embed_drafts(embedder, [draft for one in batch for draft in one.drafts or ()])

    turns = in_turn(map(Untiled._make, untiled), lambda one: one.place)
    reads = ahead(read, turns, threads=cores(), depth=AHEAD * cores())
    at_once = embedder.at_once
    for batch, vectors in ahead(embed, _batches(reads), threads=at_once, depth=at_once + 1):
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


def tiles_again(
    digest: bytes, place: bytes, embedder: Embedder, opener: Opener | None = None
) -> list[Draft] | None:
    """Decode the tiles of a picture that was read before; None where its file is not as it was.

    They are cut from a larger picture than the whole is embedded from, so that each has its full share.
    """
    try:
        with open_again(digest, place, opener) as file:
            if file is None:
                return None
            with opened(file) as original:
                header = Header.of(original)
                picture = decode(original, near=ceil(embedder.side / PART))
    except MediaError:  # what is no picture, whatever its name, has none
        return []
    except (OSError, ClewError):
        return None
    size = header.width, header.height
    return [
        Draft("image", pixels=embedder.prepare(part), box=box)
        for box, part in crops(picture, tile_boxes(*size), *size)
    ]


def _batches(reads: Iterator[Tiled]) -> Iterator[list[Tiled]]:
    batch, held = list[Tiled](), 0
    for one in reads:
        batch.append(one)
        held += len(one.drafts or ())
        if held >= USUAL or len(batch) >= USUAL:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
