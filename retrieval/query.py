"""From what a person asks to a unit vector and filters."""

from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.embedders import Embedder
from retrieval.errors import MediaError, QueryError
from retrieval.narrow import Narrow as Narrow
from retrieval.narrow import Time as Time
from retrieval.narrow import filters as filters
from retrieval.records import Vectors

if TYPE_CHECKING:
    from PIL.Image import Image


def embed_words(embedder: Embedder, words: str) -> Vectors:
    """Return the (1, d) vector of these words."""
    try:
        return embedder.embed_texts([words.encode("utf-8", "replace").decode()])
    except ValueError as error:
        raise QueryError("The query is empty; give at least one word.") from error


def embed_picture(embedder: Embedder, image: "str | Path | Image") -> Vectors:
    """Return the (1, d) vector of a picture, given as a file or as a Pillow image."""
    from retrieval.media import open_picture, to_rgb, upright  # words alone need no Pillow

    if not isinstance(image, str | Path):
        return embedder.embed_images([embedder.prepare(upright(to_rgb(image), image))])
    try:
        picture = open_picture(Path(image).expanduser(), near=embedder.side)
    except MediaError as error:
        raise QueryError(f"{image} cannot be used as a query: {error}.") from error
    return embedder.embed_images([embedder.prepare(picture)])
