"""Tests of calibration, which converts scores to confidences."""

import math
from dataclasses import replace

import numpy as np
import pytest

from indexer import index_folder, update_library
from indexer.maintenance.calibrate import BestScores
from retrieval import Library, SearchOptions
from retrieval.cli.hits.output import ShowOptions, show_hits
from retrieval.query.parser import parse
from retrieval.scoring import calibration
from retrieval.scoring.calibration import (
    Calibration,
    confidence,
    fit_calibration,
    fit_label_scale,
    fit_library,
    fit_scale,
    match_quality,
    mean_standard_score,
    nearest_count,
    rival_levels,
)
from retrieval.search.browse import FileRanking
from retrieval.search.hybrid_search import hybrid_search
from retrieval.search.request import SearchRequest
from retrieval.types import CONFIDENCE_THRESHOLD, Hits
from tests.support.files import draw_image, write_text


def test_confidence_is_the_share_of_background_queries_with_lower_scores():
    bests = np.random.default_rng(0).normal(0.3, 0.05, 20_000).astype(np.float32)
    fitted = fit_calibration(bests)
    assert fitted.center == pytest.approx(0.3, abs=0.002)
    assert fitted.spread == pytest.approx(0.05, abs=0.002)
    for score in (0.2, 0.3, 0.35, 0.42):
        z_score = float(fitted.z_scores(np.array([score], np.float32))[0])
        assert confidence(z_score) == pytest.approx(float((bests < score).mean()), abs=0.01)


def test_upper_quartile_of_the_background_has_the_confidence_threshold():
    bests = np.float32([0.1, 0.2, 0.3, 0.4, 0.9])
    z_scores = fit_calibration(bests).z_scores(np.quantile(bests, [0.5, 0.75]).astype(np.float32))
    assert confidence(float(z_scores[0])) == pytest.approx(0.5)
    assert confidence(float(z_scores[1])) == pytest.approx(CONFIDENCE_THRESHOLD, abs=1e-4)


def test_vectors_near_many_queries_have_a_high_level():
    levels, spreads = rival_levels(np.float32([[0.1, 0.2, 0.3], [0.5, 0.2, 0.2], [1.0, 0.4, 0.2]]))
    weight = calibration.RIVAL_WEIGHT
    assert levels == pytest.approx([0.3 * weight, 0.5 * weight, 0.4 * weight])  # 1.0 is a copy
    assert spreads[:2] == pytest.approx([np.std([0.1, 0.2, 0.3]) ** 0.5, np.std([0.5, 0.2, 0.2]) ** 0.5])


def test_best_cosine_has_the_mean_standard_score_of_the_nearest_vectors():
    cosines, levels, spreads = np.float32([0.6, 0.5]), np.float32([0.3, 0.1]), np.float32([0.1, 0.2])
    scale = fit_scale(cosines, levels, spreads)
    standard = scale.standard_scores(np.float32([0.6, 0.45]))
    assert standard[0] == pytest.approx(3.0 - calibration.MAX_LAG / 2)  # 3, and 2 that counts as MAX_LAG less
    assert standard[0] - standard[1] == pytest.approx(0.15 / 0.15)  # in units of the mean spread
    assert Calibration(0.2, 0.1).z_scores(np.float32([0.4]))[0] == pytest.approx(2.0)


def test_mean_standard_score_ignores_missing_vectors():
    scores = np.float32([[1.0, 0.9, -np.inf], [-np.inf, -np.inf, -np.inf], [5.0, 0.0, 0.0]])
    lag = calibration.MAX_LAG
    assert mean_standard_score(scores)[[0, 2]] == pytest.approx([0.95, 5 - lag * 2 / 3])
    assert np.isnan(mean_standard_score(scores)[1])


def test_label_scale_does_not_depend_on_the_best_cosine():
    """A common thing has no best photo, so each photo is compared with the level of its neighbors."""
    scale = fit_label_scale(np.array([0.2, 0.1]), np.array([0.2, 0.3]))
    assert scale.standard_scores(np.array([0.15, 0.4])) == pytest.approx([0.0, 1.0])


def test_few_vectors_rate_a_query_by_fewer_nearest_ones():
    assert [nearest_count(count) for count in (1, 14, 40, 100, 200, 10**6)] == [1, 1, 2, 5, 10, 10]


def test_match_quality_is_relative_to_the_background_of_each_segment():
    background = np.float32([[0.1, 0.5], [0.3, 0.7]])  # two queries, two segments
    quality = match_quality(np.float32([0.3, 0.3]), background)
    assert quality[0] == pytest.approx(0.5 * (1 + math.erf(1 / math.sqrt(2))), abs=1e-5)
    assert quality[1] == pytest.approx(0.5 * (1 - math.erf(3 / math.sqrt(2))), abs=1e-5)


def test_best_scores_do_not_depend_on_chunks_and_exclude_the_query_itself():
    draw = np.random.default_rng(1)
    vectors = calibration.normalize_rows(draw.normal(size=(200, 16)).astype(np.float32))
    queries = np.concatenate(
        [vectors[:5], calibration.normalize_rows(draw.normal(size=(20, 16)).astype(np.float32))]
    )
    at_once, in_chunks = BestScores(queries), BestScores(queries)
    at_once.update(vectors)
    for start in range(0, 200, 7):
        in_chunks.update(vectors[start : start + 7])
    np.testing.assert_allclose(at_once.best, in_chunks.best, atol=1e-5)
    scores = queries @ vectors.T
    levels, spreads = rival_levels(scores.T)
    scores[np.arange(5), np.arange(5)] = -1
    np.testing.assert_allclose(at_once.best[0].max(axis=1), scores.max(axis=1), atol=1e-6)
    first = np.argsort(-scores, axis=1)[:, : calibration.TOP_N]
    standard = (np.take_along_axis(scores, first, axis=1) - levels[first]) / spreads[first]
    expected = fit_calibration(mean_standard_score(standard))
    fitted = at_once.fit()
    assert fitted is not None
    assert (fitted.center, fitted.spread) == pytest.approx((expected.center, expected.spread), abs=1e-5)


def test_library_calibration_holds_for_the_best_of_all_kinds():
    draw = np.random.default_rng(3)
    scores = [
        draw.normal(center, spread, 20_000).astype(np.float32) for center, spread in ((0.2, 0.1), (0.6, 0.02))
    ]
    scores[1][:100] = np.nan  # of these, the kind has only copies
    alone = [fit_calibration(each[~np.isnan(each)]) for each in scores]
    together = fit_library(scores, alone)

    def shares_of_confident(calibrations, scores):
        z_scores = [each.z_scores(row) for each, row in zip(calibrations, scores, strict=True)]
        return [float((z >= calibration.Z_QUARTILE).mean()) for z in (*z_scores, np.nanmax(z_scores, axis=0))]

    assert shares_of_confident(alone, scores)[2] == pytest.approx(0.44, abs=0.01)
    assert shares_of_confident(together, scores)[2] == pytest.approx(0.25, abs=0.01)
    noise = [row + np.float32(0.05) for row in scores]
    strict = fit_library(scores, alone, noise)
    assert shares_of_confident(strict, noise)[2] == pytest.approx(calibration.MAX_NOISE_SHARE, abs=0.01)
    assert fit_library(scores[:1], alone[:1])[0].center == pytest.approx(alone[0].center, abs=1e-3)


def test_background_queries_are_several_hundred_unique_phrases():
    queries = calibration.load_background_queries()
    assert len(queries) > 400
    assert len(set(queries)) == len(queries)
    assert all(query.strip() == query and query for query in queries)


def test_library_is_calibrated_again_after_it_has_grown(index, folder, place, toy):
    index(folder)
    with Library.open(place, embedder=toy) as library:
        before = library._catalog.calibrations(library._catalog.space())
        assert {kind for _, kind in before} == {"image"}
        assert all(0 <= hit.confidence <= 1 for hit in library.search("red"))
        draw_image(folder / "orange.png", (255, 128, 0))
        index(folder)
        after = library._catalog.calibrations(library._catalog.space())
        assert after["words", "image"] != before["words", "image"]


def test_confidence_decreases_with_the_score_within_a_kind(library):
    hits = library.search("red", count=7)
    assert [hit.confidence for hit in hits] == sorted((hit.confidence for hit in hits), reverse=True)


def test_confidence_does_not_depend_on_the_number_of_hits(library):
    assert library.search("red", count=1)[0] == library.search("red", count=7)[0]


def test_hits_of_an_uncalibrated_library_have_no_confidence(index, folder, place, toy):
    index(folder)
    from indexer.store.writer import LibraryWriter

    with LibraryWriter(place) as writer:
        writer.db.execute("DELETE FROM calibrations")
    with Library.open(place, embedder=toy) as library:
        hits = library.search("red", options=SearchOptions(by="meaning"))
        assert [hit.confidence for hit in hits] == [None] * 7
        assert hits.have_good_match
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].confidence is not None


def test_builtin_model_separates_matches_from_gibberish(clew, flickr, tmp_path):
    """Weak hits are shown only with --all."""
    assert clew("index", flickr, "--model", "builtin", "--exclude", "*.jsonl").exit_code == 0
    for words in ("a dog running on grass", "snow", "a man on a bike"):
        assert clew(words, "--json").exit_code == 0
    for words in ("asdf qwer zxcv", "tax return form"):
        done = clew(words, "--json")
        assert (done.exit_code, done.stdout.strip()) == (1, "[]")
        assert "Nothing matches well" in done.stderr
        assert clew(words, "--all", "-k", 3, "--paths").stdout.count("\n") == 3


def test_exclusion_filter_removes_confident_matches_and_minus_only_reranks(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for name, color in (
        ("a", (250, 30, 30)),
        ("b", (250, 250, 30)),
        ("c", (240, 60, 60)),
        ("d", (30, 30, 250)),
    ):
        draw_image(tmp_path / "in" / f"{name}.png", color)
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=ToyEmbedder()) as library:
        names = [hit.path.stem for hit in library.search("red")]
        assert set(names) == {"a", "b", "c", "d"}
        kept = [hit.path.stem for hit in library.search("red not:blue")]
        assert kept == [name for name in names if name != "d"]
        assert len(library.search("red - blue")) == 4
        assert [hit.path.stem for hit in library.search("red not:blue", count=1)] == kept[:1]


def test_exclusion_needs_no_files_of_the_segments_that_it_drops(library, monkeypatch):
    """Of a library in which most images are excluded, only the others are read with their paths."""
    read, hits_of = [], type(library._catalog).hits

    def recorded(catalog, scored_ids, *rest, **options):
        read.extend(scored_ids)
        return hits_of(catalog, scored_ids, *rest, **options)

    monkeypatch.setattr(type(library._catalog), "hits", recorded)
    names = {hit.path.stem for hit in library.search("red not:blue", count=7)}
    query = """SELECT s.id FROM segments s JOIN files f ON f.content = s.content
                WHERE f.path = CAST('blue.png' AS BLOB)"""
    blue = library._catalog.db.execute(query).fetchone()[0]
    assert "red" in names
    assert "blue" not in names
    assert blue not in {id_ for id_, *_ in read}


@pytest.fixture
def reds(tmp_path, index, place, toy):
    """Yield a library of 60 red images, a blue one and the word red in all file names."""
    for number in range(60):
        draw_image(tmp_path / "reds" / f"red {number}.png", (255 - number, 0, 0))
    draw_image(tmp_path / "reds" / "blue.png", "blue")
    index(tmp_path / "reds")
    with Library.open(place, embedder=toy) as library:
        yield library


@pytest.mark.parametrize("by", ["meaning", "both"])
def test_search_ends_with_a_note_if_exclusions_drop_nearly_everything(reds, by):
    space_index = reds._open_space_index()
    query = reds._encode_query(space_index, parse("red not:red"))
    request = SearchRequest(space_index, query, max_dropped=10)
    hits = hybrid_search(request, by).top(1)
    assert "nearly all segments of the kind image" in request.exclusion_filter.note
    assert {hit.path.stem for hit in hits} <= {"blue"}
    if by == "meaning":
        assert 10 < len(request.exclusion_filter._excluded) < 60
        assert hits == []


# Of 60, the last page exceeds the limit; or none does, because each is counted once in both rankings.
@pytest.mark.parametrize(("by", "max_dropped"), [("meaning", 59), ("both", 90)])
def test_search_that_compared_all_segments_has_no_note(reds, by, max_dropped):
    space_index = reds._open_space_index()
    query = reds._encode_query(space_index, parse("red not:red"))
    request = SearchRequest(space_index, query, max_dropped=max_dropped)
    assert [hit.path.stem for hit in hybrid_search(request, by).top(100)] == ["blue"]
    assert request.exclusion_filter.note is None


def test_list_of_files_continues_with_other_kinds_if_all_of_one_were_compared(reds, tmp_path, index):
    write_text(tmp_path / "reds" / "zebra.txt", "green")
    index(tmp_path / "reds")
    reds = Library.open(reds._catalog.folder, embedder=reds._embedder_override)
    space_index = reds._open_space_index()
    request = SearchRequest(space_index, reds._encode_query(space_index, parse("not:red")), max_dropped=59)
    names = [hit.path.stem for hit in FileRanking(request, "name", page_size=61).top(100)]
    assert (names, request.exclusion_filter.note) == (["blue", "zebra"], None)


def test_list_of_files_ends_with_a_note_if_exclusions_drop_nearly_everything(reds):
    space_index = reds._open_space_index()
    query = reds._encode_query(space_index, parse("not:red"))
    request = SearchRequest(space_index, query, max_dropped=10)
    assert [hit.path.stem for hit in FileRanking(request).top(100)] == ["blue"]
    assert request.exclusion_filter.note is None  # all files were compared
    request = SearchRequest(space_index, query, max_dropped=10)
    assert [hit.path.stem for hit in FileRanking(request, "name", page_size=8).top(100)] == ["blue"]
    assert "nearly all segments of the kind image" in request.exclusion_filter.note


def test_list_of_files_goes_on_with_the_kinds_of_which_exclusions_keep_enough(reds, tmp_path, index):
    """Of the images, only the first are compared; the texts after them are listed to the end."""
    for number in range(20):
        write_text(tmp_path / "reds" / f"zebra {number:02}.txt", "green")
    index(tmp_path / "reds")
    reds = Library.open(reds._catalog.folder, embedder=reds._embedder_override)
    space_index = reds._open_space_index()
    request = SearchRequest(space_index, reds._encode_query(space_index, parse("not:red")), max_dropped=10)
    names = [hit.path.stem for hit in FileRanking(request, "name", page_size=8).top(100)]
    assert names == ["blue", *(f"zebra {number:02}" for number in range(20))]
    assert "nearly all segments of the kind image" in request.exclusion_filter.note


def test_search_has_no_note_if_exclusions_keep_enough(reds):
    hits = reds.search("red not:blue", count=100)
    assert (len(hits), hits.note) == (60, None)
    hits = reds.search("red not:red", count=100)  # fewer than the limit
    assert ([hit.path.stem for hit in hits], hits.note) == (["blue"], None)


def test_note_on_the_hits_is_written_to_stderr(reds, capsys):
    with pytest.raises(SystemExit):
        show_hits(Hits([], "Dropped."), reds, ShowOptions("json"))
    assert "Dropped." in capsys.readouterr().err


def test_exclusion_of_which_nothing_matches_well_drops_nothing(library):
    """The best match of an absent thing may still match it better than most other queries."""
    space_index = library._open_space_index()
    for (mode, kind), known in list(space_index.calibrations.items()):
        space_index.calibrations[mode, kind] = replace(known, center=known.center + 10)
    assert "blue" in {hit.path.stem for hit in library.search("red not:blue", count=7)}


def test_exclusion_by_segment_removes_it_and_its_copies_among_similar_images(reds, tmp_path, index):
    """None of 60 similar images matches another much better than the others do."""
    draw_image(tmp_path / "reds" / "copy.bmp", (255, 0, 0))  # of `red 0`, with other bytes
    index(tmp_path / "reds")
    ids = {hit.path.name: hit.id for hit in reds.search("kind:image", count=100)}
    assert len(ids) == 62
    for query in (f"not:#{ids['red 0.png']}", f'not:file:"{tmp_path / "reds" / "red 0.png"}"'):
        kept = {hit.path.name for hit in reds.search(query, count=100)}
        assert "blue.png" in kept
        assert not kept & {"red 0.png", "copy.bmp"}


def test_images_and_texts_are_ranked_by_confidence(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for color in ("red", "green", "blue", "yellow"):
        draw_image(tmp_path / "in" / f"{color}.png", color)
        write_text(tmp_path / "in" / f"note-{color}.txt", f"{color} thing")
    update_library([tmp_path / "in"], library=tmp_path / "library", embedder=ToyEmbedder())
    with Library.open(tmp_path / "library", embedder=ToyEmbedder()) as library:
        hits = library.search("blue", count=8)
        assert {hit.kind for hit in hits} == {"image", "text"}
        assert [hit.confidence for hit in hits] == sorted((hit.confidence for hit in hits), reverse=True)
        assert {hits[0].path.stem, hits[1].path.stem} == {"blue", "note-blue"}


def test_exclusion_by_image_removes_its_caption_in_a_small_library(tmp_path):
    from tests.support.toy_embedder import ToyEmbedder

    for color in ("red", "blue", "green"):
        draw_image(tmp_path / "in" / f"{color}.png", color)
        write_text(tmp_path / "in" / f"{color}.txt", "a red blue green thing")
    with index_folder(tmp_path / "in", library=tmp_path / "library", embedder=ToyEmbedder()) as library:
        red = next(hit for hit in library.search("white", kind="image") if hit.path.name == "red.png")
        for query in (f"white thing not:#{red.id}", f'white thing not:file:"{tmp_path / "in" / "red.png"}"'):
            for by in ("both", "meaning", "keyword"):
                names = {
                    hit.path.name for hit in library.search(query, count=20, options=SearchOptions(by=by))
                }
                assert "red.png" not in names
            assert "blue.png" in {hit.path.name for hit in library.search(query, count=20)}


def test_space_is_calibrated_once_its_missing_vectors_exist(tmp_path, toy):
    """Calibration depends on the number of vectors, not of segments."""
    from indexer import switch_library
    from tests.support.toy_embedder import ToyEmbedder

    class OtherEmbedder(ToyEmbedder):
        name, fingerprint = "other", "other-1"

    for number in range(12):
        draw_image(tmp_path / "in" / f"{number}.png", (20 * number, 255 - 20 * number, 90))
    update_library([tmp_path / "in"], library=tmp_path / "library", embedder=toy)
    (tmp_path / "in").rename(tmp_path / "away")
    switch_library("other", library=tmp_path / "library", embedder=OtherEmbedder())
    (tmp_path / "away").rename(tmp_path / "in")
    update_library(library=tmp_path / "library", embedder=OtherEmbedder())
    with Library.open(tmp_path / "library", embedder=OtherEmbedder()) as library:
        hits = library.search("red", image=tmp_path / "in" / "3.png")
        assert len(hits) == 10
        assert all(0 <= hit.confidence <= 1 for hit in hits)
        assert library.search(image=tmp_path / "in" / "3.png")[0].confidence is not None
