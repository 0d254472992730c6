"""Queries as vectors: validation, modes, centering and sums."""

import numpy as np
import pytest

from retrieval.errors import QueryError
from retrieval.query.encoder import (
    EncodedTerm,
    combine_terms,
    embed_image,
    embed_text,
    encode_query,
    validate_query,
)
from retrieval.query.parser import parse
from retrieval.scoring.calibration import CENTERING, normalize_rows
from tests.support.files import draw_image


def term(vector, weight=1.0, mode="words") -> EncodedTerm:
    return EncodedTerm("x", mode, weight, np.array([vector], np.float32))


def no_mean():
    return None


def refuse(operand):
    raise AssertionError(operand)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("- red", "only negative terms"), ("https://a.example/x.jpg", "--allow-url"),
     ("red not:https://a.example/x.jpg", "--allow-url")],
)  # fmt: skip
def test_query_without_a_positive_term_or_with_a_forbidden_url_is_refused(text, message):
    with pytest.raises(QueryError, match=message):
        validate_query(parse(text))


def test_other_inputs_are_positive_terms():
    validate_query(parse(""), ["image"])
    validate_query(parse("- red"), ["image"])
    validate_query(parse("https://a.example/x.jpg"), allow_url=True)


def test_terms_are_summed_by_weight_and_normalized():
    total = combine_terms([term([1, 0], 3.0), term([0, 1], -4.0)], no_mean)
    assert total == pytest.approx(np.array([[0.6, -0.8]]))


def test_words_are_centered_by_their_mean_and_images_are_not():
    mean = np.array([0.0, 1.0], np.float32)
    words = term([1, 0])
    total = combine_terms([words], lambda: mean)
    assert total == pytest.approx(normalize_rows(np.array([[1, -CENTERING]], np.float32)))
    assert combine_terms([term([1, 0], mode="picture")], lambda: mean) == pytest.approx(words.vector)


def test_unknown_terms_do_not_contribute():
    assert combine_terms([term([1, 0]), term([0, 0])], no_mean) == pytest.approx(np.array([[1, 0]]))


def test_terms_that_cancel_each_other_are_refused():
    with pytest.raises(QueryError, match="cancel"):
        combine_terms([term([1, 0]), term([1, 0], -1.0)], no_mean)


@pytest.mark.parametrize(
    ("text", "mode"), [("red", "words"), ("red + blue", "sum"), ("red - blue", "difference")]
)
def test_mode_of_a_query_depends_on_its_terms(toy, text, mode):
    assert encode_query(parse(text), toy, refuse, no_mean).mode == mode


def test_image_and_words_are_a_mixed_query(toy, tmp_path):
    encoded = encode_query(parse("blue"), toy, refuse, no_mean, [draw_image(tmp_path / "red.png")])
    assert (encoded.mode, len(encoded.terms)) == ("mixed", 2)
    assert [term.operand.text for term in encoded.keywords] == ["blue"]


def test_exclusions_are_encoded_separately(toy):
    encoded = encode_query(parse("red not:blue"), toy, refuse, no_mean)
    assert encoded.vector == pytest.approx(embed_text(toy, "red"))
    assert [exclusion.text for exclusion in encoded.exclusions] == ["blue"]


def test_unreadable_image_is_refused_with_its_name(toy, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(QueryError, match=r"Cannot use .*broken\.png as a query"):
        embed_image(toy, tmp_path / "broken.png")
