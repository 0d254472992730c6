"""Tests of the order of hits by words and meaning, and of its agreement with their confidence."""

import pytest

from indexer import TagOptions, index_folder, tag_library, teach, verify_library
from retrieval import Library, SearchOptions
from retrieval.search import hybrid_search
from retrieval.types import Hits
from tests.support.audio_files import write_audio
from tests.support.catalog import edit_catalog
from tests.support.files import draw_image, write_text

KEYWORD_ONLY = SearchOptions(by="keyword")


def assert_order_agrees_with_confidence(hits):
    """Hits with the words come first; then the confidence never rises, and uncalibrated hits are last."""
    marked = [hit.match == "words" for hit in hits]
    assert marked == sorted(marked, reverse=True)
    rest = [-1.0 if hit.confidence is None else hit.confidence for hit in hits if hit.match != "words"]
    assert rest == sorted(rest, reverse=True)


@pytest.fixture
def travels(tmp_path, place, toy):
    """Index 40 images in Norway, 3 in Oslo and 40 elsewhere, of many shades."""
    for number in range(40):
        draw_image(tmp_path / "in" / "other" / f"{number}.png", (255, number, number))
        draw_image(tmp_path / "in" / "Norway" / f"{number}.png", (5 * number, 90, 200))
    for number in range(3):
        draw_image(tmp_path / "in" / "Oslo" / f"{number}.png", (0, 100 + number, 0))
    with index_folder(tmp_path / "in", library=place, embedder=toy) as library:
        yield library


@pytest.mark.parametrize("compared", [200, 10])
@pytest.mark.parametrize("words", ["Norway", "Norway red", "a red Norway", "Norway giraffe"])
def test_all_files_of_a_named_folder_come_first_in_the_order_of_meaning(
    travels, monkeypatch, words, compared
):
    monkeypatch.setattr(hybrid_search, "MAX_COMPARED_MATCHES", compared)
    hits = travels.search(words, count=60)
    assert {hit.path.parent.name for hit in hits[:40]} == {"Norway"}
    assert {hit.match for hit in hits[:40]} == {"words"}
    assert not any(hit.has_words for hit in hits[40:])
    assert [hit.score for hit in hits[:40]] == sorted((hit.score for hit in hits[:40]), reverse=True)
    assert [hit.id for hit in travels.search(words, count=5)] == [hit.id for hit in hits[:5]]
    assert_order_agrees_with_confidence(hits)


def test_small_folder_comes_first(travels):
    hits = travels.search("oslo red", count=10)
    assert [hit.path.parent.name for hit in hits[:4]] == ["Oslo"] * 3 + ["other"]


@pytest.fixture
def notes(tmp_path, place, toy):
    texts = ["a black dog and a red cat", "a dog in red grass", "a black cat", "blue sky", "the green tree"]
    for number, text in enumerate([*texts, *(f"yellow word{n}" for n in range(6))]):
        write_text(tmp_path / "in" / f"{number}.txt", text)
    for color in ("red", "green", "blue", "yellow"):
        draw_image(tmp_path / "in" / f"{number}-{color}.png", color)
    with index_folder(tmp_path / "in", library=place, embedder=toy) as library:
        yield library


@pytest.mark.parametrize(
    "words", ["dog", "black dog", "red dog sky", "dog sky tree cat", "blue word3 tree", "2:dog + red - black"]
)
@pytest.mark.parametrize("by", ["both", "keyword"])
def test_order_and_confidence_agree(notes, words, by):
    hits = notes.search(words, count=20, options=SearchOptions(by=by))
    assert hits
    assert_order_agrees_with_confidence(hits)


def test_subtracted_words_are_excluded_from_keywords(notes):
    assert [hit.text for hit in notes.search("red dog -black", options=KEYWORD_ONLY)[:1]] == [
        "a dog in red grass"
    ]
    assert [hit.match == "words" for hit in notes.search("red dog -black")[:2]] == [True, False]


def test_weights_reach_keywords(notes):
    first = notes.search("2:dog + 0.001:black", options=KEYWORD_ONLY)
    assert {hit.text for hit in first[:2]} == {"a black dog and a red cat", "a dog in red grass"}
    assert {hit.match for hit in first[:2]} == {"words"}
    shares = {hit.text: hit.words for hit in notes.search("0.2:dog + cat", options=KEYWORD_ONLY)}
    assert shares["a black cat"] > 0.7 > shares["a dog in red grass"]


def test_words_next_to_an_image_are_a_part_of_the_query(notes, tmp_path):
    hits = notes.search("sky", image=tmp_path / "in" / "10-red.png", count=20)
    assert all(hit.match != "words" for hit in hits)
    assert max(hit.words for hit in hits) == pytest.approx(0.5)


def test_concept_and_words_find_images(notes, tmp_path):
    teach(
        "warm", [tmp_path / "in" / "10-red.png"], library=notes.folder, embedder=notes.embedder, anyway=True
    )
    hits = notes.search("@warm + dog", count=20)
    assert {hit.kind for hit in hits} == {"image"}
    assert hits[0].path.name == "10-red.png"


def test_guessed_tags_do_not_confirm_themselves(notes):
    before = [(hit.id, hit.confidence) for hit in notes.search("scarlet")]
    tag_library(["scarlet"], library=notes.folder, embedder=notes.embedder, options=TagOptions(at_least=0.0))
    assert notes.search(None, options=SearchOptions(tag="scarlet"))
    assert [(hit.id, hit.confidence) for hit in notes.search("scarlet")] == before


def test_confidence_does_not_depend_on_filters(travels):
    unfiltered = {hit.id: (hit.confidence, hit.usual) for hit in travels.search("red", count=100)}
    for options in (SearchOptions(under="Norway"), SearchOptions(under="Oslo")):
        hits = travels.search("red", count=100, options=options)
        assert {hit.id: (hit.confidence, hit.usual) for hit in hits}.items() <= unfiltered.items()


def test_first_diverse_hits_do_not_depend_on_the_count(travels):
    for words in ("blue", "Norway"):
        for group in (False, True):
            options = SearchOptions(diversity=0.3, group=group)
            few, many = (travels.search(words, count=count, options=options) for count in (10, 70))
            assert [hit.id for hit in few] == [hit.id for hit in many][:10]


def test_sounds_without_tags_are_found_by_name_only(tmp_path, index, place, toy):
    for color in ("red", "green", "blue", "yellow"):
        draw_image(tmp_path / "in" / f"{color}.png", color)
    for number in range(3):
        write_audio(tmp_path / "in" / f"concert-{number}.wav", tones=((0, 1, 400 + number),))
    index(tmp_path / "in")
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        for words in ("the", "quarterly report", "qwrtz blorf", "sound recording"):
            assert {hit.kind for hit in library.search(words, count=20)} == {"image"}
        hits = library.search("a concert at night", count=20)
        assert [hit.kind for hit in hits] == ["audio"] * 3 + ["image"] * 4
        assert len({hit.id for hit in hits}) == 7
    assert index(tmp_path / "in").segments == 0


def test_kind_with_few_different_vectors_is_never_confident(tmp_path, index, place, toy):
    for number in range(20):
        draw_image(tmp_path / "in" / f"{number}.png", (10 * number, 255 - 10 * number, 90))
        write_text(tmp_path / "in" / f"note-{number}.txt", f"red lamp\n\nred lamp {'!' * number}")
    index(tmp_path / "in")
    with Library.open(place, embedder=toy) as library:
        hits = library.search("a scarlet thing", count=60)
        kinds = [hit.kind for hit in hits]
        assert kinds == sorted(kinds)  # the images, then the texts
        assert {hit.confidence for hit in hits if hit.kind == "text"} == {None}
        weak = Hits(hit for hit in hits if hit.match in (None, "weak"))
        assert not weak.have_good_match


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("monprix", "MONOPRIX.txt"),
        ("monoprxi", "MONOPRIX.txt"),
        ("recipt", "receipt.txt"),
        ("giraffes", None),
    ],
)
def test_misspelled_word_finds_the_nearest_word_of_the_library(tmp_path, typed, expected):
    for name in ("MONOPRIX", "receipt", "garden", "letter"):
        write_text(tmp_path / "in" / f"{name}.txt", f"{name} of May")
    with index_folder(tmp_path / "in", library=tmp_path / "library", model="builtin") as library:
        hits = library.search(typed)
        assert hits[0].path.name == expected or expected is None
        assert (hits[0].match == "words") == (expected is not None)
        assert (hits[0].confidence >= 0.8) == (expected is not None)
        assert not any(hit.has_words for hit in library.search(f'"{typed}"'))


def test_function_word_in_a_name_does_not_raise_a_file(notes, tmp_path, index):
    draw_image(tmp_path / "in" / "a la plage.png", "green")
    index(tmp_path / "in")
    assert all(hit.words == 0 for hit in notes.search("a xylophone", count=30))
    assert notes.search("a", count=1)[0].has_words  # if the query has no other words


def test_start_of_a_word_counts_and_its_inside_does_not(tmp_path, place, toy):
    for name in ("extractor", "vacation", "red", "green"):
        write_text(tmp_path / "in" / f"{name}.txt", f"a {name} thing")
    with index_folder(tmp_path / "in", library=place, embedder=toy) as library:
        assert library.search("vacat")[0].match == "words"
        assert not any(hit.has_words for hit in library.search("tractor"))
        hits = library.search("tractor", options=KEYWORD_ONLY)
        assert [(hit.path.name, hit.words) for hit in hits] == [("extractor.txt", 0.5)]


def test_words_with_examples_are_shown_without_calibration(clew, tmp_path):
    for number in range(12):
        draw_image(tmp_path / "in" / f"{number}.png", (20 * number, 255 - 20 * number, 90))
    assert clew("index", tmp_path / "in").exit_code == 0
    assert clew("elephant", "--like", tmp_path / "in" / "3.png", "--paths").exit_code == 0


def test_older_library_loses_the_text_and_vectors_of_silent_sounds(tmp_path, index, place, toy):
    from tests.support.catalog import downgrade_catalog

    write_audio(tmp_path / "in" / "memo.wav")
    draw_image(tmp_path / "in" / "red.png")
    index(tmp_path / "in")
    downgrade_catalog(place, "14-sounds")
    with edit_catalog(place) as db:
        db.execute("UPDATE segments SET text = 'sound recording' WHERE kind = 'audio'")
        vector = "SELECT id, (SELECT vector FROM vectors_1) FROM segments WHERE kind = 'audio'"
        db.execute(f"INSERT INTO vectors_1 {vector}")
    db.close()
    index(tmp_path / "in")
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert [hit.kind for hit in library.search("sound recording")] == ["image"]
        assert library.search("memo")[0].text is None
