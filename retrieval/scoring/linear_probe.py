"""Learn a concept from a few examples, by ridge regression on stored vectors in milliseconds."""

from dataclasses import dataclass

import numpy as np

from retrieval.errors import QueryError
from retrieval.scoring.calibration import MIN_COPY_COSINE, MIN_SPREAD, Z_QUARTILE, Calibration, normalize_rows
from retrieval.scoring.metrics import roc_auc
from retrieval.types import Scores, Vectors

RIDGE_PENALTY = 1.0  # strong, so that few examples give nearly the difference of their means
NEGATIVE_WEIGHT = 0.15  # of all negatives, relative to all positives; more would remove what both share
MIN_AUROC = 0.55  # 0.5 is chance
BACKGROUND_QUANTILE = 0.9  # of the background, which the positives must exceed


@dataclass(frozen=True, slots=True)
class Probe:
    """A learned concept.

    `auroc` is the share of pairs of a positive and either a negative or an image of the library in which the
    positive scores higher, with each example scored by the fit without it; None for a single positive.
    """

    direction: Vectors  # (d,), a unit vector
    calibration: Calibration  # of the cosines with the direction
    auroc: float | None = None

    def z_scores(self, scores: Scores) -> Scores:
        """Return the spreads of each cosine with the direction, (n,), above the center."""
        return self.calibration.z_scores(scores)


def fit_probe(positive: Vectors, negative: Vectors, background: Vectors) -> Probe:
    """Learn to separate positives (p, d) from negatives (n, d) and the vectors of a library (m, d).

    Dual ridge regression (Saunders et al., ICML 1998) around the mean of `background`. Using these unlabeled
    images as negatives made no measurable difference. Half way between the positives and the nearer of
    the negatives and the best tenth of `background`, confidence is CONFIDENCE_THRESHOLD. Each example is
    scored by the fit without it, in closed form (PRESS: Allen, 1974). With a single positive, which has no
    such score, the threshold is two standard deviations above the background. Raises QueryError if
    the examples cannot be separated.
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
        raise QueryError("The positive examples equal the negative ones or the library. Use other examples.")
    held_out = dual[:, None] - inverse * (
        dual / np.diag(inverse)
    )  # (k, k), a column for the fit without each
    return direction / np.linalg.norm(direction), normalize_rows(held_out.T @ rows)


def _held_out_auroc(positive: Scores, negative: Scores, background: Scores) -> float | None:
    """Return the AUROC of positives against negatives and background.

    Negatives alone would mislead: they are usually wrong hits chosen for their high scores, so they exceed
    positives that are left out of the fit, although they are good examples.
    """
    against = np.concatenate([negative, background])
    if not len(against):
        return None
    truth = np.arange(len(positive) + len(against)) < len(positive)
    return roc_auc(np.concatenate([positive, against]), truth)


def _calibrate(positive: Scores, negative: Scores, background: Scores) -> Calibration:
    """Set the threshold half way between the positives and the nearest others."""
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
    """Return the calibration that gives a cosine the confidence CONFIDENCE_THRESHOLD."""
    spread = max(MIN_SPREAD, spread)
    return Calibration(cosine - Z_QUARTILE * spread, spread)
