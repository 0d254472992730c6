"""When a picture was taken, and in which zone the camera's clock was."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from indexer.decode.metadata.fields import MetadataFields, try_read

EXIF_DATES = ((0x9003, 0x9011), (0x9004, 0x9012))  # DateTimeOriginal, DateTimeDigitized: each and its offset
EXIF_DATETIME, EXIF_OFFSET = 0x0132, 0x9010
GPS_TIME, GPS_DATE = 7, 29
XMP_DATES = (
    "{http://ns.adobe.com/exif/1.0/}DateTimeOriginal",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    "{http://ns.adobe.com/xap/1.0/}CreateDate",
)
ZONE_PATTERN = re.compile(r"[+-](\d\d):([0-5]\d)")


def capture_time(fields: MetadataFields) -> tuple[str | None, str | None]:
    """Return when the picture was taken, ISO, on the camera's clock, and that clock's zone, as +02:00.

    The time is the first there is of EXIF's DateTimeOriginal, DateTimeDigitized and DateTime, and of XMP's
    exif:DateTimeOriginal, photoshop:DateCreated and xmp:CreateDate. The zone is the offset written beside
    the same time anywhere; else the difference to the universal time of the GPS, where that is within 5
    minutes (a fix may be old) of a quarter of an hour and no more than 14 hours; else unknown.
    """
    moments = list(_candidate_times(fields))
    if not moments:
        return None, None
    taken = moments[0][0]
    zones = (zone for moment, zone in moments if moment == taken and zone is not None)
    return taken.isoformat(), next(zones, None) or try_read(lambda: _gps_zone(taken, fields.gps))


def _candidate_times(fields: MetadataFields) -> Iterator[tuple[datetime, str | None]]:
    """Yield every time that is written, the best first, with its zone where that is written too."""
    general = _parse_zone(fields.photo.get(EXIF_OFFSET))
    for time, offset in EXIF_DATES:
        if (moment := try_read(partial(_parse_exif_time, fields.photo.get(time)))) is not None:
            yield moment, _parse_zone(fields.photo.get(offset)) or general
    if (moment := try_read(partial(_parse_exif_time, fields.ifd0.get(EXIF_DATETIME)))) is not None:
        yield moment, general
    for name in XMP_DATES:
        for text in fields.xmp.get(name, []):
            if (moment := try_read(partial(_parse_xmp_time, text.strip()))) is not None:
                yield moment.replace(tzinfo=None), _parse_zone(moment.isoformat()[-6:])


def _parse_exif_time(field: object) -> datetime:
    return datetime.strptime(str(field)[:19], "%Y:%m:%d %H:%M:%S")


def _parse_xmp_time(text: str) -> datetime:
    """Return an ISO time of which all behind the year may lack."""
    rest = {4: "-01-01", 7: "-01"}.get(len(text), "")
    return datetime.fromisoformat(text + rest).replace(microsecond=0)


def _gps_zone(taken: datetime, gps: Mapping[int, Any]) -> str | None:
    hours, minutes, seconds = (float(part) for part in gps[GPS_TIME])
    day = datetime.strptime(str(gps[GPS_DATE])[:10], "%Y:%m:%d")
    apart = (taken - day - timedelta(hours=hours, minutes=minutes, seconds=seconds)).total_seconds() / 60
    quarters = round(apart / 15)
    if abs(apart - 15 * quarters) > 5:
        return None
    return _parse_zone(f"{'-' if quarters < 0 else '+'}{abs(quarters) // 4:02d}:{abs(quarters) % 4 * 15:02d}")


def _parse_zone(field: object) -> str | None:
    """Return an offset of no more than 14 hours as +HH:MM."""
    text = str(field).strip(" \0").replace("Z", "+00:00")
    found = ZONE_PATTERN.fullmatch(text)
    return text if found and int(found[1]) * 60 + int(found[2]) <= 14 * 60 else None
