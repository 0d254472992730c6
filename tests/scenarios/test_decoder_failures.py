"""A decoder that crashes, hangs or takes too much memory costs one file, which is reported."""

import io
import itertools
import time

import pytest
from PIL import Image

from indexer import verify_library
from indexer.decode.context import DecodeContext
from indexer.decode.reader import DECODERS
from retrieval import Library
from retrieval.errors import MediaError, QueryError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.picture import decode_picture
from retrieval.media.sandboxed_calls import call_sandboxed, decoder_pool, iterate_sandboxed
from retrieval.query.encoder import embed_image
from tests.support.audio_files import write_audio
from tests.support.document_files import pdf
from tests.support.files import draw_image
from tests.support.image_files import quadrant_image
from tests.support.image_formats import FORMATS
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import write_video

FAILURES = ("abort", "crash", "loop", "sleep", "memory")
IMAGES = ("photo.jpg", "photo.png", "photo.webp", "photo.tif", "photo.heic", "photo.avif", "photo.jxl")
IMAGES += ("photo.cr2", "photo.jp2", "photo.psd", "photo.svg")


@pytest.fixture
def failing_decoders(monkeypatch):
    """Start subprocesses whose decoders fail on files with a marker."""
    from tests.support.catalog import REPOSITORY_ROOT

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY_ROOT / "tests" / "support" / "failing_decoders"))


def write_media(folder):
    """Write a file of each kind of native decoder."""
    folder.mkdir()
    image = Image.new("RGB", (96, 64), (250, 10, 10))
    for name in IMAGES:
        (folder / name).write_bytes(FORMATS[name](image))
    (folder / "pages.pdf").write_bytes(pdf([("red", "1 0 0")]))
    write_audio(folder / "sound.mp3", 1)
    write_audio(folder / "sound.wav", 1)
    write_video(folder / "film.mp4", [("red", 2)])
    return sorted(folder.iterdir())


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_of_a_decoder_costs_one_file(failure, failing_decoders, tmp_path, place, index_within):
    files = write_media(tmp_path / "media")
    if failure in ("loop", "sleep"):
        files = [path for path in files if path.suffix in (".heic", ".mp4", ".pdf")]
    for path in files:
        with path.open("ab") as file:
            file.write(f"fail:{failure}".encode())
    good = [
        draw_image(tmp_path / "media" / f"good {number}.png", "red", (24 + number, 16)) for number in range(3)
    ]
    seconds = 4 if failure in ("loop", "sleep") else 8
    limits = DecodeLimits(max_sandbox_seconds=seconds, max_decoder_memory_bytes=1_000_000_000 + len(failure))
    started = time.monotonic()
    report = index_within(limits, tmp_path / "media")
    assert time.monotonic() - started < 90
    others = len(list((tmp_path / "media").iterdir())) - len(files)
    assert (report.failed, report.added) == (len(files), others)
    with Library.open(place, embedder=ToyEmbedder()) as library:
        failures = {failed.path: failed.reason for failed in library.failures()}
        assert sorted(failures) == files
        word = {"loop": "seconds", "sleep": "seconds"}.get(failure, "memory|fail|valid|damaged|PDF")
        assert [reason for reason in failures.values() if not any(w in reason for w in word.split("|"))] == []
        assert {hit.path for hit in library.search("red", count=50)} >= set(good)
    assert verify_library(place).errors == []
    started = time.monotonic()
    again = index_within(limits, tmp_path / "media")
    assert (again.failed, again.unchanged, again.segments) == (len(files), others, 0)
    assert time.monotonic() - started < 3  # failed files are not read again


@pytest.mark.parametrize("failure", ["abort", "crash", "memory"])
def test_query_picture_whose_decoder_fails_is_a_query_error(failure, failing_decoders, toy, tmp_path):
    decoder_pool(DEFAULT_LIMITS).close()
    for path in (draw_image(tmp_path / "red.png"), write_video(tmp_path / "film.mp4", [("red", 1)])):
        assert embed_image(toy, path).any()
        with path.open("ab") as file:
            file.write(f"fail:{failure}".encode())
        with pytest.raises(QueryError, match="decoder fails"):
            embed_image(toy, path)


def test_query_picture_has_a_time_limit_and_a_pixel_limit(failing_decoders, tmp_path):
    path = draw_image(tmp_path / "red.png", size=(64, 64))
    with path.open("rb") as file, pytest.raises(MediaError, match="more than the limit of 100"):
        decode_picture(file, 16, DecodeLimits(max_image_pixels=100))
    with path.open("ab") as file:
        file.write(b"fail:loop")
    with path.open("rb") as file, pytest.raises(MediaError, match="more than 2 seconds"):
        decode_picture(file, 16, DecodeLimits(max_sandbox_seconds=2))


def fail_between(file, count):
    """Yield numbers, then crash."""
    yield from range(count)
    import os

    os.abort()


def raise_error(file, error):
    raise error


def double(file, number):
    return 2 * number


def test_subprocess_that_fails_between_two_items_is_replaced():
    from retrieval.errors import ExtraMissing, MediaError

    limits = DecodeLimits(max_sandbox_seconds=9)
    items = iterate_sandboxed(fail_between, io.BytesIO(b"content"), 3, limits=limits)
    assert list(itertools.islice(items, 3)) == [0, 1, 2]
    with pytest.raises(MediaError, match=r"its decoder fails: .*SIGABRT"):
        next(items)
    assert call_sandboxed(double, io.BytesIO(b""), 21, limits=limits) == 42
    for error in (MediaError("too dark"), OSError(5, "no disk"), KeyError("a")):
        with pytest.raises(type(error)) as raised:
            call_sandboxed(raise_error, io.BytesIO(b""), error, limits=limits)
        assert str(raised.value) == str(error)
    with pytest.raises(Exception, match=r"requires an extra"):
        call_sandboxed(raise_error, io.BytesIO(b""), ExtraMissing("To read X", "x"), limits=limits)


def test_time_limit_grows_with_the_size_of_the_file():
    limits = DecodeLimits(max_sandbox_seconds=2, min_decoded_bytes_per_second=1_000)
    assert limits.max_decode_seconds(5_000) == 7


@pytest.mark.parametrize("name", ["photo.jpg", "photo.heic", "photo.tif"])
def test_result_of_a_subprocess_equals_that_of_its_function(name, tmp_path):
    from indexer.decode.context import all_pixels
    from indexer.decode.images.decoder import ImageOutput, read_contents

    data, output, limits = FORMATS[name](quadrant_image()), ImageOutput(64, all_pixels, True), DecodeLimits()
    remote = call_sandboxed(read_contents, io.BytesIO(data), output, limits, limits=limits)
    local = read_contents(io.BytesIO(data), output, limits)
    assert remote.properties == local.properties
    assert [(draft.pixels.tobytes(), draft.thumbnail) for draft in remote.drafts] == [
        (draft.pixels.tobytes(), draft.thumbnail) for draft in local.drafts
    ]


@pytest.mark.parametrize("decoder", ["picture", "video", "sound", "document"])
def test_stopped_decoder_raises_at_once(decoder, failing_decoders, tmp_path):
    from concurrent.futures import CancelledError
    from threading import Timer

    path = tmp_path / "file"
    path.write_bytes(b"fail:sleep")
    context = DecodeContext(ToyEmbedder(), limits=DecodeLimits(max_sandbox_seconds=61))
    Timer(1, context.stop.set).start()
    started = time.monotonic()
    with path.open("rb") as file, pytest.raises(CancelledError):
        DECODERS[decoder](file, ".x", context)
    assert time.monotonic() - started < 3
