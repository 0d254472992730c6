"""The capture time and its zone, from EXIF, XMP and GPS fields."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.decode.metadata.capture_time import (
    EXIF_DATETIME,
    EXIF_OFFSET,
    TIME_PATTERN,
    XMP_DATES,
    capture_time,
    parse_time,
)
from indexer.decode.metadata.fields import MetadataFields

ORIGINAL, DIGITIZED = 0x9003, 0x9004
ORIGINAL_OFFSET, DIGITIZED_OFFSET = 0x9011, 0x9012
TIME = "2021:06:30 18:00:01"
XMP_ORIGINAL, XMP_CREATED, XMP_CREATE_DATE = XMP_DATES


def test_fields_are_tried_in_order():
    photo = {ORIGINAL: "2021:01:01 00:00:00", DIGITIZED: "2022:01:01 00:00:00"}
    ifd0 = {EXIF_DATETIME: "2023:01:01 00:00:00"}
    xmp = {
        XMP_ORIGINAL: ["2024-01-01"],
        XMP_CREATED: ["2025-01-01"],
        XMP_CREATE_DATE: ["2026-01-01"],
    }
    years = []
    for remaining in (photo, photo, ifd0, xmp, xmp, xmp):
        taken, _ = capture_time(MetadataFields(ifd0=ifd0, photo=photo, xmp=xmp))
        years.append(taken and taken[:4])
        del remaining[next(iter(remaining))]
    assert years == ["2021", "2022", "2023", "2024", "2025", "2026"]
    assert capture_time(MetadataFields(ifd0=ifd0, photo=photo, xmp=xmp)) == (None, None)


def test_invalid_times_are_skipped():
    fields = MetadataFields(photo={ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: TIME})
    assert capture_time(fields) == ("2021-06-30T18:00:01", None)
    xmp = {XMP_ORIGINAL: ["unknown", "2021-06"]}
    assert capture_time(MetadataFields(xmp=xmp)) == ("2021-06-01T00:00:00", None)


@pytest.mark.parametrize(
    ("text", "taken", "zone"),
    [
        ("2020-01-02 03:04:05", "2020-01-02T03:04:05", None),
        ("2020/01/02 03:04:05", "2020-01-02T03:04:05", None),
        ("2020:01:02", "2020-01-02T00:00:00", None),
        ("2020-01-02\0", "2020-01-02T00:00:00", None),
        ("2020:01:02T03:04:05", "2020-01-02T03:04:05", None),
        ("2020:01:02 03:04", "2020-01-02T03:04:00", None),
        ("2020:1:2 3:04:05", "2020-01-02T03:04:05", None),
        ("2020:01:02 03:04:60", "2020-01-02T03:04:59", None),
        ("2020:01:02 03:04:05.678", "2020-01-02T03:04:05", None),
        ("2020:01:02 03:04:05+02:00", "2020-01-02T03:04:05", "+02:00"),
        ("2020-01-02T03:04:05.5-0930", "2020-01-02T03:04:05", "-09:30"),
        ("2020-01-02T03:04:05z", "2020-01-02T03:04:05", "+00:00"),
        (b"2020:01:02 03:04:05\0", "2020-01-02T03:04:05", None),
        ("2020:01:02 03:04:61", "2021-06-30T18:00:01", None),
        ("2020:13:02 03:04:05", "2021-06-30T18:00:01", None),
        ("2020:02:30", "2021-06-30T18:00:01", None),
        ("2020:01:02 24:00:00", "2021-06-30T18:00:01", None),
        ("    :  :     :  :  ", "2021-06-30T18:00:01", None),
        ("20200102", "2021-06-30T18:00:01", None),
    ],
)
def test_times_of_other_programs_are_read_and_invalid_ones_skipped(text, taken, zone):
    assert capture_time(MetadataFields(photo={ORIGINAL: text, DIGITIZED: TIME})) == (taken, zone)
    if isinstance(text, str):
        assert capture_time(MetadataFields(ifd0={EXIF_DATETIME: text}, xmp={XMP_CREATED: [TIME]}))[0] == taken


@given(st.datetimes(datetime(1, 1, 1)), st.sampled_from(":/-."), st.sampled_from("T "))
def test_time_with_any_separators_is_read(time, date_separator, separator):
    time = time.replace(microsecond=0)
    text = f"{time:%m:%d}".replace(":", date_separator)
    text = f"{time.year:04}{date_separator}{text}{separator}{time:%H:%M:%S}"
    assert parse_time(text) == (time, None)


@given(st.text(max_size=30) | st.from_regex(TIME_PATTERN))
def test_any_text_is_a_time_or_invalid(text):
    fields = MetadataFields(photo={ORIGINAL: text}, xmp={XMP_CREATED: [text]})
    taken, _ = capture_time(fields)
    assert taken is None or datetime.fromisoformat(taken)


def test_each_time_has_its_own_offset():
    photo = {DIGITIZED: TIME, ORIGINAL_OFFSET: "+01:00", DIGITIZED_OFFSET: "+02:00", EXIF_OFFSET: "+03:00"}
    assert capture_time(MetadataFields(photo=photo))[1] == "+02:00"
    del photo[DIGITIZED_OFFSET]
    assert capture_time(MetadataFields(photo=photo))[1] == "+03:00"


@pytest.mark.parametrize(
    ("xmp_time", "zone"),
    [
        ("2021-06-30T18:00:01+02:00", "+02:00"),
        ("2021-06-30T18:00:02+02:00", None),  # another time
        ("2021-06-30T18:00:01", None),
    ],
)
def test_zone_of_the_same_time_in_another_field_is_used(xmp_time, zone):
    fields = MetadataFields(photo={ORIGINAL: TIME}, xmp={XMP_CREATED: [xmp_time]})
    assert capture_time(fields) == ("2021-06-30T18:00:01", zone)


@pytest.mark.parametrize(
    ("gps_time", "gps_date", "zone"),
    [
        ((16, 0, 1), "2021:06:30", "+02:00"),
        ((12, 15, 1), "2021:06:30", "+05:45"),
        ((3, 30, 1), "2021:07:01", "-09:30"),
        ((18, 0, 1), "2021:06:30", "+00:00"),
        ((15, 55, 1), "2021:06:30", "+02:00"),  # a fix that is 5 minutes old
        ((15, 54, 59), "2021:06:30", None),
        ((4, 0, 1), "2021:06:30", "+14:00"),
        ((3, 45, 1), "2021:06:30", None),  # 14:15
        ((16, 0), "2021:06:30", None),
        ((16, 0, 1), "unknown", None),
    ],
)
def test_zone_is_derived_from_the_utc_of_the_gps(gps_time, gps_date, zone):
    fields = MetadataFields(photo={ORIGINAL: TIME}, gps={7: gps_time, 29: gps_date})
    assert capture_time(fields)[1] == zone


def test_written_offset_precedes_the_gps():
    photo = {ORIGINAL: TIME, ORIGINAL_OFFSET: "+01:00"}
    fields = MetadataFields(photo=photo, gps={7: (16, 0, 1), 29: "2021:06:30"})
    assert capture_time(fields)[1] == "+01:00"


@pytest.mark.parametrize(
    ("offset", "zone"),
    [("+02:00", "+02:00"), ("-09:30 ", "-09:30"), ("Z", "+00:00"), ("+14:01", None), ("+02:75", None)],
)
def test_offsets_are_valid_up_to_14_hours(offset, zone):
    assert capture_time(MetadataFields(photo={ORIGINAL: TIME, ORIGINAL_OFFSET: offset}))[1] == zone
