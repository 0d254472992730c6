"""The query language: one grammar for the command, Python and the page, parsed to a small tree.

    query   = { [sign] [weight] thing | not | filter }
    sign    = "+" | "-"            alone: up to the next sign; before a word: that word
    weight  = number ":"           "2:" counts twice
    thing   = words | "quoted words" | ./file | /file | ~/file | file:NAME | #SEGMENT | @CONCEPT | http://...
    not     = "not:" thing         of one word, quoted words, a file, a segment or a concept
    filter  = NAME ":" value       one of FILTERS; quotes hold a value with spaces

Things that follow each other are added. A backslash takes from the next character what it means here.
`str` of a tree is a query that parses to the same tree.
"""

import re
from difflib import get_close_matches

from retrieval.errors import QuerySyntax
from retrieval.query.ast import Concept, File, Query, Segment, Term, Thing, Url, Words
from retrieval.query.lexer import (
    PATH,
    PREFIX,
    URL,
    Token,
    cut,
    is_signed,
    tokens,
    weight_of,
)

FILTERS = (
    *("kind", "under", "date", "after", "before", "near", "camera", "lens", "tag", "rating", "size"),
    "orientation",
)
PREFIXES = (*FILTERS, "not", "file")


def parse(text: str) -> Query:
    """Return the tree of a query; raises QuerySyntax, which points at the column that is wrong."""
    return _Parser(text).parse()


class _Parser:
    """One pass over the tokens; words are gathered until something else comes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.terms: list[Term] = []
        self.vetoes: list[Thing] = []
        self.filters: list[tuple[str, str]] = []
        self.pieces: list[tuple[str, bool]] = []
        self.sign, self.weight = 1.0, 1.0
        self.open: int | None = None  # where a sign or weight stands that has no thing yet

    def parse(self) -> Query:
        for token in tokens(self.text):
            self._take(token)
        self._end_term()
        return Query(tuple(self.terms), tuple(self.vetoes), tuple(self.filters))

    def _take(self, token: Token) -> None:
        """Take one token."""
        if token.plain == len(token.text) == 1 and token.text in "+-":
            self._begin(token.text, token.column)
        elif is_signed(token):
            self._begin(token.text[0], token.column)
            self._take_weighed(cut(token, 1))
            self._end_term()
        elif weight := weight_of(token):
            self._weigh(float(weight), token)
            self._take_weighed(cut(token, len(weight) + 1))
        elif not self._take_prefixed(token):
            self._add(self._thing(token), token.column)

    def _take_weighed(self, token: Token) -> None:
        """Take what stands right after a sign or a weight, which no filter can have."""
        match = None if token.quoted else PREFIX.match(token.text)
        if match and match.end() <= token.plain and match[1].lower() in (*FILTERS, "not"):
            raise self._error(token.column, f"{match[1]}: takes no sign and no weight")
        self._take(token)

    def _take_prefixed(self, token: Token) -> bool:
        """Take `not:`, a filter or `file:`; returns whether it was one."""
        match = PREFIX.match(token.text)
        if token.quoted or match is None or match.end() > token.plain:
            return False
        name, value = match[1].lower(), cut(token, match.end())
        if name not in PREFIXES:
            if token.text.lower().startswith(URL):
                return False
            near = get_close_matches(name, PREFIXES, 1, 0.65)
            if near and value.text.strip():
                raise self._error(
                    token.column, f"there is no {name}:, perhaps {near[0]}: was meant; or write \\{name}:"
                )
            return False
        if not value.text.strip():
            raise self._error(
                token.column, f"{name}: wants a value right after it, as in {name}:{_example(name)}"
            )
        if name == "file":
            self._add(File(value.text), token.column)
        elif name == "not":
            self.vetoes.append(self._veto(value))
        else:
            self.filters.append((name, value.text))
        return True

    def _veto(self, token: Token) -> Thing:
        """Return the thing after `not:`."""
        file = PREFIX.match(token.text)
        if not token.quoted and file and file[1].lower() == "file" and file.end() <= token.plain:
            return File(cut(token, file.end()).text)
        thing = self._thing(token)
        return Words((thing,)) if isinstance(thing, tuple) else thing

    def _thing(self, token: Token) -> Thing | tuple[str, bool]:
        """Return what a token is by itself; words as a piece."""
        text, plain = token.text, token.plain
        if token.quoted or not plain:
            return (text, token.quoted)
        if text.lower().startswith(URL):
            return Url(text)
        if text.startswith(PATH) and len(text) > 1:
            return File(text)
        if text[0] == "#" and text[1:].isascii() and text[1:].isdigit() and plain == len(text):
            if len(text) > 19:
                raise self._error(token.column, "no segment has so large a number")
            return Segment(int(text[1:]))
        if text[0] == "@" and re.fullmatch(r"[\w-]+", text[1:]) and plain == len(text):
            return Concept(text[1:])
        return (text, False)

    def _add(self, thing: Thing | tuple[str, bool], column: int) -> None:
        """Add words to the term that is open, or end it and add something else."""
        if isinstance(thing, tuple):
            if thing[0].strip():
                self.pieces.append(thing)
                self.open = None
            return
        if self.pieces:
            self._end_term()
        self.terms.append(Term(thing, self.sign * self.weight))
        self.sign, self.weight, self.open = 1.0, 1.0, None

    def _begin(self, sign: str, column: int) -> None:
        """Begin a term after a sign."""
        self._end_term()
        self.sign, self.open = (-1.0 if sign == "-" else 1.0), column

    def _weigh(self, weight: float, token: Token) -> None:
        """Begin a term after a weight."""
        if not 0.001 <= weight <= 1000:
            raise self._error(token.column, "a weight is at least 0.001 and at most 1000")
        if self.pieces or (self.open is not None and self.weight != 1.0):
            self._end_term()
        self.weight, self.open = weight, token.column

    def _end_term(self) -> None:
        """Make a term of the words that were gathered."""
        if self.pieces:
            self.terms.append(Term(Words(tuple(self.pieces)), self.sign * self.weight))
        elif self.open is not None:
            raise self._error(self.open, "nothing follows; for the sign itself write it in quotes")
        self.pieces, self.sign, self.weight, self.open = [], 1.0, 1.0, None

    def _error(self, column: int, what: str) -> QuerySyntax:
        return QuerySyntax(self.text, column, what)


def _example(name: str) -> str:
    examples = {
        "kind": "image",
        "under": "Trips",
        "date": "2022..2024",
        "after": "2021-06",
        "before": "2023",
        "near": "48.85,2.35,5km",
        "camera": "Canon*",
        "lens": "*50mm*",
        "tag": "sunset",
        "rating": "4",
        "size": "2MP",
        "orientation": "landscape",
        "not": "people",
        "file": '"my dog.jpg"',
    }
    return examples[name]
