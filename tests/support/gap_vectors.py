"""Vectors of images and texts as those of CLIP: two narrow cones with a gap between them.

A point is a unit vector of clusters with a decaying spectrum. An image is its point, and a text is a mixture
of its point and of another one, each added to the mean of its modality. As measured for CLIP ViT-B/32, the
mean cosine is 0.5 within a modality, 0.15 between images and texts, and 0.3 between an image and its text:
Liang et al., "Mind the gap", NeurIPS 2022.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from retrieval.types import Vectors

CONE = 0.5  # mean cosine of two images, and of two texts
GAP_COSINE = 0.3  # of the mean image and the mean text; times CONE it is that of an image and any text
PAIR_COSINE = 0.3  # of the point of an image and the point of its text
CLUSTER_SPREAD = 0.7  # of points around the center of their cluster, relative to that of the centers
SPECTRUM_POWER = -0.5  # standard deviation of dimension n, from 1, is n to this power


@dataclass(frozen=True)
class GapVectors:
    """Pairs of images and texts; reproducible by the seed."""

    dim: int
    clusters: int
    seed: int = 0

    def pairs(self, count: int, seed: int) -> tuple[Vectors, Vectors]:
        """Return the vectors of images and of their texts, (count, dim) each."""
        rng = np.random.default_rng([self.seed, seed])
        points, others = self._points(rng, count), self._points(rng, count)
        texts = PAIR_COSINE * points + (1 - PAIR_COSINE**2) ** 0.5 * others
        means = self._means()
        return tuple(
            normalized(CONE**0.5 * mean + (1 - CONE) ** 0.5 * rows)
            for mean, rows in zip(means, (points, texts), strict=True)
        )

    def _points(self, rng: np.random.Generator, count: int) -> Vectors:
        spectrum = (1 + np.arange(self.dim, dtype=np.float32)) ** SPECTRUM_POWER
        noise = rng.standard_normal((count, self.dim), np.float32)
        return normalized(
            (self._centers[rng.integers(self.clusters, size=count)] + CLUSTER_SPREAD * noise) * spectrum
        )

    @cached_property
    def _centers(self) -> Vectors:
        return np.random.default_rng([self.seed, 0]).standard_normal((self.clusters, self.dim), np.float32)

    def _means(self) -> tuple[Vectors, Vectors]:
        """Return the mean image and the mean text, unit vectors."""
        image, other = normalized(np.random.default_rng([self.seed, 1]).standard_normal((2, self.dim)))
        other = normalized(other - (other @ image) * image)
        return image, GAP_COSINE * image + (1 - GAP_COSINE**2) ** 0.5 * other


def normalized(rows: Vectors) -> Vectors:
    """Return the rows scaled to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
