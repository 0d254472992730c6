"""Images of all formats and modes are loaded as upright RGB; damaged files raise MediaError."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.images.jpeg import check_jpeg_scans
from retrieval.media.images.loader import load_image
from retrieval.media.limits import DecodeLimits
from tests.support import image_files
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


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_gray_levels_of_a_tiff_of_16_bits_are_read(bits, white_is_zero):
    """Files may have 8 or 12 bits in 16, and may store white as zero."""
    levels = np.linspace(0, 2**bits - 1, 8).round().astype(np.uint16)
    stored = levels[::-1] if white_is_zero else levels
    image = Image.fromarray(np.tile(stored, (8, 1)))
    file = encoded(image, "TIFF", tiffinfo={262: 0 if white_is_zero else 1})
    expected = np.linspace(0, 255, 8)
    for limits in (DecodeLimits(), DecodeLimits(large_image_pixels=16, band_pixels=8)):
        loaded = np.asarray(load_image(file, min_side=1, min_long_side=8, limits=limits))
        np.testing.assert_allclose(loaded[0, :, 0], expected, atol=2)
    in_bands = load_image(file, min_side=4, limits=DecodeLimits(large_image_pixels=16, band_pixels=8))
    np.testing.assert_allclose(np.asarray(in_bands)[0, :, 0], expected.reshape(4, 2).mean(axis=1), atol=2)


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


def test_jpeg_of_more_pixels_than_the_limits_is_decoded_at_a_smaller_scale(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)  # Pillow refuses twice as many
    limits = DecodeLimits(max_image_pixels=8_000, max_jpeg_pixels=70_000)
    photo = SMOOTH.resize((320, 200))
    data = encoded(photo, "JPEG").getvalue()
    for options, size in (({}, (80, 50)), ({"min_side": 20}, (40, 25)), ({"min_side": 100}, (80, 50))):
        image = load_image(io.BytesIO(data), limits=limits, **options)
        assert image.size == size
        np.testing.assert_allclose(np.asarray(image), np.asarray(photo.resize(size)), atol=25)
    truncated = load_image(io.BytesIO(data[: len(data) * 3 // 4]), limits=limits)
    assert (truncated.size, "truncated" in truncated.info["clew"]) == ((80, 50), True)


@pytest.mark.parametrize("format_", ["PNG", "progressive JPEG", "large JPEG"])
def test_image_of_more_pixels_than_the_limit_is_rejected_before_it_is_decoded(format_, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)
    limits = DecodeLimits(max_image_pixels=8_000, max_jpeg_pixels=9_000 if "large" in format_ else 70_000)
    file = encoded(SMOOTH.resize((320, 200)), format_.split()[-1], progressive=format_.startswith("prog"))
    with pytest.raises(MediaError, match=r"more.* than the limit of"):
        load_image(file, min_side=20, limits=limits)


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


def repeat_last_scan(jpeg: bytes, count: int) -> bytes:
    """Return a progressive JPEG whose last scan occurs this many times."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * count + jpeg[-2:]


SMOOTH = Image.radial_gradient("L").resize((160, 120)).convert("RGB")
PROGRESSIVE = encoded(SMOOTH, "JPEG", progressive=True).getvalue()
COMMENT_WITH_END = b"\xff\xfe\0\6\xff\xd9\xff\xd9"  # bytes of an end of image in a comment


@pytest.mark.parametrize("before", [b"", COMMENT_WITH_END, b"\xff\xff\xff"])
def test_jpeg_of_many_scans_is_refused(before):
    limits = DecodeLimits(min_jpeg_scan_limit=50, max_jpeg_scan_limit=50)
    last = PROGRESSIVE.rindex(b"\xff\xda")
    data = PROGRESSIVE[:last] + before + PROGRESSIVE[last:]
    assert load_image(io.BytesIO(repeat_last_scan(data, 20)), limits=limits).size == (160, 120)
    with pytest.raises(MediaError, match="more than the limit of 50 scans"):
        load_image(io.BytesIO(repeat_last_scan(data, 60)), limits=limits)


def test_jpeg_in_a_raw_file_or_with_a_wrong_header_has_the_limit_of_scans():
    limits = DecodeLimits(min_jpeg_scan_limit=50, max_jpeg_scan_limit=50)
    large = encoded(SMOOTH.resize((640, 480)), "JPEG", progressive=True).getvalue()
    with pytest.raises(MediaError, match="more than the limit of 50 scans"):
        load_image(io.BytesIO(image_files.nef(repeat_last_scan(large, 60))), limits=limits)


def test_scans_after_the_end_of_a_jpeg_and_in_its_thumbnail_do_not_count():
    limits = DecodeLimits(min_jpeg_scan_limit=20, max_jpeg_scan_limit=20)
    noise = b"\xff\xda\0\2" * 100
    for data in (PROGRESSIVE + noise, PROGRESSIVE[:2] + b"\xff\xe5\1\x92" + noise + PROGRESSIVE[2:]):
        assert load_image(io.BytesIO(data), limits=limits).size == (160, 120)


def test_jpeg_of_one_scan_is_read_only_at_its_header():
    file = io.BytesIO(encoded(SMOOTH, "JPEG").getvalue() + b"\xff\xda" * 5_000)
    read_bytes = []

    class CountingFile(io.BytesIO):
        def read(self, size=-1):
            read_bytes.append(size)
            return super().read(size)

    check_jpeg_scans(CountingFile(file.getvalue()), 160 * 120, DecodeLimits())
    assert max(read_bytes) == 10
    separate = bytearray(file.getvalue())
    separate[separate.index(b"\xff\xda") + 4] = 1  # the first scan has one of three components
    with pytest.raises(MediaError, match="scans"):
        check_jpeg_scans(
            io.BytesIO(repeat_last_scan(bytes(separate[:-10_000]), 2_000)), 160 * 120, DecodeLimits()
        )


@pytest.mark.parametrize(("pixels", "scans"), [(1, 1_000), (50_000_000, 40), (178_000_000, 32), (10**9, 32)])
def test_limit_of_scans_falls_with_the_pixels(pixels, scans):
    assert DecodeLimits().max_jpeg_scans(pixels) == scans


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(PROGRESSIVE) - 1), st.binary(max_size=12))
def test_scans_of_any_jpeg_are_counted(at, inserted):
    file = io.BytesIO(PROGRESSIVE[:at] + inserted + PROGRESSIVE[at:])
    file.seek(5)
    check_jpeg_scans(file, 160 * 120, DecodeLimits())
    assert file.tell() == 5
