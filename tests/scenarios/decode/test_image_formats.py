"""All image formats: decoded upright in their colors, indexed and used as queries."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval import Library, SearchOptions
from retrieval.media.images.loader import load_image
from tests.support import image_files
from tests.support.files import draw_image
from tests.support.image_files import BLUE, GREEN, RED, encode_image, quadrant_image, solid_image
from tests.support.image_formats import FORMATS, jxl, preview
from tests.support.metadata_files import exif, gps


def swapped_profile() -> bytes:
    """Return an RGB color profile that swaps red and blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"-XYZ").replace(b"bXYZ", b"rXYZ").replace(b"-XYZ", b"bXYZ")


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
        (hit,) = library.search(
            "red", options=SearchOptions(camera="EOS R5", date="2021-07-14", near="46.5,7.25,1km")
        )
        assert hit.path.name == name and hit.time == "2021-07-14T10:30:00"


def test_camera_of_a_raw_file_is_read_from_its_main_directory(tmp_path, place, toy, index):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "photo.cr2").write_bytes(image_files.cr2(preview(solid_image(RED))))
    index(tmp_path / "pictures")
    with Library.open(place, embedder=toy) as library:
        assert library.search("red", options=SearchOptions(camera="5D Mark II"))[0].path.name == "photo.cr2"


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
