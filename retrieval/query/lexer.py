"""Split a query at spaces into tokens, and resolve quotes and backslashes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.errors import QuerySyntaxError

WEIGHT_PATTERN = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)[:：]")
PREFIX_PATTERN = re.compile(r"([a-z]+)[:：]", re.IGNORECASE)
NAME_PATTERN = re.compile(r"[\w-]+")  # of a concept or a saved search
PATH_PREFIXES = ("./", "../", "/", "~/")
URL_PREFIXES = ("http://", "https://")
# Characters that phones and word processors write instead of those of a keyboard.
SIGNS = {"+": "+", "＋": "+", "|": "|", "｜": "|"} | dict.fromkeys("-\N{MINUS SIGN}\N{EN DASH}－", "-")
CLOSING_QUOTES = {'"': '"', "＂": "＂"} | dict.fromkeys("“”„‟", "“”„‟") | dict.fromkeys("«»", "«»")


@dataclass(frozen=True, slots=True)
class Token:
    """The text between two spaces of a query."""

    text: str
    column: int  # from 0
    plain_length: int  # number of characters before the first quote or backslash
    quote_start: int | None = None  # index from which the text was quoted up to its end

    @property
    def is_quoted(self) -> bool:
        """Return True if the complete text was quoted."""
        return self.quote_start == 0


def drop_prefix(token: Token, count: int) -> Token:
    """Return the token without its first `count` characters."""
    quote = None if token.quote_start is None else token.quote_start - count
    return Token(token.text[count:], token.column + count, token.plain_length - count, quote)


def tokenize(text: str) -> Iterator[Token]:
    """Yield the texts between spaces that are neither quoted nor escaped; raises QuerySyntaxError."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start, chars, plain, quote = at, list[str](), None, None
        while at < len(text) and not text[at].isspace():
            if text[at] != "\\" and text[at] not in CLOSING_QUOTES:
                chars.append(text[at] if at > start else SIGNS.get(text[at], text[at]))
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
            yield Token(word, start, len(word) if plain is None else plain, quote)


def _scan_quoted(text: str, at: int) -> tuple[list[str], int]:
    """Return the characters in the quotes that open at `at`, and the index after the closing quote."""
    opened, chars, closing = at, list[str](), CLOSING_QUOTES[text[at]]
    at += 1
    while at < len(text):
        if text[at] in closing:  # French puts spaces within its quotation marks
            return chars if text[opened] == '"' else list("".join(chars).strip()), at + 1
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        chars.append(text[at])
        at += 1
    message = f"this quote is not closed; write \\{text[opened]} for the character itself"
    raise QuerySyntaxError(text, opened, message)


def quote(text: str) -> str:
    """Return the text in quotes, escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def escape(text: str) -> str:
    """Return the text escaped so that it is one unquoted token."""
    return "".join(f"\\{c}" if _is_replaced(c) or c.isspace() else c for c in text)


def _is_replaced(char: str) -> bool:
    """Return True for a character that a token does not contain as written."""
    return char == "\\" or char in CLOSING_QUOTES or SIGNS.get(char, char) != char


def escape_word(text: str) -> str:
    """Return the word escaped so that it is parsed as a word."""
    escaped = escape(text)
    return escaped if escaped[0] == "\\" else f"\\{escaped}" if _has_special_meaning(text) else escaped


def _has_special_meaning(text: str) -> bool:
    """Return True if a token that begins with this word would not be parsed as a word."""
    return (
        text[0] in SIGNS
        or text[0] in "#@./~"
        or WEIGHT_PATTERN.match(text) is not None
        or (PREFIX_PATTERN.match(text) is not None)
        or text.lower().startswith(URL_PREFIXES)
    )


def is_signed(token: Token) -> bool:
    """Return True for a sign followed by a word, as in -people; negative numbers and dashes are words."""
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
    """Return the weight at the beginning of a token, None for a time such as 12:30."""
    match = None if token.is_quoted else WEIGHT_PATTERN.match(token.text)
    if match is None or match.end() > token.plain_length or match.end() == len(token.text):
        return None
    is_time = match.end() < token.plain_length and token.text[match.end()].isdigit()
    return None if is_time else match[1]
