"""Find the capture time of an image and the time zone of the camera's clock."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from indexer.decode.metadata.fields import MetadataFields, try_read

EXIF_DATES = ((0x9003, 0x9011), (0x9004, 0x9012))  # DateTimeOriginal, DateTimeDigitized, each with its offset
EXIF_DATETIME, EXIF_OFFSET = 0x0132, 0x9010
GPS_TIME, GPS_DATE = 7, 29
XMP_DATES = (
    "{http://ns.adobe.com/exif/1.0/}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    "{http://ns.adobe.com/xap/1.0/}CreateDate",
)
# Programs write other separators than those of Exif, no time, a zone and fractions of seconds.
TIME_PATTERN = re.compile(
    r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})(?!\d)"
    r"(?:(?:T|\s+|:)(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,]\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?",
    re.IGNORECASE,
)
ZONE_PATTERN = re.compile(r"[+-](\d\d):([0-5]\d)")


def capture_time(fields: MetadataFields) -> tuple[str | None, str | None]:
    """Return the capture time on the camera's clock (ISO 8601) and the offset of that clock, as +02:00.

    The time is the first valid one of:

    1. EXIF DateTimeOriginal, DateTimeDigitized, DateTime
    2. XMP exif:DateTimeOriginal, photoshop:DateCreated, xmp:CreateDate

    The zone is the first one available of:

    1. the offset that is written with the same time in any of these fields
    2. the difference to the UTC of the GPS, rounded to a quarter of an hour, if it is within 5 minutes of
       that (a GPS fix may be old) and at most 14 hours
    """
    candidates = list(_candidate_times(fields))
    if not candidates:
        return None, None
    taken = candidates[0][0]
    zones = (zone for time, zone in candidates if time == taken and zone is not None)
    return taken.isoformat(), next(zones, None) or try_read(lambda: _gps_zone(taken, fields.gps))


def _candidate_times(fields: MetadataFields) -> Iterator[tuple[datetime, str | None]]:
    """Yield each valid time with its zone, the best first."""
    general_zone = _parse_zone(fields.photo.get(EXIF_OFFSET))
    for time_tag, offset_tag in EXIF_DATES:
        if (found := try_read(partial(parse_time, fields.photo.get(time_tag)))) is not None:
            time, zone = found
            yield time, zone or _parse_zone(fields.photo.get(offset_tag)) or general_zone
    if (found := try_read(partial(parse_time, fields.ifd0.get(EXIF_DATETIME)))) is not None:
        yield found[0], found[1] or general_zone
    for name in XMP_DATES:
        for text in fields.xmp.get(name, []):
            if (found := try_read(partial(_parse_xmp_time, text.strip()))) is not None:
                yield found


def parse_time(field: object) -> tuple[datetime, str | None]:
    """Return the time and the zone of a text such as 2020:01:02 03:04:05; raises ValueError.

    A date without a time is its midnight, and a leap second is the second before.
    """
    text = field.decode("ascii", "replace") if isinstance(field, bytes) else str(field)
    match = TIME_PATTERN.match(text.strip(" \0"))
    if match is None:
        raise ValueError(f"not a time: {text}")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    zone = _parse_zone(match[7]) if match[7] else None
    return datetime(year, month, day, hour, minute, 59 if second == 60 else second), zone


def _parse_xmp_time(text: str) -> tuple[datetime, str | None]:
    """Parse an ISO 8601 time, which may consist of a year only, or of year and month."""
    try:
        time = datetime.fromisoformat(text + {4: "-01-01", 7: "-01"}.get(len(text), ""))
    except ValueError:
        return parse_time(text)
    return time.replace(microsecond=0, tzinfo=None), _parse_zone(time.isoformat()[-6:])


def _gps_zone(taken: datetime, gps: Mapping[int, Any]) -> str | None:
    hours, minutes, seconds = (float(part) for part in gps[GPS_TIME])
    day = parse_time(gps[GPS_DATE])[0].replace(hour=0, minute=0, second=0)
    gps_time = day + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    difference = (taken - gps_time).total_seconds() / 60
    quarters = round(difference / 15)
    if abs(difference - 15 * quarters) > 5:
        return None
    return _parse_zone(f"{'-' if quarters < 0 else '+'}{abs(quarters) // 4:02d}:{abs(quarters) % 4 * 15:02d}")


def _parse_zone(field: object) -> str | None:
    """Return an offset as +HH:MM, or None if it is invalid or exceeds 14 hours."""
    text = str(field).strip(" \0").upper().replace("Z", "+00:00")
    text = f"{text[:3]}:{text[3:]}" if len(text) == 5 else text
    match = ZONE_PATTERN.fullmatch(text)
    return text if match and int(match[1]) * 60 + int(match[2]) <= 14 * 60 else None
