"""Tune the search effort of index files: for words and for images apart.

Words are not among the vectors of images, so a search for them needs more effort for the same recall. Tuning
with stored images finds too small an effort for them. So the queries are real vectors of texts: the
background queries, and captions and passages of the library.

The least effort that reaches a recall for some queries often misses it for others. So an effort is chosen if
the lower confidence bound of its recall reaches the target.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.scoring.calibration import normalize_rows
from retrieval.scoring.metrics import QueryValues, wilson_lower_bound
from retrieval.scoring.ranking import query_recalls, top_k
from retrieval.types import (
    TUNED_MODES,
    VISUAL_KINDS,
    Ids,
    IndexFile,
    IndexMethod,
    IndexTuning,
    Kind,
    Scores,
    Space,
    TunedMode,
    Vectors,
)

if TYPE_CHECKING:
    from retrieval.vectors.faiss_index import FaissIndex  # heavy: only to build

RECALL_AT = 10
TUNING_QUERIES = 600  # from each source of words; a graph search finds nothing for a few, which are rare
TUNING_PICTURES = 1_200  # as many as of all sources of words
CANDIDATES = 2 * RECALL_AT + 20  # that a search for ten hits reads
FIRST_QUERIES_SHARE = 1 / 8  # that are enough to pass over an effort which is far too small
TIMED_QUERIES = 100
NOISE_NORM = 0.5  # of the noise that makes a query of a stored vector

QueriesByMode: TypeAlias = Mapping[TunedMode, Vectors]


class GroundTruth:
    """The exact scores of queries, collected while vectors are added to an index."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.scores: Scores = np.full((len(queries), RECALL_AT), -np.inf, np.float32)

    def update(self, vectors: Vectors) -> None:
        """Keep the best scores of each query with vectors, (n, d), and with those before."""
        scores = self.queries @ vectors.T
        better = np.flatnonzero(scores.max(axis=1, initial=-np.inf) > self.scores[:, -1])
        scores = np.concatenate([self.scores[better], scores[better]], axis=1)
        self.scores[better], _ = top_k(scores, np.arange(scores.shape[1]), RECALL_AT)


class IndexTuner:
    """Queries of each mode for an index file, and the exact scores of their best vectors.

    The file is of a kind with a method; `sample` are some of its vectors, (n, d).
    """

    def __init__(
        self, catalog: Catalog, space: Space, kind: Kind, method: IndexMethod, sample: Vectors
    ) -> None:
        self.catalog, self.space = catalog, space
        self.is_exact = method == "flat"  # so only its speed is measured, which is that for any query
        rng = np.random.default_rng(0)
        queries: QueriesByMode = (
            dict.fromkeys(TUNED_MODES, noisy(sample[:TIMED_QUERIES], rng))
            if self.is_exact
            else tuning_queries(catalog, space, kind, rng)
        )
        self.truths = {mode: GroundTruth(vectors) for mode, vectors in queries.items() if len(vectors)}

    def collect(self, chunks: Iterator[tuple[Ids, Vectors]]) -> Iterator[tuple[Ids, Vectors]]:
        """Yield the chunks of ids and vectors unchanged, and compare them with the queries."""
        for ids, vectors in chunks:
            for truth in self.truths.values() if not self.is_exact else ():
                truth.update(vectors)
            yield ids, vectors

    def tunings(self, index: "FaissIndex", target: float) -> tuple[IndexTuning, ...]:
        """Return the tuning of each mode: the least effort that reaches the target recall for other queries.

        If the queries are too few to show that, it is the least effort with the greatest recall.
        """
        if self.is_exact:
            tuning = self._tuning(index, TUNED_MODES[0], target)
            return tuple(replace(tuning, query_mode=mode) for mode in TUNED_MODES)
        return tuple(self._tuning(index, mode, target) for mode in self.truths)

    def _tuning(self, index: "FaissIndex", mode: TunedMode, target: float) -> IndexTuning:
        truth = self.truths[mode]
        if self.is_exact:
            effort, reached = index.search_efforts[0], 1.0
        else:
            effort, reached = self._least_effort(index, truth, target)
        p50, p95 = np.percentile(self._milliseconds(index, truth.queries[:TIMED_QUERIES], effort), [50, 95])
        return IndexTuning(mode, effort, round(reached, 5), round(float(p50), 4), round(float(p95), 4))

    def _least_effort(self, index: "FaissIndex", truth: GroundTruth, target: float) -> tuple[int, float]:
        """Return the chosen effort and its recall, that of the queries."""
        efforts, chosen, reached = index.search_efforts, index.search_efforts[0], -1.0
        some = slice(None, None, round(1 / FIRST_QUERIES_SHARE))
        for effort in efforts:
            if effort < efforts[-1]:
                missed = 1 - self._recalls(index, truth, effort, some)
                if 1 - wilson_lower_bound(missed) < target:
                    continue
            recalls = self._recalls(index, truth, effort)
            if recalls.mean() > reached:
                chosen, reached = effort, float(recalls.mean())
            if wilson_lower_bound(recalls) >= target:
                return chosen, reached
        for effort in reversed(efforts[: efforts.index(chosen)]):
            if (recall := float(self._recalls(index, truth, effort).mean())) < reached:
                break
            chosen, reached = effort, recall
        return chosen, reached

    def _recalls(
        self, index: "FaissIndex", truth: GroundTruth, effort: int, at: slice = slice(None)
    ) -> QueryValues:
        """Return the recall of each query, of all or of those `at` some positions."""
        return query_recalls(self._best_scores(index, truth.queries[at], effort), truth.scores[at])

    def _milliseconds(self, index: "FaissIndex", queries: Vectors, effort: int) -> list[float]:
        """Return the milliseconds of each query, after the first ones have warmed the caches."""
        times = []
        for query in (*queries[: TIMED_QUERIES // 4], *queries):
            started_at = perf_counter()
            self._best_scores(index, query[None], effort)
            times.append(1000 * (perf_counter() - started_at))
        return times[-len(queries) :]

    def _best_scores(self, index: "FaissIndex", queries: Vectors, effort: int) -> Scores:
        """Return the exact scores (q, 10) of the results of an index, ranked as in a search."""
        _, results = index.search(queries, min(CANDIDATES, len(index)), None, effort)
        rows = []
        for query, found in zip(queries, results, strict=True):
            ids, vectors = self.catalog.vectors_of(self.space, found)
            rows.append(top_k(query[None] @ vectors.T, ids, RECALL_AT)[0])
        return np.concatenate(rows)


def tuning_queries(catalog: Catalog, space: Space, kind: Kind, rng: "np.random.Generator") -> QueriesByMode:
    """Return queries for the index of a kind: texts and images, none of words before the calibration.

    Stored vectors of the same kind as the query are moved by noise, as they would find themselves. If texts
    or images are few, the others moved by the difference of their means are added.
    """

    def sample(other: Kind, count: int) -> Vectors:
        ids = catalog.vector_ids(space, other)
        return catalog.vectors_of(space, rng.choice(ids, min(count, len(ids)), replace=False))[1]

    images = sample(kind if kind in VISUAL_KINDS else "image", TUNING_PICTURES)
    texts = sample(kind if kind not in VISUAL_KINDS else "text", TUNING_QUERIES)
    background = catalog.background_queries(space, "words")
    words = np.empty((0, space.dim), np.float32)
    if background is not None:
        count = min(TUNING_QUERIES, len(background))
        words = background[np.linspace(0, len(background) - 1, count, dtype=int)]
    if kind in VISUAL_KINDS:
        pictures, words = noisy(images, rng), np.concatenate([words, texts])
    else:
        pictures = completed(images, texts) if len(images) else noisy(texts, rng)
        words = np.concatenate([words, noisy(texts, rng)])
    words = words[np.any(words, axis=1)]  # a text of unknown words only has the vector zero
    return {"words": completed(words, images) if len(words) else words, "picture": pictures}


def completed(vectors: Vectors, others: Vectors) -> Vectors:
    """Return the vectors, followed by others moved to their mean if they are fewer than TUNING_QUERIES."""
    missing = TUNING_QUERIES - len(vectors)
    if missing <= 0 or not len(others):
        return vectors
    return np.concatenate([vectors, shifted(others, vectors)[:missing]])


def noisy(vectors: Vectors, rng: "np.random.Generator") -> Vectors:
    """Return normalized queries near the vectors: each plus noise of norm NOISE_NORM."""
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    return normalize_rows(vectors + NOISE_NORM * noise / np.linalg.norm(noise, axis=1, keepdims=True))


def shifted(vectors: Vectors, others: Vectors) -> Vectors:
    """Return the vectors moved by the difference of the means, normalized: images become like texts.

    The gap between modalities is about constant: Liang et al., NeurIPS 2022.
    """
    return normalize_rows(vectors - vectors.mean(axis=0) + others.mean(axis=0))


def tune_files(catalog: Catalog, space: Space, target: float) -> Space:
    """Return a space whose index files are tuned to a target recall. Raises LibraryDamaged."""
    return replace(space, indexes=tuple(_tune_file(catalog, space, file, target) for file in space.indexes))


def _tune_file(catalog: Catalog, space: Space, file: IndexFile, target: float) -> IndexFile:
    from retrieval.vectors.space_index import open_index  # heavy: only to tune

    index, rng = open_index(catalog.folder, file), np.random.default_rng(0)
    chosen = rng.choice(index.ids, min(TIMED_QUERIES, len(index)), replace=False)
    _, sample = catalog.vectors_of(space, chosen)
    if not len(sample):  # all were deleted
        return file
    tuner = IndexTuner(catalog, space, file.kind, file.method, sample)
    if not tuner.is_exact:
        for _ in tuner.collect(
            catalog.vectors_after(space, file.kind, file.indexed_after, to=file.indexed_to)
        ):
            pass
    return with_tunings(file, tuner.tunings(index, target))


def with_tunings(file: IndexFile, tunings: tuple[IndexTuning, ...]) -> IndexFile:
    """Return an index file with tunings; its own effort is the greatest, and its recall the least."""
    if not tunings:
        return file
    efforts, recalls = [each.effort for each in tunings], [each.recall for each in tunings]
    return replace(file, effort=max(efforts), recall=min(recalls), tunings=tunings)
