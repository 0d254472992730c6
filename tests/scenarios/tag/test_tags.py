"""Tests of labels, which tag the segments that match them better than most background queries."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from indexer import (
    TagOptions,
    forget,
    index_folder,
    remove_labels,
    switch_library,
    tag_library,
    update_library,
)
from indexer.tag import tag_table
from indexer.tag.matcher import TagRule, match_labels
from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT, classify, fuse, label_vectors
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import Catalog, add_functions
from retrieval.embedders.registry import load_embedder
from retrieval.errors import ClewError, LibraryError, LibraryMissing, QueryError, SpaceMismatch
from retrieval.scoring.calibration import rival_levels, rounded_confidence
from retrieval.types import CONFIDENCE_THRESHOLD
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, write_text
from tests.support.interpreter import imported_modules
from tests.support.toy_embedder import COLORS, ToyEmbedder


class ColorWordEmbedder(ToyEmbedder):
    """A toy embedder that knows only the names of colors, so a label can have no known word."""

    name = "read"
    fingerprint = "read-1"

    def count_tokens(self, text):
        return sum(word in COLORS for word in text.split())


class RotatedTextEmbedder(ToyEmbedder):
    """A toy embedder with permuted text vectors: "red" is near green images, and so on."""

    name = "turned"
    fingerprint = "turned-1"

    def embed_texts(self, texts):
        return np.roll(super().embed_texts(texts), 1, axis=1)


@pytest.fixture
def tag(place, toy):
    def tag_labels(*labels, embedder=toy, dry_run=False, **options):
        return tag_library(
            labels, library=place, embedder=embedder, dry_run=dry_run, options=TagOptions(**options)
        )

    return tag_labels


def tags_of(place, label=None):
    """Return {label: {segment: confidence}}, or {segment: confidence} if a label is given."""
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        rows = db.execute("SELECT name, segment, confidence FROM tags ORDER BY name, segment").fetchall()
    tags = {}
    for name, segment, confidence in rows:
        tags.setdefault(name, {})[segment] = confidence
    return tags if label is None else tags.get(label, {})


def matches_of(library, label, min_confidence=CONFIDENCE_THRESHOLD, kind="image"):
    """Return the segments that a label matches, each by its cosine: {segment: confidence}."""
    space_index, vector = library._open_space_index(), library.embedder.embed_texts([label])[0]
    known = space_index.calibrations["words", kind]
    ids, vectors = next(space_index.catalog.vectors_after(space_index.space, kind, 0))
    nearest = vectors[np.argsort(-(vectors @ vector), kind="stable")[: known.nearest]]
    levels, spreads = rival_levels(nearest @ space_index.background_queries("words").T)
    z_scores = known.z_scores((vectors @ vector - levels.mean()) / spreads.mean())
    confidences = {int(id_): rounded_confidence(float(z)) for id_, z in zip(ids, z_scores, strict=True)}
    return {id_: value for id_, value in confidences.items() if value >= min_confidence}


def confident_hits_of(library, words):
    """Return the segments of the confident hits of a search."""
    hits = library.search(words, kind="image", count=1000, options=SearchOptions(by="meaning"))
    return {hit.id for hit in hits if hit.confidence >= CONFIDENCE_THRESHOLD}


def names(library, **filters):
    return {hit.path.name for hit in library.search("white", count=100, **filters)}


@pytest.fixture
def many_colors(tmp_path):
    """Return a folder with 63 images of different colors."""
    shades = [(r, g, b) for r in (0, 90, 180, 255) for g in (0, 90, 180, 255) for b in (0, 90, 180, 255)]
    for red, green, blue in shades[1:]:
        draw_image(tmp_path / "colors" / f"{red}-{green}-{blue}.png", (red, green, blue))
    return tmp_path / "colors"


@pytest.mark.parametrize("min_confidence", [None, 0.3, 0.9])
def test_tags_are_the_images_that_match_by_themselves(many_colors, index, place, toy, tag, min_confidence):
    index(many_colors)
    done = tag("red", "cyan", "grey", at_least=min_confidence)
    with Library.open(place, embedder=toy) as library:
        for label in done.labels:
            expected = matches_of(
                library, label.name, CONFIDENCE_THRESHOLD if min_confidence is None else min_confidence
            )
            assert tags_of(place, label.name) == pytest.approx(expected, abs=2e-4)
            assert label.count == len(expected)
            best = sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
            assert [hit.confidence for hit in label.best] == pytest.approx([c for _, c in best], abs=2e-4)
        assert library.tags() == {label.name: label.count for label in done.labels}
    assert [label.name for label in done.labels] == ["red", "cyan", "grey"]
    assert 0 < len(tags_of(place, "red")) < 63
    assert {hit.path.name for hit in done.labels[0].best} == {"255-0-0.png", "180-0-0.png", "90-0-0.png"}


def test_confident_hits_of_a_search_for_a_label_have_it(many_colors, index, place, toy, tag):
    index(many_colors)
    labels = ("red", "cyan", "yellow", "white")
    tag(*labels)
    with Library.open(place, embedder=toy) as library:
        for label in labels:
            assert confident_hits_of(library, label) <= set(tags_of(place, label))


def test_zero_threshold_tags_every_image(many_colors, index, place, tag):
    index(many_colors)
    assert tag("red", at_least=0).labels[0].count == 63
    assert tag("red", at_least=1).labels[0].count == len(tags_of(place, "red")) < 63


def test_tag_filter_returns_exactly_the_tagged_segments(many_colors, index, place, toy, tag):
    index(many_colors)
    tag("red", "blue", at_least=0.5)
    tags = tags_of(place)
    with Library.open(place, embedder=toy) as library:
        for label in ("red", "blue", "RED"):
            hits = library.search("white", kind="image", count=100, options=SearchOptions(tag=label))
            assert {hit.id for hit in hits} == set(tags[label.lower()])
        both = library.search("white", kind="image", count=100, options=SearchOptions(tag=["red", "blue"]))
        assert {hit.id for hit in both} == set(tags["red"]) & set(tags["blue"])
        inline = library.search("white tag:red", kind="image", count=100)
        assert {hit.id for hit in inline} == set(tags["red"])
        assert library.search("white", options=SearchOptions(tag="receipt")) == []


def test_tags_do_not_depend_on_the_batch_of_labels_or_segments(many_colors, index, place, toy, tag):
    index(many_colors)
    tag("red", "cyan", "green", at_least=0.5)
    together = tags_of(place)
    for label in ("green", "red", "cyan"):
        tag(label, at_least=0.5)
    assert tags_of(place) == together
    names, in_batches = ["red", "cyan", "green"], {}
    with closing(Catalog.open(place)) as catalog:
        batches = list(match_labels(catalog, catalog.space(), toy, names, TagRule(0.5), batch_size=10))
    for segments, labels, confidences, _ in batches:
        for segment, label, confidence in zip(segments, labels, confidences.tolist(), strict=True):
            in_batches.setdefault(names[label], {})[segment] = confidence
    assert len(batches) == 7
    assert in_batches == together


def test_one_of_assigns_each_image_its_most_likely_label(many_colors, index, place, toy, tag):
    index(many_colors)
    done = tag("red", "green", "blue", one_of=True, weight=1)
    assert sum(label.count for label in done.labels) == 63
    with Library.open(place) as library:
        catalog = library._catalog
        ids, vectors = catalog.vectors_of(catalog.space(), range(1, 100))
    probabilities = classify(vectors, label_vectors(toy, ["red", "green", "blue"]))
    for id_, row in zip(ids.tolist(), probabilities, strict=True):
        label = ["red", "green", "blue"][row.argmax()]
        assert tags_of(place, label)[id_] == pytest.approx(row.max(), abs=1e-4)
    tag("red", "green", "blue", one_of=True, weight=1, at_least=0.99)
    assert min(min(tags.values()) for tags in tags_of(place).values()) >= 0.99
    assert 0 < sum(map(len, tags_of(place).values())) < 63


def test_one_of_with_fewer_labels_removes_the_others(many_colors, index, place, toy, tag):
    index(many_colors)
    notes = []
    tag("red", "green", "blue", "cyan", one_of=True)
    tag("grey", "white", one_of=True)
    tag("yellow", at_least=0.5)
    others = {name: tags for name, tags in tags_of(place).items() if name in ("grey", "white", "yellow")}
    assert "grey" in others
    tag_library(
        ["RED", "green"], library=place, embedder=toy, options=TagOptions(one_of=True), notify=notes.append
    )
    assert notes == ["No longer a label, because it is not among the new alternatives: blue, cyan."]
    assert set(tags_of(place)) == {"RED", "green", *others}
    assert not set(tags_of(place, "RED")) & set(tags_of(place, "green"))
    assert {name: tags_of(place, name) for name in others} == others
    tag("green", "black", one_of=True, dry_run=True)
    assert "RED" in tags_of(place)
    tag("green", "black", one_of=True)  # a label that moves to another group
    assert set(tags_of(place)) - set(others) <= {"green", "black"}


def test_captions_and_images_are_fused(tmp_path, index, place, toy, tag):
    folder = tmp_path / "images"
    for name in ("captioned", "bare"):
        draw_image(folder / f"{name}.png", "red")
    draw_image(folder / "captioned.png", (250, 0, 0))
    write_text(folder / "captioned.txt", "blue")
    write_text(folder / "notes.md", "green")
    index(folder)

    def best_of(weight, **options):
        done = tag("red", "blue", one_of=True, weight=weight, **options)
        return {label.name: [(hit.path.name, hit.confidence) for hit in label.best] for label in done.labels}

    labels = label_vectors(toy, ["red", "blue"])
    by_image, by_caption = (classify(toy.embed_texts([word]), labels) for word in ("red", "blue"))
    fused = fuse(by_image, by_caption, DEFAULT_IMAGE_WEIGHT)
    assert best_of(None) == {
        "red": [("bare.png", pytest.approx(float(by_image.max()), abs=1e-3))],
        "blue": [("captioned.png", pytest.approx(float(fused.max()), abs=1e-3))],
    }
    assert {name for name, _ in best_of(1)["red"]} == {"bare.png", "captioned.png"}
    assert [name for name, _ in best_of(0)["blue"]] == ["captioned.png"]
    by_text = best_of(None, kind="text")
    assert [name for name, _ in by_text["blue"]] == [
        "captioned.png"
    ]  # the hit of a caption has the path of its image


def test_kind_and_folder_restrict_the_tagged_segments(tmp_path, index, place, toy, tag):
    draw_image(tmp_path / "a" / "red.png", "red")
    draw_image(tmp_path / "b" / "red.jpg", (255, 10, 10))
    write_text(tmp_path / "b" / "red.md", "red")
    for color in ("blue", "green", "yellow"):  # so that both kinds are calibrated
        draw_image(tmp_path / "c" / f"{color}.png", color)
        write_text(tmp_path / "c" / f"{color}.md", color)
    index(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with Library.open(place, embedder=toy) as library:
        for filters, expected in (
            ({}, {"red.png", "red.jpg"}),
            ({"kind": "text"}, {"red.md"}),
            ({"kind": ["image", "text"]}, {"red.png", "red.jpg", "red.md"}),
            ({"under": tmp_path / "b"}, {"red.jpg"}),
            ({"under": "a", "kind": ["image", "text"]}, {"red.png"}),
        ):
            tag("red", at_least=0, **filters)
            found = names(library, options=SearchOptions(tag="red"))
            assert found & {"red.png", "red.jpg", "red.md"} == expected


def test_new_files_are_tagged_by_the_next_index_run(many_colors, index, place, toy, tag):
    index(many_colors)
    tag("red", at_least=0.5)
    tag("blue", "yellow", one_of=True)
    before = tags_of(place)
    draw_image(many_colors / "new red.png", (255, 3, 0))
    index()
    after = tags_of(place)
    (new,) = set(after["red"]) - set(before["red"])
    assert {id_: after["red"][id_] for id_ in before["red"]} == before["red"]
    assert new in after["yellow"]
    with Library.open(place, embedder=toy) as library:
        assert after["red"][new] == matches_of(library, "red", 0.5)[new]
        assert "new red.png" in names(library, options=SearchOptions(tag=["red", "yellow"]))
    for number in range(20):  # many images near background queries change the calibration
        draw_image(many_colors / f"nearly grey {number}.png", (90, 95 + number, 85))
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        basis = db.execute("SELECT basis FROM labels WHERE name = 'red'").fetchone()
        index()
        # All images are tagged again.
        assert db.execute("SELECT basis FROM labels WHERE name = 'red'").fetchone() != basis
    with Library.open(place, embedder=toy) as library:
        assert tags_of(place, "red") == pytest.approx(matches_of(library, "red", 0.5), abs=2e-4)


def test_files_that_move_into_a_folder_are_tagged_as_by_a_new_tag(many_colors, index, place, toy, tag):
    folder = many_colors / "tagged"
    draw_image(folder / "red.png", (255, 3, 0))
    index(many_colors)
    tag("red", at_least=0, under=folder)
    assert len(tags_of(place, "red")) == 1
    (many_colors / "255-0-0.png").rename(folder / "moved in.png")
    (folder / "red.png").rename(many_colors / "moved out.png")
    index()
    with Library.open(place, embedder=toy) as library:
        assert names(library, options=SearchOptions(tag="red")) == {"moved in.png"}
    draw_image(folder / "new.png", (255, 7, 0))
    index()
    tags = tags_of(place, "red")
    assert len(tags) == 2
    tag("red", at_least=0, under=folder)
    assert tags_of(place, "red") == tags


def test_captions_of_known_images_change_the_tags_of_their_group(tmp_path, index, place, toy, tag):
    folder = tmp_path / "images"
    for number in range(3):
        draw_image(folder / f"{number}.png", (250 + number, 0, 0))
    write_text(folder / "0.txt", "blue")
    index(folder)
    tag("red", "blue", one_of=True)
    with Library.open(place, embedder=toy) as library:
        assert names(library, kind="image", options=SearchOptions(tag="blue")) == {"0.png"}
    (folder / "0.txt").rename(folder / "1.txt")
    write_text(folder / "2.txt", "bluish blue")
    index()
    tags = tags_of(place)
    with Library.open(place, embedder=toy) as library:
        assert names(library, kind="image", options=SearchOptions(tag="blue")) == {"1.png", "2.png"}
    tag("red", "blue", one_of=True)
    assert tags_of(place) == tags


def test_unchanged_library_is_not_compared_with_its_labels(many_colors, index, place, tag, monkeypatch):
    index(many_colors)
    tag("red", under=many_colors)
    tag("blue", "yellow", one_of=True)
    index()
    digests = []
    monkeypatch.setattr(tag_table, "scope_digest", lambda *arguments: digests.append(arguments) or "")
    index()
    assert digests == []
    draw_image(many_colors / "new.png", (255, 3, 0))
    index()
    assert digests


def test_segment_without_a_vector_is_tagged_once_it_has_one(folder, index, place, toy, tag):
    index(folder)
    tag("red", at_least=0)
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute("DELETE FROM tags WHERE segment = 3")
        db.execute("DELETE FROM vectors_1 WHERE segment = 3")
        db.execute("UPDATE spaces SET complete = 0")
    assert set(tags_of(place, "red")) == {1, 2, 4, 5, 6, 7}
    index()
    assert set(tags_of(place, "red")) == {1, 2, 3, 4, 5, 6, 7}


def test_tags_follow_a_model_switch(many_colors, index, place, tag, toy):
    index(many_colors)
    tag("red", at_least=0.5)
    before, other = tags_of(place, "red"), RotatedTextEmbedder()
    switch_library("turned", library=place, embedder=other)
    after = tags_of(place, "red")
    assert set(after) != set(before)
    with Library.open(place, embedder=other) as library:
        assert after == pytest.approx(matches_of(library, "red", 0.5), abs=2e-4)
    switch_library("toy", library=place, embedder=toy)
    assert tags_of(place, "red") == before


def test_label_without_known_words_is_tagged_after_switching_to_a_model_that_knows_it(
    folder, index, place, toy, tag
):
    index(folder)
    tag("red", "dog", at_least=0)
    tag("blue", "cat", "green", one_of=True)
    switch_library("read", library=place, embedder=ColorWordEmbedder())
    assert set(tags_of(place)) == {"red", "blue", "green"}
    switch_library("toy", library=place, embedder=toy)
    assert {"red", "dog", "blue"} <= set(tags_of(place))


def test_tagging_again_replaces_only_that_label(many_colors, index, place, tag):
    index(many_colors)
    tag("red", "blue", at_least=0.5)
    blue = tags_of(place, "blue")
    tag("Red", at_least=0)
    assert len(tags_of(place, "Red")) == 63
    assert tags_of(place, "blue") == blue
    with Library.open(place) as library:
        assert list(library.tags()) == ["Red", "blue"]


def test_label_tagged_separately_leaves_the_rest_of_its_group_unchanged(many_colors, index, place, tag):
    index(many_colors)
    tag("red", "green", "blue", one_of=True)
    before = tags_of(place)
    tag("green", at_least=0.5)
    draw_image(many_colors / "new.png", (2, 255, 2))  # green is still the most likely label
    draw_image(many_colors / "newer.png", (2, 2, 255))
    index()
    after = tags_of(place)
    assert after["red"] == before["red"]
    assert len(after["blue"]) == len(before["blue"]) + 1


def test_dry_run_writes_nothing_and_returns_the_same_labels(many_colors, index, place, tag):
    index(many_colors)
    tag("blue")
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        add_functions(db)
        before = list(db.iterdump())
    preview = tag("red", "blue", at_least=0.5, dry_run=True)
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        add_functions(db)
        assert list(db.iterdump()) == before
    done = tag("red", "blue", at_least=0.5)
    assert preview.labels == done.labels
    assert (preview.dry_run, done.dry_run) == (True, False)
    assert preview.labels[0].count > 0


def test_tags_of_deleted_files_are_not_counted_and_are_purged(many_colors, index, place, tag):
    index(many_colors)
    (many_colors / "255-0-0.png").unlink()
    index()
    done = tag("red", at_least=0)
    assert done.labels[0].count == 62
    assert "255-0-0.png" not in {hit.path.name for hit in done.labels[0].best}
    with Library.open(place) as library:
        assert library.tags() == {"red": 62}
    assert len(tags_of(place, "red")) == 63  # kept in case the file comes back
    forget(library=place, purge=True)
    assert len(tags_of(place, "red")) == 62


def test_removing_a_label_deletes_its_tags(many_colors, index, place, tag):
    index(many_colors)
    tag("red", "blue", at_least=0)
    with pytest.raises(LibraryError, match=r"'green' does not exist\. The labels of this library: blue, red"):
        remove_labels(["red", "green"], library=place)
    assert set(tags_of(place)) == {"red", "blue"}
    remove_labels("RED", library=place)
    assert set(tags_of(place)) == {"blue"}
    draw_image(many_colors / "new.png", (255, 3, 0))
    index()
    assert set(tags_of(place)) == {"blue"}


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["", "red"], {}, "label '' has no word"),
        ([" \n\t"], {}, "has no word"),
        ([], {}, "at least one label"),
        (["red", "RED "], {"one_of": True}, "at least two labels"),
        (["x" * 300], {}, "at most 200 characters"),
        (["a\0b"], {}, "at most 200 characters"),
        (["red"], {"at_least": 1.5}, "Invalid confidence 1.5"),
        (["red"], {"at_least": float("nan")}, "Invalid confidence nan"),
        (["red", "blue"], {"one_of": True, "weight": -1}, "Invalid weight -1"),
        (["red"], {"weight": 0.5}, "requires --one-of"),
        (["red"], {"kind": "picture"}, "kind 'picture'"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_invalid_labels_and_options_are_rejected(
    folder, index, place, tag, labels, options, message, dry_run
):
    index(folder)
    with pytest.raises(QueryError, match=message):
        tag(*labels, dry_run=dry_run, **options)
    with Library.open(place) as library:
        assert library.tags() == {}


def test_missing_library_and_another_model_raise(folder, index, place, tag):
    with pytest.raises(LibraryMissing):
        tag("red")
    index(folder)
    for dry_run in (False, True):
        with pytest.raises(SpaceMismatch):
            tag("red", embedder=RotatedTextEmbedder(), dry_run=dry_run)


def test_uncalibrated_library_cannot_be_tagged(folder, index, place, tag):
    index(folder)
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute("DELETE FROM backgrounds")
    with pytest.raises(LibraryError, match="not calibrated"):
        tag("red")
    with Library.open(place) as library:
        assert library.tags() == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300))
@example("'; DROP TABLE tags; --")
@example('"quoted"')
@example("tag:red not:blue - %_*?")
@example("a\nb\tc\x1b[31m")
@example("\udce9 é É ß")
def test_label_of_any_text_is_rejected_or_found(library, place, toy, text):
    try:
        done = tag_library(text, library=place, embedder=toy, options=TagOptions(at_least=0))
    except ClewError:
        return
    (label,) = done.labels
    assert label.count == 7
    assert "\n" not in label.name
    with Library.open(place, embedder=toy) as opened:
        assert opened.tags() == {label.name: 7}
        assert len(opened.search("red", options=SearchOptions(tag=label.name))) == 7
    remove_labels(text, library=place)


def test_reindexing_an_unchanged_folder_imports_no_heavy_package(folder, place):
    index_folder(folder, library=place, model="builtin").close()
    tag_library(["red", "a dog"], library=place)
    tag_library(["red wall", "dog"], library=place, options=TagOptions(one_of=True))
    loaded = imported_modules(f"from indexer import update_library\nupdate_library(library={str(place)!r})")
    assert not {"torch", "open_clip", "faiss", "onnxruntime"} & loaded


def test_library_of_an_older_schema_is_migrated_and_tagged(folder, index, place, tag):
    index(folder)
    downgrade_catalog(place, "6-calibration")
    with pytest.raises(LibraryError, match="older version"):
        tag("red", dry_run=True)
    assert tag("red", at_least=0).labels[0].count == 7


def test_builtin_model_tags_by_meaning(flickr, place, tmp_path):
    photos = sorted(flickr.glob("*.jpg"))[:120]
    for photo in photos:
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / photo.name).symlink_to(photo)
    index_folder(tmp_path / "photos", library=place, embedder=load_embedder("builtin")).close()
    captions = [json.loads(line) for line in (flickr / "captions.jsonl").read_text().splitlines()]
    dogs = {row["image"] for row in captions if sum(" dog" in text for text in row["captions"]) >= 2}
    done = tag_library(["dog", "receipt", "spreadsheet"], library=place, options=TagOptions(at_least=0.6))
    dog, receipt, spreadsheet = done.labels
    assert {hit.path.name for hit in dog.best} <= dogs
    assert len(dog.best) == 3
    assert (receipt.count, spreadsheet.count) == (0, 0)
    tag_library("Hund", library=place)  # a search has 8 confident hits
    with Library.open(place) as library:
        tagged = {hit.path.name for hit in library.search("tag:hund", count=120)}
    assert len(tagged & dogs) >= 12
    assert len(tagged - dogs) <= 2


def test_tag_command_tags_lists_and_removes_labels(clew, folder, tmp_path):
    assert clew("index", folder, "--model", "builtin").exit_code == 0
    empty = clew("tag")
    assert (empty.exit_code, empty.stdout) == (1, "")
    assert "No labels yet" in empty.stderr
    preview = clew("tag", "red", "a blue wall", "--at-least", "0", "--dry-run")
    assert "Nothing was saved" in preview.stderr
    done = clew("tag", "red", "a blue wall", "--at-least", "0")
    assert (done.exit_code, done.stdout) == (0, preview.stdout)
    name, count, best = done.stdout.splitlines()[0].split("\t")
    assert (name, count, best.count("pictures/")) == ("red", "7", 3)
    assert clew("tag").stdout == "a blue wall\t7\nred\t7\n"
    assert json.loads(clew("tag", "--json").stdout)[1] == {"name": "red", "count": 7}
    (label,) = json.loads(clew("tag", "red", "--at-least", "0", "--json").stdout)
    assert (label["name"], label["count"], set(label["best"][0])) == ("red", 7, {"id", "confidence", "path"})
    assert len(clew("search", "red", "--tag", "a blue wall", "--all", "--nl").stdout.splitlines()) == 7
    grouped = clew("tag", "--one-of", "day", "night", "--json", "--weight", "1")
    assert sum(label["count"] for label in json.loads(grouped.stdout)) == 7
    assert clew("tag", "--remove", "red", "night", "day").stdout == "red, night, day removed.\n"
    assert clew("tag").stdout == "a blue wall\t7\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--remove",), "Give the labels to remove"),
        (("--dry-run",), "--dry-run requires LABELS"),
        (("--remove", "red", "--kind", "image"), "--kind requires LABELS"),
        (("--at-least", "0"), "--at-least requires LABELS"),
        (("red", "--at-least", "2"), "--at-least"),
        (("red", "--weight", "0"), "requires --one-of"),
        (("--remove", "red"), "Label 'red' does not exist"),
        (("",), "has no word"),
    ],
)
def test_invalid_arguments_exit_with_2(clew, folder, arguments, message):
    clew("index", folder, "--model", "builtin")
    done = clew("tag", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_tags_of_many_small_updates_equal_those_of_one_run(tmp_path, place, toy):
    shades = [(250, 3 * n, n) for n in range(24)]
    options = TagOptions(one_of=True, weight=1)
    for number, shade in enumerate(shades):
        draw_image(tmp_path / "step" / f"{number}.png", shade)
        update_library([tmp_path / "step"], library=place, embedder=toy)
        if number == 0:
            tag_library(["red", "yellow"], library=place, embedder=toy, options=options)
    stepwise = tags_of(place)
    tag_library(["red", "yellow"], library=place, embedder=toy, options=options)
    assert tags_of(place) == stepwise
    assert sum(map(len, stepwise.values())) == 24
