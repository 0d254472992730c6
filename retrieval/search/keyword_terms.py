"""Split the text of a query into words and quoted phrases."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from retrieval.catalog.keyword_tables import UNSPACED_SCRIPTS
from retrieval.normalization import nfc

MAX_QUERY_LENGTH = 2_000  # characters of a query that are read
MAX_TERMS = 50  # words of a query that are looked up
MIN_SUBSTRING_LENGTH = 5  # characters of a plain word that may match inside another: "cat", not "vacation"
FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "the",
        "to",
        "with",
    ]
)

_PHRASE = re.compile(r'"([^"]*)"')
_SEPARATORS = re.compile(r"[\s,;:!?()\[\]{}<>|*^=…、。，！？；：（）「」『』《》“”\"]+")
# Compared as ranges, because a regular expression takes 15 ms to compile.
_UNSPACED_RANGES = tuple(zip(UNSPACED_SCRIPTS[::3], UNSPACED_SCRIPTS[2::3], strict=True))


@dataclass(frozen=True, slots=True)
class KeywordTerm:
    """A word or a quoted phrase of a query."""

    text: str
    quoted: bool = False
    weight: float = 1.0  # of the words in the query

    @property
    def is_unspaced(self) -> bool:
        """Return True if the term is in a script without spaces, and so is matched within text."""
        return any(map(_is_unspaced, self.text))

    @property
    def is_substring(self) -> bool:
        """Return True if the term may be part of a longer name: IMG_2022, holiday, 海."""
        return self.is_unspaced or len(self.text) >= MIN_SUBSTRING_LENGTH or not self.text.isalpha()

    @property
    def is_function_word(self) -> bool:
        """Return True for words such as "a" and "on", which say nothing of a file that has them."""
        return not self.quoted and self.text.casefold() in FUNCTION_WORDS

    @property
    def is_exact(self) -> bool:
        """Return True if the term is literal: a quotation, the name of a file, a long number."""
        marked = any(char.isdigit() or char in "_." for char in self.text)
        return self.quoted or (marked and len(self.text) >= MIN_SUBSTRING_LENGTH)


def split_terms(words: str, weight: float = 1.0) -> list[KeywordTerm]:
    """Return the distinct words and quoted phrases of a query, in order."""
    text = nfc(words[:MAX_QUERY_LENGTH].encode("utf-8", "ignore").decode()).replace("\0", " ")
    terms: list[KeywordTerm] = []
    for at, part in enumerate(_PHRASE.split(text)):  # every second part was in quotes
        if at % 2:
            terms.append(KeywordTerm(" ".join(part.split()), True, weight))
        else:
            terms += [
                KeywordTerm(word, False, weight)
                for chunk in _SEPARATORS.split(part)
                for word in _split_chunk(chunk)
            ]
    terms = [term for term in terms if any(char.isalnum() for char in term.text)]
    return distinct_terms(terms)


def distinct_terms(terms: Sequence[KeywordTerm]) -> list[KeywordTerm]:
    """Return the terms without those that differ in case only, each with its largest weight."""
    distinct: dict[tuple[str, bool], KeywordTerm] = {}
    for term in terms:
        key = (term.text.casefold(), term.quoted)
        if key not in distinct or term.weight > distinct[key].weight:
            distinct[key] = term
    return list(distinct.values())[:MAX_TERMS]


def _split_chunk(chunk: str) -> Iterator[str]:
    """Yield the words of a chunk; text in a script without spaces is split into overlapping trigrams."""
    for unspaced, chars in groupby(chunk.strip("-+.'’/\\_&#@%$~`"), key=_is_unspaced):
        run = "".join(chars)
        if unspaced and len(run) > 3:
            yield from (run[at : at + 3] for at in range(len(run) - 2))
        else:
            yield run


def _is_unspaced(char: str) -> bool:
    return char > "\u0dff" and any(first <= char <= last for first, last in _UNSPACED_RANGES)
