"""Split a query for display, and read its pictures."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from retrieval.errors import QueryError
from retrieval.normalization import nfc
from retrieval.query.ast import File, Operand, Query, Term, Url, Words
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
from retrieval.query.options import FILTER_NAMES
from retrieval.server.errors import NotFound

PICTURE_PREFIX = "pic:"  # before the token of an uploaded picture


@dataclass(frozen=True, slots=True)
class QueryToken:
    """A part of the text of a query, and what it is."""

    text: str
    start: int
    end: int
    type: str  # words, filter, not, segment, picture, name or operator
    key: str | None = None  # the name of a filter
    id: int | None = None  # of a segment


def query_tokens(text: str) -> list[QueryToken]:
    """Return the tokens of a query in its order; raises QuerySyntaxError."""
    tokens = list(tokenize(text))
    starts = [token.column for token in tokens] + [len(text)]
    ends = [len(text[:start].rstrip()) for start in starts[1:]]
    return [
        QueryToken(text[token.column : end], token.column, end, *_classify(token))
        for token, end in zip(tokens, ends, strict=True)
    ]


def _classify(token: Token) -> tuple[str, str | None, int | None]:
    """Return the type of a token, the name of its filter, and the id of its segment."""
    if token.plain_length == len(token.text) == 1 and token.text in "+-|":
        return "operator", None, None
    token = _without_sign_and_weight(token)
    if token.is_quoted or not token.plain_length:
        return "words", None, None
    prefix = PREFIX_PATTERN.match(token.text)
    name = prefix[1].lower() if prefix and prefix.end() <= token.plain_length else ""
    if name in FILTER_NAMES:
        return "filter", name, None
    if name == "not":
        return "not", name, _segment_id(drop_prefix(token, len("not:")))
    if (segment := _segment_id(token)) is not None:
        return "segment", None, segment
    is_plain = token.plain_length == len(token.text)
    if is_plain and token.text[0] == "@" and NAME_PATTERN.fullmatch(nfc(token.text[1:])):
        return "name", None, None
    if name in ("file", "pic") or token.text.lower().startswith((*PATH_PREFIXES, *URL_PREFIXES)):
        return "picture", None, None
    return "words", None, None


def _without_sign_and_weight(token: Token) -> Token:
    while token.text:
        if is_signed(token):
            token = drop_prefix(token, 1)
        elif weight := weight_prefix(token):
            token = drop_prefix(token, len(weight) + 1)
        else:
            break
    return token


def _segment_id(token: Token) -> int | None:
    """Return the id of `#id`, None for other tokens."""
    is_plain = token.plain_length == len(token.text)
    return int(token.text[1:]) if is_plain and re.fullmatch(r"#\d{1,18}", token.text, re.ASCII) else None


def with_pictures(query: Query, find_picture: Callable[[str], str | None]) -> Query:
    """Return a query whose `pic:TOKEN` are the files of uploaded pictures.

    Raises QueryError if the query names another file or an address, which a page must not read, and
    NotFound for a picture that has been forgotten.
    """

    def replaced(part: Query) -> Query:
        terms = [new for term in part.terms for new in _replace_pictures(term, find_picture)]
        excluded = [new for each in part.exclusions for new in _replace_pictures(Term(each), find_picture)]
        return replace(part, terms=tuple(terms), exclusions=tuple(term.operand for term in excluded))

    return query.map(replaced)


def add_picture(text: str, token: str) -> str:
    """Return a query with an uploaded picture as a further term of each alternative."""
    bars = [each.start for each in query_tokens(text) if each.type == "operator" and each.text in "|｜"]
    starts = [0, *(bar + 1 for bar in bars)]
    parts = [text[start:end].strip() for start, end in zip(starts, [*bars, len(text)], strict=True)]
    return " | ".join(f"{part} + {PICTURE_PREFIX}{token}".lstrip() for part in parts)


def _replace_pictures(term: Term, find_picture: Callable[[str], str | None]) -> Iterator[Term]:
    operand: Operand = term.operand
    if isinstance(operand, File | Url):
        raise QueryError(
            f"{operand} is not read by the server. Drop the picture into the page, or upload it as `image`."
        )
    if not isinstance(operand, Words):
        yield term
        return
    words = []
    for text, quoted in operand.pieces:
        if quoted or not text.startswith(PICTURE_PREFIX):
            words.append((text, quoted))
            continue
        file = find_picture(text.removeprefix(PICTURE_PREFIX))
        if file is None:
            raise NotFound("This picture is gone. Drop it again.")
        yield Term(File(file), term.weight)
    if words:
        yield Term(Words(tuple(words)), term.weight)
