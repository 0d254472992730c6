"""From the tree of a query to vectors: terms are embedded, centred and added up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np

from retrieval.catalog.concepts import find_probe
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError, QueryError
from retrieval.query.ast import Concept, File, Query, Segment, Thing, Url, Words
from retrieval.scoring.calibration import CENTRED, Way, unit
from retrieval.scoring.linear_probe import Probe
from retrieval.types import Space, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Mean: TypeAlias = Callable[[Way], Vectors | None]  # the mean background query of a way
Known: TypeAlias = tuple[Vectors, Way, Probe | None]
Find: TypeAlias = Callable[[Segment | Concept], Known]  # what the library knows of it


@dataclass(frozen=True, slots=True)
class Part:
    """A term as it was embedded: what was asked, how, with which weight, and its unit vector (1, d).

    `probe` is where the vector was learned from examples.
    """

    asked: str
    way: Way
    weight: float
    vector: Vectors
    probe: Probe | None = None

    @property
    def known(self) -> bool:
        """Say whether the model reads it; of what it does not, the vector is zero."""
        return bool(self.vector.any())


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as vectors: what to be near, of which parts it is made, and what no hit may be."""

    vector: Vectors  # (1, d)
    way: Way
    parts: tuple[Part, ...]
    vetoes: tuple[Part, ...] = ()
    words: tuple[Words, ...] = ()  # what keywords are looked for

    @property
    def known(self) -> bool:
        """Say whether the model reads any of what to be near; else there are only words to look for."""
        return bool(self.vector.any())

    @property
    def probe(self) -> Probe | None:
        """Return what was learned from examples, if that is all that was asked."""
        return self.parts[0].probe if len(self.parts) == 1 else None


def compose(
    query: Query,
    embedder: Embedder,
    find: Find,
    mean: Mean,
    pictures: "Sequence[str | Path | Image]" = (),
    allow_url: bool = False,
    liked: Probe | None = None,
) -> Asked:
    """Embed a query, and beside it pictures and what was learned from hits that were liked.

    One thing alone is its unit vector. Several are the sum of theirs, each with half of the mean of its
    modality (`mean` of a way, (d,)) taken off and made a unit again, so that pictures, which all lie near
    each other, do not drown words. Raises QueryError.
    """
    check(query, [*pictures, *[liked] * (liked is not None)], allow_url)
    parts = [_part(term.thing, term.weight, embedder, find) for term in query.terms]
    parts += [Part("the picture", "picture", 1.0, embed_picture(embedder, image)) for image in pictures]
    if liked is not None:
        parts.append(_learned("what is liked", 1.0, liked))
    vetoes = tuple(_part(thing, 1.0, embedder, find) for thing in query.vetoes)
    words = tuple(term.thing for term in query.terms if isinstance(term.thing, Words) and term.weight > 0)
    if unread := [part.asked for part in vetoes if not part.known]:
        raise QueryError(f"{embedder.name} reads no word of not:{unread[0]}; it drops nothing.")
    if len(parts) == 1:
        return Asked(parts[0].vector, parts[0].way, tuple(parts), vetoes, words)
    if not any(part.known and part.weight > 0 for part in parts):
        return Asked(np.zeros_like(parts[0].vector), parts[0].way, tuple(parts), vetoes, words)
    return Asked(add(parts, mean), _way(parts), tuple(parts), vetoes, words)


def check(query: Query, beside: Sequence[object] = (), allow_url: bool = False) -> None:
    """Raise QueryError unless there is something to look for, and no network is asked that may not be."""
    things = [*(term.thing for term in query.terms), *query.vetoes]
    if not allow_url and (urls := [thing for thing in things if isinstance(thing, Url)]):
        raise QueryError(f"{urls[0]} is fetched only with --allow-url; quote it to search for the text.")
    if not query.terms and not beside:
        raise QueryError("The query is empty: give words, a picture, a segment or a concept.")
    if not beside and not any(term.weight > 0 for term in query.terms):
        raise QueryError("All of this query is taken away (-); give something to look for as well.")


def add(parts: Sequence[Part], mean: Mean) -> Vectors:
    """Return the unit sum of centred parts, (1, d); raises QueryError where nothing is left of it."""
    total = np.zeros_like(parts[0].vector)
    for part in parts:
        if not part.known:
            continue
        usual = mean(part.way)
        total += part.weight * unit(part.vector if usual is None else part.vector - CENTRED * usual)
    if np.linalg.norm(total) < 1e-3:
        raise QueryError("The terms of this query cancel each other; change their weights.")
    return unit(total)


def embed_words(embedder: Embedder, words: str) -> Vectors:
    """Return the (1, d) vector of these words, zero where the model knows none of them."""
    text = words.encode("utf-8", "replace").decode()
    if embedder.tokens(text) and not embedder.reads(text):
        return np.zeros((1, embedder.dim), np.float32)
    try:
        return embedder.embed_texts([text])
    except ValueError as error:
        raise QueryError("The query has no word that the model reads; give at least one.") from error


def embed_picture(embedder: Embedder, image: "str | Path | Image", data: BinaryIO | None = None) -> Vectors:
    """Return the (1, d) vector of a picture, given as a file, as a Pillow image, or by name and data."""
    from retrieval.media.images.loader import open_picture
    from retrieval.media.images.pixels import to_rgb, upright  # words alone need no Pillow

    if not isinstance(image, str | Path):
        return embedder.embed_images([embedder.prepare(upright(to_rgb(image), image))])
    try:
        picture = open_picture(data or Path(image).expanduser(), near=embedder.side)
    except (MediaError, OSError, ValueError, RuntimeError) as error:
        raise QueryError(f"{image} cannot be used as a query: {error}.") from error
    return embedder.embed_images([embedder.prepare(picture)])


def _way(parts: Sequence[Part]) -> Way:
    """Say how a query of several parts is asked."""
    if any(part.weight < 0 for part in parts):
        return "difference"
    return "sum" if all(part.way == "words" for part in parts) else "mixed"


def find_known(catalog: Catalog, space: Space, thing: Segment | Concept) -> Known:
    """Return the (1, d) vector of something that the library knows, and how it counts; raises QueryError."""
    if isinstance(thing, Segment):
        ids, vectors = catalog.vectors_of(space, [thing.id])
        if not len(ids):
            raise QueryError(
                f"There is no segment #{thing.id} in this library; quote it to search for the text."
            )
        return unit(vectors), "words" if catalog.kind_of(thing.id) in ("text", "audio") else "picture", None
    probe = find_probe(catalog, space, thing.name)
    return probe.direction[None], "mixed", probe


def _part(thing: Thing, weight: float, embedder: Embedder, find: Find) -> Part:
    """Embed one thing."""
    if isinstance(thing, Words):
        return Part(thing.text, "words", weight, embed_words(embedder, thing.text))
    if isinstance(thing, File):
        return Part(thing.path, "picture", weight, embed_picture(embedder, thing.path))
    if isinstance(thing, Url):
        from retrieval.media.download import fetch  # no network is touched unless it is asked for

        vector = embed_picture(embedder, thing.address, fetch(thing.address))
        return Part(thing.address, "picture", weight, vector)
    vector, way, probe = find(thing)
    return Part(str(thing), way, weight, vector, probe)


def _learned(asked: str, weight: float, probe: Probe) -> Part:
    """Make a part of what was learned; it is centred as a sum of terms is."""
    return Part(asked, "mixed", weight, probe.direction[None], probe)
