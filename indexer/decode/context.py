"""The context of decoders: the embedder, the chunker, the limits, thumbnails, and when to stop."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event
from typing import BinaryIO

from PIL import Image

from indexer.decode.base import DecodedFile
from indexer.decode.images.thumbnail import make_thumbnail
from indexer.decode.text.chunking import Chunker
from retrieval.embedders.base import Embedder, Pixels
from retrieval.embedders.pace import EmbeddingPace
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.types import Vectors

Prepare = Callable[[Image.Image], Pixels]  # `prepare` of an embedder


@dataclass(frozen=True)
class DecodeContext:
    """The parameters of decoding that are the same for many files; threads may share one."""

    embedder: Embedder
    thumbnails: bool = True
    limits: DecodeLimits = DEFAULT_LIMITS
    stop: Event = field(default_factory=Event)  # ends decoding with CancelledError
    language: str | None = None  # of the file, if its name gives one

    def check_stop(self) -> None:
        """Raise CancelledError if decoding has to stop; decoders call it between their parts."""
        if self.stop.is_set():
            raise CancelledError

    @cached_property
    def chunker(self) -> Chunker:
        """The chunker of the embedder's text encoder."""
        return Chunker(self.embedder)

    @cached_property
    def sendable_prepare(self) -> Prepare | None:
        """`prepare` of the embedder if subprocesses can call it: a function of clew without the embedder."""
        prepare = self.embedder.prepare
        is_bound = getattr(prepare, "__self__", None) is self.embedder
        return prepare if prepare.__module__.startswith("retrieval.") and not is_bound else None

    @cached_property
    def _pace(self) -> EmbeddingPace:
        return EmbeddingPace(self.stop)

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Return the vectors of n images, (n, d); raises CancelledError on a stop."""
        return self._pace.embed("image", self.embedder.embed_images, images)

    def thumbnail(self, image: Image.Image) -> bytes | None:
        """Return a thumbnail of an upright RGB image as WebP; None if thumbnails are off."""
        return make_thumbnail(image) if self.thumbnails else None


Decoder = Callable[[BinaryIO, str, DecodeContext], DecodedFile]  # a file and its suffix
