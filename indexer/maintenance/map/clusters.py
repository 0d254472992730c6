"""Find dense clusters of points in two dimensions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 64  # cells a side
BANDWIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)  # cells
MAX_CLUSTERS = 24


@dataclass(frozen=True, slots=True)
class Clusters:
    """The cluster of each point, and the densest place of each cluster."""

    labels: NDArray[np.int8]  # (n,)
    peaks: NDArray[np.float64]  # (c, 2)


def find_clusters(positions: NDArray[np.float64]) -> Clusters:
    """Return the clusters of positions from 0 to 1, at most 24.

    Density is smoothed until it has few enough peaks; each point belongs to the peak uphill from it.
    """
    cells = np.clip((positions * GRID).astype(np.int64), 0, GRID - 1)
    flat = cells[:, 0] * GRID + cells[:, 1]
    counts = np.bincount(flat, minlength=GRID * GRID).reshape(GRID, GRID).astype(np.float64)
    for bandwidth in BANDWIDTHS:
        summits = _summits(_smooth(counts, bandwidth))
        found, labels = np.unique(summits[flat], return_inverse=True)
        if len(found) <= MAX_CLUSTERS:
            break
    peaks = (np.stack(np.divmod(found, GRID), axis=1) + 0.5) / GRID
    return Clusters(np.minimum(labels, 127).astype(np.int8), peaks)


def _smooth(counts: NDArray[np.float64], bandwidth: float) -> NDArray[np.float64]:
    """Return a grid smoothed by a Gaussian with this standard deviation in cells."""
    steps = np.arange(GRID)
    kernel = np.exp(-((steps[:, None] - steps) ** 2) / (2 * bandwidth**2))
    return np.asarray(kernel @ counts @ kernel)


def _summits(density: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each cell, (GRID²,), the peak that is reached from it by the steepest steps uphill."""
    padded = np.pad(density, 1, constant_values=-1.0)
    moves = [(0, 0), *((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y)]
    around = np.stack([padded[1 + x : 1 + x + GRID, 1 + y : 1 + y + GRID] for x, y in moves])
    offsets = np.array([x * GRID + y for x, y in moves])
    uphill = np.arange(GRID * GRID) + offsets[around.argmax(axis=0)].ravel()
    while not np.array_equal(further := uphill[uphill], uphill):
        uphill = further
    return np.asarray(uphill)
