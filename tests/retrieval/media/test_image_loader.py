"""Pictures of every mode come out upright and RGB; broken ones come out as a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.images.loader import load_image
from tests.support.files import draw_image


def saved(image: Image.Image, form: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def colour(picture: Image.Image, at=(2, 2)) -> tuple[int, ...]:
    assert picture.mode == "RGB"
    return picture.getpixel(at)


RED = Image.new("RGB", (8, 8), (250, 10, 10))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_read(form):
    found = colour(load_image(saved(RED, form)))
    np.testing.assert_allclose(found, (250, 10, 10), atol=12)


def test_transparency_is_shown_on_white():
    clear = Image.new("RGBA", (8, 8), (250, 10, 10, 0))
    assert colour(load_image(saved(clear, "PNG"))) == (255, 255, 255)
    assert colour(load_image(saved(Image.new("LA", (8, 8), (0, 0)), "PNG"))) == (255, 255, 255)


def test_palettes_with_a_transparent_colour_are_shown_on_white():
    palette = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    corner = palette.getpixel((0, 0))
    assert colour(load_image(saved(palette, "PNG", transparency=corner))) == (255, 255, 255)
    np.testing.assert_allclose(colour(load_image(saved(palette, "GIF"))), (250, 10, 10), atol=8)


def test_sixteen_bits_are_scaled_to_eight():
    grey = Image.fromarray(np.full((8, 8), 32768, np.uint16))
    np.testing.assert_allclose(colour(load_image(saved(grey, "PNG"))), (127, 127, 127), atol=1)
    np.testing.assert_allclose(colour(load_image(saved(grey, "TIFF"))), (127, 127, 127), atol=1)


def test_floats_are_scaled_by_their_own_range():
    ramp = np.tile(np.linspace(-3, 5, 8, dtype=np.float32), (8, 1))
    ramp[0, 0] = np.nan
    picture = load_image(saved(Image.fromarray(ramp), "TIFF"))
    assert colour(picture, (7, 2)) == (255, 255, 255)
    assert colour(picture, (0, 2)) == (0, 0, 0)


def test_cmyk_is_converted():
    found = colour(load_image(saved(RED.convert("CMYK"), "JPEG")))
    np.testing.assert_allclose(found, (250, 10, 10), atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_set_upright(orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = Image.new("RGB", (64, 32), "black")
    upright.paste((250, 10, 10), (0, 0, 16, 16))
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load_image(saved(stored, "JPEG", exif=exif, quality=95))
    assert picture.size == (64, 32)
    np.testing.assert_allclose(colour(picture, (6, 6)), (250, 10, 10), atol=40)
    np.testing.assert_allclose(colour(picture, (50, 25)), (0, 0, 0), atol=40)


def test_a_large_jpeg_is_decoded_at_the_scale_that_is_needed(tmp_path):
    path = draw_image(tmp_path / "large.jpg", size=(1600, 1200))
    assert load_image(path, min_side=128).size == (200, 150)
    assert load_image(path).size == (1600, 1200)


def test_a_picture_of_too_many_pixels_is_refused_with_the_limit():
    with pytest.raises(MediaError, match=r"200 x 100 pixels, more than the limit of 10,000"):
        load_image(saved(Image.new("RGB", (200, 100)), "PNG"), max_pixels=10_000)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\xff\xd8\xff\xe0 no more", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "begins as PNG"),
        (b"<!DOCTYPE html>", "not a picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "does not read .isom"),
    ],
)
def test_what_is_no_picture_is_told_apart(data, reason, tmp_path):
    with pytest.raises(MediaError, match=reason):
        load_image(io.BytesIO(data))
    (tmp_path / "file.jpg").write_bytes(data)
    with pytest.raises(MediaError, match=reason):
        load_image(tmp_path / "file.jpg")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_of_which_little_is_left_is_damaged_never_a_crash(form):
    noise = Image.effect_noise((200, 150), 90).convert("RGB")
    data = saved(noise, form).getvalue()
    with pytest.raises(MediaError):
        load_image(io.BytesIO(data[: len(data) // 8]))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(MediaError, match="not there"):
        load_image(tmp_path / "none.jpg")


def test_formats_that_are_not_allowed_are_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    with pytest.raises(MediaError, match="not a picture"):
        load_image(io.BytesIO(eps))
