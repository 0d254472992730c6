"""Tests of concepts, linear probes that are trained on a few example images."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import forget_concept, switch_library, teach, update_library, verify_library
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.errors import LibraryError, QueryError, SpaceMismatch
from retrieval.scoring.calibration import confidence, normalize_rows
from retrieval.scoring.linear_probe import NEGATIVE_WEIGHT, RIDGE_PENALTY, fit_probe
from retrieval.types import CONFIDENCE_THRESHOLD, ConceptInfo
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder, unit_rows

NO_VECTORS = np.empty((0, 8), np.float32)


class OtherEmbedder(ToyEmbedder):
    """A toy embedder with another space: its axes are permuted."""

    name = "other"
    fingerprint = "other-1"

    def embed_images(self, images):
        return np.roll(super().embed_images(images), 1, axis=1)

    def embed_texts(self, texts):
        return np.roll(super().embed_texts(texts), 1, axis=1)


def cloud(count: int, seed: int, toward: int | None = None) -> np.ndarray:
    """Return random unit vectors of eight dimensions, shifted toward one axis if it is given."""
    rows = np.random.default_rng(seed).normal(size=(count, 8))
    if toward is not None:
        rows[:, toward] += 4
    return normalize_rows(rows.astype(np.float32))


def solve_ridge(rows, weights, signs):
    """Solve a weighted ridge regression in its primal form by the normal equations."""
    solution = np.linalg.solve(
        rows.T @ (weights[:, None] * rows) + RIDGE_PENALTY * np.eye(8), rows.T @ (weights * signs)
    )
    return solution / np.linalg.norm(solution)


def test_direction_and_held_out_scores_equal_a_weighted_ridge_regression():
    """The reference fits once per example, without that example."""
    positive, negative, background = cloud(5, 0, 0), cloud(6, 1, 0), cloud(60, 2)
    center = background.mean(axis=0)
    rows = np.concatenate([positive, negative]).astype(np.float64) - center
    weights, signs = np.array([1 / 5] * 5 + [NEGATIVE_WEIGHT / 6] * 6), np.array([1] * 5 + [-1] * 6)
    probe = fit_probe(positive, negative, background)
    direction = solve_ridge(rows, weights, signs)
    np.testing.assert_allclose(probe.direction, direction, atol=1e-6)
    held_out = []
    for left_out in range(11):
        keep = np.arange(11) != left_out
        held_out.append(rows[left_out] @ solve_ridge(rows[keep], weights[keep], signs[keep]))
    rest = np.concatenate([held_out[5:], (background - center) @ direction])
    pairs = np.array(held_out[:5])[:, None] > rest[None, :]
    assert 0.5 < pairs.mean() < 1
    assert probe.auroc == pytest.approx(pairs.mean())


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(4)), st.permutations(range(40)))
def test_probe_does_not_depend_on_the_order_of_examples(positive_order, negative_order, background_order):
    positive, negative, background = cloud(6, 0, 0), cloud(4, 1, 1), cloud(40, 2)
    probe = fit_probe(positive, negative, background)
    shuffled = fit_probe(
        positive[list(positive_order)], negative[list(negative_order)], background[list(background_order)]
    )
    np.testing.assert_allclose(shuffled.direction, probe.direction, atol=1e-5)
    assert shuffled.calibration.center == pytest.approx(probe.calibration.center, abs=1e-5)
    assert shuffled.auroc == pytest.approx(probe.auroc)


def test_examples_are_excluded_from_the_background():
    positive, background = cloud(5, 0, 0), cloud(40, 2)
    alone = fit_probe(positive, NO_VECTORS, background)
    mixed = fit_probe(positive, NO_VECTORS, np.concatenate([positive, background]))
    np.testing.assert_allclose(mixed.direction, alone.direction, atol=1e-6)


def test_auroc_is_high_for_similar_examples_and_at_chance_for_random_ones():
    assert fit_probe(cloud(6, 0, 0), cloud(6, 1, 1), cloud(60, 2)).auroc > 0.95
    assert fit_probe(cloud(6, 0, 0), NO_VECTORS, cloud(60, 2)).auroc > 0.95
    random = [fit_probe(cloud(6, seed), cloud(6, 99 - seed), cloud(60, 200)).auroc for seed in range(40)]
    assert 0.3 < np.mean(random) < 0.6


def test_confidence_threshold_is_halfway_between_examples_and_the_rest():
    positive, negative, background = cloud(40, 0, 0), cloud(40, 1, 1), cloud(200, 2)
    probe = fit_probe(positive, negative, background)
    middle = (positive.mean(axis=0) + negative.mean(axis=0)) / 2 @ probe.direction
    top_decile = np.quantile(background @ probe.direction, 0.9)
    middle = max(middle, (positive.mean(axis=0) @ probe.direction + top_decile) / 2)
    middle_confidence = confidence(float(probe.z_scores(np.array([middle]))[0]))
    assert middle_confidence == pytest.approx(CONFIDENCE_THRESHOLD, abs=0.03)


def test_single_example_is_calibrated_by_the_scores_of_the_library():
    probe = fit_probe(cloud(1, 0, 0), NO_VECTORS, cloud(200, 2))
    scores = cloud(200, 2) @ probe.direction
    is_confident = probe.z_scores(scores) >= 0.6745
    assert probe.auroc is None
    np.testing.assert_array_equal(is_confident, scores >= scores.mean() + 2 * scores.std())
    assert is_confident.any()


def test_examples_that_cancel_out_are_rejected():
    axes = np.eye(8, dtype=np.float32)
    with pytest.raises(QueryError, match="Use other examples"):
        fit_probe(np.stack([axes[0], -axes[0]]), NO_VECTORS, np.stack([axes[1], -axes[1]]))
    assert fit_probe(axes[:1], NO_VECTORS, NO_VECTORS).direction == pytest.approx(axes[0], abs=1e-6)


@pytest.fixture
def shades(tmp_path, index):
    """Index a folder with many colors; write folders of examples that are not in the library."""
    generator = np.random.default_rng(7)
    for number in range(60):
        draw_image(tmp_path / "all" / f"{number}.png", tuple(int(c) for c in generator.integers(0, 256, 3)))
    for number in range(6):
        draw_image(tmp_path / "reds" / "deep" / f"{number}.png", (200 + 9 * number, 2 * number, 7))
        draw_image(tmp_path / "blues" / f"{number}.png", (3, 2 * number, 200 + 9 * number))
    draw_image(tmp_path / "all" / "red.png", "red")
    draw_image(tmp_path / "all" / "blue.png", "blue")
    write_text(tmp_path / "all" / "notes.md", "red red red")
    index(tmp_path / "all")
    return tmp_path


@pytest.fixture
def concept(shades, place, toy):
    return teach("rosso", shades / "reds", against=shades / "blues", library=place, embedder=toy)


QUERIES = (("red", "image"), ("blue", "image"), ("red", "text"))


def names(hits) -> list[str]:
    return [hit.path.name for hit in hits]


def test_search_by_a_concept_finds_similar_images(concept, shades, place, toy):
    assert concept == ConceptInfo("rosso", 6, 6, 1.0)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == [concept]
        hits = library.search("@rosso", count=99)
        assert names(hits)[0] == "red.png"
        assert {hit.kind for hit in hits} == {"image"}
        assert hits[0].match == "confident"
        assert hits[-1].match == "weak"
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
            (blob,) = db.execute("SELECT direction FROM probes").fetchone()
        direction = np.frombuffer(blob, np.float32)
        assert hits[0].score == pytest.approx(float(unit_rows([COLORS["red"]])[0] @ direction), abs=1e-3)


def test_search_by_a_concept_returns_texts_only_on_request(concept, place, toy):
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("@rosso", kind="text")) == ["notes.md"]


def test_concept_can_be_added_subtracted_and_excluded(concept, place, toy):
    with Library.open(place, embedder=toy) as library:
        added = names(library.search("@rosso + blue", kind="image", count=99))
        subtracted = names(library.search("blue - @rosso", kind="image", count=99))
        assert added.index("red.png") < subtracted.index("red.png")
        hits = library.search("@rosso", count=99)
        confident = {hit.path for hit in hits if hit.match == "confident"}
        remaining = library.search("white not:@rosso", kind="image", count=99)
        assert confident
        assert {hit.path for hit in remaining} == {hit.path for hit in hits} - confident


def test_teaching_again_adds_or_replaces_examples(concept, shades, place, toy):
    more = [draw_image(shades / f"more{n}.png", (150, n, n)) for n in range(2)]
    options = {"library": place, "embedder": toy}
    assert teach("rosso", more, **options).positives == 8
    assert teach("@rosso", more, **options).positives == 8
    assert teach("rosso", **options).negatives == 6
    replaced = teach("rosso", shades / "reds", replace=True, **options)
    assert (replaced.positives, replaced.negatives) == (6, 0)


def test_images_of_the_library_are_examples_by_id_without_a_model(shades, place, toy):
    with Library.open(place, embedder=toy) as library:
        red, blue, note = (library.search(f, kind=k, count=1)[0].id for f, k in QUERIES)
    assert teach("one", f"#{red}", library=place) == ConceptInfo("one", 1, 0, None)
    assert (
        teach("two", [red, shades / "all" / "0.png"], against=blue, library=place, anyway=True).positives == 2
    )
    for segment in (note, 9_999):
        with pytest.raises(QueryError, match=f"#{segment} is not an image"):
            teach("three", segment, library=place)


@pytest.mark.parametrize(
    ("examples", "against", "message"),
    [
        ("reds", "reds/deep/0.png", "and against it"),
        ("nowhere.png", (), "file not found|No such file"),
        ("all/notes.md", (), "not an image"),
        ("empty", (), "contains no images"),
        ((), "blues", "@rosso has no examples"),
    ],
)
def test_invalid_examples_raise_and_save_nothing(shades, place, toy, examples, against, message):
    (shades / "empty").mkdir()
    positive = [shades / examples] if examples else ()
    negative = [shades / against] if against else ()
    with pytest.raises(QueryError, match=message):
        teach("rosso", positive, against=negative, library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == []


@pytest.mark.parametrize("name", ["", "a b", "x/y", "@", "rex!", "a\nb"])
def test_invalid_concept_name_is_rejected(shades, place, toy, name):
    with pytest.raises(QueryError, match="Invalid name"):
        teach(name, shades / "reds", library=place, embedder=toy)


def test_inseparable_examples_are_rejected_with_their_auroc(shades, place, toy):
    paths = sorted((shades / "all").glob("??.png"))
    positive, negative, message = [], [], None
    for shift in range(10):  # at least one split of random colors is at chance level
        positive, negative = paths[shift : shift + 20 : 2], paths[shift + 1 : shift + 21 : 2]
        try:
            teach("odd", positive, against=negative, library=place, embedder=toy, replace=True)
        except QueryError as error:
            message = str(error)
            break
    assert message is not None
    assert "cannot be separated from other images" in message
    assert "AUROC" in message
    assert "Give more examples" in message
    with Library.open(place, embedder=toy) as library:
        before = library.concepts()
    forced = teach("odd", positive, against=negative, library=place, embedder=toy, replace=True, anyway=True)
    assert forced.auroc < 0.55
    assert forced not in before


def test_damaged_image_in_a_folder_is_skipped_and_reported(shades, place, toy):
    write_text(shades / "reds" / "broken.png", "not an image")
    notes = []
    info = teach("rosso", shades / "reds", library=place, embedder=toy, notify=notes.append)
    assert info.positives == 6
    assert ["broken.png" in note for note in notes] == [True]


def test_unknown_concept_is_reported_with_the_existing_ones(concept, shades, place, toy):
    teach("blu", shades / "blues", library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        with pytest.raises(QueryError, match=r"name @roso\. This library has @rosso, @blu"):
            library.search("@roso")
        forget_concept("rosso", library=place)
        forget_concept("@blu", library=place)
        with pytest.raises(QueryError, match="no concepts yet"):
            library.search("@rosso")
    with pytest.raises(QueryError, match="@blu does not exist"):
        forget_concept("blu", library=place)
    assert count_rows(place, "examples") == count_rows(place, "probes") == 0


def count_rows(place, table: str) -> int:
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_concept_follows_a_model_switch_without_its_example_files(concept, shades, place, toy):
    for path in (*shades.glob("reds/deep/*"), *shades.glob("blues/*")):
        path.unlink()
    other = OtherEmbedder()
    switch_library("other", library=place, embedder=other)
    with Library.open(place, embedder=other) as library:
        hits = library.search("@rosso", count=99)
        assert names(hits)[0] == "red.png"
        assert hits[0].match == "confident"
        assert library.concepts() == [concept]
    assert verify_library(place).errors == []
    more = draw_image(shades / "more.png", (160, 3, 3))
    assert teach("rosso", more, library=place, embedder=other).positives == 7
    with Library.open(place, embedder=toy, space="toy") as library:
        assert [info.fitted for info in library.concepts()] == [False]
        with pytest.raises(QueryError, match="`clew teach rosso`"):
            library.search("@rosso")
    switch_library("toy", library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("@rosso"))[0] == "red.png"


def test_teaching_with_another_model_raises_space_mismatch(shades, place):
    with pytest.raises(SpaceMismatch):
        teach("rosso", shades / "reds", library=place, embedder=OtherEmbedder())


def test_failed_write_leaves_the_concept_unchanged(concept, shades, place, toy, monkeypatch):
    from indexer.tag import concepts

    def fail(*args):
        raise RuntimeError("killed")

    monkeypatch.setattr(concepts, "_write_probe", fail)
    with pytest.raises(RuntimeError, match="killed"):
        teach("rosso", shades / "blues", library=place, embedder=toy, replace=True)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == [concept]
        assert names(library.search("@rosso"))[0] == "red.png"


def test_forgetting_a_space_deletes_its_probes_and_keeps_concepts(concept, shades, place, toy):
    other = OtherEmbedder()
    switch_library("other", library=place, embedder=other)
    assert count_rows(place, "probes") == 2
    from indexer import forget

    forget(library=place, purge=True, space="toy")
    assert (count_rows(place, "concepts"), count_rows(place, "examples"), count_rows(place, "probes")) == (
        1,
        12,
        1,
    )


def test_search_by_likes_and_dislikes_works_like_a_concept(shades, place, toy):
    with Library.open(place, embedder=toy) as library:
        red, blue, note = (library.search(f, kind=k, count=1)[0].id for f, k in QUERIES)
        reds = sorted((shades / "reds" / "deep").iterdir())
        hits = library.search(like=reds, unlike=blue, count=99)
        assert names(hits)[0] == "red.png"
        assert blue not in {hit.id for hit in hits}
        assert {hit.kind for hit in hits} == {"image"}
        assert hits[0].match == "confident"
        expected = library.search(like=red, count=99)
        assert red not in {hit.id for hit in expected}
        assert library.search(like=f"#{red}", count=99) == expected
        copy = shades / "copy.png"
        copy.write_bytes((shades / "all" / "red.png").read_bytes())
        assert library.search(like=[copy], count=99) == expected
        combined = library.search("blue", like=red, kind="image", count=5)
        assert combined != library.search("blue", kind="image", count=5)
        with pytest.raises(QueryError, match="requires --like"):
            library.search("blue", unlike=red)
        with pytest.raises(QueryError, match="is not visual"):
            library.search(like=note)
        with pytest.raises(QueryError, match="segment #9999"):
            library.search(like="#9999")


def test_library_without_concept_tables_is_migrated(shades, place, toy):
    downgrade_catalog(place, "7-labels")
    with pytest.raises(LibraryError, match="older version"):
        Library.open(place)
    update_library(library=place, embedder=toy)
    assert teach("rosso", shades / "reds", library=place, embedder=toy).positives == 6


def test_teaching_is_refused_while_the_library_is_written(shades, place, toy):
    with LibraryWriter(place), pytest.raises(LibraryError, match="in use by"):
        teach("rosso", shades / "reds", library=place, embedder=toy)


def test_teach_command_teaches_lists_and_forgets_concepts(clew, tmp_path):
    for color, rgb in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        for number in range(5):
            draw_image(tmp_path / color / f"{number}.png", tuple(min(255, c + 9 * number) for c in rgb))
    assert clew("index", "blue", "red", "--model", "builtin").exit_code == 0
    assert "No concepts yet" in clew("teach").output
    done = clew("teach", "rosso", "red", "--not", "blue")
    assert done.exit_code == 0, done.output
    assert done.output == (
        "@rosso  5 examples, 5 counterexamples; held-out examples rank above other images in 100 % of pairs\n"
    )
    assert clew("teach").output == done.output
    assert clew("@rosso", "-k", "5", "--paths").output.count("/red/") == 5
    liked = clew(
        "search", "--like", "red/0.png", "--like", "red/1.png", "--unlike", "blue/0.png", "--paths", "-k", "3"
    )
    assert liked.output.count("/red/") == 3
    assert clew("teach", "--not", "blue").exit_code == 2
    assert clew("teach", "--forget", "rosso").output == "@rosso forgotten.\n"
    missing = clew("@rosso")
    assert missing.exit_code == 2
    assert "no concepts yet" in missing.output
