"""Text is split into passages that the text encoder reads to their end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.decode.text.chunking import Chunker, Passage, split_lines, split_text
from retrieval.embedders.builtin import BuiltinEmbedder


def words(text: str) -> int:
    return len(text.split())


def test_paragraphs_and_headings_become_passages_with_lines():
    text = "# Trip to Rome\nWe saw\nthe forum.\n\n\nThen we ate.\n## Home\nRain."
    assert [tuple(p) for p in split_text(text, words, 32)] == [
        ("Trip to Rome", 1, 1),
        ("We saw the forum.", 2, 3),
        ("Then we ate.", 6, 6),
        ("Home", 7, 7),
        ("Rain.", 8, 8),
    ]


def test_long_paragraph_is_split_between_sentences():
    text = "One two three. Four five six. Seven eight nine ten."
    assert [p.text for p in split_text(text, words, 7)] == [
        "One two three. Four five six.",
        "Seven eight nine ten.",
    ]


def test_long_sentence_is_split_between_words():
    assert [p.text for p in split_text("a b c d e f g", words, 3)] == ["a b c", "d e f", "g"]


def test_word_longer_than_a_passage_is_split():
    tokens = BuiltinEmbedder().count_tokens
    passages = list(split_text("犬が草の上を走る。" * 30 + " " + "QUJDREVGRw==" * 100, tokens, 32))
    assert len(passages) > 3
    assert all(tokens(p.text) <= 32 for p in passages)
    assert all(len(word) <= 100 for p in split_text("ก" * 5_000, tokens, 32) for word in p.text.split())


def test_rules_and_blank_text_have_no_passages():
    assert list(split_text("---\n\n   \n***\n", words, 10)) == []


class CountingEmbedder:
    """A text encoder of words that counts its calls."""

    max_tokens = 4

    def __init__(self) -> None:
        self.calls: list[str] = []

    def count_tokens(self, text: str) -> int:
        self.calls.append(text)
        return len(text.split())


def test_chunker_splits_to_the_limit_of_its_embedder():
    chunker = Chunker(CountingEmbedder())
    assert list(chunker.passages("a b c. d e\n\nf")) == [
        Passage("a b c.", 1, 1),
        Passage("d e", 1, 1),
        Passage("f", 3, 3),
    ]
    assert chunker.fits("a b c d") and not chunker.fits("a b c d e")


def test_chunker_drafts_share_one_location():
    chunker = Chunker(CountingEmbedder())
    drafts = list(chunker.drafts("a b c. d e", page=3, start=1.5, end=2, caption_target=b"x"))
    assert [draft.text for draft in drafts] == ["a b c.", "d e"]
    assert {(d.kind, d.page, d.start, d.end, d.caption_target) for d in drafts} == {("text", 3, 1.5, 2, b"x")}
    assert list(chunker.drafts("---")) == []


def test_chunker_counts_the_tokens_of_a_word_once():
    embedder = CountingEmbedder()
    chunker = Chunker(embedder)
    list(chunker.passages("red green"))
    list(chunker.passages("green red"))
    assert sorted(embedder.calls) == ["green", "green red", "red", "red green"]
    long = "x" * 1_000
    assert [chunker.count_tokens(long) for _ in range(2)] == [1, 1]
    assert embedder.calls[-2:] == [long, long]  # long texts would fill the cache


@given(st.text(max_size=300), st.integers(2, 12))
@settings(deadline=None, max_examples=60)
def test_passages_keep_every_letter_within_the_limit(text, limit):
    passages = list(split_text(text, words, limit))
    assert all(words(p.text) <= limit for p in passages)
    lines = text.splitlines()
    for passage in passages:
        assert 1 <= passage.start <= passage.end <= len(lines)
    there = [w for p in passages for w in p.text.split()]
    letters = [c for c in "".join(there) if c.isalnum()]
    assert letters == [c for c in text if c.isalnum()]


@pytest.mark.parametrize("character", ["\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"])
def test_lines_are_counted_as_grep_counts_them(character):
    text = f"one{character}two\r\n\nthree {character}\nfour"
    assert [(p.text, p.start, p.end) for p in split_text(text, words, 32)] == [
        ("one two", 1, 1),
        ("three four", 3, 4),
    ]


def test_carriage_return_ends_lines_only_in_a_text_without_line_feeds():
    assert split_lines("a\rb\rc") == ["a", "b", "c"]
    assert split_lines("10 %\r20 %\nend") == ["10 %\r20 %", "end"]


@given(st.text("ab \n\r\f\v\x85\u2028", max_size=60))
def test_number_of_lines_is_the_number_of_line_feeds(text):
    if "\n" in text:
        assert len(split_lines(text)) == text.count("\n") + 1
