"""Offer filters for the words of a query, and for values that its hits share; none is applied."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from retrieval.catalog.browse.facets import Facets
from retrieval.query.dates import Period, parse_period
from retrieval.server.queries.query_tokens import QueryToken
from retrieval.types import Hit

MAX_OFFERS = 3
MAX_WORDS = 3  # of a date or a name
MIN_SHARE = 0.6  # of the confident hits, for a value to be offered
MIN_HITS = 5  # confident ones, for a share to mean something
AMBIGUOUS_WORDS = frozenset({"march", "may", "fall", "spring", "today"})  # mostly no dates
YEAR = re.compile(r"(?:19|20)\d\d")
MIN_NAME_LENGTH = 3  # characters of a single word that is taken for a name


def read_as(tokens: Sequence[QueryToken], known: Facets, today: date) -> list[dict[str, str]]:
    """Return filters that words of a query may mean: dates, and names that the library has."""
    if _has_alternatives(tokens):
        return []
    last_names = [folder.rpartition("/")[2] for folder in known.folders]
    folders = {name.casefold(): name for name in last_names}
    tags = {tag.casefold(): tag for tag in known.tags}
    cameras = {word.casefold(): word for camera in known.cameras for word in camera.split() if word.isalpha()}
    offers: dict[str, dict[str, str]] = {}
    used: set[int] = set()
    for places, words in _phrases(tokens):
        if used & set(places):
            continue
        name = words.casefold()
        token = _date_token(words, today)
        if token is None and len(name) >= MIN_NAME_LENGTH:
            for key, names in (("tag", tags), ("under", folders), ("camera", cameras)):
                if name in names:
                    token = f"{key}:{quoted(names[name])}"
                    break
        if token is not None:
            used |= set(places)
            offers.setdefault(token, {"words": words, "token": token})
    return list(offers.values())[:MAX_OFFERS]


def _has_alternatives(tokens: Sequence[QueryToken]) -> bool:
    """Return True for a query with `|`: a filter at its end would apply to the last part only."""
    return any(token.type == "operator" and token.text in "|｜" for token in tokens)


def _phrases(tokens: Sequence[QueryToken]) -> Iterator[tuple[range, str]]:
    """Yield successive unquoted words, the longest first, with their places."""
    for length in range(MAX_WORDS, 0, -1):
        for first in range(len(tokens) - length + 1):
            part = tokens[first : first + length]
            if all(token.type == "words" and re.fullmatch(r"[\w.,'-]+", token.text) for token in part):
                yield range(first, first + length), " ".join(token.text for token in part)


def _date_token(words: str, today: date) -> str | None:
    if YEAR.fullmatch(words):
        return f"date:{words}"
    if len(words) < 4 or words.casefold() in AMBIGUOUS_WORDS:
        return None
    period = parse_period(words, today)
    return None if period is None else _token_of(period)


def _token_of(period: Period) -> str:
    first, last = period
    return f"date:{first}" if first == last else f"date:{first}..{last}"


def narrow_to(
    hits: Sequence[Hit], cameras: dict[int, str], tokens: Sequence[QueryToken]
) -> list[dict[str, object]]:
    """Return filters by values that most of the confident hits share; `cameras` is id -> camera."""
    if len(hits) < MIN_HITS or _has_alternatives(tokens):
        return []
    filtered = {token.key for token in tokens if token.key}
    counts = {
        "camera": Counter(cameras[hit.id].split()[0] for hit in hits if cameras.get(hit.id, "").split()),
        "under": Counter(hit.path.parent.name for hit in hits if hit.path.parent.name),
        "date": Counter(hit.time[:4] for hit in hits if hit.time),
    }
    offers = []
    for key, values in counts.items():
        value, count = values.most_common(1)[0] if values else ("", 0)
        if key not in filtered and MIN_SHARE <= count / len(hits) < 1:
            share = round(count / len(hits), 2)
            offers.append({"token": f"{key}:{quoted(value)}", "label": value, "share": share})
    return offers[:MAX_OFFERS]


def quoted(value: str) -> str:
    """Return a value as it is written in a query."""
    if re.fullmatch(r"[\w./-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
