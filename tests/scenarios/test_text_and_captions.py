"""Text files, captions and descriptions in images become passages."""

import json
import os
from unicodedata import normalize

import pytest
from PIL import Image

from indexer.scan.sidecars import assign_decoders, name_stem
from indexer.store.writer import LibraryWriter
from retrieval import Library
from tests.scenarios.helpers import hit_names
from tests.support.files import draw_image, write_text


def test_captions_are_found_as_text_of_their_image(folder, index, place, toy):
    write_text(folder / "blue.txt", "red green\n\ncyan cyan\n")
    (folder / "green.json").write_text(json.dumps({"caption": "magenta", "url": "x"}))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red green", kind="text")[0]
        assert (hit.path, hit.text, hit.source) == (folder / "blue.png", "red green", folder / "blue.txt")
        assert (hit.start, hit.end) == (1, 1)
        assert library.search("cyan", kind="text")[0].start == 3
        assert library.search("magenta", kind="text")[0].path == folder / "green.png"
        best = library.search(image=folder / "yellow.png", kind="text")[0]
        assert (best.text, best.path) == ("red green", folder / "blue.png")


@pytest.mark.parametrize(("of_image", "of_text"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_of_captions_are_compared_in_nfc(of_image, of_text, tmp_path, index, place, toy):
    image = tmp_path / "images" / f"{normalize(of_image, 'café')}.png"
    caption = tmp_path / "images" / f"{normalize(of_text, 'café')}.txt"
    draw_image(image, "red")
    write_text(caption, "cyan")
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        hit = library.search("cyan", kind="text")[0]
        assert (hit.path, hit.source) == (image, caption)


@pytest.mark.parametrize(("of_image", "of_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_caption_tables_are_compared_in_nfc(of_image, of_table, tmp_path, index, place, toy):
    images = tmp_path / "images"
    rows = "".join(f"{normalize(of_table, name)}.png,cyan\n" for name in ("café", "naïve"))
    write_text(images / "captions.csv", f"image,caption\n{rows}")
    draw_image(images / f"{normalize(of_image, 'café')}.png", "red")
    assert "1 of 2" in index(images).notes[0]
    draw_image(images / f"{normalize(of_image, 'naïve')}.png", "blue")
    assert index(images).notes == []
    with Library.open(place, embedder=toy) as library:
        hits = library.search("cyan", kind="text")
        assert {(hit.path, hit.text) for hit in hits} == {
            (images / f"{normalize(of_image, name)}.png", "cyan") for name in ("café", "naïve")
        }


def test_caption_with_exactly_the_name_of_an_image_is_preferred():
    images = [f"{normalize(form, 'café')}.png".encode() for form in ("NFC", "NFD")]
    texts = [f"{normalize(form, 'café')}.txt".encode() for form in ("NFC", "NFD")]
    decoders = assign_decoders([*images, *texts])
    assert [decoders[text][1] for text in texts] == images


def test_known_files_of_a_name_are_found_in_either_form(tmp_path, index, place, toy):
    names = [f"{normalize(form, 'café')}.{suffix}" for form, suffix in (("NFC", "txt"), ("NFD", "png"))]
    write_text(tmp_path / "images" / names[0], "cyan")
    draw_image(tmp_path / "images" / names[1], "red")
    draw_image(tmp_path / "images" / "cafe.png", "blue")
    index(tmp_path / "images")
    with LibraryWriter(place, lambda space: toy) as writer:
        root = writer.roots.all()[0]
        target = root._replace(recursive=False, name_stems=frozenset({name_stem(os.fsencode(names[1]))}))
        assert {os.fsdecode(row[1]) for row in writer.roots.catalog_rows(target)} == {*names}


def test_description_in_an_image_is_its_text(tmp_path, index, place, toy):
    exif = Image.Exif()
    exif[0x010E] = "cyan"
    draw_image(tmp_path / "images" / "a.jpg", "red", exif=exif)
    index(tmp_path / "images")
    with Library.open(place, embedder=toy) as library:
        hit = library.search("cyan", kind="text")[0]
        assert (hit.path.name, hit.text, hit.source) == ("a.jpg", "cyan", None)
        assert [hit.path.name for hit in library.search("cyan")] == [
            "a.jpg"
        ]  # an image and its text are one hit


def test_caption_of_a_deleted_image_is_plain_text(folder, index, place, toy):
    write_text(folder / "blue.txt", "red green")
    index(folder)
    (folder / "blue.png").unlink()
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red green", kind="text")[0]
        assert (hit.path, hit.source) == (folder / "blue.txt", None)


def test_passages_of_a_text_file_have_line_numbers(folder, index, place, toy):
    write_text(folder / "notes.md", "# cyan\n\nred green blue\nwhite. magenta\n")
    assert index(folder).kinds["text"] == 2
    with Library.open(place, embedder=toy) as library:
        hit = library.search("cyan", kind="text")[0]
        assert (hit.path.name, hit.text, hit.start, hit.end) == ("notes.md", "cyan", 1, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_file_is_read_in_its_encoding(folder, index, place, toy, encoding):
    (folder / "a.txt").write_bytes("cyan é".encode(encoding))
    index(folder)
    assert hit_names(place, toy, "cyan", kind="text") == ["a.txt"]
    with Library.open(place, embedder=toy) as library:
        assert library.search("cyan", kind="text")[0].text == "cyan é"


def test_long_text_is_committed_in_several_transactions(folder, index, place, toy):
    write_text(folder / "long.txt", "\n\n".join(f"red green number {n}" for n in range(2_500)))
    assert index(folder).kinds["text"] == 2_500
    assert index(folder).segments == 0


def test_same_bytes_as_text_and_as_caption_are_two_contents(folder, index, place, toy):
    write_text(folder / "blue.txt", "red\ngreen")
    write_text(folder / "notes.txt", "red\ngreen")
    assert index(folder).kinds["text"] == 3
    assert len(hit_names(place, toy, "red", kind="text")) == 3


def test_equal_captions_lead_to_each_of_their_images(folder, index, place, toy):
    for name in ("red", "green", "blue"):
        write_text(folder / f"{name}.txt", "summer")
    index(folder)
    assert sorted(hit_names(place, toy, "summer", kind="text")) == ["blue.png", "green.png", "red.png"]
