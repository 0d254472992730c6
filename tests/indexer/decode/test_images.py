"""Every format of pictures: found by what it shows, used as a query, and harmless where it is broken."""

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


def ink() -> bytes:
    """Return a colour profile for RGB in which red and blue are each other's."""
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
    "wrong.jpg": image_files.heic,  # the bytes tell, not the suffix
    "wrong.heic": lambda p: encode_image(p, "PNG"),
    "wrong.png": lambda p: image_files.cr2(preview(p)),
}


def svg(picture: Image.Image) -> bytes:
    """Draw the colours of the corners of a picture."""
    pytest.importorskip("resvg_py")
    left, right = picture.getpixel((1, 1)), picture.getpixel((picture.width - 2, picture.height - 2))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 48"><rect width="64" height="48" '
        f'fill="rgb{right}"/><rect width="32" height="24" fill="rgb{left}"/></svg>'
    ).encode()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_found_by_what_it_shows_and_asks_for_it(name, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "blue")
    (folder / name).write_bytes(FORMATS[name](solid_image(RED)))
    report = index(folder)
    assert (report.added, report.failed, report.kinds) == (2, 0, {"image": 2})
    with Library.open(place, embedder=toy) as library:
        first, second = library.search("red")
        assert (first.path.name, second.path.name) == (name, "sea.png")
        assert first.score == pytest.approx(0.999, abs=0.004) and second.score < 0.01
        asked = library.search(image=folder / name)
        assert [hit.id for hit in asked] == [first.id, second.id]
        assert asked[0].score == pytest.approx(1, abs=0.001)
        assert library.similar(folder / name)[0].path.name == "sea.png"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_upright_in_its_colours(name):
    picture = load_image(io.BytesIO(FORMATS[name](quadrant_image())))
    width, height = picture.size
    for across, down, colour in ((0.2, 0.2, RED), (0.8, 0.2, BLUE), (0.2, 0.8, BLUE), (0.8, 0.8, BLUE)):
        seen = picture.getpixel((int(across * width), int(down * height)))
        np.testing.assert_allclose(seen, colour, atol=12)


TURNS = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
TURNED = {
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


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", TURNED)
def test_a_turned_picture_stands_upright(form, orientation, tmp_path, index, toy, place):
    turn = TURNS[orientation]
    stored = quadrant_image() if turn is None else quadrant_image().transpose(turn)
    data = TURNED[form](stored, orientation)
    picture = load_image(io.BytesIO(data))
    assert picture.width * 3 == picture.height * 4
    np.testing.assert_allclose(picture.getpixel((picture.width // 5, picture.height // 5)), RED, atol=25)
    np.testing.assert_allclose(picture.getpixel((4 * picture.width // 5, picture.height // 5)), BLUE, atol=25)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_heic_is_turned_once_though_its_exif_says_so_too(turns, index, place, tmp_path, toy):
    stored = quadrant_image().rotate(-90 * turns, expand=True)
    says = {0: 1, 1: 8, 2: 3, 3: 6}[turns]
    data = image_files.heic(stored, turns, exif({0x0112: says}).tobytes()[6:])
    picture = load_image(io.BytesIO(data))
    assert picture.size == (64, 48)
    np.testing.assert_allclose(picture.getpixel((10, 10)), RED, atol=12)
    np.testing.assert_allclose(picture.getpixel((50, 40)), BLUE, atol=12)


def test_a_jpeg_xl_is_turned_once():
    data = jxl(quadrant_image().transpose(Image.Transpose.ROTATE_90), exif=exif({0x0112: 6}).tobytes())
    assert load_image(io.BytesIO(data)).size == (48, 64)  # its decoder has turned what its header says


@pytest.mark.parametrize("name", ["photo.heic", "photo.avif", "photo.cr2", "photo.jxl"])
def test_date_camera_and_place_are_read_of_new_formats_too(name, tmp_path, place, toy, index):
    said = exif({0x010F: "Canon", 0x0110: "EOS R5"}, {0x9003: "2021:07:14 10:30:00"}, gps(46.5, 7.25))
    made = {
        "photo.heic": lambda: image_files.heic(solid_image(RED), exif=said.tobytes()[6:]),
        "photo.avif": lambda: encode_image(solid_image(RED), "AVIF", exif=said),
        "photo.cr2": lambda: image_files.cr2(preview(solid_image(RED), exif=said)),
        "photo.jxl": lambda: jxl(solid_image(RED), exif=said.tobytes()),
    }
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / name).write_bytes(made[name]())
    index(tmp_path / "pictures")
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("red", camera="EOS R5", date="2021-07-14", near="46.5,7.25,1km")
        assert hit.path.name == name and hit.time == "2021-07-14T10:30:00"


def test_the_camera_of_a_raw_file_is_told_by_its_own_directory(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "photo.cr2").write_bytes(image_files.cr2(preview(solid_image(RED))))
    index(tmp_path / "pictures")
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", camera="5D Mark II")[0].path.name == "photo.cr2"


def test_the_largest_preview_of_a_raw_file_wins():
    data = image_files.cr2(preview(solid_image(RED)))  # beside a small green one
    assert load_image(io.BytesIO(data)).size == (640, 480)
    np.testing.assert_allclose(load_image(io.BytesIO(data)).getpixel((9, 9)), RED, atol=12)


def test_where_the_large_preview_is_cut_off_the_small_one_is_read():
    data = image_files.cr2(preview(solid_image(RED)))
    cut = data[: data.index(b"\xff\xd8\xff", 200) + 3000]
    np.testing.assert_allclose(load_image(io.BytesIO(cut)).getpixel((9, 9)), GREEN, atol=20)


def test_sixteen_bits_of_colour_and_of_grey_are_read():
    ramp = np.zeros((40, 60, 3), np.uint16)
    ramp[..., 0] = 64_000
    file = io.BytesIO(image_files.psd(solid_image((250, 0, 0)), 16))
    np.testing.assert_allclose(load_image(file).getpixel((3, 3)), (250, 0, 0), atol=1)
    grey = Image.fromarray(np.full((8, 8), 64_000, np.uint16))
    for form in ("PNG", "TIFF"):
        picture = load_image(io.BytesIO(encode_image(grey, form)))
        np.testing.assert_allclose(picture.getpixel((3, 3)), (249, 249, 249), atol=1)


def test_twelve_bits_kept_in_sixteen_are_not_dark():
    grey = np.full((8, 8), 4_000, np.uint16)
    grey[0] = 0
    picture = load_image(io.BytesIO(encode_image(Image.fromarray(grey), "TIFF")))
    assert picture.getpixel((4, 4)) == (255, 255, 255)


def test_a_colour_profile_is_applied():
    picture = load_image(io.BytesIO(encode_image(solid_image(RED), "PNG", icc_profile=ink())))
    red, _, blue = picture.getpixel((3, 3))
    assert blue > 200 > 50 > red


def test_of_a_srgb_profile_not_a_pixel_changes():
    noise = Image.effect_noise((40, 30), 90).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_image(io.BytesIO(encode_image(noise, "PNG", icc_profile=profile)))
    assert picture.tobytes() == noise.tobytes()


def test_a_profile_that_is_broken_or_of_another_mode_is_none(tmp_path):
    for mode in ("RGB", "L", "CMYK"):
        for profile in (b"no profile", ink()):
            data = encode_image(solid_image((0, 0, 0), mode=mode), "TIFF", icc_profile=profile)
            np.testing.assert_allclose(load_image(io.BytesIO(data)).getpixel((3, 3)), (0, 0, 0), atol=40)


def test_a_cmyk_jpeg_is_shown_in_the_inks_of_its_profile(tmp_path, place, toy, index):
    ink = Image.new("CMYK", (64, 48), (255, 0, 0, 0))  # cyan, as far as one knows
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "cyan")
    (folder / "print.jpg").write_bytes(
        encode_image(ink, "JPEG", quality=95, icc_profile=image_files.red_ink_profile())
    )
    (folder / "plain.jpg").write_bytes(encode_image(ink, "JPEG", quality=95))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].path.name == "print.jpg"
        assert library.search("red")[0].score == pytest.approx(1, abs=0.01)
        assert {hit.path.name for hit in library.search("cyan", count=2)} == {"sea.png", "plain.jpg"}


MOVES = {
    "party.gif": ("GIF", {}),
    "party.webp": ("WEBP", {"lossless": True}),
    "party.png": ("PNG", {}),
    "party.avif": ("AVIF", {"quality": 95}),
}


def moving(name: str, colours, shown: int = 500) -> bytes:
    form, options = MOVES[name]
    first, *more = (solid_image(colour) for colour in colours)
    return encode_image(first, form, save_all=True, append_images=more, duration=shown, **options)


@pytest.mark.parametrize("name", MOVES)
def test_what_an_animation_shows_later_is_found_at_its_time(name, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "lawn.png", (0, 200, 90))
    (folder / name).write_bytes(moving(name, [RED, RED, GREEN, BLUE, BLUE]))
    report = index(folder)
    assert report.kinds == {"image": 2, "part": 2}
    with Library.open(place, embedder=toy) as library:
        for words, start in (("red", None), ("green", 1.0), ("blue", 1.5)):
            hit = library.search(words)[0]
            assert (hit.path.name, hit.start) == (name, start)
            assert hit.score == pytest.approx(0.999, abs=0.003)
        assert shown(library.search("blue")[0]).endswith(f"{name} @ 00:01.5")
        assert len(library.search("blue", count=9)) == 2  # a hit a picture


def test_frames_that_are_alike_are_one(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    flicker = [(250, 10, 10 + n % 2) for n in range(40)]
    (tmp_path / "pictures" / "party.gif").write_bytes(moving("party.gif", flicker))
    assert index(tmp_path / "pictures").kinds == {"image": 1}


def test_of_many_frames_the_few_that_differ_most_are_kept(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    colours = [(250, 5 * n, 0) for n in range(50)] + [BLUE] + [(0, 250, 5 * n) for n in range(50)]
    (tmp_path / "pictures" / "party.webp").write_bytes(moving("party.webp", colours))
    assert index(tmp_path / "pictures").kinds == {"image": 1, "part": 4}


def test_the_same_frames_are_kept_for_every_embedder():
    other = solid_image((0, 0, 0), (1_000, 800))
    other.paste((255, 255, 255), (941, 0, 1_000, 800))  # a hair less than what counts as another
    data = encode_image(solid_image((0, 0, 0), (1_000, 800)), "PNG", save_all=True, append_images=[other])
    kept = []
    for near in (256, 336):
        with open_image(io.BytesIO(data)) as original:
            kept.append(len(extract_frames(original, near).frames))
    assert kept == [1, 1]


def test_an_animation_without_end_is_read_no_further_than_a_bound():
    colours = [(2 * n, 0, 0) for n in range(100)]
    with open_image(io.BytesIO(moving("party.gif", colours))) as original:
        found = extract_frames(original, 16, max_animation_pixels=10 * 64 * 48)
    assert found.duration == pytest.approx(11 * 0.5)


def test_a_cut_animation_gives_the_frames_that_are_there(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    data = moving("party.gif", [RED, GREEN, BLUE])
    (tmp_path / "pictures" / "party.gif").write_bytes(data[: data.rindex(b"\x2c") - 30])
    report = index(tmp_path / "pictures")
    assert report.failed == 0 and report.kinds["image"] == 1


def test_pages_of_a_tiff_are_found_by_their_number(tmp_path, place, toy, index):
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


def test_a_smaller_copy_within_a_tiff_is_no_page(tmp_path, index):
    (tmp_path / "pictures").mkdir()
    data = encode_image(
        solid_image(RED, (200, 100)), "TIFF", save_all=True, append_images=[solid_image(RED, (100, 50))]
    )
    (tmp_path / "pictures" / "scan.tif").write_bytes(data)
    assert index(tmp_path / "pictures").kinds == {"image": 1}


def panorama() -> Image.Image:
    """Draw what is nearly all green, with a red end."""
    picture = solid_image(GREEN, (1200, 200))
    ImageDraw.Draw(picture).rectangle((1010, 0, 1200, 200), fill=RED)
    return picture


@pytest.mark.parametrize("turn", [False, True])
def test_the_end_of_a_panorama_is_found_by_its_box(turn, tmp_path, place, toy, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "sea.png", "blue")
    picture = panorama().transpose(Image.Transpose.TRANSPOSE) if turn else panorama()
    (folder / "wide.png").write_bytes(encode_image(picture, "PNG"))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red")[0]
        assert hit.box == ((0, 1000, 200, 200) if turn else (1000, 0, 200, 200))
        assert hit.score == pytest.approx(0.998, abs=0.003)
        assert shown(hit).endswith("wide.png [200x200+0+1000]" if turn else "wide.png [200x200+1000+0]")
        assert len(library.search("red", count=9)) == 2
        assert library.search("green")[0].path.name == "wide.png"


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_the_crops_of_a_panorama_lie_in_it_and_leave_nothing_out(width, height):
    boxes = panorama_boxes(width, height)
    assert len(boxes) != 1 and len(boxes) <= 8
    covered = 0
    for left, top, wide, high in boxes:
        assert left >= 0 and top >= 0 and left + wide <= width and top + high <= height
        begin, length = (left, wide) if width > height else (top, high)
        assert begin <= covered  # each begins before the last one ends
        covered = begin + length
    assert not boxes or covered == max(width, height)


def test_what_an_svg_names_elsewhere_is_not_read(tmp_path):
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


def test_drawing_that_takes_too_long_is_reported():
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
def test_a_missing_extra_is_named_once_and_the_file_tried_again(
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


def test_a_picture_of_too_many_pixels_is_refused_in_every_format():
    large = solid_image(RED, (640, 480))
    for name in ("photo.heic", "photo.avif", "photo.jxl", "photo.jp2", "photo.tga", "deep.psd", "photo.cr2"):
        with pytest.raises(MediaError, match="640 x 480 pixels, more than the limit of 1,000"):
            load_image(io.BytesIO(FORMATS[name](large)), max_pixels=1_000)


def test_formats_that_are_not_allowed_are_said():
    for data in (
        b"SIMPLE  =                    T",
        b"\0\0\0\x20ftypisom\0\0\0\0",
        encode_image(solid_image(RED), "DDS"),
    ):
        with pytest.raises(MediaError, match=r"not an image|does not read"):
            load_image(io.BytesIO(data))


def test_a_query_by_a_broken_picture_says_why(tmp_path, library):
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
def test_what_is_wrong_is_said_in_words(data, reason):
    with pytest.raises(MediaError, match=reason) as said:
        load_image(io.BytesIO(data))
    assert str(said.value).isprintable()


BROKEN = [name for name in FORMATS if not name.startswith("wrong") and "svg" not in name]


@pytest.mark.parametrize("name", BROKEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_a_broken_picture_raises_nothing_but_why(name, data, toy):
    from indexer.decode.context import DecodeContext
    from indexer.decode.images.decoder import decode

    whole = bytearray(BYTES.setdefault(name, FORMATS[name](quadrant_image())))
    end = data.draw(st.integers(0, len(whole)), label="length")
    for at, value in data.draw(
        st.dictionaries(st.integers(0, len(whole) - 1) | st.integers(0, 200), st.integers(0, 255), max_size=8)
    ).items():
        whole[min(at, len(whole) - 1)] = value
    for broken in (bytes(whole), bytes(whole[:end])):
        try:
            assert decode(io.BytesIO(broken), "", DecodeContext(toy)).drafts[0].kind == "image"
        except MediaError as error:
            assert str(error)


BYTES: dict[str, bytes] = {}


@given(data=st.binary(max_size=200))
@settings(deadline=None, max_examples=30)
def test_a_broken_drawing_raises_nothing_but_why(data):
    from retrieval.media.images.svg import _read_xml

    try:
        _read_xml(io.BytesIO(data))
        _read_xml(io.BytesIO(b"\x1f\x8b\x08" + data))
    except MediaError as error:
        assert str(error)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_is_open_afterwards(tmp_path, toy):
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
