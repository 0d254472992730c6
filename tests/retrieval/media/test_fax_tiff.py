"""TIFFs with fax compression are decoded as by Pillow; rows that damage takes are gray, never chance."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.images.fax_tiff import REVERSED_BITS
from retrieval.media.images.loader import decode_image, load_image

FAX_ENCODINGS = [
    ("group4", None),
    ("tiff_ccitt", None),
    *(("group3", options) for options in (None, 1, 4, 5)),
]
WIDTH, HEIGHT = 203, 301


def draw_page(seed: int = 0) -> Image.Image:
    """Return a white page with black bars, and a speckled part without runs."""
    random = np.random.default_rng(seed)
    bits = np.ones((HEIGHT, WIDTH), bool)
    for _ in range(80):
        top, left = random.integers(0, HEIGHT - 8), random.integers(0, WIDTH - 20)
        bits[top : top + 6, left : left + random.integers(2, 20)] = False
    bits[-40:] = random.random((40, WIDTH)) < 0.5
    return Image.fromarray(bits)


PAGE = draw_page()


def fax(image: Image.Image = PAGE, compression="group4", options=None, **save) -> bytes:
    file = io.BytesIO()
    info = save.pop("tags", {}) | ({} if options is None else {292: options})
    image.save(file, "TIFF", compression=compression, tiffinfo=info, **{"strip_size": 1 << 20} | save)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(load_image(io.BytesIO(data)))


def strip_of(data: bytes, number: int = 0) -> slice:
    with Image.open(io.BytesIO(data)) as image:
        start = image.tag_v2[273][number]
        return slice(start, start + image.tag_v2[279][number])


def fill_free_memory(value: int) -> None:
    """Leave free memory with this value, which a decoder that does not initialize its memory shows."""
    blocks = [bytes([value]) * size for size in (4_000, 8_000, 40_000, 70_000) for _ in range(50)]
    del blocks


@pytest.mark.parametrize(("compression", "options"), FAX_ENCODINGS)
@pytest.mark.parametrize("save", [{}, {"strip_size": 700}, {"tags": {262: 0}}, {"tags": {274: 6}}])
def test_intact_fax_is_decoded_as_by_pillow(compression, options, save):
    data = fax(PAGE, compression, options, **save)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(pixels(data), np.asarray(image.convert("RGB")))


def test_reversed_bit_order_is_read():
    data = bytearray(fax())
    strip = strip_of(bytes(data))
    data[strip] = bytes(data[strip]).translate(REVERSED_BITS)
    at = bytes(data).index(struct.pack("<HHI", 262, 3, 1))
    entry = struct.pack("<HHII", 266, 3, 1, 2)
    with Image.open(io.BytesIO(bytes(data))) as image:
        photometric = image.tag_v2[262]
    assert photometric == 1
    data[at : at + 12] = entry  # instead of the photometric interpretation, which is then 0
    assert np.array_equal(pixels(bytes(data)), 255 - np.asarray(PAGE.convert("RGB")))


@pytest.mark.parametrize(("compression", "options"), FAX_ENCODINGS)
def test_rows_after_damage_are_gray_and_reported(compression, options):
    data = bytearray(fax(PAGE, compression, options))
    strip = strip_of(bytes(data))
    middle = (strip.start + strip.stop) // 2
    data[middle : strip.stop] = bytes(strip.stop - middle)
    results = []
    for value in (0, 85, 170, 255):
        fill_free_memory(value)
        image = load_image(io.BytesIO(bytes(data)))
        results.append(np.asarray(image))
    assert all(np.array_equal(results[0], other) for other in results)
    expected = np.asarray(PAGE.convert("RGB"))
    assert np.array_equal(results[0][:100], expected[:100])
    if (results[0] == 128).all(axis=(1, 2)).any():
        assert image.info["clew"].startswith("damaged: truncated, ")


def test_damaged_strip_leaves_the_other_strips():
    data = bytearray(fax(strip_size=700))
    damaged = strip_of(bytes(data), 5)
    data[damaged] = b"\0" * (damaged.stop - damaged.start)
    image = load_image(io.BytesIO(bytes(data)))
    is_gray = (np.asarray(image) == 128).all(axis=(1, 2))
    assert 0 < is_gray.sum() <= 27
    assert np.array_equal(np.asarray(image)[~is_gray], np.asarray(PAGE.convert("RGB"))[~is_gray])
    assert image.info["clew"].startswith("damaged: truncated, 9")


def test_fax_of_which_little_remains_is_refused():
    data = bytearray(fax())
    strip = strip_of(bytes(data))
    data[strip.start + 20 : strip.stop] = bytes(strip.stop - strip.start - 20)
    with pytest.raises(MediaError, match="damaged: truncated"):
        load_image(io.BytesIO(bytes(data)))


def tiled_fax() -> bytes:
    """Return a fax of four tiles, which Pillow does not write."""
    tiles = [PAGE.crop((x, y, x + 112, y + 160)) for y in (0, 160) for x in (0, 112)]
    encoded = [fax(tile) for tile in tiles]
    data = [one[strip_of(one)] for one in encoded]
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [1], 259: [4], 262: [1], 277: [1], 322: [112], 323: [160]}
    start = 8 + 2 + 12 * 10 + 4
    offsets = [start + 32 + sum(map(len, data[:n])) for n in range(4)]
    values = struct.pack("<8L", *offsets, *map(len, data))
    directory = struct.pack("<H", 10)
    for tag, (number,) in tags.items():
        directory += struct.pack("<HHLL", tag, 4, 1, number)
    directory += struct.pack("<HHLL", 324, 4, 4, start) + struct.pack("<HHLL", 325, 4, 4, start + 16)
    return b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + values + b"".join(data)


def test_tiles_are_decoded():
    assert np.array_equal(pixels(tiled_fax()), np.asarray(PAGE.convert("RGB")))


def test_later_pages_are_decoded():
    file = io.BytesIO()
    others = [draw_page(1), draw_page(2)]
    PAGE.save(file, "TIFF", compression="group4", save_all=True, append_images=others)
    with Image.open(file) as image:
        image.seek(2)
        assert np.array_equal(np.asarray(decode_image(image)), np.asarray(others[1].convert("RGB")))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FAX_ENCODINGS), st.data())
def test_damaged_fax_has_the_same_pixels_each_time(encoding, draw):
    data = bytearray(fax(PAGE, *encoding, strip_size=draw.draw(st.sampled_from([700, 1 << 20]))))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(8, len(data) - 1))] = draw.draw(st.integers(0, 255))
    data = data[: draw.draw(st.integers(len(data) // 2, len(data)))]
    results = []
    for value in (0, 170):
        fill_free_memory(value)
        try:
            results.append(pixels(bytes(data)).tobytes())
        except MediaError as error:
            results.append(str(error))
    assert results[0] == results[1]
