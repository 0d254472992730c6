"""How unusual a match is: the arithmetic by hand, and what a library remembers of it."""

import math

import numpy as np
import pytest

from indexer import index_folder, update_library
from indexer.maintenance.calibrate import BestScores
from retrieval import Library
from retrieval.scoring import calibration
from retrieval.scoring.calibration import (
    Calibration,
    baseline_score,
    confidence,
    fit_calibration,
    match_quality,
)
from retrieval.search.vector_search import has_good_match
from retrieval.types import CONFIDENCE_THRESHOLD
from tests.support.files import draw_image, write_text


def test_confidence_is_the_share_of_background_queries_that_do_worse():
    bests = np.random.default_rng(0).normal(0.3, 0.05, 20_000).astype(np.float32)
    found = fit_calibration(bests)
    assert found.center == pytest.approx(0.3, abs=0.002)
    assert found.spread == pytest.approx(0.05, abs=0.002)
    for score in (0.2, 0.3, 0.35, 0.42):
        said = confidence(float(found.z_scores(np.array([score], np.float32), 0.0)[0]))
        assert said == pytest.approx(float((bests < score).mean()), abs=0.01)


def test_the_upper_quartile_of_the_background_is_where_confidence_begins():
    bests = np.float32([0.1, 0.2, 0.3, 0.4, 0.9])
    surprise = fit_calibration(bests).z_scores(np.quantile(bests, [0.5, 0.75]).astype(np.float32), 0.0)
    assert confidence(float(surprise[0])) == pytest.approx(0.5)
    assert confidence(float(surprise[1])) == pytest.approx(CONFIDENCE_THRESHOLD, abs=1e-4)


def test_what_every_query_would_have_is_taken_off():
    nearest = np.float32([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6], [1, 0], [0, 1]])
    mean = np.float32([0.5, 0.0])
    common = 0.5 * 0.5 * (1 + 0 + 0.6 + 0.8 + 1) / 5
    assert baseline_score(np.float32([0.6, 0.8]), nearest, mean) == pytest.approx(common + 0.4 * 0.5 * 0.6)
    assert Calibration(0.2, 0.1).z_scores(np.float32([0.7]), 0.3)[0] == pytest.approx(2.0)


def test_fitting_is_judged_segment_by_segment():
    background = np.float32([[0.1, 0.5], [0.3, 0.7]])  # two queries, two segments
    share = match_quality(np.float32([0.3, 0.3]), background)
    assert share[0] == pytest.approx(0.5 * (1 + math.erf(1 / math.sqrt(2))), abs=1e-5)
    assert share[1] == pytest.approx(0.5 * (1 - math.erf(3 / math.sqrt(2))), abs=1e-5)


def test_bests_are_the_same_whatever_the_chunks_and_oneself_does_not_count():
    draw = np.random.default_rng(1)
    vectors = calibration.normalize_rows(draw.normal(size=(200, 16)).astype(np.float32))
    queries = np.concatenate(
        [vectors[:5], calibration.normalize_rows(draw.normal(size=(20, 16)).astype(np.float32))]
    )
    whole, parts = BestScores(queries), BestScores(queries)
    whole.update(vectors)
    for at in range(0, 200, 7):
        parts.update(vectors[at : at + 7])
    np.testing.assert_allclose(np.sort(whole.scores), np.sort(parts.scores), atol=1e-6)
    scores = queries @ vectors.T
    scores[np.arange(5), np.arange(5)] = -1
    np.testing.assert_allclose(whole.scores.max(axis=1), scores.max(axis=1), atol=1e-6)
    first = np.argsort(-scores, axis=1)[:, : calibration.TOP_N]
    common = (vectors @ queries.mean(axis=0))[first].mean(axis=1)
    usual_of = calibration.HUBNESS_SHIFT * common + calibration.QUERY_MEAN_SHIFT * (
        queries @ queries.mean(axis=0)
    )
    expected = fit_calibration(scores.max(axis=1) - usual_of)
    found = whole.fit()
    assert found is not None
    assert (found.center, found.spread) == pytest.approx((expected.center, expected.spread), abs=1e-5)


def test_the_bank_is_several_hundred_different_phrases():
    bank = calibration.load_background_queries()
    assert len(bank) > 400
    assert len(set(bank)) == len(bank)
    assert all(line.strip() == line and line for line in bank)


def test_a_library_is_calibrated_when_it_is_indexed_and_again_when_it_has_grown(index, folder, place, toy):
    index(folder)
    with Library.open(place, embedder=toy) as library:
        before = library._catalog.calibrations(library._catalog.space())
        assert {kind for _, kind in before} == {"image"}
        assert all(0 <= hit.confidence <= 1 for hit in library.search("red"))
        draw_image(folder / "orange.png", (255, 128, 0))
        index(folder)
        after = library._catalog.calibrations(library._catalog.space())
        assert after["words", "image"] != before["words", "image"]


def test_confidence_falls_with_the_score_within_a_kind(library):
    hits = library.search("red", count=7)
    assert [hit.confidence for hit in hits] == sorted((hit.confidence for hit in hits), reverse=True)


def test_the_same_hit_is_as_sure_however_many_are_asked_for(library):
    assert library.search("red", count=1)[0] == library.search("red", count=7)[0]


def test_hits_of_a_library_that_is_not_calibrated_have_no_confidence(index, folder, place, toy):
    index(folder)
    from indexer.store.writer import LibraryWriter

    with LibraryWriter(place) as writer:
        writer.db.execute("DELETE FROM calibrations")
    with Library.open(place, embedder=toy) as library:
        hits = library.search("red")
        assert [hit.confidence for hit in hits] == [None] * 7
        assert has_good_match(hits)
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].confidence is not None


def test_gibberish_is_told_from_a_match(clew, flickr, tmp_path):
    """With the built-in model: what is there is found, what means nothing is not shown unless asked for."""
    assert clew("index", flickr, "--model", "builtin", "--exclude", "*.jsonl").exit_code == 0
    for words in ("a dog running on grass", "snow", "a man on a bike"):
        assert clew(words, "--json").exit_code == 0
    for words in ("asdf qwer zxcv", "tax return form"):
        done = clew(words, "--json")
        assert (done.exit_code, done.stdout.strip()) == (1, "[]")
        assert "Nothing matches well" in done.stderr
        assert clew(words, "--all", "-k", 3, "--paths").stdout.count("\n") == 3


def test_a_veto_drops_what_surely_fits_it_and_a_minus_only_shifts(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for name, colour in (
        ("a", (250, 30, 30)),
        ("b", (250, 250, 30)),
        ("c", (240, 60, 60)),
        ("d", (30, 30, 250)),
    ):
        draw_image(tmp_path / "in" / f"{name}.png", colour)
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=ToyEmbedder()) as library:
        names = [hit.path.stem for hit in library.search("red")]
        assert set(names) == {"a", "b", "c", "d"}
        kept = [hit.path.stem for hit in library.search("red not:blue")]
        assert kept == [name for name in names if name != "d"]
        assert len(library.search("red - blue")) == 4
        assert [hit.path.stem for hit in library.search("red not:blue", count=1)] == kept[:1]


def test_one_list_of_pictures_and_texts_follows_confidence(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for colour in ("red", "green", "blue", "yellow"):
        draw_image(tmp_path / "in" / f"{colour}.png", colour)
        write_text(tmp_path / "in" / f"note-{colour}.txt", f"{colour} thing")
    update_library([tmp_path / "in"], library=tmp_path / "library", embedder=ToyEmbedder())
    with Library.open(tmp_path / "library", embedder=ToyEmbedder()) as library:
        hits = library.search("blue", count=8)
        assert {hit.kind for hit in hits} == {"image", "text"}
        assert [hit.confidence for hit in hits] == sorted((hit.confidence for hit in hits), reverse=True)
        assert {hits[0].path.stem, hits[1].path.stem} == {"blue", "note-blue"}


def test_a_caption_falls_with_its_picture_and_a_small_library_can_veto_pictures(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for colour in ("red", "blue", "green"):
        draw_image(tmp_path / "in" / f"{colour}.png", colour)
        write_text(tmp_path / "in" / f"{colour}.txt", "a red blue green thing")
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=ToyEmbedder()) as library:
        red = next(hit for hit in library.search("white", kind="image") if hit.path.name == "red.png")
        for query in (f"white thing not:#{red.id}", f'white thing not:file:"{tmp_path / "in" / "red.png"}"'):
            for by in ("both", "meaning", "keyword"):
                found = {hit.path.name for hit in library.search(query, count=20, by=by)}
                assert "red.png" not in found
            assert "blue.png" in {hit.path.name for hit in library.search(query, count=20)}


def test_a_space_that_waits_for_its_pictures_is_calibrated_when_they_are_there(tmp_path, toy):
    """What is counted are vectors, not the segments that still lack theirs."""
    from indexer import switch_library
    from tests.support.toy_embedder import ToyEmbedder

    class Again(ToyEmbedder):
        name, fingerprint = "again", "again-1"

    for number in range(12):
        draw_image(tmp_path / "in" / f"{number}.png", (20 * number, 255 - 20 * number, 90))
    update_library([tmp_path / "in"], library=tmp_path / "library", embedder=toy)
    (tmp_path / "in").rename(tmp_path / "away")
    switch_library("again", library=tmp_path / "library", embedder=Again())
    (tmp_path / "away").rename(tmp_path / "in")
    update_library(library=tmp_path / "library", embedder=Again())
    with Library.open(tmp_path / "library", embedder=Again()) as library:
        hits = library.search("red", image=tmp_path / "in" / "3.png")
        assert len(hits) == 10
        assert all(0 <= hit.confidence <= 1 for hit in hits)
        assert library.search(image=tmp_path / "in" / "3.png")[0].confidence is not None
