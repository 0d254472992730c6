"""Words in languages that the model does not know, and random letters, are never confident matches."""

import pytest

from indexer import index_folder
from retrieval import SearchOptions
from retrieval.scoring.calibration import UNFAMILIARITY_PENALTY
from tests.support.files import draw_image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Yield a library of 31 images in the space of the built-in model."""
    folder = tmp_path_factory.mktemp("photos")
    draw_image(folder / "in" / "qxvzkwpt.png", "white")
    for number in range(30):
        draw_image(folder / "in" / f"{number}.png", (8 * number, 255 - 8 * number, (40 * number) % 256))
    with index_folder(folder / "in", library=folder / "library", model="builtin") as library:
        yield library


@pytest.mark.parametrize("text", ["σκύλος στο χιόνι", "बर्फ में कुत्ता", "zzkwvqpt fhgjrt", "ฆฌฏฐฑฒณฌฏฐ"])
def test_text_that_the_model_does_not_know_is_reported(photos, text):
    hits = photos.search(text)
    assert not any(hit.match == "confident" for hit in hits)
    assert text in hits.note


@pytest.mark.parametrize(
    "text",
    [
        "ねこ",
        "イヌ",
        "犬",
        "개",
        "a dog in the snow",
        "ein Hund im Schnee",
        "雪の中の犬",
        "Собака в снегу",
        "눈 속의 개",
        "كلب في الثلج",
    ],
)
def test_text_in_a_language_of_the_model_has_no_note(photos, text):
    assert photos.search(text).note is None


def test_file_that_is_found_by_an_unknown_name_has_no_note(photos):
    hits = photos.search("qxvzkwpt")
    assert hits[0].match == "words"
    assert hits.note is None


def test_unfamiliar_text_is_rated_lower_than_a_known_one(photos):
    space_index = photos._open_space_index()
    vector = photos._embedder_of(space_index.space).embed_texts(["zzkwvqpt fhgjrt"])
    cosines = space_index.search(vector, "image", 5)[0]
    as_query, as_known_text = (
        space_index.query_scale(vector, "words", "image", unfamiliarity).standard_scores(cosines)
        for unfamiliarity in (1.0, 0.0)
    )
    assert (as_known_text - as_query) == pytest.approx(UNFAMILIARITY_PENALTY, abs=1e-4)


@pytest.mark.parametrize("by", ["both", "meaning", "keyword"])
def test_words_with_a_byte_that_is_no_utf8_are_searched(photos, by):
    """A shell passes `$'caf\\xe9'` as text with a surrogate."""
    for text in ("qxvzkwpt \udce9", '"qxvzkwpt" -\udce9 2:x\udcff', "qxvzkwpt not:caf\udce9"):
        options = SearchOptions(by=by)
        assert "qxvzkwpt" in {hit.path.stem for hit in photos.search(text, count=40, options=options)}
