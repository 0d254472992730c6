"""Compute perceptual hashes, sharpness and brightness grids of images."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEASURED_SIDE = 256  # pixels of the longer side at which images are measured
DCT_SIDE, HASH_SIDE = 32, 8
BRIGHTNESS_GRID_SIDE = 48  # cells
MIN_CELL_CHANGE = 24  # of 255, of a cell that counts as changed
MIN_CHANGED_SHARE = 0.015  # of the cells; fewer changes may be a moved pointer or a typed word
MIN_FREQUENCY_AMPLITUDE = 1.0  # of 255 x 32; below this it is rounding or a JPEG artifact of a plain area
_SAMPLE_POSITIONS = np.arange(DCT_SIDE)
_DCT_BASIS = np.cos(  # (8, 32), the first row is constant
    np.pi * np.outer(np.arange(HASH_SIDE), 2 * _SAMPLE_POSITIONS + 1) / (2 * DCT_SIDE)
)


def small_grayscale(image: Image.Image) -> Image.Image:
    """Return an image in grayscale, its longer side at most 256 pixels.

    The measures below share it because it costs more than they do.
    """
    gray = image.convert("L")
    gray.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return gray


def brightness_grid(grayscale: Image.Image) -> NDArray[np.uint8]:
    """Return the brightness of a small grayscale image in (48, 48) cells, fine enough to compare texts."""
    return np.asarray(grayscale.resize((BRIGHTNESS_GRID_SIDE, BRIGHTNESS_GRID_SIDE), Image.Resampling.BOX))


def grid_differs(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    """Return True if a part of the image changed that is larger than a pointer or a typed word."""
    return bool((np.abs(first.astype(np.int16) - second) > MIN_CELL_CHANGE).mean() > MIN_CHANGED_SHARE)


def perceptual_hash(image: Image.Image) -> bytes:
    """Return 64 bits; similar images have a small Hamming distance.

    The bits tell which of the 8 x 8 lowest frequencies of the grayscale image at 32 x 32 exceed their
    median, row by row: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    """
    gray = small_grayscale(image).resize((DCT_SIDE, DCT_SIDE), Image.Resampling.BOX)
    amplitudes = _DCT_BASIS @ np.asarray(gray, np.float64) @ _DCT_BASIS.T  # (8, 32) (32, 32) (32, 8)
    amplitudes[0, 0] = 0  # the mean brightness does not characterize an image
    amplitudes[np.abs(amplitudes) < MIN_FREQUENCY_AMPLITUDE] = 0
    median = np.sort(amplitudes, axis=None)[31:33].mean()  # `np.median` imports numpy.ma, which takes 10 ms
    return np.packbits(amplitudes > median).tobytes()


def sharpness(image: Image.Image) -> float:
    """Return the variance of the Laplacian of the grayscale image, its longer side at most 256 pixels.

    Higher is sharper; only images of the same scene are comparable. Pech-Pacheco et al., ICPR 2000.
    """
    gray = np.asarray(small_grayscale(image), np.float32)
    if min(gray.shape) < 3:
        return 0.0
    neighbors = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return float((4 * gray[1:-1, 1:-1] - neighbors).var())
