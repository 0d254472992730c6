"""Parse dates in words, such as `yesterday`, `last summer` and `July 2021`."""

import re
from calendar import monthrange
from datetime import date, timedelta
from typing import TypeAlias

Period: TypeAlias = tuple[str, str]  # first and last day, month or year as an ISO prefix, both inclusive

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # first of three months, in Europe

_NAMES = "|".join(month[:end] for month in MONTHS for end in range(len(month), 2, -1))
_MONTH = rf"(?:{_NAMES})\.?"
_NAMED = re.compile(rf"(?:(last|this)\s+)?({_MONTH}|{'|'.join(SEASONS)})(?:\s+(?:of\s+)?(\d{{4}}))?")
_DAY = re.compile(rf"(?:(\d\d?)\.?\s+({_MONTH})|({_MONTH})\s+(\d\d?)(?:st|nd|rd|th)?),?\s+(\d{{4}})")
_AGO = re.compile(r"(\d{1,4}|an?)\s+(day|week|month|year)s?\s+ago")
_RECENT = re.compile(r"(last|past|this)\s+(?:(\d{1,4})\s+)?(day|week|month|year)s?")
_NUMBERS = re.compile(r"(\d{4})[-/.](\d\d?)(?:[-/.](\d\d?))?")


def parse_period(text: str, today: date) -> Period | None:
    """Return the period that a date in words describes, None if the text has another form."""
    words = " ".join(text.lower().split())
    try:
        return _relative_day(words, today) or _exact(words) or _named(words, today) or _relative(words, today)
    except (ValueError, OverflowError):  # a day such as 31 June, or before the year 1
        return None


def _relative_day(words: str, today: date) -> Period | None:
    days = {"today": 0, "yesterday": 1}.get(words)
    weekday = words.removeprefix("last ")
    if weekday in WEEKDAYS:
        days = (today.weekday() - WEEKDAYS.index(weekday) - 1) % 7 + 1
    return None if days is None else _days(today - timedelta(days), today - timedelta(days))


def _exact(words: str) -> Period | None:
    """Return the day of `5 July 2021`, or the day or month of `2021/7/5`."""
    if match := _DAY.fullmatch(words):
        month = _month(match[2] or match[3])
        day = date(int(match[5]), month, int(match[1] or match[4]))
        return _days(day, day)
    if match := _NUMBERS.fullmatch(words):
        year, month, day_number = int(match[1]), int(match[2]), int(match[3] or 1)
        text = date(year, month, day_number).isoformat()
        return (text, text) if match[3] else (text[:7], text[:7])
    return None


def _named(words: str, today: date) -> Period | None:
    """Return a month or season, without a year the latest: with `last`, the latest that has ended."""
    match = _NAMED.fullmatch(words)
    if match is None:
        return None
    length = 3 if match[2] in SEASONS else 1
    first = SEASONS.get(match[2]) or _month(match[2])
    if match[3]:
        return _months(int(match[3]), first, length)
    now = today.isoformat()[:7]
    periods = [_months(year, first, length) for year in (today.year, today.year - 1, today.year - 2)]
    if match[1] == "this":
        return next((period for period in periods if period[0] <= now <= period[1]), periods[0])
    if match[1] == "last":
        return next(period for period in periods if period[1] < now)
    return next(period for period in periods if period[0] <= now)


def _relative(words: str, today: date) -> Period | None:
    """Return the period of `3 weeks ago`, `last month` or `last 10 days`."""
    if match := _AGO.fullmatch(words):
        count = int(match[1]) if match[1].isdigit() else 1
        return _unit(match[2], count, today)
    match = _RECENT.fullmatch(words)
    if match is None:
        return None
    if match[2] is None:
        return _unit(match[3], int(match[1] != "this"), today)
    if match[1] == "this":
        return None
    count = int(match[2])
    months = {"month": count, "year": 12 * count}.get(match[3])
    if months is None:
        return _days(today - timedelta(count * {"day": 1, "week": 7}[match[3]]), today)
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return _days(date(year, month + 1, min(today.day, monthrange(year, month + 1)[1])), today)


def _unit(unit: str, ago: int, today: date) -> Period:
    """Return the calendar day, week, month or year so many units ago."""
    if unit == "year":
        return _months(today.year - ago, 1, 12)
    if unit == "month":
        year, month = divmod(today.year * 12 + today.month - 1 - ago, 12)
        return _months(year, month + 1, 1)
    if unit == "day":
        return _days(today - timedelta(ago), today - timedelta(ago))
    monday = today - timedelta(today.weekday() + 7 * ago)
    return _days(monday, monday + timedelta(6))


def _days(first: date, last: date) -> Period:
    return first.isoformat(), last.isoformat()


def _months(year: int, first: int, length: int) -> Period:
    """Return the period of some months from the first one on."""
    end = year * 12 + first + length - 2
    return date(year, first, 1).isoformat()[:7], date(end // 12, end % 12 + 1, 1).isoformat()[:7]


def _month(name: str) -> int:
    return next(number for number, month in enumerate(MONTHS, 1) if month.startswith(name.rstrip(".")))
