"""Concepts: what is learned from a few examples, kept, and looked for."""

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
from tests.support.toy_embedder import COLORS, ToyEmbedder
from tests.support.toy_embedder import unit_rows as toy_unit

NOTHING = np.empty((0, 8), np.float32)


class Other(ToyEmbedder):
    """Another toy, in which red is green and green is blue."""

    name = "other"
    fingerprint = "other-1"

    def embed_images(self, pictures):
        return np.roll(super().embed_images(pictures), 1, axis=1)

    def embed_texts(self, texts):
        return np.roll(super().embed_texts(texts), 1, axis=1)


def cloud(count: int, seed: int, toward: int | None = None) -> np.ndarray:
    """Draw unit vectors of eight dimensions, some of them toward one axis."""
    rows = np.random.default_rng(seed).normal(size=(count, 8))
    if toward is not None:
        rows[:, toward] += 4
    return normalize_rows(rows.astype(np.float32))


def by_hand(rows, weights, signs):
    """Solve a weighted ridge in its primal, by its normal equations."""
    solved = np.linalg.solve(
        rows.T @ (weights[:, None] * rows) + RIDGE_PENALTY * np.eye(8), rows.T @ (weights * signs)
    )
    return solved / np.linalg.norm(solved)


def test_the_direction_and_the_held_out_scores_are_those_of_the_weighted_ridge():
    """The share of pairs is that of as many fits, each without one example."""
    positive, negative, background = cloud(5, 0, 0), cloud(6, 1, 0), cloud(60, 2)
    center = background.mean(axis=0)
    rows = np.concatenate([positive, negative]).astype(np.float64) - center
    weights, signs = np.array([1 / 5] * 5 + [NEGATIVE_WEIGHT / 6] * 6), np.array([1] * 5 + [-1] * 6)
    probe = fit_probe(positive, negative, background)
    direction = by_hand(rows, weights, signs)
    np.testing.assert_allclose(probe.direction, direction, atol=1e-6)
    held_out = []
    for left_out in range(11):
        keep = np.arange(11) != left_out
        held_out.append(rows[left_out] @ by_hand(rows[keep], weights[keep], signs[keep]))
    rest = np.concatenate([held_out[5:], (background - center) @ direction])
    pairs = np.array(held_out[:5])[:, None] > rest[None, :]
    assert 0.5 < pairs.mean() < 1
    assert probe.auroc == pytest.approx(pairs.mean())


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(4)), st.permutations(range(40)))
def test_the_order_of_examples_means_nothing(one, two, three):
    positive, negative, background = cloud(6, 0, 0), cloud(4, 1, 1), cloud(40, 2)
    probe = fit_probe(positive, negative, background)
    mixed = fit_probe(positive[list(one)], negative[list(two)], background[list(three)])
    np.testing.assert_allclose(mixed.direction, probe.direction, atol=1e-5)
    assert mixed.calibration.center == pytest.approx(probe.calibration.center, abs=1e-5)
    assert mixed.auroc == pytest.approx(probe.auroc)


def test_what_the_library_holds_of_the_examples_is_nothing_against_them():
    positive, background = cloud(5, 0, 0), cloud(40, 2)
    alone = fit_probe(positive, NOTHING, background)
    both = fit_probe(positive, NOTHING, np.concatenate([positive, background]))
    np.testing.assert_allclose(both.direction, alone.direction, atol=1e-6)


def test_examples_of_a_kind_are_told_apart_and_drawn_ones_are_not():
    assert fit_probe(cloud(6, 0, 0), cloud(6, 1, 1), cloud(60, 2)).auroc > 0.95
    assert fit_probe(cloud(6, 0, 0), NOTHING, cloud(60, 2)).auroc > 0.95
    drawn = [fit_probe(cloud(6, seed), cloud(6, 99 - seed), cloud(60, 200)).auroc for seed in range(40)]
    assert 0.3 < np.mean(drawn) < 0.6


def test_half_way_between_examples_and_what_is_near_them_is_confident():
    positive, negative, background = cloud(40, 0, 0), cloud(40, 1, 1), cloud(200, 2)
    probe = fit_probe(positive, negative, background)
    middle = (positive.mean(axis=0) + negative.mean(axis=0)) / 2 @ probe.direction
    tenth = np.quantile(background @ probe.direction, 0.9)
    middle = max(middle, (positive.mean(axis=0) @ probe.direction + tenth) / 2)
    sure = confidence(float(probe.z_scores(np.array([middle]))[0]))
    assert sure == pytest.approx(CONFIDENCE_THRESHOLD, abs=0.03)


def test_one_example_alone_looks_for_what_stands_out_from_the_library():
    probe = fit_probe(cloud(1, 0, 0), NOTHING, cloud(200, 2))
    usual = cloud(200, 2) @ probe.direction
    sure = probe.z_scores(usual) >= 0.6745
    assert probe.auroc is None
    np.testing.assert_array_equal(sure, usual >= usual.mean() + 2 * usual.std())
    assert sure.any()


def test_examples_that_cancel_each_other_teach_nothing():
    axes = np.eye(8, dtype=np.float32)
    with pytest.raises(QueryError, match="give others"):
        fit_probe(np.stack([axes[0], -axes[0]]), NOTHING, np.stack([axes[1], -axes[1]]))
    assert fit_probe(axes[:1], NOTHING, NOTHING).direction == pytest.approx(axes[0], abs=1e-6)


@pytest.fixture
def shades(tmp_path, index):
    """Make and index a folder of many colours, and folders of examples that are not in the library."""
    pick = np.random.default_rng(7)
    for number in range(60):
        draw_image(tmp_path / "all" / f"{number}.png", tuple(int(c) for c in pick.integers(0, 256, 3)))
    for number in range(6):
        draw_image(tmp_path / "reds" / "deep" / f"{number}.png", (200 + 9 * number, 2 * number, 7))
        draw_image(tmp_path / "blues" / f"{number}.png", (3, 2 * number, 200 + 9 * number))
    draw_image(tmp_path / "all" / "red.png", "red")
    draw_image(tmp_path / "all" / "blue.png", "blue")
    write_text(tmp_path / "all" / "notes.md", "red red red")
    index(tmp_path / "all")
    return tmp_path


@pytest.fixture
def learned(shades, place, toy):
    return teach("rosso", shades / "reds", against=shades / "blues", library=place, embedder=toy)


WANTED = (("red", "image"), ("blue", "image"), ("red", "text"))


def names(hits) -> list[str]:
    return [hit.path.name for hit in hits]


def test_a_concept_finds_what_its_examples_show(learned, shades, place, toy):
    assert learned == ConceptInfo("rosso", 6, 6, 1.0)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == [learned]
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
        assert hits[0].score == pytest.approx(float(toy_unit([COLORS["red"]])[0] @ direction), abs=1e-3)


def test_passages_are_found_by_a_concept_only_where_they_are_asked_for(learned, place, toy):
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("@rosso", kind="text")) == ["notes.md"]


def test_a_concept_is_added_taken_away_and_forbidden(learned, place, toy):
    with Library.open(place, embedder=toy) as library:
        added = names(library.search("@rosso + blue", kind="image", count=99))
        taken = names(library.search("blue - @rosso", kind="image", count=99))
        assert added.index("red.png") < taken.index("red.png")
        every = library.search("@rosso", count=99)
        sure = {hit.path for hit in every if hit.match == "confident"}
        left = library.search("white not:@rosso", kind="image", count=99)
        assert sure
        assert {hit.path for hit in left} == {hit.path for hit in every} - sure


def test_taught_again_a_concept_has_more_examples_or_begins_anew(learned, shades, place, toy):
    more = [draw_image(shades / f"more{n}.png", (150, n, n)) for n in range(2)]
    how = {"library": place, "embedder": toy}
    assert teach("rosso", more, **how).positives == 8
    assert teach("@rosso", more, **how).positives == 8
    assert teach("rosso", **how).negatives == 6
    again = teach("rosso", shades / "reds", replace=True, **how)
    assert (again.positives, again.negatives) == (6, 0)


def test_pictures_of_the_library_teach_by_their_ids_and_without_a_model(shades, place, toy):
    with Library.open(place, embedder=toy) as library:
        red, blue, note = (library.search(f, kind=k, count=1)[0].id for f, k in WANTED)
    assert teach("one", f"#{red}", library=place) == ConceptInfo("one", 1, 0, None)
    assert (
        teach("two", [red, shades / "all" / "0.png"], against=blue, library=place, anyway=True).positives == 2
    )
    for wrong in (note, 9_999):
        with pytest.raises(QueryError, match=f"#{wrong} is not an image"):
            teach("three", wrong, library=place)


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
def test_what_cannot_be_an_example_is_said_and_nothing_is_kept(
    shades, place, toy, examples, against, message
):
    (shades / "empty").mkdir()
    given = [shades / examples] if examples else ()
    unlike = [shades / against] if against else ()
    with pytest.raises(QueryError, match=message):
        teach("rosso", given, against=unlike, library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == []


@pytest.mark.parametrize("name", ["", "a b", "x/y", "@", "rex!", "a\nb"])
def test_a_name_is_one_word(shades, place, toy, name):
    with pytest.raises(QueryError, match="Invalid concept name"):
        teach(name, shades / "reds", library=place, embedder=toy)


def test_examples_that_cannot_be_told_apart_are_refused_with_the_number(shades, place, toy):
    every = sorted((shades / "all").glob("??.png"))
    one, other, found = [], [], None
    for shift in range(10):  # some split of drawn colours is no better than a coin
        one, other = every[shift : shift + 20 : 2], every[shift + 1 : shift + 21 : 2]
        try:
            teach("odd", one, against=other, library=place, embedder=toy, replace=True)
        except QueryError as error:
            found = str(error)
            break
    assert found is not None
    assert "cannot be separated from other images" in found
    assert "AUROC" in found
    assert "Give more examples" in found
    with Library.open(place, embedder=toy) as library:
        before = library.concepts()
    kept = teach("odd", one, against=other, library=place, embedder=toy, replace=True, anyway=True)
    assert kept.auroc < 0.55
    assert kept not in before


def test_a_damaged_picture_in_a_folder_is_left_out_and_said(shades, place, toy):
    write_text(shades / "reds" / "broken.png", "no picture")
    said = []
    done = teach("rosso", shades / "reds", library=place, embedder=toy, notify=said.append)
    assert done.positives == 6
    assert ["broken.png" in line for line in said] == [True]


def test_an_unknown_concept_is_named_with_those_there_are(learned, shades, place, toy):
    teach("blu", shades / "blues", library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        with pytest.raises(QueryError, match=r"concept @roso\. This library has @rosso, @blu"):
            library.search("@roso")
        forget_concept("rosso", library=place)
        forget_concept("@blu", library=place)
        with pytest.raises(QueryError, match="no concepts yet"):
            library.search("@rosso")
    with pytest.raises(QueryError, match="@blu does not exist"):
        forget_concept("blu", library=place)
    assert rows(place, "examples") == rows(place, "probes") == 0


def rows(place, table: str) -> int:
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_concept_survives_a_switch_though_its_examples_are_gone(learned, shades, place, toy):
    for path in (*shades.glob("reds/deep/*"), *shades.glob("blues/*")):
        path.unlink()
    other = Other()
    switch_library("other", library=place, embedder=other)
    with Library.open(place, embedder=other) as library:
        hits = library.search("@rosso", count=99)
        assert names(hits)[0] == "red.png"
        assert hits[0].match == "confident"
        assert library.concepts() == [learned]
    assert verify_library(place).errors == []
    more = draw_image(shades / "more.png", (160, 3, 3))
    assert teach("rosso", more, library=place, embedder=other).positives == 7
    with Library.open(place, embedder=toy, space="toy") as library:
        assert [each.fitted for each in library.concepts()] == [False]
        with pytest.raises(QueryError, match="`clew teach rosso`"):
            library.search("@rosso")
    switch_library("toy", library=place, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        assert names(library.search("@rosso"))[0] == "red.png"


def test_another_model_cannot_teach(shades, place):
    with pytest.raises(SpaceMismatch):
        teach("rosso", shades / "reds", library=place, embedder=Other())


def test_killed_between_the_writes_nothing_is_changed(learned, shades, place, toy, monkeypatch):
    from indexer.tag import concepts

    def fail(*given):
        raise RuntimeError("killed")

    monkeypatch.setattr(concepts, "_write_probe", fail)
    with pytest.raises(RuntimeError, match="killed"):
        teach("rosso", shades / "blues", library=place, embedder=toy, replace=True)
    with Library.open(place, embedder=toy) as library:
        assert library.concepts() == [learned]
        assert names(library.search("@rosso"))[0] == "red.png"


def test_a_purge_keeps_concepts_and_a_dropped_space_takes_its_probes(learned, shades, place, toy):
    other = Other()
    switch_library("other", library=place, embedder=other)
    assert rows(place, "probes") == 2
    from indexer import forget

    forget(library=place, purge=True, space="toy")
    assert (rows(place, "concepts"), rows(place, "examples"), rows(place, "probes")) == (1, 12, 1)


def test_likes_and_dislikes_are_a_concept_without_a_name(shades, place, toy):
    with Library.open(place, embedder=toy) as library:
        red, blue, note = (library.search(f, kind=k, count=1)[0].id for f, k in WANTED)
        reds = sorted((shades / "reds" / "deep").iterdir())
        hits = library.search(like=reds, unlike=blue, count=99)
        assert names(hits)[0] == "red.png"
        assert blue not in {hit.id for hit in hits}
        assert {hit.kind for hit in hits} == {"image"}
        assert hits[0].match == "confident"
        one = library.search(like=red, count=99)
        assert red not in {hit.id for hit in one}
        assert library.search(like=f"#{red}", count=99) == one
        copy = shades / "copy.png"
        copy.write_bytes((shades / "all" / "red.png").read_bytes())
        assert library.search(like=[copy], count=99) == one
        beside = library.search("blue", like=red, kind="image", count=5)
        assert beside != library.search("blue", kind="image", count=5)
        with pytest.raises(QueryError, match="requires --like"):
            library.search("blue", unlike=red)
        with pytest.raises(QueryError, match="is not visual"):
            library.search(like=note)
        with pytest.raises(QueryError, match="segment #9999"):
            library.search(like="#9999")


def test_a_library_made_before_concepts_is_brought_up(shades, place, toy):
    downgrade_catalog(place, "7-labels")
    with pytest.raises(LibraryError, match="older version"):
        Library.open(place)
    update_library(library=place, embedder=toy)
    assert teach("rosso", shades / "reds", library=place, embedder=toy).positives == 6


def test_a_writer_keeps_others_from_teaching(shades, place, toy):
    with LibraryWriter(place), pytest.raises(LibraryError, match="in use by"):
        teach("rosso", shades / "reds", library=place, embedder=toy)


def test_the_command_teaches_lists_searches_and_forgets(clew, tmp_path):
    for colour, of in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        for number in range(5):
            draw_image(tmp_path / colour / f"{number}.png", tuple(min(255, c + 9 * number) for c in of))
    assert clew("index", "blue", "red", "--model", "builtin").exit_code == 0
    assert "No concepts yet" in clew("teach").output
    done = clew("teach", "rosso", "red", "--not", "blue")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("@rosso  5 examples, 5 counterexamples; ")
    assert "100% of pairs" in done.output
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
