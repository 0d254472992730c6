"""Cut a query into tokens: what stands between spaces, with its quotes and backslashes resolved."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.errors import QuerySyntaxError

WEIGHT_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+):")
PREFIX_PATTERN = re.compile(r"([a-z]+):", re.IGNORECASE)
PATH_PREFIXES = ("./", "../", "/", "~/")
URL_PREFIXES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query between spaces: its text, and how much of its beginning was written plainly."""

    text: str
    column: int  # from 0
    plain_length: int  # characters before the first quote or backslash
    quote_start: int | None = None  # where the quotes begin that hold all the rest

    @property
    def is_quoted(self) -> bool:
        """Say whether all of it stood in quotes."""
        return self.quote_start == 0


def drop_prefix(token: Token, count: int) -> Token:
    """Return the token without its first characters; what is left may stand in quotes."""
    quote = None if token.quote_start is None else token.quote_start - count
    return Token(token.text[count:], token.column + count, token.plain_length - count, quote)


def tokenize(text: str) -> Iterator[Token]:
    """Split at spaces that are neither quoted nor escaped; raises QuerySyntax."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begun, chars, plain, quote = at, list[str](), None, None
        while at < len(text) and not text[at].isspace():
            if text[at] not in '"\\':
                chars.append(text[at])
                quote = None
                at += 1
                continue
            first, plain = plain is None, len(chars) if plain is None else plain
            if text[at] == "\\":
                quote = None
                chars.append(text[at + 1] if at + 1 < len(text) else "\\")
                at += 2
                continue
            inside, at = _scan_quoted(text, at)
            quote = len(chars) if first else None
            chars += inside
        word = "".join(chars)
        if word.strip():
            yield Token(word, begun, len(word) if plain is None else plain, quote)


def _scan_quoted(text: str, at: int) -> tuple[list[str], int]:
    """Return what stands in the quotes that open here, and where they have closed."""
    opened, chars = at, list[str]()
    at += 1
    while at < len(text):
        if text[at] == '"':
            return chars, at + 1
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        chars.append(text[at])
        at += 1
    raise QuerySyntaxError(
        text, opened, 'the quote that opens here is not closed; for the sign itself write \\"'
    )


def quote(text: str) -> str:
    """Write text in quotes, as it stands."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def escape(text: str) -> str:
    """Write text so that it is one token without quotes."""
    return "".join(f"\\{c}" if c in '"\\' or c.isspace() else c for c in text)


def escape_word(text: str) -> str:
    """Write a word so that it is read as a word."""
    escaped = escape(text)
    return escaped if escaped[0] == "\\" else f"\\{escaped}" if _has_special_meaning(text) else escaped


def _has_special_meaning(text: str) -> bool:
    """Say whether a word at the beginning of a token would be read as something else."""
    return (
        text[0] in "+-#@./~"
        or WEIGHT_PATTERN.match(text) is not None
        or (PREFIX_PATTERN.match(text) is not None)
        or text.lower().startswith(URL_PREFIXES)
    )


def is_signed(token: Token) -> bool:
    """Say whether a sign stands right before a word, as in -people; numbers and dashes are words."""
    if token.text[0] not in "+-" or token.plain_length < 1 or token.is_quoted:
        return False
    rest = token.text[1:]
    return bool(rest) and (
        token.plain_length == 1
        or rest[0].isalpha()
        or rest[0] in "@#./~"
        or weight_prefix(drop_prefix(token, 1)) is not None
    )


def weight_prefix(token: Token) -> str | None:
    """Return the weight that a token begins with; 12:30 is a time."""
    found = None if token.is_quoted else WEIGHT_PATTERN.match(token.text)
    if found is None or found.end() > token.plain_length or found.end() == len(token.text):
        return None
    time = found.end() < token.plain_length and token.text[found.end()].isdigit()
    return None if time else found[1]
