"""All image formats: decoded, indexed and used as queries; broken files raise only MediaError."""

import gzip
import io
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

from indexer.decode.images.crops import panorama_boxes
from indexer.decode.images.frames import extract_frames
from retrieval import Library
from retrieval.errors import ExtraMissing, MediaError, QueryError
from retrieval.formatting import format_location as shown
from retrieval.media.images.loader import load_image, open_image
from retrieval.media.images.svg import POOL as SVG_POOL
from retrieval.media.images.svg import WORKER as SVG_WORKER
from retrieval.media.images.svg import open_svg
from retrieval.media.sandbox import SandboxPool
from tests.support import image_files
from tests.support.files import draw_image
from tests.support.image_files import BLUE, GREEN, RED, encode_image, quadrant_image, solid_image
from tests.support.metadata_files import exif, gps

SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 30">
<rect width="40" height="30" fill="#fa0a0a"/></svg>"""


def preview(picture: Image.Image, **options) -> bytes:
    return encode_image(picture.resize((640, 480)), "JPEG", quality=95, **options)


def swapped_profile() -> bytes:
    """Return an RGB color profile that swaps red and blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"-XYZ").replace(b"bXYZ", b"rXYZ").replace(b"-XYZ", b"bXYZ")


def jxl(picture: Image.Image, **options) -> bytes:
    pytest.importorskip("pillow_jxl")
    return encode_image(picture, "JXL", **options)


FORMATS = {
    "photo.jpg": lambda p: encode_image(p, "JPEG", quality=95),
    "photo.png": lambda p: encode_image(p, "PNG"),
    "photo.webp": lambda p: encode_image(p, "WEBP", lossless=True),
    "photo.gif": lambda p: encode_image(p, "GIF"),
    "photo.bmp": lambda p: encode_image(p, "BMP"),
    "photo.tif": lambda p: encode_image(p, "TIFF"),
    "photo.heic": image_files.heic,
    "photo.hif": lambda p: image_files.heic(p, brand=b"mif1"),
    "photo.avif": lambda p: encode_image(p, "AVIF", quality=95),
    "photo.jxl": jxl,
    "photo.jp2": lambda p: encode_image(p, "JPEG2000"),
    "photo.j2k": lambda p: encode_image(p, "JPEG2000", no_jp2=True),
    "photo.ico": lambda p: encode_image(p.resize((64, 64)), "ICO", sizes=[(16, 16), (64, 64)]),
    "photo.cur": lambda p: image_files.cursor(p.resize((64, 64))),
    "photo.ppm": lambda p: encode_image(p, "PPM"),
    "photo.tga": lambda p: encode_image(p, "TGA"),
    "photo.psd": image_files.psd,
    "deep.psd": lambda p: image_files.psd(p, depth=16),
    "photo.cr2": lambda p: image_files.cr2(preview(p)),
    "photo.nef": lambda p: image_files.nef(preview(p)),
    "photo.raf": lambda p: image_files.raf(preview(p)),
    "photo.rw2": lambda p: image_files.rw2(preview(p)),
    "photo.orf": lambda p: image_files.orf(preview(p)),
    "photo.cr3": lambda p: image_files.cr3(preview(p)),
    "photo.svg": lambda p: svg(p),
    "photo.svgz": lambda p: gzip.compress(svg(p)),
    "wrong.jpg": image_files.heic,  # the content decides, not the suffix
    "wrong.heic": lambda p: encode_image(p, "PNG"),
    "wrong.png": lambda p: image_files.cr2(preview(p)),
}


def svg(picture: Image.Image) -> bytes:
    """Draw the colors of two corners of an image."""
    pytest.importorskip("resvg_py")
    left, right = picture.getpixel((1, 1)), picture.getpixel((picture.width - 2, picture.height - 2))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 48"><rect width="64" height="48" '
        f'fill="rgb{right}"/><rect width="32" height="24" fill="rgb{left}"/></svg>'
    ).encode()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_found_and_works_as_a_query(name, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "blue")
    (folder / name).write_bytes(FORMATS[name](solid_image(RED)))
    report = index(folder)
    assert (report.added, report.failed, report.kinds) == (2, 0, {"image": 2})
    with Library.open(place, embedder=toy) as library:
        first, second = library.search("red")
        assert (first.path.name, second.path.name) == (name, "sea.png")
        assert first.score == pytest.approx(0.999, abs=0.004) and second.score < 0.01
        hits = library.search(image=folder / name)
        assert [hit.id for hit in hits] == [first.id, second.id]
        assert hits[0].score == pytest.approx(1, abs=0.001)
        assert library.similar(folder / name)[0].path.name == "sea.png"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_upright_in_its_colors(name):
    picture = load_image(io.BytesIO(FORMATS[name](quadrant_image())))
    width, height = picture.size
    for x, y, color in ((0.2, 0.2, RED), (0.8, 0.2, BLUE), (0.2, 0.8, BLUE), (0.8, 0.8, BLUE)):
        pixel = picture.getpixel((int(x * width), int(y * height)))
        np.testing.assert_allclose(pixel, color, atol=12)


TRANSPOSES = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
ROTATED_FORMATS = {
    "JPEG": lambda p, o: encode_image(p, "JPEG", exif=exif({0x0112: o}), quality=95),
    "PNG": lambda p, o: encode_image(p, "PNG", exif=exif({0x0112: o})),
    "WEBP": lambda p, o: encode_image(p, "WEBP", exif=exif({0x0112: o}), lossless=True),
    "AVIF": lambda p, o: encode_image(p, "AVIF", exif=exif({0x0112: o}), quality=95),
    "TIFF": lambda p, o: encode_image(p, "TIFF", tiffinfo={0x0112: o}),
    "CR2": lambda p, o: image_files.cr2(preview_of(p), orientation=o),
    "NEF": lambda p, o: image_files.nef(preview_of(p), orientation=o),
}


def preview_of(picture: Image.Image) -> bytes:
    return encode_image(picture.resize((10 * picture.width, 10 * picture.height)), "JPEG", quality=95)


@pytest.mark.parametrize("orientation", TRANSPOSES)
@pytest.mark.parametrize("form", ROTATED_FORMATS)
def test_exif_orientation_is_applied(form, orientation, tmp_path, index, toy, place):
    transpose = TRANSPOSES[orientation]
    stored = quadrant_image() if transpose is None else quadrant_image().transpose(transpose)
    data = ROTATED_FORMATS[form](stored, orientation)
    picture = load_image(io.BytesIO(data))
    assert picture.width * 3 == picture.height * 4
    np.testing.assert_allclose(picture.getpixel((picture.width // 5, picture.height // 5)), RED, atol=25)
    np.testing.assert_allclose(picture.getpixel((4 * picture.width // 5, picture.height // 5)), BLUE, atol=25)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_heic_is_rotated_once_despite_its_exif_orientation(turns, index, place, tmp_path, toy):
    stored = quadrant_image().rotate(-90 * turns, expand=True)
    orientation = {0: 1, 1: 8, 2: 3, 3: 6}[turns]
    data = image_files.heic(stored, turns, exif({0x0112: orientation}).tobytes()[6:])
    picture = load_image(io.BytesIO(data))
    assert picture.size == (64, 48)
    np.testing.assert_allclose(picture.getpixel((10, 10)), RED, atol=12)
    np.testing.assert_allclose(picture.getpixel((50, 40)), BLUE, atol=12)


def test_jpeg_xl_is_rotated_once():
    data = jxl(quadrant_image().transpose(Image.Transpose.ROTATE_90), exif=exif({0x0112: 6}).tobytes())
    assert load_image(io.BytesIO(data)).size == (48, 64)  # its decoder applies the orientation


@pytest.mark.parametrize("name", ["photo.heic", "photo.avif", "photo.cr2", "photo.jxl"])
def test_date_camera_and_location_are_read_from_new_formats(name, tmp_path, place, toy, index):
    fields = exif({0x010F: "Canon", 0x0110: "EOS R5"}, {0x9003: "2021:07:14 10:30:00"}, gps(46.5, 7.25))
    writers = {
        "photo.heic": lambda: image_files.heic(solid_image(RED), exif=fields.tobytes()[6:]),
        "photo.avif": lambda: encode_image(solid_image(RED), "AVIF", exif=fields),
        "photo.cr2": lambda: image_files.cr2(preview(solid_image(RED), exif=fields)),
        "photo.jxl": lambda: jxl(solid_image(RED), exif=fields.tobytes()),
    }
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / name).write_bytes(writers[name]())
    index(tmp_path / "pictures")
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red", camera="EOS R5", date="2021-07-14", near="46.5,7.25,1km")
        assert hit.path.name == name and hit.time == "2021-07-14T10:30:00"


def test_camera_of_a_raw_file_is_read_from_its_main_directory(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "photo.cr2").write_bytes(image_files.cr2(preview(solid_image(RED))))
    index(tmp_path / "pictures")
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", camera="5D Mark II")[0].path.name == "photo.cr2"


def test_largest_preview_of_a_raw_file_is_used():
    data = image_files.cr2(preview(solid_image(RED)))  # in addition to a small green one
    assert load_image(io.BytesIO(data)).size == (640, 480)
    np.testing.assert_allclose(load_image(io.BytesIO(data)).getpixel((9, 9)), RED, atol=12)


def test_small_preview_is_used_if_the_large_one_is_truncated():
    data = image_files.cr2(preview(solid_image(RED)))
    cut = data[: data.index(b"\xff\xd8\xff", 200) + 3000]
    np.testing.assert_allclose(load_image(io.BytesIO(cut)).getpixel((9, 9)), GREEN, atol=20)


def test_color_and_gray_of_16_bits_are_decoded():
    ramp = np.zeros((40, 60, 3), np.uint16)
    ramp[..., 0] = 64_000
    file = io.BytesIO(image_files.psd(solid_image((250, 0, 0)), 16))
    np.testing.assert_allclose(load_image(file).getpixel((3, 3)), (250, 0, 0), atol=1)
    gray = Image.fromarray(np.full((8, 8), 64_000, np.uint16))
    for form in ("PNG", "TIFF"):
        picture = load_image(io.BytesIO(encode_image(gray, form)))
        np.testing.assert_allclose(picture.getpixel((3, 3)), (249, 249, 249), atol=1)


def test_12_bits_stored_as_16_are_not_dark():
    gray = np.full((8, 8), 4_000, np.uint16)
    gray[0] = 0
    picture = load_image(io.BytesIO(encode_image(Image.fromarray(gray), "TIFF")))
    assert picture.getpixel((4, 4)) == (255, 255, 255)


def test_color_profile_is_applied():
    picture = load_image(io.BytesIO(encode_image(solid_image(RED), "PNG", icc_profile=swapped_profile())))
    red, _, blue = picture.getpixel((3, 3))
    assert blue > 200 > 50 > red


def test_srgb_profile_changes_no_pixel():
    noise = Image.effect_noise((40, 30), 90).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_image(io.BytesIO(encode_image(noise, "PNG", icc_profile=profile)))
    assert picture.tobytes() == noise.tobytes()


def test_broken_profiles_and_those_of_another_mode_are_ignored(tmp_path):
    for mode in ("RGB", "L", "CMYK"):
        for profile in (b"no profile", swapped_profile()):
            data = encode_image(solid_image((0, 0, 0), mode=mode), "TIFF", icc_profile=profile)
            np.testing.assert_allclose(load_image(io.BytesIO(data)).getpixel((3, 3)), (0, 0, 0), atol=40)


def test_cmyk_jpeg_is_converted_with_its_profile(tmp_path, place, toy, index):
    cyan = Image.new("CMYK", (64, 48), (255, 0, 0, 0))  # unless a profile defines other inks
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "cyan")
    (folder / "print.jpg").write_bytes(
        encode_image(cyan, "JPEG", quality=95, icc_profile=image_files.red_ink_profile())
    )
    (folder / "plain.jpg").write_bytes(encode_image(cyan, "JPEG", quality=95))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].path.name == "print.jpg"
        assert library.search("red")[0].score == pytest.approx(1, abs=0.01)
        assert {hit.path.name for hit in library.search("cyan", count=2)} == {"sea.png", "plain.jpg"}


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
        found = extract_frames(original, 16, max_animation_pixels=10 * 64 * 48)
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


def test_svg_does_not_read_other_files(tmp_path):
    pytest.importorskip("resvg_py")
    outside = draw_image(tmp_path / "outside.png", "red")
    for href in (outside, outside.as_uri(), "outside.png"):
        data = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink" width="9" '
            f'height="9"><image width="9" height="9" x:href="{href}"/><image width="9" height="9" '
            f'href="{href}"/></svg>'
        ).encode()
        (tmp_path / "drawing.svg").write_bytes(data)
        assert load_image(tmp_path / "drawing.svg").getpixel((5, 5)) == (255, 255, 255)


def test_svg_that_takes_too_long_is_rejected():
    pytest.importorskip("resvg_py")
    pool = SandboxPool(replace(SVG_WORKER, timeout_seconds=0.001))
    with pytest.raises(MediaError, match=r"takes more than 0\.001 seconds"):
        open_svg(io.BytesIO(SVG), pool)


@pytest.mark.parametrize(
    ("name", "data", "module", "extra"),
    [
        ("drawing.svg", SVG, "resvg_py", "svg"),
        ("photo.jxl", b"\xff\x0a\x51\x27\x01" + bytes(20), "pillow_jxl.JpegXLImagePlugin", "jxl"),
        ("photo.nef", image_files.nef(None), "rawpy", "raw"),
    ],
)
def test_missing_extra_is_reported_once_and_its_files_are_retried(
    name, data, module, extra, tmp_path, index, monkeypatch, place, toy
):
    monkeypatch.setitem(sys.modules, module, None)
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / name).write_bytes(data)
    (folder / f"other-{name}").write_bytes(data + b"\n")
    with pytest.raises(ExtraMissing, match=rf'pip install "clew-search\[{extra}\]"'):
        load_image(folder / name)
    report = index(folder)
    assert list(report.lacking.values()) == [2] and str(report).count("pip install") == 1
    with Library.open(place, embedder=toy) as library, pytest.raises(ExtraMissing):
        library.search(image=folder / name)
    monkeypatch.undo()
    assert index(folder).unchanged == 0


def test_too_large_images_are_rejected_in_every_format():
    large = solid_image(RED, (640, 480))
    for name in ("photo.heic", "photo.avif", "photo.jxl", "photo.jp2", "photo.tga", "deep.psd", "photo.cr2"):
        with pytest.raises(MediaError, match="640 x 480 pixels, more than the limit of 1,000"):
            load_image(io.BytesIO(FORMATS[name](large)), max_pixels=1_000)


def test_unsupported_formats_are_rejected():
    for data in (
        b"SIMPLE  =                    T",
        b"\0\0\0\x20ftypisom\0\0\0\0",
        encode_image(solid_image(RED), "DDS"),
    ):
        with pytest.raises(MediaError, match=r"not an image|does not read"):
            load_image(io.BytesIO(data))


def test_query_with_a_broken_image_reports_the_reason(tmp_path, library):
    (tmp_path / "cut.heic").write_bytes(image_files.heic(solid_image(RED))[:-20])
    with pytest.raises(QueryError, match="damaged"):
        library.search(image=tmp_path / "cut.heic")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(40), "damaged: it begins as AVIF"),
        (b"\0\0\0\x18ftyp3gp5\0\0\0\0" + bytes(40), r"of a format that clew does not read \(3gp5\)"),
        (b"\0\0\0\x18ftyp\0\x07\n\x1b\0\0\0\0", r"of a format that clew does not read \(\)"),
        (b"8BPS\0\1" + bytes(10), "damaged: it begins as PSD"),
        (b"\xff\x0a\0", "damaged: it begins as JPEG XL"),
        (encode_image(solid_image(RED), "TIFF", compression="tiff_lzw")[:200], r"damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='5' height='5'><g>", r"damaged: no element found"),
    ],
)
def test_broken_images_are_rejected_with_a_readable_reason(data, reason):
    with pytest.raises(MediaError, match=reason) as caught:
        load_image(io.BytesIO(data))
    assert str(caught.value).isprintable()


BROKEN = [name for name in FORMATS if not name.startswith("wrong") and "svg" not in name]


@pytest.mark.parametrize("name", BROKEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_broken_image_raises_only_media_errors(name, data, toy):
    from indexer.decode.context import DecodeContext
    from indexer.decode.images.decoder import decode

    data_bytes = bytearray(BYTES.setdefault(name, FORMATS[name](quadrant_image())))
    end = data.draw(st.integers(0, len(data_bytes)), label="length")
    for at, value in data.draw(
        st.dictionaries(
            st.integers(0, len(data_bytes) - 1) | st.integers(0, 200), st.integers(0, 255), max_size=8
        )
    ).items():
        data_bytes[min(at, len(data_bytes) - 1)] = value
    for broken in (bytes(data_bytes), bytes(data_bytes[:end])):
        try:
            assert decode(io.BytesIO(broken), "", DecodeContext(toy)).drafts[0].kind == "image"
        except MediaError as error:
            assert str(error)


BYTES: dict[str, bytes] = {}


@given(data=st.binary(max_size=200))
@settings(deadline=None, max_examples=30)
def test_broken_svg_raises_only_media_errors(data):
    from retrieval.media.images.svg import _read_xml

    try:
        _read_xml(io.BytesIO(data))
        _read_xml(io.BytesIO(b"\x1f\x8b\x08" + data))
    except MediaError as error:
        assert str(error)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_all_files_are_closed(tmp_path, toy):
    SVG_POOL.close()
    before = len(os.listdir("/proc/self/fd"))
    for name, write in FORMATS.items():
        path = tmp_path / name
        path.write_bytes(write(quadrant_image()))
        load_image(path)
        path.write_bytes(path.read_bytes()[:-40])
        with suppress(MediaError):
            load_image(path)
    SVG_POOL.close()
    assert len(os.listdir("/proc/self/fd")) == before
