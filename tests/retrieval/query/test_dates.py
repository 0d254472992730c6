"""Dates in words, relative to a fixed day."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.query.dates import parse_period
from retrieval.query.filters import build_filters
from retrieval.query.options import SearchOptions

TODAY = date(2026, 11, 28)  # a Saturday


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("today", "2026-11-28", "2026-11-28"),
        ("Yesterday", "2026-11-27", "2026-11-27"),
        ("3 days ago", "2026-11-25", "2026-11-25"),
        ("a week ago", "2026-11-16", "2026-11-22"),
        ("last week", "2026-11-16", "2026-11-22"),
        ("this week", "2026-11-23", "2026-11-29"),
        ("last Monday", "2026-11-23", "2026-11-23"),
        ("saturday", "2026-11-21", "2026-11-21"),
        ("last month", "2026-10", "2026-10"),
        ("this month", "2026-11", "2026-11"),
        ("2 months ago", "2026-09", "2026-09"),
        ("last year", "2025-01", "2025-12"),
        ("last 10 days", "2026-11-18", "2026-11-28"),
        ("past 3 months", "2026-08-28", "2026-11-28"),
        ("last summer", "2026-06", "2026-08"),
        ("summer", "2026-06", "2026-08"),
        ("last winter", "2025-12", "2026-02"),
        ("last autumn", "2025-09", "2025-11"),
        ("summer 2021", "2021-06", "2021-08"),
        ("Winter of 2021", "2021-12", "2022-02"),
        ("fall 2021", "2021-09", "2021-11"),
        ("July 2021", "2021-07", "2021-07"),
        ("sept. 2021", "2021-09", "2021-09"),
        ("last July", "2026-07", "2026-07"),
        ("november", "2026-11", "2026-11"),
        ("last november", "2025-11", "2025-11"),
        ("december", "2025-12", "2025-12"),
        ("5 July 2021", "2021-07-05", "2021-07-05"),
        ("July 5th, 2021", "2021-07-05", "2021-07-05"),
        ("2021/7/5", "2021-07-05", "2021-07-05"),
        ("2021-7", "2021-07", "2021-07"),
    ],
)
def test_date_in_words_is_a_period(text, first, last):
    assert parse_period(text, TODAY) == (first, last)


@pytest.mark.parametrize(
    ("text", "today", "first"),
    [
        ("last summer", date(2026, 7, 1), "2025-06"),
        ("summer", date(2026, 7, 1), "2026-06"),
        ("this winter", date(2026, 1, 5), "2025-12"),
        ("winter", date(2026, 1, 5), "2025-12"),
        ("last winter", date(2026, 1, 5), "2024-12"),
        ("last month", date(2026, 1, 31), "2025-12"),
        ("past 1 month", date(2026, 3, 31), "2026-02-28"),
    ],
)
def test_period_follows_the_present_day(text, today, first):
    assert parse_period(text, today)[0] == first


@pytest.mark.parametrize(
    "text", ["soon", "31 June 2021", "2021-13", "", "last", "July 5", "99999 years ago", "9999 years ago"]
)
def test_other_words_are_no_date(text):
    assert parse_period(text, TODAY) is None


@given(st.text(max_size=20), st.dates())
def test_any_text_and_day_give_a_period_or_none(text, today):
    parse_period(text, today)


def test_filter_accepts_words_and_ranges_of_them():
    def bounds(**options):
        filters = build_filters(options=SearchOptions(**options))
        return filters.after, filters.before

    assert bounds(date="July 2021") == ("2021-07", "2021-07~")
    assert bounds(date="2021-06..2021-08") == ("2021-06", "2021-08~")
    assert bounds(date="June 2021..Aug 2021") == ("2021-06", "2021-08~")
    assert bounds(date="winter 2021..") == ("2021-12", "")
    assert bounds(date="..winter 2021") == ("", "2022-02~")
    assert bounds(after="summer 2021", before="winter 2021") == ("2021-06", "2021-12")
    with pytest.raises(QueryError, match="last summer"):
        bounds(date="soon")
