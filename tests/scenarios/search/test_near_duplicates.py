"""Near-duplicates of documents and photos: only images with the same text and picture are grouped."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from retrieval import Library, SearchOptions
from tests.support.drawn_documents import INK, PAPER, TEMPLATES, draw_document, font


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Return an image without these shares of its sides."""
    width, height = image.size
    box = width * left, height * top, width * (1 - right), height * (1 - bottom)
    return image.crop(tuple(map(round, box)))


CHANGES = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "gray": lambda image: image.convert("L"),
    "cropped": lambda image: crop(image, 0.01, 0.01, 0.01, 0.01),
    "recompressed": lambda image: image,
}


@pytest.fixture
def groups_of(tmp_path, index, place, toy):
    """Return the names in each near-duplicate group of images by name."""

    def near_duplicate_groups(images, options=None):
        for name, image in images.items():
            path = tmp_path / "scans" / name
            path.parent.mkdir(exist_ok=True)
            image.save(path, **({"quality": 50} if path.suffix == ".jpg" else {"compress_level": 1}))
        index(tmp_path / "scans")
        with Library.open(place, embedder=toy) as library:
            groups = library.duplicates(by="near-duplicate")
            return sorted(sorted(file.path.name for file in group.files) for group in groups)

    return near_duplicate_groups


def test_documents_with_different_text_are_not_grouped(groups_of):
    assert groups_of({f"{n}.png": draw_document(n) for n in range(5 * len(TEMPLATES))}) == []


@pytest.mark.parametrize("change", CHANGES)
def test_changed_document_is_grouped_with_its_original(groups_of, change):
    count = len(TEMPLATES)
    images = {f"{n}.png": draw_document(n) for n in range(2 * count)}
    images |= {f"{n} changed.jpg": CHANGES[change](draw_document(n)) for n in range(count)}
    expected = sorted([f"{n} changed.jpg", f"{n}.png"] for n in range(count))
    found = groups_of(images)
    assert [names for names in found if names not in expected] == []
    assert len(found) >= count - (change == "cropped")


def test_small_copies_of_documents_with_different_text_are_not_grouped(groups_of):
    """Their text is hardly legible, and only its shape differs."""
    images = {n: draw_document(n) for n in range(3 * len(TEMPLATES))}
    small = {f"{n}.jpg": image.resize((image.width // 5, image.height // 5)) for n, image in images.items()}
    assert groups_of(small) == []


def test_small_copies_of_photos_are_grouped_with_them(groups_of):
    colors = np.random.default_rng(2).integers(20, 236, (4, 18, 24, 3)).astype(np.uint8)
    photos = [Image.fromarray(each).resize((320, 240), Image.Resampling.BICUBIC) for each in colors]
    images = {f"{n}.png": photo for n, photo in enumerate(photos)}
    images |= {f"{n} small.jpg": photo.resize((64, 48)) for n, photo in enumerate(photos)}
    assert groups_of(images) == [[f"{n} small.jpg", f"{n}.png"] for n in range(4)]


@pytest.mark.parametrize("size", [20, 28])
def test_documents_that_differ_in_one_number_are_not_grouped(groups_of, size):
    images = {}
    for number in (1048, 7396, 2575):
        image = draw_document(4)
        ImageDraw.Draw(image).rectangle((300, 470, 600, 520), PAPER)
        ImageDraw.Draw(image).text((310, 475), f"{number}", INK, font(size))
        images[f"{number}.png"] = image
    assert groups_of(images) == []


def test_empty_page_is_not_a_duplicate_of_a_page_with_a_line(groups_of):
    pages = {"empty.png": Image.new("RGB", (600, 800), PAPER)}
    for number, text in enumerate(("Door code 4821", "Pick up the car")):
        pages[f"{number}.png"] = Image.new("RGB", (600, 800), PAPER)
        ImageDraw.Draw(pages[f"{number}.png"]).text((60, 90), text, INK, font(22))
    assert groups_of(pages) == []


def test_long_screenshots_with_different_ends_are_not_grouped(groups_of):
    screens = {}
    for number in range(3):
        image = Image.new("RGB", (400, 4000), PAPER)
        draw = ImageDraw.Draw(image)
        for row in range(90):
            text = f"line {row} of the same list" if row < 85 else f"another end {number * 77 + row}"
            draw.text((20, 20 + 44 * row), text, INK, font(22))
        screens[f"{number}.png"] = image
    assert groups_of(screens) == []


def test_pan_is_not_one_group(groups_of):
    """The ends of a pan share nothing; each frame is grouped only with those that show the same."""
    wide = np.random.default_rng(1).integers(20, 236, (12, 60, 3)).astype(np.uint8)
    scene = Image.fromarray(wide).resize((1500, 300), Image.Resampling.BICUBIC)
    pan = {f"{x:04d}.png": scene.crop((x, 0, x + 400, 300)) for x in range(0, 1000, 8)}
    for names in groups_of(pan):
        positions = [int(name[:4]) for name in names]
        assert max(positions) - min(positions) <= 80


def test_offline_documents_are_grouped_only_if_they_can_be_compared(tmp_path, groups_of, index, place, toy):
    letter = draw_document(3)
    assert groups_of({"a.png": letter, "b.jpg": letter}) == [["a.png", "b.jpg"]]
    (tmp_path / "scans").rename(tmp_path / "away")
    index()
    with Library.open(place, embedder=toy) as library:
        assert library.duplicates(by="near-duplicate") == []
        hits = library.search("red", kind="image", options=SearchOptions(group=True))
        assert [len(hit.more) for hit in hits] == [0, 0]
