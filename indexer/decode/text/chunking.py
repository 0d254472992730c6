"""Split text into passages that fit the context of the text encoder."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from indexer.decode.base import SegmentDraft
from retrieval.embedders.base import Embedder

MAX_CACHED_WORDS = 50_000  # whose tokens are counted once
MAX_WORD_CHARACTERS = 100  # letters of one word; to WordPiece a longer one is unknown
_SENTENCE_BOUNDARY = re.compile(r"(?<=[.!?…。！？])\s+")


class Passage(NamedTuple):
    """A stretch of text and the lines it stands on, counted from 1."""

    text: str
    start: int
    end: int


class Word(NamedTuple):
    """A word, its line, and whether a sentence ends with it."""

    text: str
    line: int
    ends_sentence: bool


class Chunker:
    """A splitter of texts for one embedder; threads may share it.

    The token counts of words are cached, those of longer texts are not: they would fill the memory.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.max_tokens = embedder.max_tokens
        self._count_tokens = embedder.count_tokens
        self._count_word_tokens = lru_cache(MAX_CACHED_WORDS)(embedder.count_tokens)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return self._count_word_tokens(text) if len(text) <= MAX_WORD_CHARACTERS else self._count_tokens(text)

    def fits(self, text: str) -> bool:
        """Return True if the text encoder reads a text to its end."""
        return self.count_tokens(text) <= self.max_tokens

    def passages(self, text: str) -> list[Passage]:
        """Return the passages of a text with their lines."""
        return split_text(text, self.count_tokens, self.max_tokens)

    def drafts(
        self,
        text: str,
        *,
        page: int | None = None,
        start: float | None = None,
        end: float | None = None,
        caption_target: bytes | None = None,
    ) -> list[SegmentDraft]:
        """Return a segment for each passage of a text, all at the same location in the file."""
        return [
            SegmentDraft(
                "text", text=passage.text, page=page, start=start, end=end, caption_target=caption_target
            )
            for passage in self.passages(text)
        ]


def split_text(text: str, count_tokens: Callable[[str], int], max_tokens: int) -> list[Passage]:
    """Split at headings and blank lines, then at sentences, then between words, to `limit` tokens."""
    return [
        passage
        for block in _paragraphs(text)
        for passage in _pack_sentences(block, count_tokens, max_tokens)
        if any(char.isalnum() for char in passage.text) and count_tokens(passage.text)
    ]


def _paragraphs(text: str) -> Iterator[list[Word]]:
    """Yield the words of each paragraph; a heading is a paragraph of its own."""
    block: list[Word] = []
    for number, line in enumerate(text.splitlines(), start=1):
        heading = line.startswith("#")
        if block and (heading or not line.strip()):
            yield block
            block = []
        for sentence in _SENTENCE_BOUNDARY.split(line.lstrip("#>*-+ \t") if heading else line):
            words = sentence.split()
            block += [Word(word, number, False) for word in words[:-1]]
            block += [Word(word, number, word[-1] in ".!?…。！？") for word in words[-1:]]
        if heading and block:
            yield block
            block = []
    if block:
        yield block


def _pack_sentences(
    paragraph: list[Word], count_tokens: Callable[[str], int], max_tokens: int
) -> Iterator[Passage]:
    """Fill passages with whole sentences; only a sentence too long for one is cut between words."""
    passage: list[Word] = []
    spent = 0
    for sentence in _sentences(paragraph):
        price = sum(count_tokens(word.text) for word in sentence)
        if passage and spent + price > max_tokens:
            yield _join_words(passage)
            passage, spent = [], 0
        for word in (part for whole in sentence for part in _cut_word(whole, count_tokens, max_tokens)):
            piece = count_tokens(word.text)
            if passage and spent + piece > max_tokens:
                yield _join_words(passage)
                passage, spent = [], 0
            passage.append(word)
            spent += piece
    if passage:
        yield _join_words(passage)


def _cut_word(word: Word, count_tokens: Callable[[str], int], max_tokens: int) -> list[Word]:
    """Cut what no passage can hold: a script without spaces, a key, a picture in base64."""
    if len(word.text) <= MAX_WORD_CHARACTERS and count_tokens(word.text) <= max_tokens:
        return [word]
    half = len(word.text) // 2
    parts = [word._replace(text=word.text[:half], ends_sentence=False), word._replace(text=word.text[half:])]
    return [piece for part in parts for piece in _cut_word(part, count_tokens, max_tokens)]


def _sentences(paragraph: list[Word]) -> Iterator[list[Word]]:
    sentence: list[Word] = []
    for word in paragraph:
        sentence.append(word)
        if word.ends_sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _join_words(words: list[Word]) -> Passage:
    return Passage(" ".join(word.text for word in words), words[0].line, words[-1].line)
