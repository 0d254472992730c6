"""What a video says of itself: when, where and with what it was taken."""

import re
from collections.abc import Mapping
from datetime import datetime

from indexer.decode.metadata.fields import attempt, clean
from indexer.decode.metadata.properties import camera_of
from retrieval.types import MediaProperties

MAKES = ("com.apple.quicktime.make", "make", "com.android.manufacturer", "manufacturer")
MODELS = ("com.apple.quicktime.model", "model", "com.android.model")
PLACES = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")
TIMES = ("com.apple.quicktime.creationdate", "com.android.capture.date", "creation_time", "date")
PLACE = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")  # ISO 6709, in degrees
UNSET = 1971  # clocks that were never set begin in 1904 or 1970
MOST = 200  # letters


def footage_details(
    metadata: Mapping[str, str], size: tuple[int, int] | None, duration: float
) -> MediaProperties:
    """Return the details of a video from its container's metadata; what is broken is left out.

    `taken` is the time as it is written, which cameras tell in their own zone and most programs in
    universal time, and `zone` the one that is written with it.
    """
    tags = {name.lower(): clean(text[:MOST]).strip() for name, text in metadata.items()}
    taken, zone = _taken(tags)
    latitude, longitude = attempt(lambda: _place(_first(tags, PLACES))) or (None, None)
    return MediaProperties(
        width=size[0] if size else None,
        height=size[1] if size else None,
        taken=taken,
        zone=zone,
        camera=camera_of(_first(tags, MAKES), _first(tags, MODELS)),
        latitude=latitude,
        longitude=longitude,
        duration=duration,
    )


def _taken(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    for name in TIMES:
        moment = attempt(lambda name=name: datetime.fromisoformat(tags[name]))  # type: ignore[misc]
        if moment is not None and moment.year > UNSET:
            zone = moment.isoformat()[-6:] if moment.tzinfo else None
            return moment.replace(tzinfo=None, microsecond=0).isoformat(), zone
    return None, None


def _place(text: str) -> tuple[float, float] | None:
    """Return degrees north and east; 0, 0 is what is written where none is known."""
    found = PLACE.match(text)
    if found is None:
        return None
    north, east = float(found[1]), float(found[2])
    return (north, east) if abs(north) <= 90 and abs(east) <= 180 and (north or east) else None


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((tags[name.lower()] for name in names if tags.get(name.lower())), "")
