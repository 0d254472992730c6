"""Convert the capture time of a video from universal to local time."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from indexer.decode.metadata.fields import try_read
from retrieval.types import MediaProperties

MAX_ERROR_SECONDS = 3  # between two records of the same moment: FAT stores times in steps of two seconds
OFFSET_STEP = timedelta(minutes=15)  # of all time zones
MIN_OFFSET, MAX_OFFSET = timedelta(hours=-12), timedelta(hours=14)
_NAME_TIME = re.compile(  # VID_20220102_083000.mp4, 2022-01-02 08.30.00.mov
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)\D{1,4}(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)"
)


def to_local_time(properties: MediaProperties, name: str, modified: float | None) -> MediaProperties:
    """Return properties whose `taken` is in universal time, with local time and zone.

    The zone is that in which the time in the file name is the same moment, else the zone of this machine.
    Some cameras write local time instead: then `modified`, the modification time of the file in seconds,
    differs from it by the zone.
    """
    if properties.taken is None:
        return properties
    if (local := time_in_name(properties, name)) is not None:
        return local
    written = datetime.fromisoformat(properties.taken)
    duration = timedelta(seconds=properties.duration or 0.0)
    changed = try_read(lambda: datetime.fromtimestamp(modified or 0.0, UTC).replace(tzinfo=None))
    offset = _offset(written - changed, duration) if modified and changed else None
    if offset:
        return _with_time(properties, written, offset)
    here = try_read(lambda: written.replace(tzinfo=UTC).astimezone())
    zone_offset = here.utcoffset() if here else None
    if here is None or zone_offset is None:
        return properties
    return _with_time(properties, here.replace(tzinfo=None), zone_offset)


def time_in_name(properties: MediaProperties, name: str) -> MediaProperties | None:
    """Return properties with the zone in which the time in a file name is `taken`; None if there is none."""
    if properties.taken is None:
        return None
    written = datetime.fromisoformat(properties.taken)
    for local in _times_in_name(name):
        offset = _offset(local - written, timedelta(seconds=properties.duration or 0.0))
        if offset:  # some cameras name files by universal time
            return _with_time(properties, written + offset, offset)
    return None


def has_time(name: str) -> bool:
    """Return True if a file name contains a time."""
    return next(_times_in_name(name), None) is not None


def _with_time(properties: MediaProperties, time: datetime, offset: timedelta) -> MediaProperties:
    zone = datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[-6:]
    return replace(properties, taken=time.isoformat(), zone=zone)


def _times_in_name(name: str) -> Iterator[datetime]:
    for match in _NAME_TIME.finditer(name):
        with suppress(ValueError):  # digits that are no time
            yield datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S")


def _offset(difference: timedelta, duration: timedelta) -> timedelta | None:
    """Return the zone whose offset a difference is; one of the times may be that of the end of the video."""
    for exact in (difference, difference + duration):
        steps = round(exact / OFFSET_STEP)
        error = abs(exact - steps * OFFSET_STEP)
        if error.total_seconds() <= MAX_ERROR_SECONDS and MIN_OFFSET <= steps * OFFSET_STEP <= MAX_OFFSET:
            return steps * OFFSET_STEP
    return None
