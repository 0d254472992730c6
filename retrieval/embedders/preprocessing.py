"""Resize and crop images as open_clip does, without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Preprocessing of the images of a model, in open_clip's terms; the towers normalize the pixels."""

    size: tuple[int, int]  # height, width
    resize_mode: str  # shortest (crop the center), longest (pad) or squash
    interpolation: str
    mean: tuple[float, float, float]  # of pixels between 0 and 1
    std: tuple[float, float, float]
    fill_color: int = 0

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"{height} x {width} pixels, {self.resize_mode}, {self.interpolation}, "
            f"mean {self.mean}, std {self.std}"
        )

    def apply(self, image: "Image") -> Pixels:
        """Convert an upright RGB image to (height, width, 3), bit by bit as open_clip's transform does."""
        height, width = self.size
        if self.resize_mode == "squash":
            small = image.resize((width, height), self._resampling)
        elif self.resize_mode == "longest":
            small = self._keep_ratio(image, max, self._resampling)
        elif height == width:
            small = image.resize(self._shortest_side_size(image), self._resampling)
        else:  # open_clip uses the default interpolation here
            small = self._keep_ratio(image, min, _resampling_filter("bicubic"))
        fill = self.fill_color if self.resize_mode == "longest" else 0
        return np.asarray(_crop_or_pad(small, width, height, fill), dtype=np.uint8)

    def _shortest_side_size(self, image: "Image") -> tuple[int, int]:
        """Return the size whose shorter side has the model's length, as torchvision's Resize does."""
        side, short = self.size[0], min(image.size)
        width, height = (side if x == short else int(side * x / short) for x in image.size)
        return width, height

    def _keep_ratio(self, image: "Image", fitted_side: object, resampling: "Resampling") -> "Image":
        """Resize as timm's ResizeKeepRatio does: fit the longer (max) or the shorter (min) side."""
        height, width = self.size
        ratios = image.height / height, image.width / width
        ratio = max(ratios) if fitted_side is max else min(ratios)
        return image.resize((round(image.width / ratio), round(image.height / ratio)), resampling)

    @property
    def _resampling(self) -> "Resampling":
        return _resampling_filter(self.interpolation)


def _resampling_filter(name: str) -> "Resampling":
    from PIL.Image import Resampling  # heavy, and text queries need no Pillow

    return Resampling[name.upper()]


def _crop_or_pad(image: "Image", width: int, height: int, fill: int) -> "Image":
    """Crop the center, after padding too small sides, as torchvision's center_crop does."""
    from PIL import ImageOps

    wide, high = max(0, width - image.width), max(0, height - image.height)
    if wide or high:
        border = (wide // 2, high // 2, (wide + 1) // 2, (high + 1) // 2)
        image = ImageOps.expand(image, border, (fill,) * 3)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
