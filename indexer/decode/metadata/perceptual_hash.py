"""How a picture looks, in numbers that are cheap to compare: a perceptual hash, and how sharp it is."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEASURED_SIDE = 256  # pixels of the longer side at which pictures are measured
DCT_SIDE, HASH_SIDE = 32, 8
BRIGHTNESS_GRID_SIDE, MIN_CELL_CHANGE, MIN_CHANGED_SHARE = (
    48,
    24,
    0.015,
)  # a side; of 255, what makes a cell another one; of all cells
MIN_FREQUENCY_AMPLITUDE = (
    1.0  # frequencies weaker than this (of 255 x 32) are rounding, or what JPEG left of a plain area
)
_SAMPLE_POSITIONS = np.arange(DCT_SIDE)
_DCT_BASIS = np.cos(
    np.pi * np.outer(np.arange(HASH_SIDE), 2 * _SAMPLE_POSITIONS + 1) / (2 * DCT_SIDE)
)  # (8, 32), the first is flat


def small_grayscale(image: Image.Image) -> Image.Image:
    """Return what both measures are taken of, which costs more than they: the picture, grey and small."""
    grey = image.convert("L")
    grey.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return grey


def brightness_grid(grayscale: Image.Image) -> NDArray[np.uint8]:
    """Return how light a small grey picture is, in 48 x 48 cells: enough to see that a text is another."""
    return np.asarray(grayscale.resize((BRIGHTNESS_GRID_SIDE, BRIGHTNESS_GRID_SIDE), Image.Resampling.BOX))


def grid_differs(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    """Say whether a part of a picture is another: more than a pointer moved, or a word typed."""
    return bool((np.abs(first.astype(np.int16) - second) > MIN_CELL_CHANGE).mean() > MIN_CHANGED_SHARE)


def perceptual_hash(image: Image.Image) -> bytes:
    """Return 64 bits that differ in few places between pictures that look alike, by Hamming distance.

    The signs, about their median, of the 8 x 8 lowest frequencies of the grey picture at 32 x 32, row by
    row: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    """
    grey = small_grayscale(image).resize((DCT_SIDE, DCT_SIDE), Image.Resampling.BOX)
    waves = _DCT_BASIS @ np.asarray(grey, np.float64) @ _DCT_BASIS.T  # (8, 32) (32, 32) (32, 8)
    waves[0, 0] = 0  # the mean: how bright it is says nothing
    waves[np.abs(waves) < MIN_FREQUENCY_AMPLITUDE] = 0
    return np.packbits(waves > np.median(waves)).tobytes()


def sharpness(image: Image.Image) -> float:
    """Return the variance of the Laplacian of the grey picture, its longer side at most 256 pixels.

    Comparable between pictures of one scene: the sharper has more. Pech-Pacheco et al., ICPR 2000.
    """
    grey = np.asarray(small_grayscale(image), np.float32)
    if min(grey.shape) < 3:
        return 0.0
    inner = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((inner - around).var())
