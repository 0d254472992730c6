"""Universal capture times of videos become local times."""

import os
import time
from datetime import UTC, datetime

import pytest

from indexer.decode.metadata.local_time import to_local_time
from indexer.decode.metadata.video_properties import is_taken_in_utc, video_properties
from retrieval.types import MediaProperties

TAKEN = MediaProperties(taken="2022-01-01T23:30:00", zone="+00:00", duration=60.0)


@pytest.fixture
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def local(name="clip.mp4", modified=None, properties=TAKEN):
    found = to_local_time(properties, name, modified)
    return found.taken, found.zone


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_zone_of_the_machine_is_the_default(tokyo):
    assert local() == ("2022-01-02T08:30:00", "+09:00")
    assert local("2021-05-06.mp4", seconds("2024-05-06T07:08:09")) == ("2022-01-02T08:30:00", "+09:00")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    summer = MediaProperties(taken="2022-07-01T23:30:00", zone="+00:00")
    assert local() == ("2022-01-02T00:30:00", "+01:00")
    assert local(properties=summer) == ("2022-07-02T01:30:00", "+02:00")


@pytest.mark.parametrize(
    ("name", "taken", "zone"),
    [
        ("VID_20220102_003000.mp4", "2022-01-02T00:30:00", "+01:00"),
        ("2022-01-01 18.00.01.mov", "2022-01-01T18:00:00", "-05:30"),
        ("clip-20220102-051500-edit.mp4", "2022-01-02T05:15:00", "+05:45"),
        ("VID_20220102_002900.mp4", "2022-01-02T00:30:00", "+01:00"),  # the start; 23:30:00 is the end
        ("PXL_20220101_233000123.mp4", "2022-01-02T08:30:00", "+09:00"),  # Pixel phones use universal time
        ("VID_20220102_003712.mp4", "2022-01-02T08:30:00", "+09:00"),  # another moment
        ("VID_20229999_999999.mp4", "2022-01-02T08:30:00", "+09:00"),
    ],
)
def test_zone_of_the_time_in_the_file_name_is_used(tokyo, name, taken, zone):
    assert local(name) == (taken, zone)


@pytest.mark.parametrize("modified", ["2022-01-01T21:30:01", "2022-01-01T21:31:00"])  # the start, the end
def test_local_time_written_as_universal_is_recognized_by_the_modification_time(tokyo, modified):
    assert local(modified=seconds(modified)) == ("2022-01-01T23:30:00", "+02:00")


def test_universal_time_that_the_modification_time_confirms_is_converted(tokyo):
    assert local(modified=seconds("2022-01-01T23:31:00")) == ("2022-01-02T08:30:00", "+09:00")


def test_only_creation_times_of_containers_are_universal():
    universal = {"creation_time": "2022-01-01T23:30:00.000000Z"}
    assert is_taken_in_utc(universal)
    assert not is_taken_in_utc({"creation_time": "2022-01-01 23:30:00"})  # of AVI
    assert not is_taken_in_utc({"date": "2022-01-01T23:30:00Z"})
    apple = {"com.apple.quicktime.creationdate": "2022-01-01T23:30:00+0000", **universal}
    assert not is_taken_in_utc(apple)
    apple["com.apple.quicktime.creationdate"] = "2022-01-02T01:30:00+0200"
    properties = video_properties(apple, None, 1.0)
    assert (properties.taken, properties.zone) == ("2022-01-02T01:30:00", "+02:00")
