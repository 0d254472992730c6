"""Properties of videos, from the metadata of their containers."""

import pytest

from indexer.decode.metadata.video_properties import video_properties


def properties(**metadata: str):
    return video_properties(metadata, (640, 480), 2.5)


def test_size_and_duration_are_kept():
    found = video_properties({}, (640, 480), 2.5)
    assert (found.width, found.height, found.duration) == (640, 480, 2.5)
    assert (found.taken, found.zone, found.camera, found.latitude) == (None, None, None, None)
    assert video_properties({}, None, 1.0).width is None


@pytest.mark.parametrize(
    ("written", "taken", "zone"),
    [
        ("2019-07-24T11:25:40+0300", "2019-07-24T11:25:40", "+03:00"),
        ("2019-07-24T11:25:40.500000Z", "2019-07-24T11:25:40", "+00:00"),
        ("2019-07-24 11:25:40", "2019-07-24T11:25:40", None),
        ("1904-01-01T00:00:00Z", None, None),  # clocks that were never set
        ("1970-01-01T00:00:00Z", None, None),
        ("yesterday", None, None),
        ("", None, None),
    ],
)
def test_capture_times_are_kept_as_written(written, taken, zone):
    found = properties(creation_time=written)
    assert (found.taken, found.zone) == (taken, zone)


def test_time_of_the_camera_precedes_that_of_the_container():
    tags = {
        "creation_time": "2019-07-24T08:25:40Z",
        "com.apple.quicktime.creationdate": "2019-07-24T11:25:40+03:00",
    }
    assert properties(**tags).zone == "+03:00"
    tags["com.apple.quicktime.creationdate"] = "1904-01-01"
    assert properties(**tags).zone == "+00:00"


@pytest.mark.parametrize(
    ("written", "location"),
    [
        ("+32.0929+034.8620+028.516/", (32.0929, 34.862)),
        ("-33.5-070.25/", (-33.5, -70.25)),
        ("+00.0000+000.0000/", (None, None)),  # no location
        ("+95.0+010.0/", (None, None)),
        ("+10.0+181.0/", (None, None)),
        ("here", (None, None)),
    ],
)
def test_locations_are_read_in_iso_6709(written, location):
    found = properties(location=written)
    assert (found.latitude, found.longitude) == location


def test_tag_names_are_case_insensitive():
    assert properties(MAKE="Canon", Model="Canon EOS 80D").camera == "Canon EOS 80D"
