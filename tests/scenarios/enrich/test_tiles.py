"""Tests of tiles, the segments that make small objects in large images searchable."""

import itertools
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from indexer import IndexOptions, TagOptions, switch_library, tag_library, verify_library
from indexer.decode.images.crops import tile_boxes
from indexer.enrich import tiles
from indexer.operations.pipeline import IndexRun
from indexer.types import BatchLimits
from retrieval import Library, SearchOptions
from retrieval.cli.hits.formats import as_dict
from retrieval.formatting import format_location
from tests.scenarios.helpers import index_in_batches
from tests.support.files import draw_image
from tests.support.toy_embedder import ToyEmbedder

WIDTH, HEIGHT = 400, 300
BOTTOM_RIGHT_TILE = (180, 135, 220, 165)


@pytest.fixture
def landscapes(tmp_path):
    """Return a folder with three large images: a lawn, the sea, and a lawn with a red corner."""
    folder = tmp_path / "landscapes"
    draw_image(folder / "lawn.png", "green", (WIDTH, HEIGHT))
    draw_image(folder / "sea.png", "blue", (WIDTH, HEIGHT))
    image = Image.new("RGB", (WIDTH, HEIGHT), (0, 255, 0))
    ImageDraw.Draw(image).rectangle((260, 180, WIDTH, HEIGHT), fill=(255, 0, 0))
    image.save(folder / "find.png")
    return folder


@pytest.fixture
def opened(place, toy):
    """Return a function that opens the library; the fixture closes it."""
    with ExitStack() as libraries:
        yield lambda: libraries.enter_context(Library.open(place, embedder=toy))


def test_small_object_is_found_by_its_tile_with_its_box(landscapes, index, opened):
    index(landscapes)
    before = opened().search("red")[0]
    assert (before.path.name, before.box) == ("find.png", None)
    report = index(landscapes, tiles=True)
    assert report.segments == 15 and report.unchanged == 3
    assert report.notes == ["15 tiles of 3 images added, for small objects."]
    hit = opened().search("red")[0]
    assert (hit.path.name, hit.box) == ("find.png", BOTTOM_RIGHT_TILE)
    assert before.score == pytest.approx(0.163, abs=0.002)
    assert hit.score == pytest.approx(0.647, abs=0.002)
    assert as_dict(hit)["box"] == BOTTOM_RIGHT_TILE
    assert format_location(hit).endswith("find.png [220x165+180+135]")


def test_image_is_one_hit_with_the_score_of_its_best_tile(landscapes, index, opened):
    index(landscapes, tiles=True)
    library = opened()
    for kind, by in itertools.product((None, "image"), ("both", "meaning", "keyword")):
        hits = library.search("find red green", kind=kind, count=10, options=SearchOptions(by=by))
        assert len({hit.path for hit in hits}) == len(hits) == (1 if by == "keyword" else 3)
    assert len(library.search("green", count=2)) == 2
    assert len(library.search(image=landscapes / "find.png", count=10)) == 3


def test_status_counts_tiles_separately_from_images(landscapes, index, opened):
    index(landscapes, tiles=True)
    assert opened().status().segments == {"image": 3, "part": 15}


def test_tiles_are_excluded_from_similar_images_and_duplicates(landscapes, index, opened):
    (landscapes / "copy.png").write_bytes((landscapes / "find.png").read_bytes())
    index(landscapes, tiles=True)
    library = opened()
    assert {hit.path.name for hit in library.similar(landscapes / "find.png")} == {"lawn.png", "sea.png"}
    (group,) = library.duplicates(by="copy")
    assert {file.path.name for file in group.files} == {"find.png", "copy.png"}
    grouped = library.search("red", options=SearchOptions(group=True))
    assert grouped[0].path.name in ("find.png", "copy.png") and len(grouped[0].more) == 1
    tile = library.search("red")[0].id
    assert {hit.path.name for hit in library.search(f"#{tile}")} == {"lawn.png", "sea.png"}


def test_tiles_setting_is_saved_until_it_is_changed(landscapes, index):
    assert index(landscapes, tiles=True).segments == 18
    assert index(landscapes).segments == 0
    draw_image(landscapes / "wood.png", (0, 90, 0), (WIDTH, HEIGHT))
    assert index(landscapes).segments == 6
    draw_image(landscapes / "sky.png", (90, 90, 255), (WIDTH, HEIGHT))
    report = index(landscapes, tiles=False)
    assert (report.segments, report.notes) == (1, ["20 tiles removed, because this analysis is off now."])
    assert index(landscapes).segments == 0
    assert index(landscapes, tiles=True).segments == 25


def test_small_and_already_cropped_images_get_no_tiles(tmp_path, index):
    folder = tmp_path / "images"
    draw_image(folder / "small.png", "red", (100, 100))
    draw_image(folder / "wide.png", "green", (1000, 200))
    (folder / "notes.txt").write_text("red")
    assert index(folder, tiles=True).kinds == {"image": 2, "part": 7, "text": 1}
    assert index(folder).segments == 0


@pytest.mark.parametrize("name", ["photo.pdf", "photo.txt", "photo.mp4", "photo.mp3", "photo.docx"])
def test_image_with_wrong_suffix_gets_tiles(name, landscapes, index, opened):
    (landscapes / "find.png").rename(landscapes / name)
    report = index(landscapes, tiles=True)
    assert (report.kinds, report.segments) == ({"image": 3}, 18)
    assert report.notes == ["15 tiles of 3 images added, for small objects."]
    hit = opened().search("red")[0]
    assert (hit.path.name, hit.box) == (name, BOTTOM_RIGHT_TILE)
    assert index(landscapes).notes == []


def test_interrupted_run_keeps_its_tiles_and_the_next_run_resumes(landscapes, index, place, toy):
    index(landscapes)
    reported = []

    def stop(title, done, total, size=0):
        if total:  # the scan counts files of an unknown total
            reported.append((done, total))
            raise KeyboardInterrupt

    limits, options = BatchLimits(segments=1), IndexOptions(tiles=True)
    assert index_in_batches(limits, [landscapes], place, toy, options=options, progress=stop).interrupted
    assert reported == [(1, 3)]
    assert index(landscapes).segments == 10
    assert verify_library(place).errors == []


def test_file_changed_since_the_scan_is_skipped(landscapes, index, monkeypatch):
    index(landscapes)
    data, scan = (landscapes / "sea.png").read_bytes(), IndexRun.scan

    def scan_and_change(*args):
        scan(*args)
        (landscapes / "sea.png").write_bytes(data[:-1] + b"!")

    monkeypatch.setattr(IndexRun, "scan", scan_and_change)
    assert index(landscapes, tiles=True).segments == 10


class InvertedEmbedder(ToyEmbedder):
    """An embedder that inverts the colors of images."""

    name, fingerprint = "inverted", "inverted-1"

    def embed_images(self, images):
        return super().embed_images([255 - pixels for pixels in images])


def test_tiles_follow_a_model_switch(landscapes, index, place):
    index(landscapes, tiles=True)
    switch_library("inverted", library=place, embedder=InvertedEmbedder())
    with Library.open(place, embedder=InvertedEmbedder()) as library:
        assert library.status().spaces["inverted"] == 18
        hit = library.search("cyan")[0]
        assert (hit.path.name, hit.box) == ("find.png", BOTTOM_RIGHT_TILE)
    assert verify_library(place).errors == []


def test_exclusion_filter_checks_tiles_too(landscapes, index, opened):
    with Image.open(landscapes / "find.png") as image:
        ImageDraw.Draw(image).rectangle((180, 135, WIDTH, HEIGHT), fill=(255, 0, 0))
        image.save(landscapes / "find.png")
    index(landscapes)
    before = [hit.path.name for hit in opened().search("green not:red", options=SearchOptions(by="meaning"))]
    index(landscapes, tiles=True)
    assert before == ["lawn.png", "find.png", "sea.png"]
    assert [
        hit.path.name for hit in opened().search("green not:red", options=SearchOptions(by="meaning"))
    ] == [
        "lawn.png",
        "sea.png",
    ]


def test_labels_are_assigned_to_images_not_tiles(landscapes, index, place, toy, opened):
    index(landscapes, tiles=True)
    tag_library(["red", "green"], library=place, embedder=toy, options=TagOptions(at_least=0))
    assert opened().tags() == {"green": 3, "red": 3}


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_tiles_are_within_the_image_and_cover_its_corners(width, height):
    boxes = tile_boxes(width, height)
    assert len(boxes) in (0, 5)
    for left, top, tile_width, tile_height in boxes:
        assert left >= 0 and top >= 0 and left + tile_width <= width and top + tile_height <= height
        assert 2 * tile_width >= width and 2 * tile_height >= height
    if boxes:
        assert {(left == 0, top == 0) for left, top, _, _ in boxes[:4]} == set(
            itertools.product((True, False), repeat=2)
        )


def test_image_that_fails_once_is_cut_into_tiles_by_the_next_run(tmp_path, index, monkeypatch):
    for number in range(3):
        draw_image(tmp_path / "images" / f"{number}.png", (number, 9, 9), size=(640, 480))
    cut, calls = tiles.redecode_tiles, []

    def fail_once(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError("no memory")
        return cut(*args)

    monkeypatch.setattr(tiles, "redecode_tiles", fail_once)
    first = index(tmp_path / "images", tiles=True)
    assert any("1 image not cut into tiles, and retried later: no memory" in note for note in first.notes)
    second = index()
    assert (first.segments, second.segments) == (13, 5)
