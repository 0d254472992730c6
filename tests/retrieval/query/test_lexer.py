"""Tokens of a query: columns, quotes, escapes, signs and weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.query.lexer import escape, escape_word, is_signed, quote, tokenize, weight_prefix


def token(text):
    (only,) = tokenize(text)
    return only


def test_tokens_have_columns_and_the_length_of_their_unquoted_prefix():
    first, second, third = tokenize(' a tag:"x y" "b"')
    assert (first.text, first.column, first.plain_length, first.is_quoted) == ("a", 1, 1, False)
    assert (second.text, second.column, second.plain_length, second.quote_start) == ("tag:x y", 3, 4, 4)
    assert (third.text, third.is_quoted) == ("b", True)


@pytest.mark.parametrize("write", [quote, escape, escape_word])
@given(text=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip))
def test_quoted_and_escaped_texts_are_one_token(write, text):
    assert token(write(text)).text == text


@pytest.mark.parametrize(
    ("text", "signed"),
    [("-people", True), ("+a", True), ("-@rex", True), ("-2:dog", True), ("-5", False), ("-", False),
     ("a-b", False), ("--", False), ('"-a"', False), (r"\-a", False), ('-"two words"', True)],
)  # fmt: skip
def test_sign_applies_to_a_following_word(text, signed):
    assert is_signed(token(text)) == signed


@pytest.mark.parametrize(
    ("text", "weight"),
    [("2:dog", "2"), ("0.5:red", "0.5"), (".5:red", ".5"), ("12:30", None), ("2:", None), ('"2:dog"', None),
     ('2:"30 km"', "2"), (r"2\:dog", None), ("dog", None)],
)  # fmt: skip
def test_weight_is_a_number_before_a_colon_but_not_a_time(text, weight):
    assert weight_prefix(token(text)) == weight
