"""Make one query of the arguments of a shell, which has removed the quotes that the user typed."""

from collections.abc import Sequence

from retrieval.errors import QuerySyntaxError
from retrieval.query.ast import Words
from retrieval.query.lexer import (
    CLOSING_QUOTES,
    PATH_PREFIXES,
    PREFIX_PATTERN,
    SIGNS,
    WEIGHT_PATTERN,
    escape,
    quote,
)
from retrieval.query.options import PREFIXES
from retrieval.query.parser import parse
from retrieval.system import expand_user


def join_arguments(arguments: Sequence[str]) -> str:
    """Return the query of some arguments.

    A single argument is a query. Of several, each is one token, so one with spaces is quoted again:
    `not:two people` is `not:"two people"`. An argument with an operator within it remains a query.
    """
    if len(arguments) == 1 and not _is_file(arguments[0].strip()):
        return arguments[0]
    return " ".join(map(_as_token, arguments))


def _as_token(argument: str) -> str:
    """Return the argument with quotes around what follows its sign, weight and prefix."""
    argument = argument.strip()
    if _is_file(argument):
        return f"file:{quote(argument.removeprefix('file:'))}"
    if len(argument.split()) < 2 or any(char in CLOSING_QUOTES or char == "\\" for char in argument):
        return argument
    sign = argument[:1] if argument[0] in SIGNS and not argument[1].isspace() else ""
    weight = match[0] if (match := WEIGHT_PATTERN.match(argument, len(sign))) else ""
    value = argument[len(sign) + len(weight) :]
    if weight and value[0].isdigit():  # a time
        weight, value = "", argument[len(sign) :]
    prefix = match[0] if (match := PREFIX_PATTERN.match(value)) else ""
    value = value.removeprefix(prefix)
    if any(map(_has_known_prefix, value.split()[1:])) or not (prefix or _is_literal(value)):
        return argument
    is_path = value.startswith((*PATH_PREFIXES, "file:")) and prefix.lower() in ("", "not:")
    return sign + weight + prefix + (escape(value) if is_path else quote(value))


def _has_known_prefix(word: str) -> bool:
    """Return True if a word begins with the name of a filter, `not:` or `file:`."""
    match = PREFIX_PATTERN.match(word)
    return match is not None and match[1].lower() in PREFIXES


def _is_literal(text: str) -> bool:
    """Return True for words without an operator, and for a path."""
    if text.startswith(PATH_PREFIXES):
        return not any(word in SIGNS for word in text.split())
    try:
        query = parse(text)
    except QuerySyntaxError:
        return False
    if query.exclusions or query.filters or query.others:
        return False
    return [type(term.operand) for term in query.terms] == [Words]


def _is_file(argument: str) -> bool:
    """Return True for the path of an existing file whose name has spaces."""
    path = argument.removeprefix("file:")
    is_path = path != argument or path.startswith(PATH_PREFIXES)
    return is_path and any(map(str.isspace, path)) and expand_user(path).is_file()
