"""Frames of animations and pages of TIFF files, extracted from open images."""

import io

import pytest
from PIL import Image

from indexer.decode.images.frames import FrameSet, extract_frames, is_reduced_copy
from tests.support.image_files import BLUE, GREEN, RED, encode_image, solid_image


def gray(level: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (level, level, level))


def extract(images: list[Image.Image], image_format: str = "PNG", **options) -> FrameSet:
    data = encode_image(images[0], image_format, save_all=True, append_images=images[1:], **options)
    with Image.open(io.BytesIO(data)) as original:
        return extract_frames(original, 8)


def levels(found: FrameSet) -> list[int]:
    return [frame.image.getpixel((4, 4))[0] for frame in found.frames]


def test_still_image_is_one_frame_without_a_time():
    found = extract([gray(9)])
    assert (levels(found), found.frames[0].start, found.frames[0].page, found.duration) == (
        [9],
        None,
        None,
        None,
    )


def test_frames_have_the_times_at_which_they_are_shown():
    found = extract([gray(0), gray(200), gray(100)], duration=[200, 300, 500])
    assert (levels(found), [frame.start for frame in found.frames], found.duration) == (
        [0, 200, 100],
        [None, 0.2, 0.5],
        1.0,
    )


def test_frames_without_a_duration_take_a_tenth_of_a_second():
    found = extract([gray(0), gray(200), gray(100)], duration=0)
    assert [frame.start for frame in found.frames] == [None, 0.1, 0.2]
    assert found.duration == pytest.approx(0.3)


def test_frames_that_differ_by_less_than_6_percent_are_left_out():
    assert levels(extract([gray(0), gray(15), gray(0)])) == [0]
    assert levels(extract([gray(0), gray(16), gray(0)])) == [0, 16]


def test_four_frames_farthest_from_each_other_are_added_in_order():
    # The farthest from 0 is 250, then 120, then 180 and 60; 30 is the closest to those.
    assert levels(extract([gray(level) for level in (0, 30, 60, 250, 120, 180)])) == [0, 60, 250, 120, 180]


def test_pages_of_a_tiff_are_numbered_from_1():
    found = extract([solid_image(color) for color in (RED, GREEN, BLUE)], "TIFF")
    assert [(frame.page, frame.start) for frame in found.frames] == [(1, None), (2, None), (3, None)]
    assert found.duration is None


def test_tiff_of_one_page_has_no_page_number():
    assert [frame.page for frame in extract([solid_image(RED)], "TIFF").frames] == [None]


def test_pages_of_a_tiff_may_be_equal():
    assert len(extract([gray(0), gray(0)], "TIFF").frames) == 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 50), True),  # half the size, of the same shape
        ((50, 25), True),
        ((101, 50), False),  # more than half
        ((100, 70), False),  # of another shape
        ((200, 100), False),
    ],
)
def test_page_of_the_same_shape_and_at_most_half_the_size_is_a_reduced_copy(size, expected):
    assert is_reduced_copy(Image.new("RGB", size), (200, 100)) is expected


@pytest.mark.parametrize(("subfile_type", "expected"), [(0, False), (1, True), (2, False), (4, True)])
def test_page_marked_as_reduced_or_as_a_mask_is_a_reduced_copy(subfile_type, expected):
    data = encode_image(solid_image(RED, (20, 10)), "TIFF", tiffinfo={0x00FE: subfile_type})
    with Image.open(io.BytesIO(data)) as page:
        assert is_reduced_copy(page, (20, 10)) is expected
