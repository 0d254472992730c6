"""Text is cut where a person would, into what the text tower can read."""

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.decode.text.chunking import split_text
from retrieval.embedders.builtin import BuiltinEmbedder


def words(text: str) -> int:
    return len(text.split())


def test_paragraphs_and_headings_are_passages_with_their_lines():
    text = "# Trip to Rome\nWe saw\nthe forum.\n\n\nThen we ate.\n## Home\nRain."
    assert [tuple(p) for p in split_text(text, words, 32)] == [
        ("Trip to Rome", 1, 1),
        ("We saw the forum.", 2, 3),
        ("Then we ate.", 6, 6),
        ("Home", 7, 7),
        ("Rain.", 8, 8),
    ]


def test_a_long_paragraph_is_cut_between_sentences():
    text = "One two three. Four five six. Seven eight nine ten."
    assert [p.text for p in split_text(text, words, 7)] == [
        "One two three. Four five six.",
        "Seven eight nine ten.",
    ]


def test_a_long_sentence_is_cut_between_words():
    assert [p.text for p in split_text("a b c d e f g", words, 3)] == ["a b c", "d e f", "g"]


def test_a_word_that_no_passage_can_hold_is_cut():
    tokens = BuiltinEmbedder().count_tokens
    passages = split_text("犬が草の上を走る。" * 30 + " " + "QUJDREVGRw==" * 100, tokens, 32)
    assert len(passages) > 3
    assert all(tokens(p.text) <= 32 for p in passages)
    assert all(len(word) <= 100 for p in split_text("ก" * 5_000, tokens, 32) for word in p.text.split())


def test_rules_and_blank_text_are_no_passages():
    assert split_text("---\n\n   \n***\n", words, 10) == []


@given(st.text(max_size=300), st.integers(2, 12))
@settings(deadline=None, max_examples=60)
def test_nothing_is_lost_and_nothing_is_too_long(text, limit):
    passages = split_text(text, words, limit)
    assert all(words(p.text) <= limit for p in passages)
    lines = text.splitlines()
    for passage in passages:
        assert 1 <= passage.start <= passage.end <= len(lines)
    there = [w for p in passages for w in p.text.split()]
    letters = [c for c in "".join(there) if c.isalnum()]
    assert letters == [c for c in text if c.isalnum()]
