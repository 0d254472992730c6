"""Crops of panoramas and tiles, in pixels."""

import numpy as np
import pytest
from PIL import Image

from indexer.decode.images.crops import crop_box, iter_crops, panorama_boxes, tile_boxes


def test_panorama_is_cut_into_overlapping_squares():
    # 7 squares of 200 pixels, each at most 150 pixels after the one before.
    assert panorama_boxes(1000, 200) == [(left, 0, 200, 200) for left in (0, 133, 267, 400, 533, 667, 800)]


def test_tall_image_is_cut_from_top_to_bottom():
    assert panorama_boxes(100, 301) == [(0, top, 100, 100) for top in (0, 67, 134, 201)]


def test_very_long_panorama_has_eight_longer_crops():
    assert panorama_boxes(10_000, 100) == [(1200 * number, 0, 1600, 100) for number in range(8)]


@pytest.mark.parametrize(("width", "height", "count"), [(500, 200, 0), (501, 200, 4), (630, 63, 0)])
def test_only_images_of_more_than_two_and_a_half_to_one_are_panoramas(width, height, count):
    assert len(panorama_boxes(width, height)) == count


def test_tiles_are_four_corners_and_the_center():
    assert tile_boxes(200, 140) == [
        (0, 0, 110, 77),
        (90, 0, 110, 77),
        (0, 63, 110, 77),
        (90, 63, 110, 77),
        (45, 31, 110, 77),
    ]
    assert tile_boxes(200, 127) == []


def test_boxes_are_scaled_to_the_decoded_image():
    image = Image.fromarray(np.arange(50, dtype=np.uint8)[None].repeat(20, axis=0))
    crop = crop_box(image, (100, 0, 60, 80), 200, 80)  # decoded at a quarter of its size
    assert (crop.size, crop.getpixel((0, 0)), crop.getpixel((14, 19))) == ((15, 20), 25, 39)


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (500, 300, 1, 1), (999, 999, 1, 1), (500, 300, 0, 0)])
def test_smallest_crop_is_one_pixel(box):
    image = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    crop = crop_box(image, box, 1000, 1000)
    assert crop.size == (1, 1)
    column, row = min(9, round(box[0] / 100)), min(9, round(box[1] / 100))
    assert crop.getpixel((0, 0)) == 10 * row + column


def test_crops_are_yielded_with_their_boxes():
    boxes = [(0, 0, 4, 4), (4, 0, 4, 4)]
    crops = list(iter_crops(Image.new("RGB", (8, 4)), boxes, 8, 4))
    assert [box for box, _ in crops] == boxes
    assert [crop.size for _, crop in crops] == [(4, 4), (4, 4)]
