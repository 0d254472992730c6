"""Make placeholders: about 25 bytes that show a blurred image before its thumbnail arrives.

ThumbHash, https://evanw.github.io/thumbhash/ (Evan Wallace, MIT), for images without transparency.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 100  # pixels of the longer side that are measured
LUMINANCE_WAVES = 7  # cosines along the longer side
COLOR_WAVES = 3  # along both sides

Plane = NDArray[np.float64]  # (height, width), 0 to 1


def make_placeholder(image: Image.Image) -> bytes:
    """Return the ThumbHash of an RGB image."""
    factor = -(-max(image.size) // MAX_SIDE)
    small = image if factor == 1 else image.reduce(factor)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64) / 255, 2, 0)
    width, height = small.size
    across, down = (max(1, _round(LUMINANCE_WAVES * side / max(small.size))) for side in small.size)
    luminance = _encode((red + green + blue) / 3, max(3, across), max(3, down))
    yellow_blue = _encode((red + green) / 2 - blue, COLOR_WAVES, COLOR_WAVES)
    red_green = _encode(red - green, COLOR_WAVES, COLOR_WAVES)
    header = (
        _round(63 * luminance[0])
        | _round(31.5 + 31.5 * yellow_blue[0]) << 6
        | _round(31.5 + 31.5 * red_green[0]) << 12
        | _round(31 * luminance[2]) << 18
    )
    is_landscape = width > height
    shape = (
        (down if is_landscape else across)
        | _round(63 * yellow_blue[2]) << 3
        | _round(63 * red_green[2]) << 9
        | is_landscape << 15
    )
    digits = [_round(15 * wave) for channel in (luminance, yellow_blue, red_green) for wave in channel[1]]
    return header.to_bytes(3, "little") + shape.to_bytes(2, "little") + bytes(_pairs(digits))


def _encode(plane: Plane, across: int, down: int) -> tuple[float, list[float], float]:
    """Return the mean of a channel, its low cosine frequencies from 0 to 1, and their scale."""
    height, width = plane.shape
    waves = _cosines(down, height) @ plane @ _cosines(across, width).T / (width * height)
    kept = [
        float(waves[y, x])
        for y in range(down)
        for x in range(across)
        if (x or y) and x * down < across * (down - y)
    ]
    scale = max(map(abs, kept), default=0.0)
    return float(waves[0, 0]), [0.5 + 0.5 / scale * wave for wave in kept] if scale else kept, scale


def _cosines(count: int, length: int) -> Plane:
    """Return the first cosines over some pixels, (count, length)."""
    return np.cos(np.pi / length * np.arange(count)[:, None] * (np.arange(length) + 0.5))


def _pairs(digits: list[int]) -> Iterator[int]:
    """Yield two digits of 4 bits as one byte, the first one lower."""
    for at in range(0, len(digits), 2):
        yield digits[at] | (digits[at + 1] if at + 1 < len(digits) else 0) << 4


def _round(value: float) -> int:
    """Return the nearest integer, as JavaScript rounds."""
    return int(np.floor(value + 0.5))
