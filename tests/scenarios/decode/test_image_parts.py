"""Frames of animations, pages of TIFF files and crops of panoramas are found by their positions."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from indexer.decode.images.crops import panorama_boxes
from indexer.decode.images.frames import extract_frames
from retrieval import Library
from retrieval.formatting import format_location as shown
from retrieval.media.images.loader import open_image
from retrieval.media.limits import DecodeLimits
from tests.support.files import draw_image
from tests.support.image_files import BLUE, GREEN, RED, encode_image, solid_image

ANIMATIONS = {
    "party.gif": ("GIF", {}),
    "party.webp": ("WEBP", {"lossless": True}),
    "party.png": ("PNG", {}),
    "party.avif": ("AVIF", {"quality": 95}),
}


def animation(name: str, colors, duration: int = 500) -> bytes:
    form, options = ANIMATIONS[name]
    first, *more = (solid_image(color) for color in colors)
    return encode_image(first, form, save_all=True, append_images=more, duration=duration, **options)


@pytest.mark.parametrize("name", ANIMATIONS)
def test_later_frames_of_an_animation_are_found_at_their_times(name, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "lawn.png", (0, 200, 90))
    (folder / name).write_bytes(animation(name, [RED, RED, GREEN, BLUE, BLUE]))
    report = index(folder)
    assert report.kinds == {"image": 2, "part": 2}
    with Library.open(place, embedder=toy) as library:
        for words, start in (("red", None), ("green", 1.0), ("blue", 1.5)):
            hit = library.search(words)[0]
            assert (hit.path.name, hit.start) == (name, start)
            assert hit.score == pytest.approx(0.999, abs=0.003)
        assert shown(library.search("blue")[0]).endswith(f"{name} @ 00:01.5")
        assert len(library.search("blue", count=9)) == 2  # one hit per image


def test_similar_frames_are_indexed_once(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    flicker = [(250, 10, 10 + n % 2) for n in range(40)]
    (tmp_path / "pictures" / "party.gif").write_bytes(animation("party.gif", flicker))
    assert index(tmp_path / "pictures").kinds == {"image": 1}


def test_most_distinct_frames_of_a_long_animation_are_kept(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    colors = [(250, 5 * n, 0) for n in range(50)] + [BLUE] + [(0, 250, 5 * n) for n in range(50)]
    (tmp_path / "pictures" / "party.webp").write_bytes(animation("party.webp", colors))
    assert index(tmp_path / "pictures").kinds == {"image": 1, "part": 4}


def test_chosen_frames_do_not_depend_on_the_embedder():
    other = solid_image((0, 0, 0), (1_000, 800))
    other.paste((255, 255, 255), (941, 0, 1_000, 800))  # slightly below the difference of distinct frames
    data = encode_image(solid_image((0, 0, 0), (1_000, 800)), "PNG", save_all=True, append_images=[other])
    counts = []
    for min_side in (256, 336):
        with open_image(io.BytesIO(data)) as original:
            counts.append(len(extract_frames(original, min_side).frames))
    assert counts == [1, 1]


def test_animation_is_read_up_to_the_pixel_limit():
    colors = [(2 * n, 0, 0) for n in range(100)]
    with open_image(io.BytesIO(animation("party.gif", colors))) as original:
        found = extract_frames(original, 16, limits=DecodeLimits(max_animation_pixels=10 * 64 * 48))
    assert found.duration == pytest.approx(11 * 0.5)


def test_truncated_animation_is_read_up_to_its_end(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    data = animation("party.gif", [RED, GREEN, BLUE])
    (tmp_path / "pictures" / "party.gif").write_bytes(data[: data.rindex(b"\x2c") - 30])
    report = index(tmp_path / "pictures")
    assert report.failed == 0 and report.kinds["image"] == 1


def test_tiff_pages_are_found_by_their_numbers(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    pages = [solid_image(GREEN), solid_image(BLUE)]
    data = encode_image(solid_image(RED), "TIFF", save_all=True, append_images=pages)
    (tmp_path / "pictures" / "scan.tif").write_bytes(data)
    assert index(tmp_path / "pictures").kinds == {"image": 3}
    with Library.open(place, embedder=toy) as library:
        assert [(hit.page, shown(hit)[-13:]) for hit in library.search("blue", count=1)] == [
            (3, "scan.tif p. 3")
        ]
        assert library.search("red")[0].page == 1
        assert len(library.search("green", count=9)) == 3


def test_reduced_copy_in_a_tiff_is_not_a_page(tmp_path, index):
    (tmp_path / "pictures").mkdir()
    data = encode_image(
        solid_image(RED, (200, 100)), "TIFF", save_all=True, append_images=[solid_image(RED, (100, 50))]
    )
    (tmp_path / "pictures" / "scan.tif").write_bytes(data)
    assert index(tmp_path / "pictures").kinds == {"image": 1}


def panorama() -> Image.Image:
    """Draw a green panorama whose right end is red."""
    picture = solid_image(GREEN, (1200, 200))
    ImageDraw.Draw(picture).rectangle((1010, 0, 1200, 200), fill=RED)
    return picture


@pytest.mark.parametrize("vertical", [False, True])
def test_end_of_a_panorama_is_found_by_its_box(vertical, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "blue")
    picture = panorama().transpose(Image.Transpose.TRANSPOSE) if vertical else panorama()
    (folder / "wide.png").write_bytes(encode_image(picture, "PNG"))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red")[0]
        assert hit.box == ((0, 1000, 200, 200) if vertical else (1000, 0, 200, 200))
        assert hit.score == pytest.approx(0.998, abs=0.003)
        assert shown(hit).endswith("wide.png [200x200+0+1000]" if vertical else "wide.png [200x200+1000+0]")
        assert len(library.search("red", count=9)) == 2
        assert library.search("green")[0].path.name == "wide.png"


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_panorama_crops_cover_the_image(width, height):
    boxes = panorama_boxes(width, height)
    assert len(boxes) != 1 and len(boxes) <= 8
    covered = 0
    for left, top, box_width, box_height in boxes:
        assert left >= 0 and top >= 0 and left + box_width <= width and top + box_height <= height
        begin, length = (left, box_width) if width > height else (top, box_height)
        assert begin <= covered  # each crop overlaps the one before
        covered = begin + length
    assert not boxes or covered == max(width, height)
