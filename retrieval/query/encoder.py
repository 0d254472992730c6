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
from retrieval.query.ast import Concept, File, Operand, Query, Segment, Url, Words
from retrieval.scoring.calibration import CENTERING, QueryMode, normalize_rows
from retrieval.scoring.linear_probe import Probe
from retrieval.types import Space, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

MeanQuery: TypeAlias = Callable[[QueryMode], Vectors | None]  # the mean background query of a way
KnownVector: TypeAlias = tuple[Vectors, QueryMode, Probe | None]
LookupVector: TypeAlias = Callable[[Segment | Concept], KnownVector]  # what the library knows of it


@dataclass(frozen=True, slots=True)
class EncodedTerm:
    """A term as it was embedded: what was asked, how, with which weight, and its unit vector (1, d).

    `probe` is where the vector was learned from examples.
    """

    text: str
    mode: QueryMode
    weight: float
    vector: Vectors
    probe: Probe | None = None

    @property
    def is_known(self) -> bool:
        """Say whether the model reads it; of what it does not, the vector is zero."""
        return bool(self.vector.any())


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query as vectors: what to be near, of which parts it is made, and what no hit may be."""

    vector: Vectors  # (1, d)
    mode: QueryMode
    terms: tuple[EncodedTerm, ...]
    exclusions: tuple[EncodedTerm, ...] = ()
    keywords: tuple[Words, ...] = ()  # what keywords are looked for

    @property
    def is_known(self) -> bool:
        """Say whether the model reads any of what to be near; else there are only words to look for."""
        return bool(self.vector.any())

    @property
    def probe(self) -> Probe | None:
        """Return what was learned from examples, if that is all that was asked."""
        return self.terms[0].probe if len(self.terms) == 1 else None


def encode_query(
    query: Query,
    embedder: Embedder,
    lookup: LookupVector,
    mean_query: MeanQuery,
    images: "Sequence[str | Path | Image]" = (),
    allow_url: bool = False,
    feedback_probe: Probe | None = None,
) -> EncodedQuery:
    """Embed a query, and beside it pictures and what was learned from hits that were liked.

    One thing alone is its unit vector. Several are the sum of theirs, each with half of the mean of its
    modality (`mean` of a way, (d,)) taken off and made a unit again, so that pictures, which all lie near
    each other, do not drown words. Raises QueryError.
    """
    validate_query(query, [*images, *[feedback_probe] * (feedback_probe is not None)], allow_url)
    parts = [_encode_term(term.operand, term.weight, embedder, lookup) for term in query.terms]
    parts += [EncodedTerm("the picture", "picture", 1.0, embed_image(embedder, image)) for image in images]
    if feedback_probe is not None:
        parts.append(_probe_term("what is liked", 1.0, feedback_probe))
    vetoes = tuple(_encode_term(thing, 1.0, embedder, lookup) for thing in query.exclusions)
    words = tuple(term.operand for term in query.terms if isinstance(term.operand, Words) and term.weight > 0)
    if unread := [part.text for part in vetoes if not part.is_known]:
        raise QueryError(f"{embedder.name} reads no word of not:{unread[0]}; it drops nothing.")
    if len(parts) == 1:
        return EncodedQuery(parts[0].vector, parts[0].mode, tuple(parts), vetoes, words)
    if not any(part.is_known and part.weight > 0 for part in parts):
        return EncodedQuery(np.zeros_like(parts[0].vector), parts[0].mode, tuple(parts), vetoes, words)
    return EncodedQuery(combine_terms(parts, mean_query), _query_mode(parts), tuple(parts), vetoes, words)


def validate_query(query: Query, other_inputs: Sequence[object] = (), allow_url: bool = False) -> None:
    """Raise QueryError unless there is something to look for, and no network is asked that may not be."""
    things = [*(term.operand for term in query.terms), *query.exclusions]
    if not allow_url and (urls := [thing for thing in things if isinstance(thing, Url)]):
        raise QueryError(f"{urls[0]} is fetched only with --allow-url; quote it to search for the text.")
    if not query.terms and not other_inputs:
        raise QueryError("The query is empty: give words, a picture, a segment or a concept.")
    if not other_inputs and not any(term.weight > 0 for term in query.terms):
        raise QueryError("All of this query is taken away (-); give something to look for as well.")


def combine_terms(terms: Sequence[EncodedTerm], mean_query: MeanQuery) -> Vectors:
    """Return the unit sum of centred parts, (1, d); raises QueryError where nothing is left of it."""
    total = np.zeros_like(terms[0].vector)
    for part in terms:
        if not part.is_known:
            continue
        usual = mean_query(part.mode)
        total += part.weight * normalize_rows(
            part.vector if usual is None else part.vector - CENTERING * usual
        )
    if np.linalg.norm(total) < 1e-3:
        raise QueryError("The terms of this query cancel each other; change their weights.")
    return normalize_rows(total)


def embed_text(embedder: Embedder, words: str) -> Vectors:
    """Return the (1, d) vector of these words, zero where the model knows none of them."""
    text = words.encode("utf-8", "replace").decode()
    if embedder.count_tokens(text) and not embedder.knows(text):
        return np.zeros((1, embedder.dim), np.float32)
    try:
        return embedder.embed_texts([text])
    except ValueError as error:
        raise QueryError("The query has no word that the model reads; give at least one.") from error


def embed_image(embedder: Embedder, image: "str | Path | Image", data: BinaryIO | None = None) -> Vectors:
    """Return the (1, d) vector of a picture, given as a file, as a Pillow image, or by name and data."""
    from retrieval.media.images.loader import load_image
    from retrieval.media.images.pixels import apply_exif_orientation, to_rgb  # words alone need no Pillow

    if not isinstance(image, str | Path):
        return embedder.embed_images([embedder.prepare(apply_exif_orientation(to_rgb(image), image))])
    try:
        picture = load_image(data or Path(image).expanduser(), min_side=embedder.min_image_side)
    except (MediaError, OSError, ValueError, RuntimeError) as error:
        raise QueryError(f"{image} cannot be used as a query: {error}.") from error
    return embedder.embed_images([embedder.prepare(picture)])


def _query_mode(terms: Sequence[EncodedTerm]) -> QueryMode:
    """Say how a query of several parts is asked."""
    if any(part.weight < 0 for part in terms):
        return "difference"
    return "sum" if all(part.mode == "words" for part in terms) else "mixed"


def lookup_vector(catalog: Catalog, space: Space, operand: Segment | Concept) -> KnownVector:
    """Return the (1, d) vector of something that the library knows, and how it counts; raises QueryError."""
    if isinstance(operand, Segment):
        ids, vectors = catalog.vectors_of(space, [operand.id])
        if not len(ids):
            raise QueryError(
                f"There is no segment #{operand.id} in this library; quote it to search for the text."
            )
        return (
            normalize_rows(vectors),
            "words" if catalog.kind_of(operand.id) in ("text", "audio") else "picture",
            None,
        )
    probe = find_probe(catalog, space, operand.name)
    return probe.direction[None], "mixed", probe


def _encode_term(operand: Operand, weight: float, embedder: Embedder, lookup: LookupVector) -> EncodedTerm:
    """Embed one thing."""
    if isinstance(operand, Words):
        return EncodedTerm(operand.text, "words", weight, embed_text(embedder, operand.text))
    if isinstance(operand, File):
        return EncodedTerm(operand.path, "picture", weight, embed_image(embedder, operand.path))
    if isinstance(operand, Url):
        from retrieval.media.download import fetch  # no network is touched unless it is asked for

        vector = embed_image(embedder, operand.address, fetch(operand.address))
        return EncodedTerm(operand.address, "picture", weight, vector)
    vector, way, probe = lookup(operand)
    return EncodedTerm(str(operand), way, weight, vector, probe)


def _probe_term(text: str, weight: float, probe: Probe) -> EncodedTerm:
    """Make a part of what was learned; it is centred as a sum of terms is."""
    return EncodedTerm(text, "mixed", weight, probe.direction[None], probe)
