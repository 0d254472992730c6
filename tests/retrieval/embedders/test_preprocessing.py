"""Tests of the preprocessing of images, against open_clip's transforms."""

import numpy as np
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2

from retrieval.embedders.preprocessing import Preprocessing
from tests.support.open_clip_models import sample_images


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_preprocessing_matches_open_clip_bit_by_bit(mode, interpolation, size):
    preprocessing = Preprocessing(size, mode, interpolation, (0.1, 0.2, 0.3), (0.9, 0.8, 0.7))
    settings_ = PreprocessCfg(size, "RGB", preprocessing.mean, preprocessing.std, interpolation, mode)
    transform = image_transform_v2(settings_, is_train=False)
    for image in sample_images():
        pixels = preprocessing.apply(image)
        assert pixels.shape == (*size, 3)
        by_us = (pixels.astype(np.float32) / 255 - np.float32(preprocessing.mean)) / np.float32(
            preprocessing.std
        )
        expected = transform(image).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(by_us, expected, atol=1e-6)
