"""From what a person types to the words and quoted phrases to look up."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from retrieval.catalog.schema import UNSPACED

LONGEST = 2_000  # letters of a query that are read
MOST = 50  # words of a query that are looked up
PIECE = 5  # letters from which a plain word may be a piece of a name: "cat" is not meant by "vacation"

_PHRASE = re.compile(r'"([^"]*)"')
_APART = re.compile(r"[\s,;:!?()\[\]{}<>|*^=…、。，！？；：（）「」『』《》“”\"]+")
_RANGES = tuple(
    zip(UNSPACED[::3], UNSPACED[2::3], strict=True)
)  # a regular expression costs 15 ms to compile


@dataclass(frozen=True, slots=True)
class Term:
    """A word or a quoted phrase of a query."""

    text: str
    quoted: bool = False

    @property
    def unspaced(self) -> bool:
        """Say whether it is of a script without spaces, and so found within runs of letters."""
        return any(map(_unspaced, self.text))

    @property
    def piece(self) -> bool:
        """Say whether it may be meant as a piece of a name: IMG_2022, holiday, 海."""
        return self.unspaced or len(self.text) >= PIECE or not self.text.isalpha()

    @property
    def exact(self) -> bool:
        """Say whether these very letters are meant: a quotation, the name of a file, a long number."""
        marked = any(char.isdigit() or char in "_." for char in self.text)
        return self.quoted or (marked and len(self.text) >= PIECE)


def terms(words: str) -> list[Term]:
    """Return the words and the quoted phrases of a query in order, each once."""
    text = words[:LONGEST].encode("utf-8", "ignore").decode().replace("\0", " ")
    found: list[Term] = []
    for at, part in enumerate(_PHRASE.split(text)):  # every other one is what stood in quotes
        if at % 2:
            found.append(Term(" ".join(part.split()), quoted=True))
        else:
            found += [Term(word) for chunk in _APART.split(part) for word in _split(chunk)]
    there = [term for term in found if any(char.isalnum() for char in term.text)]
    return list({(term.text.casefold(), term.quoted): term for term in there}.values())[:MOST]


def _split(chunk: str) -> Iterator[str]:
    """Yield the words of a chunk; a run of a script without spaces is its overlapping pieces of three."""
    for unspaced, chars in groupby(chunk.strip("-+.'’/\\_&#@%$~`"), key=_unspaced):
        run = "".join(chars)
        if unspaced and len(run) > 3:
            yield from (run[at : at + 3] for at in range(len(run) - 2))
        else:
            yield run


def _unspaced(char: str) -> bool:
    return char > "\u0dff" and any(first <= char <= last for first, last in _RANGES)
