"""The query language: one grammar for the command line, Python and the web page.

    query   = part { "|" part }    hits match any part: "|" alone, between spaces
    part    = { [sign] [weight] operand | not | filter }
    sign    = "+" | "-"            alone: applies up to the next sign; before a word: to that word
    weight  = number ":"           "2:" doubles the weight
    operand = words | "quoted words" | ./file | /file | ~/file | file:NAME | #SEGMENT | @NAME | http://...
    not     = "not:" operand       one word, quoted words, a file, a segment or a concept
    filter  = ["-"] NAME ":" value  NAME is one of FILTER_NAMES; a value with spaces is quoted; with a minus,
                                   hits that pass are excluded

@NAME is a concept or a saved search. Operands without a sign are added. Filters and exclusions alone list
files. Typographic quotes, minus signs and full-width colons mean those of a keyboard. A backslash escapes the
next character. `str` of a tree is a query that parses to the same tree.
"""

from dataclasses import replace
from difflib import get_close_matches

from retrieval.errors import QuerySyntaxError
from retrieval.normalization import nfc
from retrieval.query.ast import Concept, File, Operand, Query, Segment, Term, Url, Words
from retrieval.query.lexer import (
    NAME_PATTERN,
    PATH_PREFIXES,
    PREFIX_PATTERN,
    URL_PREFIXES,
    Token,
    drop_prefix,
    is_signed,
    tokenize,
    weight_prefix,
)
from retrieval.query.options import FILTER_NAMES, PREFIXES


def parse(text: str) -> Query:
    """Return the tree of a query; raises QuerySyntaxError with the column."""
    return _Parser(text).parse()


class _Parser:
    """A parser that collects consecutive words into one term, in one pass over the tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.alternatives: list[Query] = []
        self.terms: list[Term] = []
        self.exclusions: list[Operand] = []
        self.filters: list[tuple[str, str]] = []
        self.pieces: list[tuple[str, bool]] = []
        self.sign, self.weight = 1.0, 1.0
        self.pending_column: int | None = None  # of a sign or weight without an operand so far

    def parse(self) -> Query:
        bar = None
        for token in tokenize(self.text):
            if token.plain_length == 1 and token.text == "|":
                bar = token.column
                self._end_alternative(bar)
            else:
                self._parse_token(token)
        self._end_alternative(bar)
        return replace(self.alternatives[0], others=tuple(self.alternatives[1:]))

    def _end_alternative(self, bar: int | None) -> None:
        """Make a query of what follows the last `|`; next to one, at column `bar`, it is not empty."""
        self._end_term()
        query = Query(tuple(self.terms), tuple(self.exclusions), tuple(self.filters))
        if query == Query() and bar is not None:
            raise self._error(bar, 'nothing is before or after "|"; quote it to search for it')
        self.alternatives.append(query)
        self.terms, self.exclusions, self.filters = [], [], []

    def _parse_token(self, token: Token) -> None:
        """Parse one token."""
        if token.plain_length == len(token.text) == 1 and token.text in "+-":
            self._start_term(token.text, token.column)
        elif is_signed(token) and token.text[0] == "-" and _is_filter(drop_prefix(token, 1)):
            self._parse_prefixed(drop_prefix(token, 1))
            name, value = self.filters.pop()
            self.filters.append((f"-{name}", value))
        elif is_signed(token):
            self._start_term(token.text[0], token.column)
            self._parse_weighted(drop_prefix(token, 1))
            self._end_term()
        elif weight := weight_prefix(token):
            self._set_weight(float(weight), token)
            self._parse_weighted(drop_prefix(token, len(weight) + 1))
        elif not self._parse_prefixed(token):
            self._add_operand(self._parse_operand(token))

    def _parse_weighted(self, token: Token) -> None:
        """Parse the rest of a token after its sign or weight; filters take no plus sign and no weight."""
        if _is_filter(token):
            raise self._error(token.column, f"{_prefix(token)}: takes no plus sign or weight")
        if _prefix(token) == "not":
            raise self._error(token.column, "not: takes no sign or weight")
        self._parse_token(token)

    def _parse_prefixed(self, token: Token) -> bool:
        """Parse `not:`, `file:` or a filter; return False for other tokens."""
        match = PREFIX_PATTERN.match(token.text)
        if token.is_quoted or match is None or match.end() > token.plain_length:
            return False
        name, value = match[1].lower(), drop_prefix(token, match.end())
        if name not in PREFIXES:
            if token.text.lower().startswith(URL_PREFIXES):
                return False
            near = get_close_matches(name, PREFIXES, 1, 0.65)
            if near and value.text.strip():
                raise self._error(
                    token.column,
                    f"unknown filter {name}:, perhaps {near[0]}: is meant; for the text write \\{name}:",
                )
            return False
        if not value.text.strip():
            raise self._error(
                token.column,
                f"{name}: requires a value directly after it, as in {name}:{_example_value(name)}",
            )
        if name == "file":
            self._add_operand(File(value.text))
        elif name == "not":
            self.exclusions.append(self._parse_exclusion(value))
        else:
            self.filters.append((name, value.text))
        return True

    def _parse_exclusion(self, token: Token) -> Operand:
        """Return the operand after `not:`."""
        file = PREFIX_PATTERN.match(token.text)
        if not token.is_quoted and file and file[1].lower() == "file" and file.end() <= token.plain_length:
            return File(drop_prefix(token, file.end()).text)
        operand = self._parse_operand(token)
        return Words((operand,)) if isinstance(operand, tuple) else operand

    def _parse_operand(self, token: Token) -> Operand | tuple[str, bool]:
        """Return the operand of a token, for words as a pair of the text and True if it was quoted."""
        text, plain = token.text, token.plain_length
        if token.is_quoted or not plain:
            return (text, token.is_quoted)
        if text.lower().startswith(URL_PREFIXES):
            return Url(text)
        if text.startswith(PATH_PREFIXES) and len(text) > 1:
            return File(text)
        if text[0] == "#" and text[1:].isascii() and text[1:].isdigit() and plain == len(text):
            if len(text) > 19:
                raise self._error(token.column, "this is not a valid segment id")
            return Segment(int(text[1:]))
        if text[0] == "@" and NAME_PATTERN.fullmatch(nfc(text[1:])) and plain == len(text):
            return Concept(nfc(text[1:]))
        return (text, False)

    def _add_operand(self, operand: Operand | tuple[str, bool]) -> None:
        """Add words to the current term, or end the term and add another one."""
        if isinstance(operand, tuple):
            if operand[0].strip():
                self.pieces.append(operand)
                self.pending_column = None
            return
        if self.pieces:
            self._end_term()
        self.terms.append(Term(operand, self.sign * self.weight))
        self.sign, self.weight, self.pending_column = 1.0, 1.0, None

    def _start_term(self, sign: str, column: int) -> None:
        """Begin a term with this sign."""
        self._end_term()
        self.sign, self.pending_column = (-1.0 if sign == "-" else 1.0), column

    def _set_weight(self, weight: float, token: Token) -> None:
        """Begin a term with this weight."""
        if not 0.001 <= weight <= 1000:
            raise self._error(token.column, "the weight is not between 0.001 and 1000")
        if self.pieces or (self.pending_column is not None and self.weight != 1.0):
            self._end_term()
        self.weight, self.pending_column = weight, token.column

    def _end_term(self) -> None:
        """Make a term of the collected words."""
        if self.pieces:
            self.terms.append(Term(Words(tuple(self.pieces)), self.sign * self.weight))
        elif self.pending_column is not None:
            raise self._error(self.pending_column, "nothing follows; quote the character to search for it")
        self.pieces, self.sign, self.weight, self.pending_column = [], 1.0, 1.0, None

    def _error(self, column: int, message: str) -> QuerySyntaxError:
        return QuerySyntaxError(self.text, column, message)


def _prefix(token: Token) -> str | None:
    """Return the name before the colon of a token in lower case, None if it has none."""
    match = None if token.is_quoted else PREFIX_PATTERN.match(token.text)
    return match[1].lower() if match and match.end() <= token.plain_length else None


def _is_filter(token: Token) -> bool:
    return _prefix(token) in FILTER_NAMES


def _example_value(name: str) -> str:
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
