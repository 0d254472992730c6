"""Properties of images and sidecars: the preferred field of several, and no invalid values."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from PIL.TiffImagePlugin import IFDRational

from indexer.decode.metadata.perceptual_hash import perceptual_hash, sharpness
from indexer.decode.metadata.properties import ImageHeader, image_properties, sidecar_properties
from retrieval.media.images.loader import load_image, open_image
from retrieval.types import MediaProperties
from tests.support import image_files
from tests.support.metadata_files import exif, gps, jpeg, xmp

TAKEN, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132


def properties(data: bytes) -> MediaProperties:
    with Image.open(io.BytesIO(data)) as original:
        return image_properties(ImageHeader.from_image(original), load_image(io.BytesIO(data)))


EDITED = xmp(
    ("dc:subject", ["sea", "boat"]), xmp_Rating="4", exif_DateTimeOriginal="2019-05-06T07:08:09+02:00"
).encode()
CHANGED_EXIF = exif({CHANGED: "2015:06:07 08:09:10"}).tobytes()[6:]


@pytest.mark.parametrize(
    "data",
    [
        image_files.dng(jpeg((800, 600)), EDITED),
        image_files.psd(Image.new("RGB", (8, 8)), 8, {1060: EDITED}),
        image_files.psd(Image.new("RGB", (8, 8)), 16, {1: b"a", 1060: EDITED}),
    ],
    ids=["DNG", "PSD", "PSD of 16 bits"],
)
def test_xmp_of_raw_and_photoshop_files_is_read(data):
    with open_image(io.BytesIO(data)) as original:
        found = image_properties(ImageHeader.from_image(original), load_image(io.BytesIO(data)))
    assert (found.rating, found.keywords, found.taken) == (4, ("sea", "boat"), "2019-05-06T07:08:09")


@pytest.mark.parametrize("depth", [8, 16])
def test_exif_of_photoshop_files_is_read(depth):
    data = image_files.psd(Image.new("RGB", (8, 8)), depth, {1058: CHANGED_EXIF})
    with open_image(io.BytesIO(data)) as original:
        found = image_properties(ImageHeader.from_image(original), load_image(io.BytesIO(data)))
    assert found.taken == "2015-06-07T08:09:10"


def test_capture_time_precedes_the_time_of_modification():
    shot = {TAKEN: "2021:06:30 18:00:01", DIGITIZED: "2021:07:01 00:00:00"}
    assert properties(jpeg(exif=exif({CHANGED: "2022:02:02 02:02:02"}, shot))).taken == "2021-06-30T18:00:01"
    del shot[TAKEN]
    assert properties(jpeg(exif=exif({CHANGED: "2022:02:02 02:02:02"}, shot))).taken == "2021-07-01T00:00:00"
    assert properties(jpeg(exif=exif({CHANGED: "2022:02:02 02:02:02"}))).taken == "2022-02-02T02:02:02"
    assert properties(jpeg(exif=exif({CHANGED: "0000:00:00 00:00:00"}))).taken is None
    assert properties(jpeg()).taken is None


@pytest.mark.parametrize(
    ("written", "taken", "zone"),
    [
        ("2021-06-30T18:00:01+02:00", "2021-06-30T18:00:01", "+02:00"),
        ("2021-06-30T18:00:01.25Z", "2021-06-30T18:00:01", "+00:00"),
        ("2021-06-30T18:00", "2021-06-30T18:00:00", None),
        ("2021-06-30", "2021-06-30T00:00:00", None),
        ("1985", "1985-01-01T00:00:00", None),
        ("20", None, None),
        ("long ago", None, None),
    ],
)
def test_partial_xmp_times_are_completed(written, taken, zone):
    found = properties(jpeg(xmp=xmp(photoshop_DateCreated=written).encode()))
    assert (found.taken, found.zone) == (taken, zone)


def test_zone_is_the_offset_of_the_time():
    shot = {TAKEN: "2021:06:30 18:00:01", 0x9011: "+05:45", 0x9010: "+01:00"}
    assert properties(jpeg(exif=exif(photo=shot))).zone == "+05:45"
    del shot[0x9011]
    assert properties(jpeg(exif=exif(photo=shot))).zone == "+01:00"
    for wrong in ("+25:00", "   :  ", "-14:15"):
        assert properties(jpeg(exif=exif(photo={**shot, 0x9010: wrong}))).zone is None


@pytest.mark.parametrize(
    ("utc", "day", "zone"),
    [
        ((16.0, 0.0, 5.0), "2021:06:30", "+02:00"),
        ((15.0, 57.0, 0.0), "2021:06:30", "+02:00"),  # a fix that is three minutes old
        ((12.0, 15.0, 0.0), "2021:06:30", "+05:45"),
        ((4.0, 0.0, 0.0), "2021:07:01", "-10:00"),
        ((15.0, 52.0, 0.0), "2021:06:30", None),  # not near a quarter of an hour
        ((18.0, 0.0, 0.0), "2021:06:20", None),  # ten days ago
    ],
)
def test_zone_is_derived_from_the_gps_time(utc, day, zone):
    shot = {TAKEN: "2021:06:30 18:00:01"}
    assert properties(jpeg(exif=exif(photo=shot, gps={7: utc, 29: day}))).zone == zone


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 80D", "Canon EOS 80D"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("Apple", "iPhone 6", "Apple iPhone 6"),
        ("OLYMPUS IMAGING CORP.  ", "E-M10", "OLYMPUS E-M10"),
        ("Konica Minolta Camera, Inc.", "DiMAGE A2\0\0", "Konica Minolta DiMAGE A2"),
        ("BUSHNELL", "", "BUSHNELL"),
        ("", "Pixel 7", "Pixel 7"),
        ("  ", "", None),
    ],
)
def test_camera_is_manufacturer_and_model_without_repetition(make, model, camera):
    assert properties(jpeg(exif=exif({0x010F: make, 0x0110: model}))).camera == camera


def test_placeholders_of_an_unknown_lens_are_ignored():
    assert properties(jpeg(exif=exif(photo={0xA434: "EF50mm f/1.8 STM"}))).lens == "EF50mm f/1.8 STM"
    assert properties(jpeg(xmp=xmp(aux_Lens="EF70-200mm").encode())).lens == "EF70-200mm"
    assert properties(jpeg(exif=exif(photo={0xA434: "0.0 mm f/0.0"}))).lens is None
    assert properties(jpeg(exif=exif(photo={0xA434: "----"}))).lens is None


def test_location_is_in_signed_degrees():
    found = properties(jpeg(exif=exif(gps=gps(-33.5, 151.25))))
    assert (found.latitude, found.longitude) == pytest.approx((-33.5, 151.25))
    found = properties(jpeg(xmp=xmp(exif_GPSLatitude="48,51.3N", exif_GPSLongitude="2,20,30W").encode()))
    assert (found.latitude, found.longitude) == pytest.approx((48.855, -2.341667), abs=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        gps(0.0, 0.0),  # written if no location is known
        {**gps(10.0, 10.0), 2: (IFDRational(0, 0), 0.0, 0.0)},
        {**gps(10.0, 10.0), 2: (91.0, 0.0, 0.0)},
        {**gps(10.0, 10.0), 4: (180.0, 1.0, 0.0)},
        {1: "N", 2: (10.0, 0.0, 0.0)},
        {2: (10.0, 0.0, 0.0), 4: (10.0, 0.0, 0.0)},  # without the hemispheres
        {**gps(10.0, 10.0), 1: "X"},
    ],
)
def test_invalid_locations_are_ignored(wrong):
    found = properties(jpeg(exif=exif(gps=wrong)))
    assert (found.latitude, found.longitude) == (None, None)


def test_ratings_are_stars_or_a_rejection():
    assert properties(jpeg(exif=exif({0x4746: 3}))).rating == 3
    assert properties(jpeg(exif=exif({0x4746: 3}), xmp=xmp(xmp_Rating="5").encode())).rating == 5
    assert properties(jpeg(xmp=xmp(xmp_Rating="-1").encode())).rating == -1
    for wrong in ("6", "many", "nan", "1e999"):
        assert properties(jpeg(xmp=xmp(xmp_Rating=wrong).encode())).rating is None


def test_keywords_of_all_fields_are_merged():
    packet = xmp(("dc:subject", ["Dog", "Übung"]), ("lr:hierarchicalSubject", ["Places|France|Paris", "Dog"]))
    windows = exif({0x9C9E: "dog;Beach\0".encode("utf-16-le")})
    found = properties(jpeg(iptc=["Sunset", "dog "], xmp=packet.encode(), exif=windows))
    assert found.keywords == ("Sunset", "dog", "Übung", "Paris", "Beach")


def test_size_is_that_of_the_upright_image():
    for orientation in (5, 6, 7, 8):
        found = properties(jpeg(size=(40, 20), exif=exif({0x0112: orientation})))
        assert (found.width, found.height, found.orientation) == (20, 40, orientation)
    found = properties(jpeg(size=(40, 20), exif=exif({0x0112: 3})))
    assert (found.width, found.height, found.orientation) == (40, 20, 3)
    assert properties(jpeg(exif=exif({0x0112: 9}))).orientation is None
    file = io.BytesIO()  # Pillow rotates a TIFF itself
    Image.new("RGB", (40, 20)).save(file, "TIFF", exif=exif({0x0112: 6}))
    assert (properties(file.getvalue()).width, properties(file.getvalue()).height) == (20, 40)


def test_sidecar_properties_are_read():
    found = sidecar_properties(
        xmp(("dc:subject", ["dog"]), xmp_Rating="4", tiff_Model="X100", exif_DateTimeOriginal="2020-01-01")
    )
    assert found == MediaProperties(rating=4, camera="X100", taken="2020-01-01T00:00:00", keywords=("dog",))
    with pytest.raises(ValueError, match="XMP"):
        sidecar_properties("<x:xmpmeta")


@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=40), end=st.floats(0.1, 1))
def test_broken_metadata_does_not_affect_the_image(changes, end):
    main = {0x010F: "Canon", 0x0110: "EOS", 0x0112: 6, 0x4746: 4, 0x9C9E: "a;b".encode("utf-16-le")}
    valid = exif(main, {TAKEN: "2021:06:30 18:00:01", 0xA434: "EF 50"}, gps(48.0, 2.0, t7=(1.0, 2.0, 3.0)))
    block = bytearray(valid.tobytes())
    for at, value in changes:
        block[8 + int(at * (len(block) - 9))] = value
    packet = xmp(("dc:subject", ["dog"]), xmp_Rating="4").encode()
    data = jpeg(exif=bytes(block), xmp=packet[: int(end * len(packet))])
    found = properties(data)
    assert found.perceptual_hash is not None
    assert found.rating in (None, *range(-1, 6))
    assert found.latitude is None or -90 <= found.latitude <= 90


def scene(seed: int) -> Image.Image:
    """Draw shapes that depend on the seed."""
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", (640, 480), tuple(draw.integers(0, 255, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = draw.integers(0, 400, 4)
        pen.ellipse((x, y, x + w + 9, y + h + 9), fill=tuple(draw.integers(0, 255, 3)))
    return image


def hamming_distance(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()


def test_perceptual_hash_survives_scaling_compression_and_brightening():
    for seed in range(8):
        image = scene(seed)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=40)
        for other in (image.resize((200, 150)), Image.open(file), image.point(lambda v: v * 0.9 + 10)):
            assert hamming_distance(perceptual_hash(image), perceptual_hash(other)) <= 6
        assert hamming_distance(perceptual_hash(image), perceptual_hash(scene(seed + 100))) >= 16
    assert perceptual_hash(Image.new("RGB", (50, 50), "red")) == bytes(8)


def test_blurring_reduces_the_sharpness():
    image = scene(1)
    scores = [sharpness(image.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 2, 4, 8)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2 * scores[-1]
    line = Image.fromarray(np.array([[0, 0, 0], [0, 9, 0], [0, 0, 0]], np.uint8))
    assert sharpness(line) == 0.0  # a single value has no variance
    assert sharpness(Image.new("RGB", (2, 9))) == 0.0


def test_photos_of_real_cameras_are_read(camera):
    with Image.open(camera / "Canon_EOS-1D_Mark_III_(via_Adobe_Lightroom).jpg") as original:
        found = image_properties(ImageHeader.from_image(original), original.convert("RGB"))
    assert (found.camera, found.lens, found.zone) == (
        "Canon EOS-1D Mark III",
        "EF70-200mm f/2.8L IS USM",
        "+01:00",
    )
    assert (found.taken, found.keywords[3]) == ("2008-09-20T09:01:07", "BTCC")
    with Image.open(camera / "Apple_iPhone_6.jpg") as original:
        found = image_properties(ImageHeader.from_image(original), original.convert("RGB"))
    assert (found.latitude, found.longitude) == pytest.approx((51.76241, -0.31789), abs=1e-5)
    assert found.zone is None  # its GPS time is of another day
