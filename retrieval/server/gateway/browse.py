"""The timelines, filter values and contents of several libraries as one.

Each function merges the answers of a route of the API.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from retrieval.catalog.browse.facets import MAX_FOLDERS, MAX_NAMES

Answer: TypeAlias = Mapping[str, Any]

MONTH_LISTS = (
    "id", "ratio", "placeholder", "kind", "duration", "day", "folder", "name", "thumbnail", "offline",
)  # fmt: skip
SUMMED = ("kept", "tail", "published", "unpublished", "size", "thumbnails", "thumbnail_limit", "failures")


def summed_timelines(answers: Sequence[Answer]) -> dict[str, object]:
    """Return the number of files in each year and month, newest first."""
    months = _summed({bucket["month"]: bucket["count"] for bucket in answer["buckets"]} for answer in answers)
    return {
        "total": sum(answer["total"] for answer in answers),
        "years": _newest_first(_summed(answer["years"] for answer in answers)),
        "buckets": [{"month": month, "count": count} for month, count in _newest_first(months).items()],
        "undated": sum(answer["undated"] for answer in answers),
    }


def merged_months(answers: Sequence[Answer], offset: int, limit: int) -> dict[str, object]:
    """Return files of a month from an offset, latest day first; the answers begin with its first file."""
    rows = [row for answer in answers for row in zip(*(answer[name] for name in MONTH_LISTS), strict=True)]
    day = MONTH_LISTS.index("day")
    rows.sort(key=lambda row: -row[day])
    shown = rows[offset : offset + limit]
    more = len(rows) > offset + limit or any(answer["more"] for answer in answers)
    columns = zip(*shown, strict=True) if shown else [()] * len(MONTH_LISTS)
    return dict(zip(MONTH_LISTS, map(list, columns), strict=True)) | {"offset": offset, "more": more}


def summed_facets(answers: Sequence[Answer]) -> dict[str, dict[str, int]] | None:
    """Return the values of filters with their counts; None without an answer."""
    if not answers:
        return None
    limits = {"cameras": MAX_NAMES, "folders": MAX_FOLDERS, "tags": MAX_NAMES}
    totals = {
        name: _summed(answer[name] for answer in answers)
        for name in ("kinds", "years", "months", "cameras", "folders", "tags")
    }
    return {
        name: _newest_first(counts)
        if name in ("years", "months")
        else dict(counts.most_common(limits.get(name)))
        for name, counts in totals.items()
    }


def merged_facets(answers: Sequence[Answer]) -> dict[str, object]:
    """Return the values of filters, the concepts with the number of their examples, and saved searches."""
    concepts = _summed(answer["concepts"] for answer in answers)
    saved = {name: text for answer in reversed(answers) for name, text in answer["saved"].items()}
    return {**(summed_facets(answers) or {}), "concepts": dict(concepts), "saved": saved}


def merged_completions(answers: Sequence[Answer], count: int) -> dict[str, object]:
    """Return the completions of all libraries, those first that rank high in any."""
    ranked = sorted(
        ((place, each) for answer in answers for place, each in enumerate(answer["tokens"])),
        key=lambda pair: pair[0],
    )
    counts = _summed({each["token"]: each["count"]} for _, each in ranked)
    first = {each["token"]: each for _, each in reversed(ranked)}
    tokens = dict.fromkeys(each["token"] for _, each in ranked)
    return {"tokens": [first[token] | {"count": counts[token]} for token in tokens][:count]}


def merged_status(answers: Sequence[Answer]) -> dict[str, object]:
    """Return the contents of all libraries; settings are those of the first. Their maps are not merged."""
    first = answers[0]
    return {
        **first,
        **{name: sum(answer[name] for answer in answers) for name in SUMMED},
        "roots": list(chain.from_iterable(answer["roots"] for answer in answers)),
        "offline": list(chain.from_iterable(answer["offline"] for answer in answers)),
        "segments": dict(_summed(answer["segments"] for answer in answers)),
        "spaces": dict(_summed(answer["spaces"] for answer in answers)),
        "thumbnails_full": any(answer["thumbnails_full"] for answer in answers),
        "indexing": next((answer["indexing"] for answer in answers if answer["indexing"]), None),
        "map": False,
    }


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for each in counts:
        for name, count in each.items():
            total[name] += count
    return total


def _newest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), reverse=True))
