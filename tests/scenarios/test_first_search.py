"""The whole story with the built-in model, through the command, on real photos."""

import json

import pytest

from indexer import evaluate, update_library
from indexer.cli.demo import PHOTOS, make_photos
from retrieval import Library
from retrieval.errors import ExtraMissing


@pytest.fixture
def photos(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra [demo]")
    return make_photos(tmp_path / "photos")


def test_index_search_by_words_by_picture_and_again(clew, photos):
    assert clew("index", photos).stdout.startswith("14 images, 14 passages")

    for words, name in (
        ("a cat", "cat.png"),
        ("a rocket at night", "rocket.jpg"),
        ("an orange flower", "flower.jpg"),
        ("a motorcycle", "motorcycle.png"),
    ):
        hits = json.loads(clew(words, "--kind", "image", "--json", "-k", 3).stdout)
        assert hits[0]["path"] == str(photos / name), words

    hit = json.loads(clew("search", "--image", photos / "rocket.jpg", "--kind", "text", "--json").stdout)[0]
    assert (hit["path"], hit["text"]) == (str(photos / "rocket.jpg"), "a rocket on its launch pad at night")

    mixed = json.loads(clew("a cup of coffee", "--json").stdout)
    assert mixed[0]["path"] == str(photos / "coffee.png")
    assert len({hit["path"] for hit in mixed}) == len(mixed)

    (photos / "cat.png").rename(photos / "kitten.png")
    (photos / "cat.txt").rename(photos / "kitten.txt")
    again = json.loads(clew("index", "--json").stdout)
    assert (again["moved"], again["segments"], again["unchanged"]) == (2, 0, 26)
    assert clew("a cat", "--paths", "-k", 1).stdout == f"{photos / 'kitten.png'}\n"


def test_the_demo_runs_and_says_how_to_go_on(clew, tmp_path):
    pytest.importorskip("skimage", reason="needs the extra [demo]")
    done = clew("demo")
    assert done.exit_code == 0, done.output
    assert "14 images, 14 passages" in done.stdout
    assert "the face of a tabby cat" in done.stdout
    assert (tmp_path / "clew-demo" / "library" / "catalogue.sqlite").exists()
    assert clew("a moon", "--library", "clew-demo/library").exit_code == 0
    assert clew("demo").exit_code == 0  # and again


def test_the_demo_without_its_extra_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("indexer.cli.demo.find_spec", lambda package: None)
    with pytest.raises(ExtraMissing, match=r'pip install "clew-search\[demo\]"'):
        make_photos(tmp_path)
    assert len(PHOTOS) == 14


def test_flickr8k_through_the_pipeline_gives_the_recall_of_the_card(flickr):
    done = evaluate(flickr / "captions.jsonl")
    assert (done.pictures, done.pairs) == (1_000, 5_000)
    for found, card in (
        (done.text_to_image, (9.6, 28.2, 39.4)),
        (done.image_to_text, (11.9, 30.2, 40.2)),
    ):
        assert [found[f"recall@{k}"] for k in (1, 5, 10)] == pytest.approx(card, abs=1)


def test_a_folder_of_odd_files_is_indexed_or_explained(mixed, tmp_path):
    report = update_library([mixed], library=tmp_path / "library")
    with Library.open(tmp_path / "library") as library:
        failures = library.failures()
        (root,) = library.status().roots
    assert report.added == root.present - len(failures)
    assert report.added > 60
    assert report.failed == len(failures) > 20
    assert all(failure.reason and "unexpected" not in failure.reason for failure in failures)
    assert report.added + report.failed + report.skipped.total() == sum(
        1 for path in mixed.rglob("*") if path.is_file()
    )
