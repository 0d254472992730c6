"""Lay vectors out in two dimensions by t-SNE that starts from principal components.

Repulsion of many points is interpolated on a grid (Linderman et al., Nature Methods 2019), and each point is
attracted alike by its nearest neighbors (Böhm, Berens & Kobak, JMLR 2022). On 1,264 vectors of a library,
42 % of the ten nearest neighbors stay nearest, 46 % with openTSNE in ten times the time, 7 % with principal
components.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Vectors

Positions = NDArray[np.float64]  # (n, 2)
Indices = NDArray[np.int64]

COMPONENTS = 50  # principal components in which neighbors are searched
MIN_POINTS = 10  # fewer are laid out by their principal components
MAX_LAID_OUT = 4_000  # points; the others are placed near their nearest neighbors
NEIGHBORS = 15
PLACING_NEIGHBORS = 3
ITERATIONS, EARLY_ITERATIONS = 250, 80
EARLY_EXAGGERATION, EXAGGERATION = 12.0, 1.5  # of attraction; the second separates clusters
START_SPREAD = 0.01
MAX_EXACT = 500  # points whose repulsion is computed for each pair, which is faster than the grid
GRID = 64  # cells a side
BLOCK = 1_024  # rows of similarities in memory


def lay_out(vectors: Vectors, start: Positions | None = None) -> Positions:
    """Return positions from 0 to 1 of centered vectors (n, d), similar ones near each other.

    `start` has earlier positions, NaN for new vectors; the new layout resembles it.
    """
    if not len(vectors):
        return np.empty((0, 2))
    components = principal_components(vectors)
    count = len(components)
    if count < MIN_POINTS:
        return _scale(components[:, :2].astype(np.float64))
    chosen = np.arange(min(count, MAX_LAID_OUT)) * count // min(count, MAX_LAID_OUT)
    first = components[:, :2].astype(np.float64)
    if start is not None and 2 * np.isfinite(start).all(axis=1).sum() >= count:
        first = start.copy()
        missing = ~np.isfinite(start).all(axis=1)
        first[missing] = place(components[missing], components[~missing], start[~missing])
    points = _scale(_tsne(first[chosen], nearest_neighbors(components[chosen], NEIGHBORS)))
    positions = np.empty((count, 2))
    others = np.setdiff1d(np.arange(count), chosen)
    positions[others] = place(components[others], components[chosen], points)
    positions[chosen] = points
    return positions


def place(new: Vectors, vectors: Vectors, positions: Positions) -> Positions:
    """Return positions for new vectors: the median of those of their nearest neighbors."""
    return np.asarray(np.median(positions[nearest_of(new, vectors)], axis=1))


def nearest_of(queries: Vectors, vectors: Vectors, count: int = PLACING_NEIGHBORS) -> Indices:
    """Return the rows of the `count` nearest vectors of each query, nearest first."""
    count = min(count, len(vectors))
    rows = [np.empty((0, count), np.int64)]
    for similarities in _similarities(queries, vectors):
        each, columns = np.arange(len(similarities)), []
        for _ in range(count):
            columns.append(similarities.argmax(axis=1))
            similarities[each, columns[-1]] = -np.inf
        rows.append(np.stack(columns, axis=1))
    return np.concatenate(rows)


def nearest_neighbors(vectors: Vectors, count: int) -> Indices:
    """Return the rows of the nearest other vectors of each, (n, `count`), fewer if there are fewer."""
    count, rows, first = min(count, len(vectors) - 1), [], 0
    for similarities in _similarities(vectors, vectors):
        own = np.arange(len(similarities))
        similarities[own, first + own] = -np.inf
        rows.append(np.argpartition(-similarities, count - 1, axis=1)[:, :count])
        first += len(similarities)
    return np.concatenate(rows)


def principal_components(vectors: Vectors) -> Vectors:
    """Return centered vectors in their principal components, at least 2 and the greatest first.

    The largest loading of each component is positive, so that the result is deterministic.
    """
    centered = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    axes = axes[:, ::-1][:, :COMPONENTS]
    largest = np.abs(axes).argmax(axis=0)
    components = centered @ (axes * np.sign(axes[largest, np.arange(axes.shape[1])]))
    missing = max(0, 2 - components.shape[1])
    return np.pad(components, ((0, 0), (0, missing))).astype(np.float32)


def _similarities(queries: Vectors, vectors: Vectors) -> Iterator[Vectors]:
    """Yield blocks of rows of a number that is greater for nearer vectors."""
    squares = (vectors**2).sum(axis=1)
    for first in range(0, len(queries), BLOCK):
        yield 2 * queries[first : first + BLOCK] @ vectors.T - squares


def _tsne(points: Positions, neighbors: Indices) -> Positions:
    """Return points moved by gradient descent, as in van der Maaten & Hinton, JMLR 2008."""
    count, near = neighbors.shape
    points = (points - points.mean(axis=0)) * (START_SPREAD / max(points[:, 0].std(), 1e-12))
    speed, gains = np.zeros_like(points), np.ones_like(points)
    repulsion = exact_repulsion if count <= MAX_EXACT else interpolated_repulsion
    for iteration in range(ITERATIONS):
        is_early = iteration < EARLY_ITERATIONS
        exaggeration = EARLY_EXAGGERATION if is_early else EXAGGERATION
        attraction = _attraction(points, neighbors) / (2 * count * near)
        gradient = exaggeration * attraction - repulsion(points)
        gains = np.where(np.sign(gradient) == np.sign(speed), gains * 0.8, gains + 0.2).clip(0.01)
        speed = (0.5 if is_early else 0.8) * speed - count / exaggeration * gains * gradient
        points = points + speed
        points -= points.mean(axis=0)
    return points


def _attraction(points: Positions, neighbors: Indices) -> Positions:
    """Return the sum of the attractions of each point: by its neighbors, and by points it is near to."""
    count, near = neighbors.shape
    forces = points[:, None] - points[neighbors]
    forces /= 1 + (forces**2).sum(axis=2, keepdims=True)
    flat = forces.reshape(count * near, 2)
    back = [np.bincount(neighbors.ravel(), flat[:, axis], count) for axis in (0, 1)]
    return np.asarray(forces.sum(axis=1) - np.stack(back, axis=1))


def exact_repulsion(points: Positions) -> Positions:
    """Return the normalized repulsion of each point by all others, (n, 2)."""
    squares = (points**2).sum(axis=1)
    nearness = 1 / (1 + squares[:, None] + squares - 2 * points @ points.T)
    total, charges = nearness.sum() - len(points), nearness**2
    return np.asarray((points * charges.sum(axis=1, keepdims=True) - charges @ points) / total)


def interpolated_repulsion(points: Positions) -> Positions:
    """Return `exact_repulsion` interpolated on a grid, in time that grows with the number of points."""
    lowest = points.min(axis=0)
    spacing = max(float((points - lowest).max()), 1e-9) * 1.0001 / (GRID - 2)
    place_in_grid = (points - lowest) / spacing
    cells = place_in_grid.astype(np.int64)
    (x, y), corner = (place_in_grid - cells).T, cells[:, 0] * GRID + cells[:, 1]
    corners = [
        (corner, (1 - x) * (1 - y)),
        (corner + 1, (1 - x) * y),
        (corner + GRID, x * (1 - y)),
        (corner + GRID + 1, x * y),
    ]

    def spread(charges: NDArray[np.float64]) -> NDArray[np.complex128]:
        grid = sum(np.bincount(cell, weight * charges, GRID * GRID) for cell, weight in corners)
        return np.fft.rfft2(np.reshape(grid, (GRID, GRID)), (2 * GRID, 2 * GRID))

    def gather(transform: NDArray[np.complex128]) -> NDArray[np.float64]:
        grid = np.fft.irfft2(transform, (2 * GRID, 2 * GRID))[:GRID, :GRID].ravel()
        return np.asarray(sum(weight * grid[cell] for cell, weight in corners))

    steps = np.arange(2 * GRID)
    distances = (np.minimum(steps, 2 * GRID - steps) * spacing) ** 2
    kernel = 1 / (1 + distances[:, None] + distances)
    ones, squared = spread(np.ones(len(points))), np.fft.rfft2(kernel**2)
    total = max(float(gather(ones * np.fft.rfft2(kernel)).sum()) - len(points), 1e-12)
    charge = gather(ones * squared)
    away = [points[:, axis] * charge - gather(spread(points[:, axis]) * squared) for axis in (0, 1)]
    return np.stack(away, axis=1) / total


def _scale(points: Positions) -> Positions:
    """Return points scaled to 0.02 to 0.98 on each axis; a single place becomes the center."""
    lowest, highest = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    extent = highest - lowest
    return np.where(extent > 1e-9, 0.02 + 0.96 * (points - lowest) / np.maximum(extent, 1e-9), 0.5)
