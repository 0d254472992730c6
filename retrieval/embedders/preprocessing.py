"""What a model sees of a picture: its pixels, resized and cropped as open_clip does, without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model wants its pictures; the words are open_clip's.

    `size` is (height, width); `resize_mode` is `shortest` (crop the middle), `longest` (pad) or `squash`;
    `mean` and `std` are of pixels between 0 and 1, and are the towers' business.
    """

    size: tuple[int, int]
    resize_mode: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill_color: int = 0

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"{height} x {width} pixels, {self.resize_mode}, {self.interpolation}, "
            f"mean {self.mean}, std {self.std}"
        )

    def apply(self, image: "Image") -> Pixels:
        """Turn an upright RGB picture into (height, width, 3), to the bit as open_clip's transform does."""
        height, width = self.size
        if self.resize_mode == "squash":
            small = image.resize((width, height), self._resampling)
        elif self.resize_mode == "longest":
            small = self._keep_ratio(image, max, self._resampling)
        elif height == width:
            small = image.resize(self._shortest_side_size(image), self._resampling)
        else:  # open_clip leaves the interpolation at its default here
            small = self._keep_ratio(image, min, _resampling_filter("bicubic"))
        fill = self.fill_color if self.resize_mode == "longest" else 0
        return np.asarray(_crop_or_pad(small, width, height, fill), dtype=np.uint8)

    def _shortest_side_size(self, image: "Image") -> tuple[int, int]:
        """Return the size at which the shorter side is as long as wanted, as torchvision's Resize has it."""
        side, short = self.size[0], min(image.size)
        width, height = (side if x == short else int(side * x / short) for x in image.size)
        return width, height

    def _keep_ratio(self, image: "Image", fitted_side: object, resampling: "Resampling") -> "Image":
        """Resize as timm's ResizeKeepRatio: the longer (max) or the shorter (min) side fits."""
        height, width = self.size
        ratios = image.height / height, image.width / width
        ratio = max(ratios) if fitted_side is max else min(ratios)
        return image.resize((round(image.width / ratio), round(image.height / ratio)), resampling)

    @property
    def _resampling(self) -> "Resampling":
        return _resampling_filter(self.interpolation)


def _resampling_filter(name: str) -> "Resampling":
    from PIL.Image import Resampling  # words alone need no Pillow

    return Resampling[name.upper()]


def _crop_or_pad(image: "Image", width: int, height: int, fill: int) -> "Image":
    """Cut the middle out, padding what is too small first, as torchvision's center_crop does."""
    from PIL import ImageOps

    wide, high = max(0, width - image.width), max(0, height - image.height)
    if wide or high:
        border = (wide // 2, high // 2, (wide + 1) // 2, (high + 1) // 2)
        image = ImageOps.expand(image, border, (fill,) * 3)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
