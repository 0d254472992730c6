"""Tests of the comparison of thumbnails."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from retrieval.grouping.image_comparison import extremes_of_neighbors


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (40, 31)])
def test_extremes_of_neighbors_are_those_of_the_filters_of_pillow(size):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    for filter_, function in ((ImageFilter.MinFilter(3), np.minimum), (ImageFilter.MaxFilter(3), np.maximum)):
        found = extremes_of_neighbors(np.asarray(image), function)
        assert np.array_equal(found, np.asarray(image.filter(filter_)))
