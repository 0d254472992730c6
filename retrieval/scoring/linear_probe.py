"""A concept from a few examples: ridge regression on vectors that are there, so it takes milliseconds."""

from dataclasses import dataclass

import numpy as np

from retrieval.errors import QueryError
from retrieval.scoring.calibration import MIN_SPREAD, Calibration, normalize_rows
from retrieval.scoring.metrics import roc_auc
from retrieval.types import CONFIDENCE_THRESHOLD, Kind, Scores, Vectors

VISUAL_KINDS: frozenset[Kind] = frozenset(("image", "video", "page"))  # what pictures can teach something of
RIDGE_PENALTY = 1.0  # so strong that few examples give nearly the difference of their means
NEGATIVE_WEIGHT = 0.15  # what all negatives count beside all positives; more takes away what both share
MIN_COPY_COSINE = 0.999  # cosine from which on a picture of the library is an example or its copy
MIN_AUROC = 0.55  # AUROC; 0.5 is no better than a coin
BACKGROUND_QUANTILE = 0.9  # of the background lies below what the positives have to stand out from
Z_QUARTILE = 0.6745  # of the normal distribution: the deviation that has confidence CONFIDENT

assert CONFIDENCE_THRESHOLD == 0.75, "QUARTILE belongs to it"


@dataclass(frozen=True, slots=True)
class Probe:
    """What was learned: the direction (d,) to be near, which cosines are confident, and how sure that is.

    `auroc` is the share of pairs of a positive and something else, a negative or a picture of the library,
    in which the positive scores higher, each example left out of the fit; None of one positive alone.
    """

    direction: Vectors
    calibration: Calibration
    auroc: float | None = None

    def z_scores(self, scores: Scores) -> Scores:
        """Return how many spreads each cosine with the direction, (n,), lies above the center."""
        return self.calibration.z_scores(scores, 0.0)


def fit_probe(positive: Vectors, negative: Vectors, background: Vectors) -> Probe:
    """Learn what tells positives (p, d) from negatives (n, d) and from a library's vectors (m, d).

    Ridge regression in its dual (Saunders et al., ICML 1998) around the mean of `background`, pictures
    nobody looked at: as negatives of their own they changed nothing that was measured. Half way between
    the positives and the nearer of negatives and the best tenth of `background` has confidence CONFIDENT.
    Each example is scored by the fit without it, which has a closed form (PRESS: Allen, 1974). Of one
    positive that says nothing: then two standard deviations above the background is confident. Raises
    QueryError where nothing is left.
    """
    others = background[(background @ positive.T).max(axis=1, initial=-1) < MIN_COPY_COSINE]
    center: Vectors = others.mean(axis=0) if len(others) else np.zeros(positive.shape[1], np.float32)
    examples = np.concatenate([positive, negative]) - center
    direction, without = _fit_directions(examples, len(positive))
    scores = np.einsum("kd,kd->k", without, examples) + direction @ center
    liked, unliked, rest = scores[: len(positive)], scores[len(positive) :], others @ direction
    if len(positive) == 1:
        return Probe(direction.astype(np.float32), _calibrate_one_positive(rest))
    return Probe(
        direction.astype(np.float32), _calibrate(liked, unliked, rest), _held_out_auroc(liked, unliked, rest)
    )


def _fit_directions(examples: Vectors, positive_count: int) -> tuple[Vectors, Vectors]:
    """Return the unit direction (d,) of examples (k, d), positives first, and those without each, (k, d)."""
    negatives = len(examples) - positive_count
    signs = np.array([1.0] * positive_count + [-1.0] * negatives)
    root = np.sqrt([1 / positive_count] * positive_count + [NEGATIVE_WEIGHT / max(1, negatives)] * negatives)
    rows = root[:, None] * examples.astype(np.float64)
    inverse = np.linalg.inv(rows @ rows.T + RIDGE_PENALTY * np.eye(len(rows)))
    dual = inverse @ (root * signs)
    direction = rows.T @ dual
    if np.linalg.norm(direction) < 1e-6:
        raise QueryError("The examples are just like what they are held against; give others.")
    held_out = dual[:, None] - inverse * (dual / np.diag(inverse))  # (k, k), a column without each
    return direction / np.linalg.norm(direction), normalize_rows(held_out.T @ rows)


def _held_out_auroc(positive: Scores, negative: Scores, background: Scores) -> float | None:
    """Return the AUROC of positives against all else.

    Not against negatives alone: wrong hits are chosen because they score high, so they stand above any
    positive that is left out, and are good examples all the same.
    """
    against = np.concatenate([negative, background])
    if not len(against):
        return None
    truth = np.arange(len(positive) + len(against)) < len(positive)
    return roc_auc(np.concatenate([positive, against]), truth)


def _calibrate(positive: Scores, negative: Scores, background: Scores) -> Calibration:
    """Put the confident half way between the positives and what is nearest to them."""
    above, below = float(positive.mean()), -np.inf
    if len(negative):
        below = float(negative.mean())
    if len(background):
        below = max(below, float(np.quantile(background, BACKGROUND_QUANTILE)))
    below = below if np.isfinite(below) else 0.0
    return _calibration_at((above + below) / 2, (above - below) / 4)


def _calibrate_one_positive(background: Scores) -> Calibration:
    if not len(background):
        return _calibration_at(0.5, MIN_SPREAD)
    return _calibration_at(float(background.mean() + 2 * background.std()), float(background.std()))


def _calibration_at(cosine: float, spread: float) -> Calibration:
    """Return the calibration by which this cosine has confidence CONFIDENT."""
    spread = max(MIN_SPREAD, spread)
    return Calibration(cosine - Z_QUARTILE * spread, spread)
