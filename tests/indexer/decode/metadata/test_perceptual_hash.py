"""Perceptual hashes, sharpness and brightness grids, with values worked out by hand."""

import numpy as np
import pytest
from PIL import Image

from indexer.decode.metadata.perceptual_hash import (
    brightness_grid,
    grid_differs,
    perceptual_hash,
    sharpness,
    small_grayscale,
)


def half_white(side: str) -> Image.Image:
    levels = np.zeros((64, 64), np.uint8)
    white = {
        "left": np.s_[:, :32], "right": np.s_[:, 32:], "top": np.s_[:32], "bottom": np.s_[32:]
    }[side]  # fmt: skip
    levels[white] = 255
    return Image.fromarray(levels)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        # Only the odd frequencies of one axis are not zero; their signs alternate.
        ("left", b"\x44" + bytes(7)),  # frequencies 1 and 5 of row 0
        ("right", b"\x11" + bytes(7)),  # frequencies 3 and 7
        ("top", b"\0\x80\0\0\0\x80\0\0"),  # rows 1 and 5 of frequency 0
        ("bottom", b"\0\0\0\x80\0\0\0\x80"),
    ],
)
def test_hash_has_the_signs_of_low_frequencies(side, expected):
    assert perceptual_hash(half_white(side)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_frequencies_exceed_their_median(seed):
    levels = np.random.default_rng(seed).integers(0, 256, (32, 32), np.uint8)
    positions = np.arange(32)
    basis = np.cos(np.pi * np.outer(np.arange(8), 2 * positions + 1) / 64)
    amplitudes = basis @ levels.astype(np.float64) @ basis.T
    amplitudes[0, 0] = 0
    expected = np.packbits(amplitudes > np.median(amplitudes)).tobytes()
    assert perceptual_hash(Image.fromarray(levels)) == expected


def test_plain_image_has_the_hash_zero():
    assert perceptual_hash(Image.new("RGB", (40, 30), (90, 10, 200))) == bytes(8)


def test_sharpness_is_the_variance_of_the_laplacian():
    levels = np.zeros((3, 4), np.uint8)
    levels[1, 1] = 9
    # The Laplacian of the two inner pixels is 36 and -9: their mean is 13.5, their deviation 22.5.
    assert sharpness(Image.fromarray(levels)) == pytest.approx(22.5**2)


def test_measured_images_are_gray_with_at_most_256_pixels():
    assert small_grayscale(Image.new("RGB", (1024, 512))).size == (256, 128)
    small = small_grayscale(Image.new("RGB", (30, 20)))
    assert (small.size, small.mode) == ((30, 20), "L")


def test_brightness_grid_has_48_cells_a_side():
    grid = brightness_grid(half_white("left"))
    assert grid.shape == (48, 48)
    assert (grid[:, :24] == 255).all() and (grid[:, 24:] == 0).all()


@pytest.mark.parametrize(("cells", "expected"), [(34, False), (35, True)])
def test_grids_differ_from_one_and_a_half_percent_of_the_cells(cells, expected):
    first, second = np.zeros(48 * 48, np.uint8), np.zeros(48 * 48, np.uint8)
    second[:cells] = 255
    assert grid_differs(first.reshape(48, 48), second.reshape(48, 48)) is expected
    assert grid_differs(second.reshape(48, 48), first.reshape(48, 48)) is expected


@pytest.mark.parametrize(("change", "expected"), [(24, False), (25, True)])
def test_cells_differ_by_more_than_24(change, expected):
    assert grid_differs(np.zeros((48, 48), np.uint8), np.full((48, 48), change, np.uint8)) is expected
