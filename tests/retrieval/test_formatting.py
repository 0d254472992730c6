"""Texts for numbers, times and locations."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.formatting import (
    format_bytes,
    format_location,
    format_segment_counts,
    format_timestamp,
    parse_timed_path,
    pluralize,
    to_json,
)
from retrieval.types import Hit


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (2_345_678, "2.3 MB"), (5e12, "5.0 TB")],
)
def test_bytes_have_a_decimal_unit(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00.0"), (83.44, "01:23.4"), (83.49, "01:23.4"), (3723.4, "1:02:03.4")]
)
def test_timestamp_is_rounded_down_to_tenths(seconds, text):
    assert format_timestamp(seconds) == text


@given(st.integers(0, 10_000_000))
def test_timestamp_of_a_location_is_parsed_again(tenths):
    path, seconds = parse_timed_path(f"clip.mp4 @ {format_timestamp(tenths / 10)}")
    assert (path, seconds) == ("clip.mp4", pytest.approx(tenths / 10))


@pytest.mark.parametrize("text", ["clip.mp4", "clip.mp4 @ 12", "clip.mp4 @ soon", "@ 01:02"])
def test_other_text_is_not_a_timed_path(text):
    assert parse_timed_path(text) is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": "image"}, "/a"),
        ({"kind": "text", "start": 12.0}, "/a:12"),
        ({"kind": "text", "start": 12.0, "source": Path("/a.csv")}, "/a"),
        ({"kind": "video", "start": 83.4, "timed": True}, "/a @ 01:23.4"),
        ({"kind": "page", "page": 3}, "/a p. 3"),
        ({"kind": "image", "box": (0, 300, 1200, 900)}, "/a [1200x900+0+300]"),
        ({"kind": "image", "page": 2, "box": (1, 2, 3, 4)}, "/a p. 2 [3x4+1+2]"),
    ],
)
def test_location_has_the_position_in_the_file(fields, text):
    assert format_location(Hit(id=1, score=0.5, path=Path("/a"), space="toy", **fields)) == text


def test_counts_are_pluralized_in_the_order_of_kinds():
    assert pluralize(1, "image") == "1 image"
    assert format_segment_counts({"text": 3, "image": 1200, "video": 0}) == "1,200 images, 3 passages"


def test_json_keeps_bytes_that_are_not_utf8():
    assert to_json({"path": Path("/r\udce9d")}) == '{"path": "/r\\udce9d"}'
