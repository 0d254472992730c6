"""What a person writes to narrow an answer is checked, and what is wrong is said."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog.filter_sql import kilometres
from retrieval.errors import QueryError
from retrieval.query.filters import filters
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
def test_a_date_is_a_range_with_both_ends_in_it(written, after, before):
    assert filters(date=written) == Filters(after=after, before=before)


def test_a_date_and_ends_narrow_each_other():
    assert filters(date="2022..2024", after="2023", before="2030") == Filters(after="2023", before="2024~")
    assert filters(date="2022..2024", after="2001", before="2022-02") == Filters(
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
def test_near_is_a_place_and_how_far(written, near):
    if near is not None:
        assert filters(near=written).near == near
    else:
        with pytest.raises(QueryError, match=r"near .* is no place; write 48.85,2.35"):
            filters(near=written)


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        ({"date": "2024..2022"}, "write 2022, 2022..2024"),
        ({"date": ".."}, "write 2022, 2022..2024"),
        ({"date": "2022...2024"}, "not a time"),
        ({"date": "last year"}, "not a time"),
        ({"rating": "six"}, "0 to 5"),
        ({"rating": 6}, "0 to 5"),
        ({"rating": "4.5"}, "0 to 5"),
        ({"size": "big"}, "1000x800"),
        ({"size": "1000"}, "1000x800"),
        ({"size": "-1x5"}, "1000x800"),
        ({"orientation": "sideways"}, "landscape, portrait or square"),
        ({"camera": "x" * 201}, "200 letters"),
        ({"tag": ["fine", "a\0b"]}, "200 letters"),
        ({"kind": "movie"}, "kinds are image"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(wrong, mend):
    with pytest.raises(QueryError, match=mend):
        filters(**wrong)


def test_one_or_several_and_nothing_are_the_same_filters_however_they_are_given():
    assert filters(under="Trips") == filters(under=["Trips", "Trips/"]) == filters(under=Path("Trips"))
    assert filters(camera="Canon*", tag=("a", "b")) == Filters(camera=("Canon*",), tags=("a", "b"))
    assert filters(size="2.5MP").size == (0, 0, 2_500_000)
    assert filters(size="1000 X 800").size == (1000, 800, 0)
    assert filters(rating="4").rating == filters(rating=4).rating == 4
    assert filters(rating=0).narrow
    assert filters(orientation="Portrait").orientation == "portrait"
    nothing = dict.fromkeys(
        ("under", "after", "before", "date", "camera", "lens", "near", "tag", "rating", "size")
    )
    assert filters((), **nothing, orientation=None) == Filters()
    assert filters(under=(), camera=[], lens="", tag=(), near="", size="", date="") == Filters()
    assert not filters("image").narrow
    assert filters("image", tag="dog").narrow


@given(
    st.dictionaries(
        st.sampled_from(["date", "near", "rating", "size", "orientation", "camera", "tag"]), st.text()
    )
)
def test_hostile_filters_are_filters_or_a_question_that_is_wrong(written):
    try:
        assert hash(filters(**written)) == hash(filters(**written))
    except QueryError as error:
        assert any(name in str(error) for name in written)


def test_distances_are_those_of_the_earth():
    assert kilometres(48.8566, 2.3522, 51.5074, -0.1278) == pytest.approx(343.6, abs=0.5)  # Paris, London
    assert kilometres(0, 179.5, 0, -179.5) == pytest.approx(111.195, abs=0.01)
    assert kilometres(90, 0, 90, 123) == pytest.approx(0, abs=1e-9)
    assert kilometres(0, 0, 0, 180) == pytest.approx(20015.1, abs=0.1)
