"""Replace words that the library does not contain by the nearest words that it contains."""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain

from retrieval.search.keyword_terms import KeywordTerm

MIN_LENGTH = 5  # letters; shorter words have too many neighbors
MIN_LENGTH_OF_TWO_EDITS = 8
VOCABULARIES = ("text_vocabulary", "name_vocabulary")  # FTS5 tables of the distinct words


def correct_spelling(
    db: sqlite3.Connection, terms: Sequence[KeywordTerm], rare_words: Collection[str]
) -> list[KeywordTerm]:
    """Return the terms, each of `rare_words` replaced by the nearest word of the library, if one is near.

    `rare_words`, in lower case, are those that a model does not know as one word. Others are spelled right,
    even if the library has no file that contains them.
    """
    return [
        replace(term, text=_nearest_word(db, term.text.casefold()) or term.text)
        if not term.quoted and term.text.casefold() in rare_words
        else term
        for term in terms
    ]


def edit_distance(first: str, second: str, limit: int) -> int:
    """Return the number of edits between two words, at most `limit` + 1.

    An edit inserts, deletes or replaces a letter, or swaps two neighbors (Damerau, CACM 1964).
    """
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    before, previous = list[int](), list(range(len(second) + 1))
    for row, letter in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            cost = min(
                previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (letter != other)
            )
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        if min(current) > limit:
            return limit + 1
        before, previous = previous, current
    return previous[-1]


def _nearest_word(db: sqlite3.Connection, word: str) -> str | None:
    """Return the nearest word with the same first letter, of equals the most frequent one."""
    if len(word) < MIN_LENGTH or not word.isalpha():
        return None
    limit = 1 + (len(word) >= MIN_LENGTH_OF_TWO_EDITS)
    values = (word[0], chr(ord(word[0]) + 1), len(word) - limit, len(word) + limit)
    rows = chain.from_iterable(
        db.execute(
            f"SELECT term, doc FROM {table} WHERE term >= ? AND term < ? AND length(term) BETWEEN ? AND ?",
            values,
        )
        for table in VOCABULARIES
    )
    near = [(edit_distance(word, term, limit), -count, term) for term, count in rows]
    distance, _, nearest = min(near, default=(limit + 1, 0, ""))
    return nearest if distance <= limit else None
