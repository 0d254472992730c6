"""Write typed filters, such as `{"tag": {"all": ["sea"]}}`, as filters of the query language.

The operators have the names and meanings of immich's structured search, so that its clients can be ported.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from retrieval.query.options import FILTER_NAMES
from retrieval.server.errors import UnknownOperator
from retrieval.types import KINDS, ORIENTATIONS

Pairs: TypeAlias = list[tuple[str, str]]  # names and values, as in a query; "-tag" excludes

ANY, NONE = ("any", "in"), ("none", "notIn", "ne")  # operators with the same meaning
NAME_OPERATORS = ("eq", "ne", "in", "notIn", "any", "none")
ORDER_OPERATORS = ("lt", "lte", "gt", "gte")
OPERATORS = {
    **dict.fromkeys(("kind", "under", "camera", "lens", "orientation"), NAME_OPERATORS),
    "tag": (*NAME_OPERATORS, "all"),
    "date": ("eq", "ne", *ORDER_OPERATORS),
    "rating": (*NAME_OPERATORS, *ORDER_OPERATORS),
    "size": ("gte",),
    "near": ("eq", "ne"),
    **dict.fromkeys(("after", "before"), ("eq",)),
}
LIST_OPERATORS = ("in", "notIn", "any", "none", "all")
MIN_RATING, MAX_RATING = -1, 5

_MEANINGS = {
    "eq": "equal", "ne": "not equal", "in": "any of", "any": "any of", "notIn": "none of", "none": "none of",
    "all": "all of", "lt": "less", "lte": "at most", "gt": "more", "gte": "at least",
}  # fmt: skip


def typed_filters(filters: object) -> Pairs:
    """Return typed filters as pairs of a name and a value; raises UnknownOperator.

    A value without operator means what it means in a query: `{"rating": 4}` is at least 4 stars, and several
    tags are all of them. A hit passes if it satisfies every operator of every filter.
    """
    if not isinstance(filters, dict):
        raise UnknownOperator('Invalid filters. Use an object such as {"tag": {"all": ["sea"]}}.')
    pairs: Pairs = []
    for name, value in filters.items():
        if name not in OPERATORS:
            raise UnknownOperator(f"Unknown filter {name!r}. Use {', '.join(FILTER_NAMES)}.")
        if isinstance(value, dict):
            pairs += _write(name, _checked(name, value))
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            if any(isinstance(each, dict | list) for each in values):
                raise UnknownOperator(f"{name} takes text or numbers, or an object of operators.")
            pairs += [(name, str(each)) for each in values if each is not None]
    return pairs


def _checked(name: str, operators: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the operands of each operator; raises UnknownOperator."""
    known = ", ".join(OPERATORS[name])
    if not operators:
        raise UnknownOperator(f"{name} has no operator. Use one of {known}.")
    checked = {}
    for operator, operand in operators.items():
        if operator not in OPERATORS[name]:
            raise UnknownOperator(f"{name} has no operator {operator!r}. Use one of {known}.")
        values = operand if isinstance(operand, list) else [operand]
        if not values or (len(values) > 1 and operator not in LIST_OPERATORS):
            count = "at least one value" if operator in LIST_OPERATORS else "one value"
            raise UnknownOperator(f"{operator} of {name} takes {count}.")
        if any(each is None or isinstance(each, dict | list) for each in values):
            raise UnknownOperator(f"{operator} of {name} takes text or numbers.")
        checked[operator] = values
    return checked


def _write(name: str, operators: dict[str, list[Any]]) -> Pairs:
    if name == "rating":
        return _write_rating({operator: _numbers(values) for operator, values in operators.items()})
    pairs: Pairs = []
    chosen = [operator for operator in operators if operator in ("eq", *ANY)]
    if len(chosen) > 1 and name != "tag":
        raise UnknownOperator(f"{name} takes one of {', '.join(chosen)}, not several.")
    any_name = "any_tag" if name == "tag" else name
    for operator, values in operators.items():
        for value in map(str, values):
            if operator in NONE:
                pairs.append((f"-{name}", value))
            elif name == "date" and operator in ORDER_OPERATORS:
                pairs.append(_DATES[operator](value))
            else:
                pairs.append((any_name if operator in ANY else name, value))
    return pairs


_DATES: dict[str, Callable[[str], tuple[str, str]]] = {
    "gte": lambda time: ("after", time),
    "lt": lambda time: ("before", time),
    "lte": lambda time: ("date", f"..{time}"),
    "gt": lambda time: ("-date", f"..{time}"),
}


def _numbers(values: Iterable[Any]) -> list[float]:
    try:
        return [float(value) for value in values]
    except (ValueError, OverflowError) as error:
        raise UnknownOperator(f"rating takes numbers from {MIN_RATING} to {MAX_RATING}.") from error


def _write_rating(operators: dict[str, list[float]]) -> Pairs:
    """Write the numbers of stars that pass as a range, and exclude the others in it.

    An unrated file passes if no operator but those of exclusion is given.
    """
    every = range(MIN_RATING, MAX_RATING + 1)
    tests: dict[str, Callable[[int, list[float]], bool]] = {
        "lt": lambda stars, values: stars < values[0],
        "lte": lambda stars, values: stars <= values[0],
        "gt": lambda stars, values: stars > values[0],
        "gte": lambda stars, values: stars >= values[0],
        **dict.fromkeys(("eq", *ANY), lambda stars, values: stars in values),
    }
    excluded = {value for key in NONE for value in operators.get(key, ())}
    pairs = [("-rating", f"{stars}..{stars}") for stars in every if stars in excluded]
    chosen = {key: values for key, values in operators.items() if key in tests}
    if not chosen:
        return pairs
    passing = [stars for stars in every if all(tests[key](stars, values) for key, values in chosen.items())]
    first, last = (passing[0], passing[-1]) if passing else (MAX_RATING, MAX_RATING)
    gaps = [stars for stars in range(first, last + 1) if stars not in passing]
    return [("rating", f"{first}..{last}"), *(("-rating", f"{stars}..{stars}") for stars in gaps), *pairs]


def schema() -> dict[str, Any]:
    """Return the JSON schema of typed filters."""
    return {
        "type": "object",
        "description": "Conditions that every hit satisfies. A value alone means what it means in a query.",
        "properties": {name: _schema_of(name) for name in FILTER_NAMES},
        "additionalProperties": False,
        "example": {"tag": {"any": ["sea", "lake"], "none": ["sunset"]}, "rating": {"gte": 4}},
    }


def _schema_of(name: str) -> dict[str, Any]:
    names = {"kind": KINDS, "orientation": ORIENTATIONS}.get(name)
    single: dict[str, Any] = {"type": "string"} if names is None else {"enum": list(names)}
    if name == "rating":
        single = {"type": "integer", "minimum": MIN_RATING, "maximum": MAX_RATING}
    several = {"type": "array", "items": single, "minItems": 1}
    operators = {
        operator: {**(several if operator in LIST_OPERATORS else single), "description": _MEANINGS[operator]}
        for operator in OPERATORS[name]
    }
    typed = {
        "type": "object",
        "properties": operators,
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {"anyOf": [single, several, typed]}
