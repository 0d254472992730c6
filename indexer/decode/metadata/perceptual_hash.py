"""How a picture looks, in numbers that are cheap to compare: a perceptual hash, and how sharp it is."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256  # pixels of the longer side at which pictures are measured
GRID, KEPT = 32, 8
CELLS, CHANGED, SHARE = 48, 24, 0.015  # a side; of 255, what makes a cell another one; of all cells
FLAT = 1.0  # frequencies weaker than this (of 255 x 32) are rounding, or what JPEG left of a plain area
_at = np.arange(GRID)
_WAVES = np.cos(np.pi * np.outer(np.arange(KEPT), 2 * _at + 1) / (2 * GRID))  # (8, 32), the first is flat


def small_grey(picture: Image.Image) -> Image.Image:
    """Return what both measures are taken of, which costs more than they: the picture, grey and small."""
    grey = picture.convert("L")
    grey.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    return grey


def layout(grey: Image.Image) -> NDArray[np.uint8]:
    """Return how light a small grey picture is, in 48 x 48 cells: enough to see that a text is another."""
    return np.asarray(grey.resize((CELLS, CELLS), Image.Resampling.BOX))


def is_redrawn(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Say whether a part of a picture is another: more than a pointer moved, or a word typed."""
    return bool((np.abs(one.astype(np.int16) - other) > CHANGED).mean() > SHARE)


def looks(picture: Image.Image) -> bytes:
    """Return 64 bits that differ in few places between pictures that look alike, by Hamming distance.

    The signs, about their median, of the 8 x 8 lowest frequencies of the grey picture at 32 x 32, row by
    row: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    """
    grey = small_grey(picture).resize((GRID, GRID), Image.Resampling.BOX)
    waves = _WAVES @ np.asarray(grey, np.float64) @ _WAVES.T  # (8, 32) (32, 32) (32, 8)
    waves[0, 0] = 0  # the mean: how bright it is says nothing
    waves[np.abs(waves) < FLAT] = 0
    return np.packbits(waves > np.median(waves)).tobytes()


def sharpness(picture: Image.Image) -> float:
    """Return the variance of the Laplacian of the grey picture, its longer side at most 256 pixels.

    Comparable between pictures of one scene: the sharper has more. Pech-Pacheco et al., ICPR 2000.
    """
    grey = np.asarray(small_grey(picture), np.float32)
    if min(grey.shape) < 3:
        return 0.0
    inner = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((inner - around).var())
