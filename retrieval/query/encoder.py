"""Encode a parsed query as vectors: embed, center and sum its terms."""

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder, is_unknown_text, vector_defect
from retrieval.embedders.registry import is_outdated
from retrieval.errors import EmbedderError, MediaError, ModelOutdated, QueryError
from retrieval.media.archives.archive import open_path
from retrieval.normalization import nfc
from retrieval.query.ast import Concept, File, Operand, Query, Segment, Term, Url, Words
from retrieval.query.names import find_probe
from retrieval.scoring.calibration import CENTERING, QueryMode, normalize_rows
from retrieval.scoring.linear_probe import Probe
from retrieval.system import expand_user
from retrieval.types import Space, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_UNFAMILIARITY = 0.3  # of text in a language that the model does not know, and of random letters
MAX_RARE_WORDS = 50  # words of a query whose tokens are counted

MeanWords: TypeAlias = Callable[[], Vectors | None]  # the mean background query by words, (d,)
KnownVector: TypeAlias = tuple[Vectors, QueryMode, Probe | None]
LookupVector: TypeAlias = Callable[
    [Segment | Concept | File], KnownVector
]  # the vector that the library has for it


@dataclass(frozen=True, slots=True)
class EncodedTerm:
    """A term of a query with its unit vector; a zero vector if the model knows none of its words."""

    text: str
    mode: QueryMode
    weight: float
    vector: Vectors  # (1, d)
    probe: Probe | None = None  # that was trained on examples
    unfamiliarity: float = 0.0  # of words to the model, 0 to 1

    @property
    def is_known(self) -> bool:
        """Return True if the vector is not zero."""
        return bool(self.vector.any())


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query as a vector, its terms, and the vectors of its exclusions."""

    vector: Vectors  # (1, d)
    mode: QueryMode
    terms: tuple[EncodedTerm, ...]
    exclusions: tuple[EncodedTerm, ...] = ()
    keywords: tuple[Term, ...] = ()  # the terms of words, for the keyword search

    rare_words: frozenset[str] = frozenset()  # in lower case, that the model does not know as one word

    @property
    def has_keywords(self) -> bool:
        """Return True if words are searched for."""
        return any(term.weight > 0 for term in self.keywords)

    @property
    def keyword_share(self) -> float:
        """Return the share of words in the weight of what is searched for; 1 for words only."""
        total = sum(term.weight for term in self.terms if term.weight > 0)
        words = sum(term.weight for term in self.keywords if term.weight > 0)
        return words / total if total else 1.0

    @property
    def unfamiliar_texts(self) -> list[str]:
        """Return the terms that look like no text in the languages of the model."""
        return [term.text for term in self.terms if term.unfamiliarity >= MIN_UNFAMILIARITY]

    @property
    def unfamiliarity(self) -> float:
        """Return how unfamiliar the terms that are searched for are to the model, 0 to 1."""
        wanted = [term for term in self.terms if term.weight > 0]
        total = sum(term.weight for term in wanted)
        return sum(term.weight * term.unfamiliarity for term in wanted) / total if total else 0.0

    @property
    def has_probe(self) -> bool:
        """Return True if a term was learned from example images."""
        return any(term.probe is not None for term in self.terms)

    @classmethod
    def of_vector(cls, vector: Vectors) -> "EncodedQuery":
        """Return a query by a unit vector of any origin, (1, d)."""
        return cls(vector, "picture", (EncodedTerm("the vector", "picture", 1.0, vector),))

    @classmethod
    def empty(cls, dim: int) -> "EncodedQuery":
        """Return a query without terms, which lists files."""
        return cls(np.zeros((1, dim), np.float32), "words", ())

    @property
    def is_known(self) -> bool:
        """Return True if the vector is not zero; otherwise only keywords can be searched."""
        return bool(self.vector.any())

    @property
    def probe(self) -> Probe | None:
        """Return the probe of the only term, None for several terms."""
        return self.terms[0].probe if len(self.terms) == 1 else None


def encode_query(
    query: Query,
    embedder: Embedder,
    lookup: LookupVector,
    mean_words: MeanWords,
    images: "Sequence[str | Path | Image]" = (),
    feedback_probe: Probe | None = None,
) -> EncodedQuery:
    """Encode a valid query, together with images and a probe of relevance feedback; raises QueryError.

    A single term is its unit vector. Several terms are normalized and summed, words after a share of their
    mean query is subtracted. Without this, images outweigh words, as their vectors are close to each other.
    """
    parts = [_encode_term(term.operand, term.weight, embedder, lookup) for term in query.terms]
    parts += [
        replace(_encode_file(str(image), 1.0, embedder, lookup), text="the image")
        if isinstance(image, str | Path)
        else EncodedTerm("the image", "picture", 1.0, embed_image(embedder, image))
        for image in images
    ]
    if feedback_probe is not None:
        parts.append(_probe_term("the examples", 1.0, feedback_probe))
    exclusions = tuple(_encode_term(operand, 1.0, embedder, lookup) for operand in query.exclusions)
    words = tuple(term for term in query.terms if isinstance(term.operand, Words))
    if unknown := [term.text for term in exclusions if not term.is_known]:
        if is_outdated(embedder.name, embedder.fingerprint):
            raise ModelOutdated
        raise QueryError(f"The model {embedder.name} knows no word of not:{unknown[0]}. Use other words.")
    if not parts:
        return replace(EncodedQuery.empty(embedder.dim), exclusions=exclusions)
    vector, mode = parts[0].vector, parts[0].mode
    if len(parts) > 1 and not any(part.is_known and part.weight > 0 for part in parts):
        vector = np.zeros_like(vector)
    elif len(parts) > 1:
        vector, mode = combine_terms(parts, mean_words), _query_mode(parts)
    return EncodedQuery(vector, mode, tuple(parts), exclusions, words, _rare_words(words, embedder))


def validate_query(
    query: Query, other_inputs: Sequence[object] = (), allow_url: bool = False, has_filters: bool = False
) -> None:
    """Raise QueryError for an empty query, for one with only negative terms, and for forbidden URLs.

    Filters and exclusions alone are a query, which lists files.
    """
    if not allow_url and (urls := [operand for operand in query.operands if isinstance(operand, Url)]):
        raise QueryError(f"{urls[0]} is downloaded only with --allow-url. Quote it to search for the text.")
    if not (query.terms or query.exclusions or query.filters or has_filters or other_inputs):
        raise QueryError("The query is empty. Give words, an image, a segment, a concept or a filter.")
    if query.terms and not other_inputs and not any(term.weight > 0 for term in query.terms):
        raise QueryError("The query has only negative terms (-). Add a term to search for.")


def combine_terms(terms: Sequence[EncodedTerm], mean_words: MeanWords) -> Vectors:
    """Return the normalized sum of the terms, (1, d), words centered; raises QueryError if it is zero."""
    total, mean = np.zeros_like(terms[0].vector), mean_words()
    center = np.zeros_like(total) if mean is None else CENTERING * mean
    for part in terms:
        if not part.is_known:
            continue
        total += part.weight * normalize_rows(part.vector - center if part.mode == "words" else part.vector)
    if np.linalg.norm(total) < 1e-3:
        raise QueryError("The terms of this query cancel each other. Change their weights.")
    return normalize_rows(total)


def start_decoder(query: Query, images: "Sequence[str | Path | Image]") -> None:
    """Start the subprocess that decodes the pictures of a query, if it has any, while the model loads."""
    if any(isinstance(each, str | Path) for each in images) or any(
        isinstance(operand, File | Url) for operand in query.operands
    ):
        from retrieval.media.limits import DEFAULT_LIMITS
        from retrieval.media.sandboxed_calls import decoder_pool  # late, for pictures only

        decoder_pool(DEFAULT_LIMITS).start(1)


def embed_text(embedder: Embedder, words: str) -> Vectors:
    """Return the (1, d) vector of these words, zero if the model knows none of them."""
    text = nfc(words)
    if embedder.count_tokens(text) and not embedder.knows(text):
        return np.zeros((1, embedder.dim), np.float32)
    try:
        vectors = embedder.embed_texts([text])
    except ValueError as error:
        raise QueryError("The query has no word that the model knows. Give at least one.") from error
    return vectors if is_unknown_text(embedder, text, vectors[0]) else _checked(embedder, vectors)


def embed_image(embedder: Embedder, image: "str | Path | Image", data: BinaryIO | None = None) -> Vectors:
    """Return the (1, d) vector of an image: a file, an RGB image of Pillow, or a name with its data.

    A video is represented by a frame from its middle. Raises QueryError.
    """
    if not isinstance(image, str | Path):
        return _checked(embedder, embedder.embed_images([embedder.prepare(image)]))
    from retrieval.media.picture import SoundOnly, decode_picture

    path = expand_user(image)
    try:
        with nullcontext(data) if data is not None else open_path(path) as file:
            loaded = decode_picture(file, embedder.min_image_side)
    except SoundOnly as error:
        raise QueryError(
            f"Cannot use {path} as a query: it has sound only. Run `clew index` on its folder; then "
            "`clew search` compares it with other sounds."
        ) from error
    except FileNotFoundError as error:
        raise QueryError(f"Cannot use {image} as a query: file not found.") from error
    except (MediaError, OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise QueryError(f"Cannot use {image} as a query: {reason}.") from error
    return _checked(embedder, embedder.embed_images([embedder.prepare(loaded)]))


def _checked(embedder: Embedder, vectors: Vectors) -> Vectors:
    """Return the vector of a query, (1, d); raises EmbedderError if it is not a unit vector."""
    defect = vector_defect(vectors[0], embedder.dim)
    if defect is not None:
        raise EmbedderError(f"The model {embedder.name} fails on the query: {defect}. Use another model.")
    return vectors


def _rare_words(terms: Sequence[Term], embedder: Embedder) -> frozenset[str]:
    """Return the words that the model splits into several tokens: rare, foreign or misspelled ones."""
    words = {word for term in terms for word in re.findall(r"[^\W\d_]+", str(term.operand).casefold())}
    return frozenset(word for word in list(words)[:MAX_RARE_WORDS] if embedder.count_tokens(word) > 1)


def _query_mode(terms: Sequence[EncodedTerm]) -> QueryMode:
    """Return the mode of a query with several terms."""
    if any(part.weight < 0 for part in terms):
        return "difference"
    return "sum" if all(part.mode == "words" for part in terms) else "mixed"


def lookup_vector(catalog: Catalog, space: Space, operand: Segment | Concept | File) -> KnownVector:
    """Return the (1, d) vector of a segment, concept or file, its mode and its probe; raises QueryError."""
    if isinstance(operand, File):
        segments = catalog.segments_of(file_digest(expand_user(operand.path)))
        kind = catalog.kind_of(segments[0]) if segments else None
        if kind is None or kind == "text":
            raise QueryError(f"{operand.path} is no image, video or sound of this library.")
        scenes = [segment for segment in segments if kind == "video" == catalog.kind_of(segment)]
        operand = Segment(scenes[len(scenes) // 2] if scenes else segments[0])
    if isinstance(operand, Segment):
        ids, vectors = catalog.vectors_of(space, [operand.id])
        kind = catalog.kind_of(operand.id)
        if kind is None:
            raise QueryError(f"No segment #{operand.id} in this library. Quote it to search for the text.")
        if not len(ids):
            raise QueryError(
                f"#{operand.id} has no vector to compare, as a sound without tags. Search by another."
            )
        return normalize_rows(vectors), "words" if kind in ("text", "audio") else "picture", None
    probe = find_probe(catalog, space, operand.name)
    return probe.direction[None], "mixed", probe


def _encode_term(operand: Operand, weight: float, embedder: Embedder, lookup: LookupVector) -> EncodedTerm:
    """Embed an operand."""
    if isinstance(operand, Words):
        vector = embed_text(embedder, operand.text)
        unfamiliarity = embedder.unfamiliarity(operand.text)
        return EncodedTerm(operand.text, "words", weight, vector, unfamiliarity=unfamiliarity)
    if isinstance(operand, File):
        return _encode_file(operand.path, weight, embedder, lookup)
    if isinstance(operand, Url):
        from retrieval.media.download import fetch  # late, for URLs only

        vector = embed_image(embedder, operand.address, fetch(operand.address))
        return EncodedTerm(operand.address, "picture", weight, vector)
    vector, mode, probe = lookup(operand)
    return EncodedTerm(str(operand), mode, weight, vector, probe)


def _encode_file(path: str, weight: float, embedder: Embedder, lookup: LookupVector) -> EncodedTerm:
    """Embed an image or video, or return the vector that the library has for this file."""
    try:
        return EncodedTerm(path, "picture", weight, embed_image(embedder, path))
    except (QueryError, ModelOutdated) as error:
        try:
            vector, mode, probe = lookup(File(path))
        except (QueryError, OSError, ValueError):
            raise error from None
        return EncodedTerm(path, mode, weight, vector, probe)


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with cast(BufferedReader, open_path(path)) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _probe_term(text: str, weight: float, probe: Probe) -> EncodedTerm:
    """Return a term for a probe, centered like a sum of terms."""
    return EncodedTerm(text, "mixed", weight, probe.direction[None], probe)
