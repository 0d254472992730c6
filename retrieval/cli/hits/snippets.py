"""Cut the part of a text around the words of a query."""

import re
from collections.abc import Sequence
from unicodedata import normalize

from rich.cells import cell_len
from rich.text import Text

from retrieval.normalization import nfc
from retrieval.search.keyword_terms import KeywordTerm, split_terms

ELLIPSIS = "…"
MIN_MARKED_LENGTH = 3  # characters of a marked word, unless all words are shorter
CONTEXT_SHARE = 3  # of the width, one in so many columns shows the text before the first word


def snippet(text: str, words: str, width: int) -> Text:
    """Return the text in at most `width` columns, cut before its first word of the query, words in bold."""
    text = " ".join(nfc(text).split())
    spans = find_words(text, split_terms(words))
    start = _start(text, spans[0], width) if spans else 0
    shown = Text(ELLIPSIS * (start > 0) + text[start:])
    for first, end in spans:
        if first >= start:
            shown.stylize("bold", first - start + (start > 0), end - start + (start > 0))
    if shown.cell_len > width:
        shown.truncate(width, overflow="ellipsis")
    return shown


def _start(text: str, span: tuple[int, int], width: int) -> int:
    """Return the index at which a text is cut so that `width` columns show the span and some context."""
    first, end = span
    if cell_len(text[:end]) < width:
        return 0
    start = first
    while start > 0 and (
        cell_len(text[start - 1 : first]) <= width // CONTEXT_SHARE
        or cell_len(text[start - 1 : start + width]) < width - len(ELLIPSIS)  # the rest is short
    ):
        start -= 1
    return text.find(" ", start, first) + 1 or start


def find_words(text: str, terms: Sequence[KeywordTerm]) -> list[tuple[int, int]]:
    """Return the first and the end index of each word of a query in a text, ascending."""
    long = [term for term in terms if len(term.text) >= MIN_MARKED_LENGTH or term.is_unspaced]
    patterns = [_pattern(term) for term in long or terms]
    if not patterns:
        return []
    return [match.span() for match in re.finditer("|".join(patterns), _fold(text))]


def _pattern(term: KeywordTerm) -> str:
    """Return a regular expression for a term in folded text; spaces in a phrase match punctuation."""
    words = r"\W+".join(map(re.escape, _fold(term.text).split()))
    return words if term.is_unspaced else rf"(?<!\w){words}(?!\w)"


def _fold(text: str) -> str:
    """Return the text in lower case without diacritics, each character at its index."""
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(char: str) -> str:
    if "\uac00" <= char <= "\ud7a3":  # Hangul: decomposed, only the first sound would remain
        return char
    return normalize("NFD", char)[0].lower()[0]
