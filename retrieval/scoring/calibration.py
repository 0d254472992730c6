"""Calibrate cosines by those of background queries.

Raw cosines do not compare: some vectors are near every query, and images are farther from words than texts
are. So several hundred background queries are searched when a library is indexed. The cosine of a vector
with a query is compared with those that the vector has with the background queries, and a match is rated by
its position among their best matches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from retrieval.types import CONFIDENCE_THRESHOLD, Scores, Vectors

# The form of a query: words, an image, several words, several terms of both, or terms with negative weight.
# Noise is no form of a query, but random letters, which no query should match less well than.
QueryMode: TypeAlias = Literal["words", "picture", "sum", "mixed", "difference", "noise"]

# Share of background queries that are nearest to a vector, and the share of their mean cosine that is
# subtracted from the cosines of the vector. Chosen on Flickr8k with words in 15 languages.
RIVAL_SHARE, RIVAL_WEIGHT = 0.1, 0.75
CENTERING = 0.5  # share of the mean of words that is subtracted from words before terms are added
MAX_LAG = 0.5  # standard scores that a vector counts less than the best one, which may be the only match
TOP_N, TOP_SHARE = 10, 0.05  # nearest vectors that a query is rated by: so many, or this share of fewer
MIN_SPREAD = 0.005  # cosine; if all background queries match almost equally
MIN_STANDARD_SPREAD = 0.02  # the same, in standard scores
UNFAMILIARITY_PENALTY = 0.8  # standard scores that a text without a familiar word is rated lower
EXCLUSION_THRESHOLD = 0.97  # share of background queries that an excluded segment matches less well
MAX_NOISE_SHARE = 0.125  # of queries without meaning that may have a confident match
MIN_DIFFERENT_VECTORS = 3  # a kind with fewer is not calibrated, as most queries have the same best match
MIN_LIBRARY_SPREAD = 0.5  # spreads of a kind; several kinds together have 0.7 to 1
MIN_COPY_COSINE = 0.999  # an image with at least this cosine to another is that image or a copy of it
Z_QUARTILE = 0.6745  # standard deviations; the upper quartile of a normal distribution
MAX_THREAD_PRODUCTS = 250_000  # multiplications; OpenBLAS starts threads for more than 262,144
BLAS_ROWS = 16  # that BLAS computes together
BACKGROUND_QUERIES_FILE = Path(__file__).with_name("background_queries.txt")

assert CONFIDENCE_THRESHOLD == 0.75, "Z_QUARTILE is the deviation with this confidence"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The standard scores of background queries in one kind: their median, and the spread above it."""

    center: float
    spread: float
    nearest: int = TOP_N  # vectors that each query is rated by

    def z_scores(self, scores: Scores) -> Scores:
        """Return the spreads of each score, (n,), above the center."""
        return np.asarray((scores - self.center) / self.spread, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class QueryScale:
    """The scale of the cosines of one query in one kind."""

    origin: float
    unit: float

    def standard_scores(self, cosines: Scores) -> Scores:
        """Return the standard scores of cosines, (n,), in the same order."""
        return np.asarray((cosines - self.origin) / self.unit, dtype=np.float32)


def nearest_count(count: int) -> int:
    """Return the number of nearest vectors that a query is rated by, of `count` vectors."""
    return min(TOP_N, max(1, round(TOP_SHARE * count)))


def pairwise_cosines(vectors: Vectors, queries: Vectors) -> Scores:
    """Return the cosines of few unit vectors (n, d) with many queries (m, d), (n, m).

    Products so small that BLAS computes them in this thread: for n = 10 others make it no faster, and on a
    busy machine they take up to 30 ms to start.
    """
    size = max(1, len(vectors)) * queries.shape[1]
    step = max(BLAS_ROWS, MAX_THREAD_PRODUCTS // size // BLAS_ROWS * BLAS_ROWS)
    parts = [vectors @ queries[at : at + step].T for at in range(0, len(queries), step)]
    return np.concatenate(parts, axis=1) if parts else np.empty((len(vectors), 0), np.float32)


def rival_levels(cosines: Scores) -> tuple[Scores, Scores]:
    """Return the level and the spread of the cosines of n vectors with m background queries, (n, m).

    The spread is the square root of the standard deviation, so that a vector which is about as near to every
    query, of an empty page for example, does not seem to match each of them well.

    The level is high for vectors that are near many queries (hubs: Radovanović et al., JMLR 2010), as in
    cross-domain similarity local scaling (Conneau et al., ICLR 2018). The cosine of a copy counts as a usual
    one.
    """
    is_copy = cosines >= MIN_COPY_COSINE
    if is_copy.any():
        cosines = np.where(is_copy, np.median(cosines, axis=1, keepdims=True), cosines)
    count = max(1, round(RIVAL_SHARE * cosines.shape[1]))
    rivals = np.partition(cosines, -count, axis=1)[:, -count:]
    return RIVAL_WEIGHT * rivals.mean(axis=1), np.sqrt(np.maximum(MIN_SPREAD, cosines.std(axis=1)))


def mean_standard_score(scores: Scores) -> Scores:
    """Return the mean standard score of the nearest vectors of each query, (q, k) -> (q,); NaN if none.

    A single vector that fits by chance counts less than several; scores may be -inf.
    """
    best = scores.max(axis=1, keepdims=True)
    counted = np.where(np.isfinite(scores), np.maximum(scores, best - MAX_LAG), np.nan)
    known = np.isfinite(scores).sum(axis=1)
    return np.asarray(np.where(known, np.nansum(counted, axis=1) / np.maximum(1, known), np.nan), np.float32)


def fit_scale(cosines: Scores, levels: Scores, spreads: Scores) -> QueryScale:
    """Return the scale of a query from its nearest vectors: their cosines, levels and spreads, (k,) each.

    The best cosine has the mean of their standard scores.
    """
    unit = float(spreads.mean())
    standard = float(mean_standard_score(((cosines - levels) / spreads)[None])[0])
    return QueryScale(float(cosines.max()) - unit * standard, unit)


def fit_label_scale(levels: Scores, spreads: Scores) -> QueryScale:
    """Return the scale of a label from the levels and spreads of its nearest vectors, (k,) each.

    A query asks if anything matches, and is rated by several vectors. A label asks it of each vector.
    """
    return QueryScale(float(levels.mean()), float(spreads.mean()))


def fit_calibration(best_scores: Scores) -> Calibration:
    """Fit the standard scores of background queries.

    The spread is that of a normal distribution with the same upper quartile, so the upper quartile has
    exactly CONFIDENCE_THRESHOLD.
    """
    center, upper = np.quantile(best_scores, [0.5, 0.75])
    return Calibration(float(center), max(MIN_STANDARD_SPREAD, float(upper - center) / Z_QUARTILE))


def fit_library(
    best_scores: Sequence[Scores], fitted: Sequence[Calibration], noise_scores: Sequence[Scores] = ()
) -> list[Calibration]:
    """Adjust the calibrations of several kinds to a list of all kinds.

    Each kind has its own best match for a query, so the best of several kinds is higher than that of one.
    `best_scores` are, for each kind, those of the same background queries, (m,), NaN if there is
    none; `fitted` is the calibration of each kind. At most MAX_NOISE_SHARE of `noise_scores`, those of
    queries without meaning, reach CONFIDENCE_THRESHOLD.
    """
    together = fit_calibration(_best_z_scores(best_scores, fitted))
    center, spread = together.center, max(MIN_LIBRARY_SPREAD, together.spread)
    if len(noise_scores):
        limit = float(np.quantile(_best_z_scores(noise_scores, fitted), 1 - MAX_NOISE_SHARE))
        center = max(center, limit - Z_QUARTILE * spread)
    return [
        replace(each, center=each.center + each.spread * center, spread=each.spread * spread)
        for each in fitted
    ]


def _best_z_scores(best_scores: Sequence[Scores], fitted: Sequence[Calibration]) -> Scores:
    """Return the best score of each query among the kinds, in spreads above the center of the kind."""
    z_scores = np.array([each.z_scores(row) for row, each in zip(best_scores, fitted, strict=True)])
    z_scores = z_scores[:, ~np.isnan(z_scores).all(axis=0)]
    return np.asarray(np.nanmax(z_scores, axis=0), np.float32)


def confidence(z_score: float) -> float:
    """Return the share of background queries, in [0, 1], whose best match scores lower."""
    return 0.5 * (1 + math.erf(z_score / math.sqrt(2)))


def rounded_confidence(z_score: float) -> float:
    """Return the confidence of a hit."""
    return round(confidence(z_score), 4)


def match_quality(scores: Scores, background: Scores) -> Scores:
    """Return how much better each segment matches a query than background queries, in [0, 1].

    scores (n,) are the cosines of one query, background (m, n) those of m background queries.
    """
    spread = np.maximum(background.std(axis=0), MIN_SPREAD)
    z_scores = (scores - background.mean(axis=0)) / spread
    return np.array([confidence(float(z)) for z in z_scores], dtype=np.float32)


def normalize_rows(vectors: Vectors) -> Vectors:
    """Return the rows scaled to length 1, (n, d)."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def load_background_queries() -> list[str]:
    """Return the background queries: words and phrases of many subjects."""
    return BACKGROUND_QUERIES_FILE.read_text("utf-8").splitlines()
