"""Split text into passages that fit the context of the text encoder."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import NamedTuple

from indexer.decode.base import SegmentDraft
from retrieval.embedders.base import Embedder
from retrieval.media.limits import DecodeLimits

MAX_CACHED_WORDS = 50_000  # whose token counts are cached
MAX_WORD_CHARACTERS = 100  # WordPiece tokenizers treat a longer word as unknown
MAX_SPLIT_CHARACTERS = 100_000  # of a line whose words are split at once
SENTENCE_ENDINGS = ".!?…。！？"  # of the last word of a sentence
_WORD = re.compile(r"\S+")


class Passage(NamedTuple):
    """A part of a text with its first and last line, counted from 1."""

    text: str
    start: int
    end: int


class Word(NamedTuple):
    """A word, its line, and whether it ends a sentence."""

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

    def passages(self, text: str) -> Iterator[Passage]:
        """Yield the passages of a text with their lines."""
        return split_text(text, self.count_tokens, self.max_tokens)

    def drafts(
        self,
        text: str,
        *,
        page: int | None = None,
        start: float | None = None,
        end: float | None = None,
        caption_target: bytes | None = None,
    ) -> Iterator[SegmentDraft]:
        """Yield a segment for each passage of a text, all at the same location in the file."""
        for passage in self.passages(text):
            yield SegmentDraft(
                "text", text=passage.text, page=page, start=start, end=end, caption_target=caption_target
            )


class PassageLimit:
    """A limit on the passages of a file, for all decoders: small files can hold millions."""

    def __init__(self, limits: DecodeLimits, max_passages: int | None = None) -> None:
        self._max_passages = self._remaining = min(max_passages or limits.max_passages, limits.max_passages)
        self.note: str | None = None  # if passages were left out

    def take(self, drafts: Iterable[SegmentDraft]) -> list[SegmentDraft]:
        """Return the next drafts of the file, up to the limit; further ones are not computed."""
        taken = list(islice(drafts, self._remaining + 1))
        if len(taken) > self._remaining:
            taken.pop()
            count = self._max_passages
            part = "passage is" if count == 1 else f"{count:,} passages are"
            self.note = f"only the first {part} read (the limit)"
        self._remaining -= len(taken)
        return taken


def split_lines(text: str) -> list[str]:
    """Return the lines of a text as editors and `grep -n` count them.

    Python's splitlines() also ends lines at form feeds and at U+0085 and U+2028.
    """
    return text.split("\n" if "\n" in text else "\r")


def split_text(text: str, count_tokens: Callable[[str], int], max_tokens: int) -> Iterator[Passage]:
    """Split at headings and blank lines, then between sentences, then between words.

    Each passage has between 1 and `max_tokens` tokens, and at least one letter or digit.
    """
    for paragraph in _paragraphs(text):
        for passage in _pack_sentences(paragraph, count_tokens, max_tokens):
            if any(char.isalnum() for char in passage.text) and count_tokens(passage.text):
                yield passage


def _paragraphs(text: str) -> Iterator[Iterator[Word]]:
    """Yield the words of each paragraph, lazily: a long one has millions."""
    for _, words in groupby(_numbered_words(text), key=itemgetter(0)):
        yield (word for _, word in words)


def _numbered_words(text: str) -> Iterator[tuple[int, Word]]:
    """Yield words with the number of their paragraph; a heading is a paragraph of its own."""
    paragraph = 0
    for number, line in enumerate(split_lines(text), start=1):
        heading = line.startswith("#")
        paragraph += heading or not line.strip()
        for word in _split_words(line.lstrip("#>*-+ \t") if heading else line):
            yield paragraph, Word(word, number, word[-1] in SENTENCE_ENDINGS)
        paragraph += heading


def _split_words(line: str) -> Iterable[str]:
    """Return the words of a line, lazily if it is long."""
    return line.split() if len(line) < MAX_SPLIT_CHARACTERS else (word[0] for word in _WORD.finditer(line))


def _pack_sentences(
    paragraph: Iterator[Word], count_tokens: Callable[[str], int], max_tokens: int
) -> Iterator[Passage]:
    """Fill passages with sentences; only a sentence too long for a passage is cut between words."""
    passage: list[Word] = []
    token_count = 0
    for first in paragraph:
        sentence = chain((first,), () if first.ends_sentence else _rest_of_sentence(paragraph))
        start, start_tokens = list[tuple[Word, int]](), 0
        for word in sentence:
            start.append((word, count_tokens(word.text)))
            start_tokens += start[-1][1]
            if token_count + start_tokens > max_tokens:
                break
        if passage and token_count + start_tokens > max_tokens:
            yield _join_words(passage)
            passage, token_count = [], 0
        rest = ((word, count_tokens(word.text)) for word in sentence)
        for sentence_word, sentence_cost in chain(start, rest):
            for word, cost in _cut_word(sentence_word, sentence_cost, count_tokens, max_tokens):
                if passage and token_count + cost > max_tokens:
                    yield _join_words(passage)
                    passage, token_count = [], 0
                passage.append(word)
                token_count += cost
    if passage:
        yield _join_words(passage)


def _rest_of_sentence(words: Iterator[Word]) -> Iterator[Word]:
    """Yield words up to the end of the sentence."""
    for word in words:
        yield word
        if word.ends_sentence:
            return


def _cut_word(
    word: Word, cost: int, count_tokens: Callable[[str], int], max_tokens: int
) -> list[tuple[Word, int]]:
    """Halve a word until it fits: a script without spaces, a key, an image in base64.

    Returns the parts with their numbers of tokens.
    """
    if len(word.text) <= MAX_WORD_CHARACTERS and cost <= max_tokens:
        return [(word, cost)]
    half = len(word.text) // 2
    parts = [word._replace(text=word.text[:half], ends_sentence=False), word._replace(text=word.text[half:])]
    return [
        piece
        for part in parts
        for piece in _cut_word(part, count_tokens(part.text), count_tokens, max_tokens)
    ]


def _join_words(words: list[Word]) -> Passage:
    return Passage(" ".join(word.text for word in words), words[0].line, words[-1].line)
