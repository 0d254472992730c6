"""Images that are broken, too large or unsupported raise only MediaError."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval import Library
from retrieval.errors import ExtraMissing, MediaError, QueryError
from retrieval.media.images.loader import load_image
from retrieval.media.images.svg import open_svg, svg_pool
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandboxed_calls import decoder_pool
from tests.support import image_files
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image
from tests.support.image_files import RED, encode_image, quadrant_image, solid_image
from tests.support.image_formats import FORMATS, SVG


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
    with pytest.raises(MediaError, match=r"takes more than 0\.001 seconds"):
        open_svg(io.BytesIO(SVG), DecodeLimits(max_sandbox_seconds=0.001))


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
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY_ROOT / "tests" / "support" / "failing_decoders"))
    monkeypatch.setenv("MISSING_MODULE", module)
    decoder_pool(DEFAULT_LIMITS).close()
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
    decoder_pool(DEFAULT_LIMITS).close()
    assert index(folder).unchanged == 0


def test_too_large_images_are_rejected_in_every_format():
    large = solid_image(RED, (640, 480))
    for name in ("photo.heic", "photo.avif", "photo.jxl", "photo.jp2", "photo.tga", "deep.psd", "photo.cr2"):
        with pytest.raises(MediaError, match="640 x 480 pixels, more than the limit of 1,000"):
            load_image(io.BytesIO(FORMATS[name](large)), limits=DecodeLimits(max_image_pixels=1_000))


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
        _read_xml(io.BytesIO(data), max_bytes=20_000_000)
        _read_xml(io.BytesIO(b"\x1f\x8b\x08" + data), max_bytes=20_000_000)
    except MediaError as error:
        assert str(error)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_all_files_are_closed(tmp_path, toy):
    svg_pool().close()
    before = len(os.listdir("/proc/self/fd"))
    for name, write in FORMATS.items():
        path = tmp_path / name
        path.write_bytes(write(quadrant_image()))
        load_image(path)
        path.write_bytes(path.read_bytes()[:-40])
        with suppress(MediaError):
            load_image(path)
    svg_pool().close()
    assert len(os.listdir("/proc/self/fd")) == before
