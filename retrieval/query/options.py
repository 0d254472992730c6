"""Options of a search."""

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from retrieval.errors import QueryError
from retrieval.types import SORT_ORDERS, SortOrder

SearchMode: TypeAlias = Literal["both", "meaning", "keyword"]
SEARCH_MODES: tuple[SearchMode, ...] = get_args(SearchMode)
Time: TypeAlias = str | int | datetime.date  # "2021-06", 2021, date(2021, 6, 30)

FILTER_NAMES = (  # in queries, as in `kind:image`
    *("kind", "under", "date", "after", "before", "near", "camera", "lens", "tag", "rating", "size"),
    "orientation",
)
PREFIXES = (*FILTER_NAMES, "not", "file")  # of the tokens in a query


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search. Raises QueryError for a sort order or diversity that does not exist."""

    # Filters; None and empty values do not filter.
    under: str | Path | Iterable[str | Path] | None = None  # any of: absolute folders or folder names
    after: Time | None = None  # inclusive: a date, a year or the prefix of an ISO time
    before: Time | None = None  # exclusive
    date: Time | None = None  # as `after`, or a range: "2022..2024", both ends inclusive
    camera: str | Iterable[str] | None = None  # any of: parts of a name or patterns, "Canon*"
    lens: str | Iterable[str] | None = None  # as `camera`
    near: str | None = None  # "latitude,longitude" or "latitude,longitude,5km"
    tag: str | Iterable[str] | None = None  # all of these keywords or labels
    any_tag: str | Iterable[str] | None = None  # any of these keywords or labels
    rating: str | int | None = None  # minimum number of stars, or a range: "2..4", both ends inclusive
    size: str | None = None  # minimum, "1000x800" or "2MP"
    orientation: str | Iterable[str] | None = None  # any of: landscape, portrait, square

    # Search.
    by: SearchMode = "both"  # rank by meaning, by keyword, or by both
    allow_url: bool = False  # download the images of URLs in the query

    # Results.
    sort: SortOrder = "score"  # the order of the best hits; they remain the same hits
    diversity: float = 0.0  # prefer hits that differ from those before them: 0 (off) to 1 (ignore the score)
    group: bool = False  # return copies, near-duplicates, bursts and pairs as one hit, the others as `more`
    why: bool = False  # add the score of each term to the hits

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), Iterator):  # which can be read only once
                object.__setattr__(self, field.name, tuple(value))
        if not isinstance(self.diversity, Real) or not 0 <= self.diversity <= 1:
            raise QueryError(
                f"Invalid diversity {self.diversity!r}. Use a number from 0 (none) to 1 (relevance is "
                "ignored)."
            )
        if not isinstance(self.by, str) or self.by not in SEARCH_MODES:
            raise QueryError(f"Invalid search mode {self.by!r}. Use one of {', '.join(SEARCH_MODES)}.")
        if not isinstance(self.sort, str) or self.sort not in SORT_ORDERS:
            raise QueryError(f"Invalid sort order {self.sort!r}. Use one of {', '.join(SORT_ORDERS)}.")
        for name in ("allow_url", "group", "why"):
            if not isinstance(value := getattr(self, name), bool):
                raise QueryError(f"Invalid {name} {value!r}. Use True or False.")


DEFAULT_OPTIONS = SearchOptions()
