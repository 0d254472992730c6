"""Filters written by users: valid values are parsed, invalid ones are refused with an example."""

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import SearchOptions
from retrieval.catalog.filter_sql import distance_km
from retrieval.errors import QueryError
from retrieval.query.filters import build_filters
from retrieval.types import Filters


@pytest.mark.parametrize(
    ("written", "after", "before"),
    [
        ("2022", "2022", "2022~"),
        (2022, "2022", "2022~"),
        (date(2022, 6, 30), "2022-06-30", "2022-06-30~"),
        ("2022..2024", "2022", "2024~"),
        ("2022-06 .. 2022-08-15", "2022-06", "2022-08-15~"),
        ("2022..", "2022", ""),
        ("..2024-02", "", "2024-02~"),
        ("2022-06..2022", "2022-06", "2022~"),
        ("", "", ""),
    ],
)
def test_date_range_includes_both_ends(written, after, before):
    assert build_filters(options=SearchOptions(date=written)) == Filters(after=after, before=before)


@pytest.mark.parametrize(("year", "hours"), [(1, 14), (9999, -14)])
def test_time_that_has_no_local_year_is_refused(year, hours):
    time = datetime(
        year, 1 if year == 1 else 12, 1 if year == 1 else 31, 12, tzinfo=timezone(timedelta(hours=hours))
    )
    for value in (time, time.isoformat()):
        with pytest.raises(QueryError, match="Invalid time for after:"):
            build_filters(options=SearchOptions(after=value))


def test_date_is_intersected_with_after_and_before():
    assert build_filters(options=SearchOptions(date="2022..2024", after="2023", before="2030")) == Filters(
        after="2023", before="2024~"
    )
    assert build_filters(options=SearchOptions(date="2022..2024", after="2001", before="2022-02")) == Filters(
        after="2022", before="2022-02"
    )


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("48.85,2.35,5km", (48.85, 2.35, 5.0)),
        ("48.85, 2.35, 500 m", (48.85, 2.35, 0.5)),
        ("-33.86,151.21", (-33.86, 151.21, 1.0)),
        ("48.85,2.35,7", (48.85, 2.35, 7.0)),
        ("0,-180,.5km", None),
        ("48.85", None),
        ("48.85,2.35,5miles", None),
        ("91,0,1km", None),
        ("0,181", None),
        ("nan,0", None),
        ("0,0,0km", None),
        ("48,85,2,35", None),
        ("Paris", None),
    ],
)
def test_near_is_a_latitude_a_longitude_and_a_radius(written, near):
    if near is not None:
        assert build_filters(options=SearchOptions(near=written)).near == near
    else:
        with pytest.raises(
            QueryError, match=r"Invalid place .* for near\. Use a latitude and a longitude, 48\.85,2\.35"
        ):
            build_filters(options=SearchOptions(near=written))


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"date": "2024..2022"}, "Use 2022, 2022..2024"),
        ({"date": ".."}, "Use 2022, 2022..2024"),
        ({"date": "2022...2024"}, "Invalid date"),
        ({"date": "last yaer"}, "Invalid date"),
        ({"rating": "six"}, "from 0 to 5"),
        ({"rating": 6}, "from 0 to 5"),
        ({"rating": "4.5"}, "from 0 to 5"),
        ({"size": "big"}, "1000x800"),
        ({"size": "1000"}, "1000x800"),
        ({"size": "-1x5"}, "1000x800"),
        ({"orientation": "sideways"}, "landscape, portrait or square"),
        ({"camera": "x" * 201}, "200 characters"),
        ({"tag": ["fine", "a\0b"]}, "200 characters"),
    ],
)
def test_invalid_value_is_refused_with_an_example(invalid, message):
    with pytest.raises(QueryError, match=message) as error:
        build_filters(options=SearchOptions(**invalid))
    assert next(iter(invalid)) in str(error.value)


def test_unknown_kind_is_refused_with_the_known_kinds():
    with pytest.raises(QueryError, match=r"kind 'movie'\. Use image, video, text, page or audio"):
        build_filters("movie")


def test_single_values_sequences_and_empty_values_are_accepted():
    assert (
        build_filters(options=SearchOptions(under="Trips"))
        == build_filters(options=SearchOptions(under=["Trips", "Trips/"]))
        == build_filters(options=SearchOptions(under=Path("Trips")))
    )
    assert build_filters(options=SearchOptions(camera="Canon*", tag=("a", "b"))) == Filters(
        camera=("Canon*",), tags=("a", "b")
    )
    assert build_filters(options=SearchOptions(size="2.5MP")).size == (0, 0, 2_500_000)
    assert build_filters(options=SearchOptions(size="1000 X 800")).size == (1000, 800, 0)
    assert (
        build_filters(options=SearchOptions(rating="4")).rating
        == build_filters(options=SearchOptions(rating=4)).rating
        == 4
    )
    assert build_filters(options=SearchOptions(rating=0)).has_non_kind_filters
    assert build_filters(options=SearchOptions(orientation="Portrait")).orientation == ("portrait",)
    nothing = dict.fromkeys(
        ("under", "after", "before", "date", "camera", "lens", "near", "tag", "rating", "size")
    )
    assert build_filters((), SearchOptions(**nothing, orientation=None)) == Filters()
    assert (
        build_filters(options=SearchOptions(under=(), camera=[], lens="", tag=(), near="", size="", date=""))
        == Filters()
    )
    assert not build_filters("image").has_non_kind_filters
    assert build_filters("image", SearchOptions(tag="dog")).has_non_kind_filters


@given(
    st.dictionaries(
        st.sampled_from(["date", "near", "rating", "size", "orientation", "camera", "tag"]), st.text()
    )
)
def test_arbitrary_text_is_parsed_or_refused_by_name(written):
    try:
        assert hash(build_filters(options=SearchOptions(**written))) == hash(
            build_filters(options=SearchOptions(**written))
        )
    except QueryError as error:
        assert any(name in str(error) for name in written)


def test_distance_equals_known_great_circle_distances():
    assert distance_km(48.8566, 2.3522, 51.5074, -0.1278) == pytest.approx(343.6, abs=0.5)  # Paris, London
    assert distance_km(0, 179.5, 0, -179.5) == pytest.approx(111.195, abs=0.01)
    assert distance_km(90, 0, 90, 123) == pytest.approx(0, abs=1e-9)
    assert distance_km(0, 0, 0, 180) == pytest.approx(20015.1, abs=0.1)
