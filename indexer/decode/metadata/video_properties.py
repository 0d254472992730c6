"""Read the capture time, location and camera of a video from its metadata."""

import re
from collections.abc import Mapping
from datetime import datetime

from indexer.decode.metadata.fields import clean_text, try_read
from indexer.decode.metadata.properties import camera_name, valid_location
from retrieval.types import MediaProperties

MAKE_TAGS = ("com.apple.quicktime.make", "make", "com.android.manufacturer", "manufacturer")
MODEL_TAGS = ("com.apple.quicktime.model", "model", "com.android.model")
LOCATION_TAGS = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")
TIME_TAGS = ("com.apple.quicktime.creationdate", "com.android.capture.date", "creation_time", "date")
ISO_6709 = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")  # latitude and longitude in degrees
MAX_UNSET_CLOCK_YEAR = 1971  # clocks that were never set start in 1904 or 1970
MAX_TAG_CHARACTERS = 200


def video_properties(
    metadata: Mapping[str, str], size: tuple[int, int] | None, duration: float
) -> MediaProperties:
    """Return the properties of a video from its container's metadata; invalid values are left out.

    `taken` and `zone` are as written, see `is_taken_in_utc`.
    """
    tags = _clean_tags(metadata)
    _, taken, zone = _capture_time(tags)
    latitude, longitude = try_read(lambda: _parse_location(_first_tag(tags, LOCATION_TAGS))) or (None, None)
    return MediaProperties(
        width=size[0] if size else None,
        height=size[1] if size else None,
        taken=taken,
        zone=zone,
        camera=camera_name(_first_tag(tags, MAKE_TAGS), _first_tag(tags, MODEL_TAGS)),
        latitude=latitude,
        longitude=longitude,
        duration=duration,
    )


def is_taken_in_utc(metadata: Mapping[str, str]) -> bool:
    """Return True if the capture time is universal: that of MP4 (ISO 14496-12) and Matroska.

    Apple's `creationdate` has the time zone of the camera.
    """
    name, _, zone = _capture_time(_clean_tags(metadata))
    return (name, zone) == ("creation_time", "+00:00")


def _clean_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): clean_text(text[:MAX_TAG_CHARACTERS]).strip() for name, text in metadata.items()}


def _capture_time(tags: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    """Return the tag of the capture time, the time and its zone."""
    for name in TIME_TAGS:
        time = try_read(lambda name=name: datetime.fromisoformat(tags[name]))  # type: ignore[misc]
        if time is not None and time.year > MAX_UNSET_CLOCK_YEAR:
            zone = time.isoformat()[-6:] if time.tzinfo else None
            return name, time.replace(tzinfo=None, microsecond=0).isoformat(), zone
    return "", None, None


def _parse_location(text: str) -> tuple[float, float] | None:
    """Return degrees north and east of an ISO 6709 text, or None if it is invalid."""
    match = ISO_6709.match(text)
    return None if match is None else valid_location(float(match[1]), float(match[2]))


def _first_tag(tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((tags[name.lower()] for name in names if tags.get(name.lower())), "")
