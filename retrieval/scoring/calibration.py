"""How unusual a match is: cosines held against those of background queries.

A raw cosine says little: some queries (gibberish among them) are near everything, and pictures lie farther
from words than texts do. So a bank of several hundred words and phrases is asked of the library when it is
indexed, and a match counts by how it stands among the best matches of these.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from retrieval.types import Scores, Vectors

# How a query was asked: in words, by a picture, by several words or several things, or with some taken away.
QueryMode: TypeAlias = Literal["words", "picture", "sum", "mixed", "difference"]
QUERY_MODES: tuple[QueryMode, ...] = get_args(QueryMode)

# What any query would have is taken off a cosine: this much of what the nearest have in common with all
# queries, and of what the query has in common with them. Chosen on Flickr8k's dev photos.
HUBNESS_SHIFT, QUERY_MEAN_SHIFT = 0.5, 0.4
CENTERING = 0.5  # how much of its modality's mean is taken off a term before terms are added
TOP_N = 5  # so many of the nearest say what that is
MIN_SPREAD = 0.005  # cosine; of a library where all background queries do alike
EXCLUSION_THRESHOLD = (
    0.9  # a segment fits a label or a veto better than it fits nine of ten background queries
)
BACKGROUND_QUERIES_FILE = Path(__file__).with_name("background_queries.txt")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How background queries match one kind of segment at best: the median, and the spread above it."""

    center: float
    spread: float

    def z_scores(self, scores: Scores, baseline: float) -> Scores:
        """Return how many spreads each cosine, (n,), lies above what is usual for this query."""
        return np.asarray((scores - baseline - self.center) / self.spread, dtype=np.float32)


def baseline_score(query: Vectors, top_vectors: Vectors, mean_query: Vectors) -> float:
    """Return the part of a query's best cosines that any query would have.

    `query` (d,), `nearest` (n, d) the vectors nearest to it, `mean` (d,) the mean background query. What
    is near to everything (a hub: Radovanović et al., JMLR 2010) is near to the mean, segment or query.
    """
    return float(
        HUBNESS_SHIFT * (top_vectors[:TOP_N] @ mean_query).mean() + QUERY_MEAN_SHIFT * (query @ mean_query)
    )


def fit_calibration(best_scores: Scores) -> Calibration:
    """Fit the best cosines of background queries, each less its usual part.

    The spread is that of the better half, as a normal distribution's: its upper quartile has confidence
    CONFIDENT exactly.
    """
    center, upper = np.quantile(best_scores, [0.5, 0.75])
    return Calibration(float(center), max(MIN_SPREAD, float(upper - center) / 0.6745))


def confidence(z_score: float) -> float:
    """Return the share of background queries, in [0, 1], whose best match is less than this one."""
    return 0.5 * (1 + math.erf(z_score / math.sqrt(2)))


def match_quality(scores: Scores, background: Scores) -> Scores:
    """Return how much better each segment fits a query than it fits background queries, in [0, 1].

    scores (n,) are the cosines of one query, background (m, n) those of m background queries.
    """
    spread = np.maximum(background.std(axis=0), MIN_SPREAD)
    surprise = (scores - background.mean(axis=0)) / spread
    return np.array([confidence(float(one)) for one in surprise], dtype=np.float32)


def normalize_rows(vectors: Vectors) -> Vectors:
    """Return rows of length 1, (n, d)."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def load_background_queries() -> list[str]:
    """Return the background queries: words and phrases of many subjects."""
    return BACKGROUND_QUERIES_FILE.read_text("utf-8").splitlines()
