"""Tiles: small things are found, a picture stays one hit, and nothing takes a part for a whole."""

import itertools
import os
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from indexer import switch_library, tag_library, verify_library
from indexer.decode.images.crops import tile_boxes
from indexer.enrich.tiles import TilesPass
from retrieval import Library
from retrieval.cli.hit_formats import as_dict
from retrieval.formatting import format_location as shown
from tests.support.files import draw_image
from tests.support.toy_embedder import ToyEmbedder

WIDTH, HEIGHT = 400, 300
RIGHT_BELOW = (180, 135, 220, 165)


@pytest.fixture
def scenes(tmp_path):
    """Make a folder of three large pictures: a lawn, the sea, and a lawn with a red thing in its corner."""
    folder = tmp_path / "scenes"
    draw_image(folder / "lawn.png", "green", (WIDTH, HEIGHT))
    draw_image(folder / "sea.png", "blue", (WIDTH, HEIGHT))
    picture = Image.new("RGB", (WIDTH, HEIGHT), (0, 255, 0))
    ImageDraw.Draw(picture).rectangle((260, 180, WIDTH, HEIGHT), fill=(255, 0, 0))
    picture.save(folder / "find.png")
    return folder


@pytest.fixture
def opened(place, toy):
    """Open the toy library; it is closed when the test is done."""
    with ExitStack() as libraries:
        yield lambda: libraries.enter_context(Library.open(place, embedder=toy))


def test_a_small_thing_is_found_by_its_tile_which_shows_its_box(scenes, index, opened):
    index(scenes)
    before = opened().search("red")[0]
    assert (before.path.name, before.box) == ("find.png", None)
    report = index(scenes, tiles=True)
    assert report.segments == 15 and report.unchanged == 3
    assert report.notes == ["15 tiles of 3 images added, for small objects."]
    hit = opened().search("red")[0]
    assert (hit.path.name, hit.box) == ("find.png", RIGHT_BELOW)
    assert before.score == pytest.approx(0.163, abs=0.002)
    assert hit.score == pytest.approx(0.647, abs=0.002)
    assert as_dict(hit)["box"] == RIGHT_BELOW
    assert shown(hit).endswith("find.png [220x165+180+135]")


def test_a_picture_is_one_hit_by_its_best_part(scenes, index, opened):
    index(scenes, tiles=True)
    library = opened()
    for kind, by in itertools.product((None, "image"), ("both", "meaning", "keyword")):
        hits = library.search("find red green", kind=kind, count=10, by=by)
        assert len({hit.path for hit in hits}) == len(hits) == (1 if by == "keyword" else 3)
    assert len(library.search("green", count=2)) == 2
    assert len(library.search(image=scenes / "find.png", count=10)) == 3


def test_tiles_are_no_pictures_where_pictures_are_counted(scenes, index, opened):
    index(scenes, tiles=True)
    assert opened().status().segments == {"image": 3, "part": 15}


def test_a_picture_is_not_like_itself_and_no_copy_of_its_parts(scenes, index, opened):
    (scenes / "copy.png").write_bytes((scenes / "find.png").read_bytes())
    index(scenes, tiles=True)
    library = opened()
    assert {hit.path.name for hit in library.similar(scenes / "find.png")} == {"lawn.png", "sea.png"}
    (group,) = library.duplicates(by="copy")
    assert {file.path.name for file in group.files} == {"find.png", "copy.png"}
    grouped = library.search("red", group=True)
    assert grouped[0].path.name in ("find.png", "copy.png") and len(grouped[0].more) == 1
    tile = library.search("red")[0].id
    assert {hit.path.name for hit in library.search(f"#{tile}")} == {"lawn.png", "sea.png"}


def test_the_library_remembers_and_forgets_that_it_makes_tiles(scenes, index):
    assert index(scenes, tiles=True).segments == 18
    assert index(scenes).segments == 0
    draw_image(scenes / "wood.png", (0, 90, 0), (WIDTH, HEIGHT))
    assert index(scenes).segments == 6
    draw_image(scenes / "sky.png", (90, 90, 255), (WIDTH, HEIGHT))
    assert index(scenes, tiles=False).segments == 1
    assert index(scenes).segments == 0
    assert index(scenes, tiles=True).segments == 5


def test_small_pictures_and_those_cut_up_already_get_none(tmp_path, index):
    folder = tmp_path / "pictures"
    draw_image(folder / "small.png", "red", (100, 100))
    draw_image(folder / "wide.png", "green", (1000, 200))
    (folder / "notes.txt").write_text("red")
    assert index(folder, tiles=True).kinds == {"image": 2, "part": 7, "text": 1}
    assert index(folder).segments == 0


def test_a_stop_midway_loses_nothing_and_the_next_run_goes_on(scenes, index, monkeypatch, place):
    monkeypatch.setattr(TilesPass, "batch_size", 1)
    index(scenes)
    wrote = []

    def stop(title, done, total):
        wrote.append((done, total))
        raise KeyboardInterrupt

    assert index(scenes, tiles=True, progress=stop).interrupted
    assert wrote == [(1, 3)]
    assert index(scenes).segments == 10
    assert verify_library(place).errors == []


def test_a_file_that_changed_meanwhile_waits_for_its_own_turn(scenes, index, monkeypatch):
    index(scenes)
    status = (scenes / "sea.png").stat()
    data = (scenes / "sea.png").read_bytes()
    (scenes / "sea.png").write_bytes(data[:-1] + b"!")
    os.utime(scenes / "sea.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index(scenes, tiles=True).segments == 10


class Inverted(ToyEmbedder):
    """An embedder that sees every colour as its opposite."""

    name, fingerprint = "inverted", "inverted-1"

    def embed_images(self, pictures):
        return super().embed_images([255 - pixels for pixels in pictures])


def test_another_model_gets_the_same_tiles(scenes, index, place):
    index(scenes, tiles=True)
    switch_library("inverted", library=place, embedder=Inverted())
    with Library.open(place, embedder=Inverted()) as library:
        assert library.status().spaces["inverted"] == 18
        hit = library.search("cyan")[0]
        assert (hit.path.name, hit.box) == ("find.png", RIGHT_BELOW)
    assert verify_library(place).errors == []


def test_a_veto_looks_at_the_parts_of_a_picture_too(scenes, index, opened):
    with Image.open(scenes / "find.png") as picture:
        ImageDraw.Draw(picture).rectangle((180, 135, WIDTH, HEIGHT), fill=(255, 0, 0))
        picture.save(scenes / "find.png")
    index(scenes)
    before = [hit.path.name for hit in opened().search("green not:red", by="meaning")]
    index(scenes, tiles=True)
    assert before == ["lawn.png", "find.png", "sea.png"]
    assert [hit.path.name for hit in opened().search("green not:red", by="meaning")] == [
        "lawn.png",
        "sea.png",
    ]


def test_labels_are_given_to_whole_pictures(scenes, index, place, toy, opened):
    index(scenes, tiles=True)
    tag_library(["red", "green"], library=place, embedder=toy, at_least=0)
    assert opened().tags() == {"green": 3, "red": 3}


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_tiles_lie_in_their_picture_and_leave_no_corner_out(width, height):
    boxes = tile_boxes(width, height)
    assert len(boxes) in (0, 5)
    for left, top, wide, high in boxes:
        assert left >= 0 and top >= 0 and left + wide <= width and top + high <= height
        assert 2 * wide >= width and 2 * high >= height
    if boxes:
        assert {(left == 0, top == 0) for left, top, _, _ in boxes[:4]} == set(
            itertools.product((True, False), repeat=2)
        )
