"""The context of decoders: the embedder, the chunker, the limits, thumbnails, and when to stop."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event
from typing import BinaryIO

import numpy as np
from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.images.thumbnail import make_thumbnail
from indexer.decode.text.chunking import Chunker
from retrieval.embedders.base import Embedder, Pixels
from retrieval.embedders.pace import EmbeddingPace
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.types import Vectors

Prepare = Callable[[Image.Image], Pixels]  # `prepare` of an embedder


def all_pixels(image: Image.Image) -> Pixels:
    """Return the pixels of an RGB image, (height, width, 3)."""
    return np.asarray(image, np.uint8)


@dataclass(frozen=True)
class DecodeContext:
    """The parameters of decoding that are the same for many files; threads may share one."""

    embedder: Embedder
    thumbnails: bool = True
    limits: DecodeLimits = DEFAULT_LIMITS
    stop: Event = field(default_factory=Event)  # ends decoding with CancelledError
    language: str | None = None  # of the file, if its name gives one
    call_inputs: int | None = None  # of each call of the embedder (`EmbeddingPace`)

    def check_stop(self) -> None:
        """Raise CancelledError if decoding has to stop; decoders call it between their parts."""
        if self.stop.is_set():
            raise CancelledError

    @cached_property
    def chunker(self) -> Chunker:
        """The chunker of the embedder's text encoder."""
        return Chunker(self.embedder)

    @property
    def remote_prepare(self) -> Prepare:
        """`prepare` of the embedder, or `all_pixels` if a subprocess cannot have it without the embedder."""
        return self.embedder.prepare if self._is_prepared_remotely else all_pixels

    def prepare_received(self, drafts: Sequence[SegmentDraft]) -> list[SegmentDraft]:
        """Return image segments from a subprocess that has called `remote_prepare`, ready to be embedded."""
        if self._is_prepared_remotely:
            return list(drafts)
        return [
            replace(draft, pixels=self.embedder.prepare(Image.fromarray(draft.pixels)))
            for draft in drafts
            if draft.pixels is not None
        ]

    @cached_property
    def _is_prepared_remotely(self) -> bool:
        """True if `prepare` is a function of clew, or a method of a small record of clew."""
        prepare = self.embedder.prepare
        is_bound = getattr(prepare, "__self__", None) is self.embedder
        return prepare.__module__.startswith("retrieval.") and not is_bound

    @cached_property
    def _pace(self) -> EmbeddingPace:
        return EmbeddingPace(self.stop, self.call_inputs)

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Return the vectors of n images, (n, d); raises CancelledError on a stop."""
        return self._pace.embed("image", self.embedder.embed_images, images)

    def thumbnail(self, image: Image.Image) -> bytes | None:
        """Return a thumbnail of an upright RGB image as WebP; None if thumbnails are off."""
        return make_thumbnail(image) if self.thumbnails else None


Decoder = Callable[[BinaryIO, str, DecodeContext], DecodedFile]  # a file and its suffix
