"""Tests of the arithmetic of calibration."""

import numpy as np
import pytest

from retrieval.scoring.calibration import normalize_rows, pairwise_cosines


@pytest.mark.parametrize("count", [0, 1, 3, 10, 200])
@pytest.mark.parametrize("queries", [0, 1, 15, 64, 623])
def test_cosines_of_parts_are_those_of_one_product(count, queries):
    draw = np.random.default_rng(count)
    vectors, background = (
        normalize_rows(draw.standard_normal((size, 384)).astype(np.float32)) for size in (count, queries)
    )
    cosines = pairwise_cosines(vectors, background)
    assert cosines.shape == (count, queries)
    expected = vectors.astype(np.float64) @ background.astype(np.float64).T
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
