"""Calibrate cosines by those of background queries.

Raw cosines do not compare: some queries (gibberish among them) are near everything, and images are farther
from words than texts are. So several hundred background queries are searched when a library is indexed, and
a match is rated by its position among their best matches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from retrieval.types import CONFIDENCE_THRESHOLD, Scores, Vectors

# The form of a query: words, an image, several words, several terms of both, or terms with negative weight.
# Noise is no form of a query, but random letters, which no query should match less well than.
QueryMode: TypeAlias = Literal["words", "picture", "sum", "mixed", "difference", "noise"]

# The part of a cosine that any query would have is subtracted: these shares of the mean cosine of the nearest
# vectors with all queries, and of the query with all queries. Chosen on the dev photos of Flickr8k.
HUBNESS_SHIFT, QUERY_MEAN_SHIFT = 0.5, 0.4
CENTERING = 0.5  # share of the mean of its modality that is subtracted from a term before terms are added
TOP_N = 5  # nearest vectors that determine the baseline of a query
MIN_SPREAD = 0.005  # cosine; if all background queries match almost equally
EXCLUSION_THRESHOLD = 0.9  # share of background queries that an excluded segment matches less well
MAX_NOISE_SHARE = 0.125  # of queries without meaning that may have a confident match
MIN_DIFFERENT_VECTORS = 3  # a kind with fewer is not calibrated, as most queries have the same best match
MIN_LIBRARY_SPREAD = 0.5  # spreads of a kind; several kinds together have 0.7 to 1
MIN_COPY_COSINE = 0.999  # an image with at least this cosine to another is that image or a copy of it
Z_QUARTILE = 0.6745  # standard deviations; the upper quartile of a normal distribution
BACKGROUND_QUERIES_FILE = Path(__file__).with_name("background_queries.txt")

assert CONFIDENCE_THRESHOLD == 0.75, "Z_QUARTILE is the deviation with this confidence"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The best cosines of background queries in one kind: their median, and the spread above it."""

    center: float
    spread: float

    def z_scores(self, scores: Scores, baseline: float) -> Scores:
        """Return the spreads of each cosine, (n,), above the baseline of the query and the center."""
        return np.asarray((scores - baseline - self.center) / self.spread, dtype=np.float32)


def baseline_score(query: Vectors, top_vectors: Vectors, mean_query: Vectors) -> float:
    """Return the part of a query's best cosines that any query would have.

    `query` (d,), `top_vectors` (n, d) the vectors nearest to it, `mean_query` (d,) the mean background query.
    Vectors that are near everything (hubs: Radovanović et al., JMLR 2010) are near the mean.
    """
    return float(
        HUBNESS_SHIFT * (top_vectors[:TOP_N] @ mean_query).mean() + QUERY_MEAN_SHIFT * (query @ mean_query)
    )


def fit_calibration(best_scores: Scores) -> Calibration:
    """Fit the best cosines of background queries, from each of which its baseline was subtracted.

    The spread is that of a normal distribution with the same upper quartile, so the upper quartile has
    exactly CONFIDENCE_THRESHOLD.
    """
    center, upper = np.quantile(best_scores, [0.5, 0.75])
    return Calibration(float(center), max(MIN_SPREAD, float(upper - center) / Z_QUARTILE))


def fit_library(
    best_scores: Sequence[Scores], fitted: Sequence[Calibration], noise_scores: Sequence[Scores] = ()
) -> list[Calibration]:
    """Adjust the calibrations of several kinds to a list of all kinds.

    Each kind has its own best match for a query, so the best of several kinds is higher than that of one.
    `best_scores` are, for each kind, those of the same background queries, (m,), without their baselines and
    NaN if there is none; `fitted` is the calibration of each kind. At most MAX_NOISE_SHARE of `noise_scores`,
    those of queries without meaning, reach CONFIDENCE_THRESHOLD.
    """
    together = fit_calibration(_best_z_scores(best_scores, fitted))
    center, spread = together.center, max(MIN_LIBRARY_SPREAD, together.spread)
    if len(noise_scores):
        limit = float(np.quantile(_best_z_scores(noise_scores, fitted), 1 - MAX_NOISE_SHARE))
        center = max(center, limit - Z_QUARTILE * spread)
    return [Calibration(each.center + each.spread * center, each.spread * spread) for each in fitted]


def _best_z_scores(best_scores: Sequence[Scores], fitted: Sequence[Calibration]) -> Scores:
    """Return the best score of each query among the kinds, in spreads above the center of the kind."""
    z_scores = np.array([each.z_scores(row, 0.0) for row, each in zip(best_scores, fitted, strict=True)])
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
