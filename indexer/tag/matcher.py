"""Hold segments against labels while their vectors stream by: each label by itself, or one of several."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexer.tag.zero_shot import Probabilities, classify, fuse, label_vectors, logit_scale
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring import calibration as calibrate
from retrieval.scoring.calibration import Calibration
from retrieval.types import Filters, Ids, Kind, Scores, Space, Vectors

if TYPE_CHECKING:
    from retrieval.vectors.space_index import SpaceIndex  # heavy: faiss

DEFAULT_KINDS: tuple[Kind, ...] = ("image", "video", "page")
CONFIDENCE_DIGITS = 4  # of a confidence, as hits have it
MAX_BATCH_CELLS = 1_000_000  # segments x labels that are looked at together

Matcher: TypeAlias = Callable[[Ids, Vectors], "Tags"]


@dataclass(frozen=True, slots=True)
class TagRule:
    """What is tagged, and from which confidence on.

    `one_of` are the labels of which exactly one fits; none where each is taken by itself. `weight` is that
    of a picture beside its captions, for these alone. `under` is as in `Filters`.
    """

    at_least: float
    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    under: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    weight: float = 1.0


class Tags(NamedTuple):
    """Which segments have which of the labels (by number), and how surely, (n,) each.

    `scores` tell the surest apart, whose confidence is 1 to all its digits.
    """

    segments: Ids
    labels: NDArray[np.int64]
    confidences: Scores
    scores: Scores


def match_labels(
    catalog: Catalog, space: Space, embedder: Embedder, names: Sequence[str], rule: TagRule, after: int = 0
) -> Iterator[Tags]:
    """Yield the tags of all segments after this one, some thousand segments at a time; of pictures the whole.

    Raises LibraryError before the library is calibrated.
    """
    if not names:
        return
    allowed = catalog.allowed_ids(Filters(under=rule.under)) if rule.under else None
    size = max(64, min(8_192, MAX_BATCH_CELLS // max(len(names), len(rule.one_of))))
    judges = _exclusive_matchers if rule.one_of else _independent_matchers
    for kind, judge in judges(catalog, space, embedder, names, rule):
        for ids, vectors in catalog.vectors_after(space, kind, after, batch_size=size):
            some = ~np.isin(ids, catalog.image_parts_between(int(ids[0]), int(ids[-1])))
            if allowed is not None:
                some &= np.isin(ids, allowed)
            yield judge(ids[some], vectors[some])


def _independent_matchers(
    catalog: Catalog, space: Space, embedder: Embedder, names: Sequence[str], rule: TagRule
) -> Iterator[tuple[Kind, Matcher]]:
    """Yield who tags each kind with what a search for the name of the label would be confident of.

    With the built-in model the bare name tells apart better than an ensemble of prompts (Flickr8k, "dog":
    AUROC 0.88 against 0.85), and the background queries that confidence rests on are bare as well.
    """
    from retrieval.vectors.space_index import SpaceIndex

    nearest = SpaceIndex(catalog, space)
    mean, labels = nearest.mean_query("words"), embedder.embed_texts(names)
    if mean is None:
        raise LibraryError("This library does not know yet what is usual in it: run `clew index` first.")
    least = (
        NormalDist().inv_cdf(max(1e-9, rule.at_least - 0.5 * 10**-CONFIDENCE_DIGITS))
        if rule.at_least
        else -np.inf
    )
    for kind in rule.kinds:
        calibration = nearest.calibrations.get(("words", kind))
        if calibration is not None:
            usual = [_label_baseline(nearest, label, kind, mean) for label in labels]
            yield kind, IndependentLabels(labels, np.array(usual, np.float32), calibration, least)


def _label_baseline(nearest: "SpaceIndex", label: Vectors, kind: Kind, mean: Vectors) -> float:
    """Return what is usual for a label, (d,): of the nearest that can be found, as in a search for it."""
    from retrieval.search.vector_search import vector_search  # heavy: faiss

    asked, filters = EncodedQuery(label[None], "words", ()), Filters(frozenset({kind}))
    found = [hit.id for hit in vector_search(nearest.catalog, nearest, asked, filters, count=calibrate.TOP_N)]
    if not found:
        return 0.0  # every file is gone
    return calibrate.baseline_score(label, nearest.catalog.vectors_of(nearest.space, found)[1], mean)


@dataclass(frozen=True, slots=True)
class IndependentLabels:
    """Give a segment every label, (m, d), that stands out enough; `usual` is (m,)."""

    labels: Vectors
    baselines: Scores
    calibration: Calibration
    min_surprise: float

    def __call__(self, ids: Ids, vectors: Vectors) -> Tags:
        """Return the tags of these segments."""
        surprise = self.calibration.z_scores(vectors @ self.labels.T - self.baselines, 0.0)
        segments, labels = np.nonzero(surprise >= self.min_surprise)
        scores = surprise[segments, labels]
        sure = [round(calibrate.confidence(one), CONFIDENCE_DIGITS) for one in scores.tolist()]
        return Tags(ids[segments], labels, np.array(sure, np.float32), scores)


def _exclusive_matchers(
    catalog: Catalog, space: Space, embedder: Embedder, names: Sequence[str], rule: TagRule
) -> Iterator[tuple[Kind, Matcher]]:
    """Yield who gives each segment of a kind its likeliest label."""
    labels, scale = label_vectors(embedder, rule.one_of), logit_scale(embedder)
    numbers = np.array([names.index(name) if name in names else -1 for name in rule.one_of], np.int64)
    for kind in rule.kinds:
        weight = 1.0 if kind == "text" else rule.weight
        yield kind, ExclusiveLabels(catalog, space, labels, scale, numbers, weight, rule.at_least)


@dataclass(frozen=True, slots=True)
class ExclusiveLabels:
    """Give a segment its likeliest label, (m, d), if that is likely enough.

    `numbers` (m,) are those of the labels that are asked for; -1 of others, which only compete.
    """

    catalog: Catalog
    space: Space
    labels: Vectors
    scale: float
    label_indices: NDArray[np.int64]
    weight: float
    min_probability: float

    def __call__(self, ids: Ids, vectors: Vectors) -> Tags:
        """Return at most one tag for each of these segments."""
        likely = self._probabilities(ids, vectors)
        best = likely.argmax(axis=1)
        scores = likely.max(axis=1)
        sure = np.round(scores, CONFIDENCE_DIGITS).astype(np.float32)
        keep = (sure >= np.float32(self.min_probability)) & (self.label_indices[best] >= 0)
        return Tags(ids[keep], self.label_indices[best[keep]], sure[keep], scores[keep].astype(np.float32))

    def _probabilities(self, ids: Ids, vectors: Vectors) -> Probabilities:
        """Return how likely each label is, by the picture and, where it has some, by its captions."""
        likely = classify(vectors, self.labels, self.scale)
        if self.weight < 1:
            described, texts = caption_vectors(self.catalog, self.space, ids)
            if described.any():
                read = classify(texts, self.labels, self.scale)
                likely[described] = fuse(likely[described], read, self.weight)
        return likely


def caption_vectors(catalog: Catalog, space: Space, ids: Ids) -> tuple[NDArray[np.bool_], Vectors]:
    """Return which of these segments, ascending, have texts that speak of them, and the mean text of each."""
    rows = catalog.db.execute(
        """SELECT DISTINCT s.id, t.id FROM segments s
             JOIN files f ON f.content = s.content AND f.state != 'gone'
            CROSS JOIN segments t ON +t.kind = 'text'
                   AND t.content IN (SELECT content FROM described_by WHERE described_by.file = f.id)
            WHERE s.id IN (SELECT value FROM json_each(?))""",
        (json.dumps(ids.tolist()),),
    ).fetchall()
    pairs = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    known, vectors = catalog.vectors_of(space, np.unique(pairs[:, 1]))
    pairs = pairs[np.isin(pairs[:, 1], known)]
    means = np.zeros((len(ids), space.dim), np.float32)
    np.add.at(means, np.searchsorted(ids, pairs[:, 0]), vectors[np.searchsorted(known, pairs[:, 1])])
    described = np.isin(ids, pairs[:, 0])
    return described, calibrate.normalize_rows(means[described])
