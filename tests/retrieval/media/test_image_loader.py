"""Images of all formats and modes are loaded as upright RGB; damaged files raise MediaError."""

import io

import numpy as np
import pytest
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.images.loader import load_image
from retrieval.media.limits import DecodeLimits
from tests.support.files import draw_image


def encoded(image: Image.Image, format_: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format_, **options)
    file.seek(0)
    return file


def color_at(image: Image.Image, position=(2, 2)) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return image.getpixel(position)


RED = Image.new("RGB", (8, 8), (250, 10, 10))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_all_common_formats_are_loaded(format_):
    color = color_at(load_image(encoded(RED, format_)))
    np.testing.assert_allclose(color, (250, 10, 10), atol=12)


def test_transparent_pixels_become_white():
    clear = Image.new("RGBA", (8, 8), (250, 10, 10, 0))
    assert color_at(load_image(encoded(clear, "PNG"))) == (255, 255, 255)
    assert color_at(load_image(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG"))) == (255, 255, 255)


def test_transparent_palette_color_becomes_white():
    palette = RED.convert("P", palette=Image.Palette.ADAPTIVE)
    corner = palette.getpixel((0, 0))
    assert color_at(load_image(encoded(palette, "PNG", transparency=corner))) == (255, 255, 255)
    np.testing.assert_allclose(color_at(load_image(encoded(palette, "GIF"))), (250, 10, 10), atol=8)


def test_16_bit_images_are_scaled_to_8_bits():
    gray = Image.fromarray(np.full((8, 8), 32768, np.uint16))
    np.testing.assert_allclose(color_at(load_image(encoded(gray, "PNG"))), (127, 127, 127), atol=1)
    np.testing.assert_allclose(color_at(load_image(encoded(gray, "TIFF"))), (127, 127, 127), atol=1)


def test_float_images_are_scaled_by_their_range():
    ramp = np.tile(np.linspace(-3, 5, 8, dtype=np.float32), (8, 1))
    ramp[0, 0] = np.nan
    image = load_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert color_at(image, (7, 2)) == (255, 255, 255)
    assert color_at(image, (0, 2)) == (0, 0, 0)


def test_cmyk_is_converted_to_rgb():
    color = color_at(load_image(encoded(RED.convert("CMYK"), "JPEG")))
    np.testing.assert_allclose(color, (250, 10, 10), atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
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
    image = load_image(encoded(stored, "JPEG", exif=exif, quality=95))
    assert image.size == (64, 32)
    np.testing.assert_allclose(color_at(image, (6, 6)), (250, 10, 10), atol=40)
    np.testing.assert_allclose(color_at(image, (50, 25)), (0, 0, 0), atol=40)


def test_large_jpeg_is_decoded_at_a_reduced_scale(tmp_path):
    path = draw_image(tmp_path / "large.jpg", size=(1600, 1200))
    assert load_image(path, min_side=128).size == (200, 150)
    assert load_image(path).size == (1600, 1200)


def test_too_many_pixels_are_rejected():
    with pytest.raises(MediaError, match=r"200 x 100 pixels, more than the limit of 10,000"):
        load_image(encoded(Image.new("RGB", (200, 100)), "PNG"), limits=DecodeLimits(max_image_pixels=10_000))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\xff\xd8\xff\xe0 no more", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "begins as PNG"),
        (b"<!DOCTYPE html>", "not an image"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "does not read .isom"),
    ],
)
def test_reason_distinguishes_damaged_and_foreign_files(data, reason, tmp_path):
    with pytest.raises(MediaError, match=reason):
        load_image(io.BytesIO(data))
    (tmp_path / "file.jpg").write_bytes(data)
    with pytest.raises(MediaError, match=reason):
        load_image(tmp_path / "file.jpg")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_mostly_truncated_file_raises_media_error(format_):
    noise = Image.effect_noise((200, 150), 90).convert("RGB")
    data = encoded(noise, format_).getvalue()
    with pytest.raises(MediaError):
        load_image(io.BytesIO(data[: len(data) // 8]))


def test_missing_file_raises_media_error(tmp_path):
    with pytest.raises(MediaError, match="file not found"):
        load_image(tmp_path / "none.jpg")


def test_eps_is_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    with pytest.raises(MediaError, match="not an image"):
        load_image(io.BytesIO(eps))
