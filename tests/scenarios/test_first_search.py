"""Index and search real photos with the built-in model, through the command line."""

import json
import sys
from hashlib import sha256

import numpy as np
import pytest

from indexer import evaluate, index_folder, update_library
from indexer.cli.demo import PHOTOS, make_photos
from retrieval import Library, SearchOptions
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.errors import ExtraMissing
from tests.support.files import write_text


@pytest.fixture
def photos(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra [demo]")
    return make_photos(tmp_path / "photos")


def test_photos_are_found_by_text_and_image_and_after_a_move(clew, photos):
    assert clew("index", photos).stdout.startswith("14 images, 14 passages")

    for query, name in (
        ("a cat", "cat.png"),
        ("a rocket at night", "rocket.jpg"),
        ("an orange flower", "flower.jpg"),
        ("a motorcycle", "motorcycle.png"),
        ("eine Katze", "cat.png"),
        ("una flor naranja", "flower.jpg"),
        ("цветок", "flower.jpg"),
        ("一只猫", "cat.png"),
        ("オートバイ", "motorcycle.png"),
    ):
        hits = json.loads(clew(query, "--kind", "image", "--json", "-k", 3).stdout)
        assert hits[0]["path"] == str(photos / name), query

    hit = json.loads(clew("search", "--image", photos / "rocket.jpg", "--kind", "text", "--json").stdout)[0]
    assert (hit["path"], hit["text"]) == (str(photos / "rocket.jpg"), "a rocket on its launch pad at night")

    for query in ("a cup of coffee", "eine Tasse Kaffee"):  # by its picture and its English caption
        hits = json.loads(clew(query, "--json").stdout)
        assert hits[0]["path"] == str(photos / "coffee.png")
    assert len({hit["path"] for hit in hits}) == len(hits)

    (photos / "cat.png").rename(photos / "kitten.png")
    (photos / "cat.txt").rename(photos / "kitten.txt")
    report = json.loads(clew("index", "--json").stdout)
    assert (report["moved"], report["segments"], report["unchanged"]) == (2, 0, 26)
    assert clew("a cat", "--paths", "-k", 1).stdout == f"{photos / 'kitten.png'}\n"


def test_passages_are_found_by_questions_in_another_language(tmp_path):
    notes = {
        "train": "Der Zug nach Hamburg fährt um acht Uhr ab.",
        "cake": "リンゴのケーキのレシピ",
        "cat": "Кошка спит на диване.",
    }
    for name, text in notes.items():
        write_text(tmp_path / "notes" / f"{name}.txt", text)
    with index_folder(tmp_path / "notes", library=tmp_path / "library", model="builtin") as library:
        for words, name in (
            ("when does the train leave?", "train"),
            ("apple pie recipe", "cake"),
            ("eine schlafende Katze", "cat"),
        ):
            hits = library.search(words, options=SearchOptions(by="meaning"))
            assert hits[0].path.stem == name, words


def test_demo_makes_a_library_that_can_be_searched(clew, tmp_path):
    pytest.importorskip("skimage", reason="needs the extra [demo]")
    result = clew("demo")
    assert result.exit_code == 0, result.output
    assert "14 images, 14 passages" in result.stdout
    assert "the face of a tabby cat" in result.stdout
    assert (tmp_path / "clew-demo" / "library" / "catalogue.sqlite").exists()
    assert clew("a moon", "--library", "clew-demo/library").exit_code == 0
    assert f"The photos and the library are in {tmp_path / 'clew-demo'}" in result.stdout
    assert "exists already" not in result.stderr
    again = clew("demo")
    assert again.exit_code == 0
    assert again.stderr.startswith("clew-demo exists already.")


def test_demo_without_its_extra_fails_with_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)  # as if it were not installed
    with pytest.raises(ExtraMissing, match=r'pip install "clew-search\[demo\]"'):
        make_photos(tmp_path)
    assert len(PHOTOS) == 14


class RemembersImages(BuiltinEmbedder):
    """The built-in model, which embeds equal images once."""

    def __init__(self):
        super().__init__()
        self.vectors = {}

    def embed_images(self, images):
        keys = [sha256(image).digest() for image in images]
        new = {key: image for key, image in zip(keys, images, strict=True) if key not in self.vectors}
        self.vectors |= zip(new, super().embed_images(list(new.values())), strict=True)
        return np.stack([self.vectors[key] for key in keys])


@pytest.fixture(scope="module")
def embedder():
    """Return an embedder for evaluations on the same photos."""
    return RemembersImages()


def test_recall_on_flickr8k_is_that_of_the_model_card(embedder, flickr):
    evaluation = evaluate(flickr / "captions.jsonl", embedder=embedder)
    assert (evaluation.pictures, evaluation.pairs) == (1_000, 5_000)
    for recalls, expected in (
        (evaluation.text_to_image, (24.9, 54.6, 69.0)),
        (evaluation.image_to_text, (31.8, 61.6, 74.3)),
    ):
        assert [recalls[f"recall@{k}"] for k in (1, 5, 10)] == pytest.approx(expected, abs=1)


def test_photos_are_found_by_descriptions_in_german(embedder, languages):
    # 871 of the 1,000 photos of the card
    evaluation = evaluate(languages / "captions.de.jsonl", embedder=embedder)
    assert evaluation.text_to_image["recall@10"] > 53


def test_each_file_of_a_mixed_folder_is_indexed_skipped_or_has_a_reason(mixed, tmp_path):
    report = update_library([mixed], library=tmp_path / "library")
    with Library.open(tmp_path / "library") as library:
        failures = library.failures()
        (root,) = library.status().roots
    assert report.added == root.present - root.failed
    assert report.added > 60
    assert report.failed == root.failed > 20
    assert len(failures) == root.failed + root.partial
    assert all(failure.reason and "unexpected" not in failure.reason for failure in failures)
    assert report.added + report.failed + report.skipped.total() == sum(
        1 for path in mixed.rglob("*") if path.is_file()
    )
