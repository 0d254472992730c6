"""The context of decoders: the embedder, the chunker, the limits, and whether to make thumbnails."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from PIL import Image

from indexer.decode.base import DecodedFile
from indexer.decode.images.thumbnail import make_thumbnail
from indexer.decode.text.chunking import Chunker
from retrieval.embedders.base import Embedder
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits


@dataclass(frozen=True)
class DecodeContext:
    """The parameters of decoding that are the same for many files; threads may share one."""

    embedder: Embedder
    thumbnails: bool = True
    limits: DecodeLimits = DEFAULT_LIMITS

    @cached_property
    def chunker(self) -> Chunker:
        """The chunker of the embedder's text encoder."""
        return Chunker(self.embedder)

    def thumbnail(self, image: Image.Image) -> bytes | None:
        """Return a thumbnail of an upright RGB image as WebP; None if thumbnails are off."""
        return make_thumbnail(image) if self.thumbnails else None


Decoder = Callable[[BinaryIO, str, DecodeContext], DecodedFile]  # a file and its suffix
