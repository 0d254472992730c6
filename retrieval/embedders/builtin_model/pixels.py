"""Prepare images for the built-in model, also in a subprocess that decodes them."""

from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SIDE = 256


def prepare_image(image: "Image") -> Pixels:
    """Resize an image to (256, 256, 3), regardless of its aspect ratio."""
    from PIL.Image import Resampling  # heavy, and text queries need no Pillow

    small = image.resize((IMAGE_SIDE, IMAGE_SIDE), Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small, dtype=np.uint8)
