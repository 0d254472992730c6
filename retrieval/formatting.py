"""Hits as text: JSON, CSV, lines, and names a terminal can show."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from retrieval.types import Hit

KIND_NOUNS = {"image": "image", "video": "moment", "text": "passage", "page": "page", "audio": "sound"}
SEGMENT_NOUNS = {**KIND_NOUNS, "part": "part"}  # and parts of pictures


def to_json(value: object) -> str:
    """Return JSON on one line in which a byte of a path that is no UTF-8 stands as \\udcXX."""
    text = json.dumps(value, ensure_ascii=False, default=_json_default)
    return text.encode("utf-8", "backslashreplace").decode()


def _json_default(value: object) -> object:
    """Return records and paths as JSON can hold them."""
    if isinstance(value, Path):
        return str(value)
    return asdict(value)  # type: ignore[call-overload]


def one_line(text: str) -> str:
    """Return the text with what would break a line, a column or a terminal written as an escape."""
    return _CONTROL_CHARACTERS.sub(lambda found: repr(found[0])[1:-1], text)


_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """Return the text with control characters and foreign bytes written as escapes, for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_location(hit: Hit) -> str:
    """Return the path, and where in it: `notes.md:12`, `clip.mp4 @ 01:23.4`, `paper.pdf p. 3`.

    A part of a picture is told as ImageMagick has it: `photo.jpg [1200x900+0+300]`.
    """
    return printable(f"{hit.path}{location_suffix(hit)}")


def location_suffix(hit: Hit) -> str:
    """Return what stands behind the path of a hit that is not all of its file."""
    found = ""
    if hit.page is not None:
        found = f" p. {hit.page}"
    elif hit.timed and hit.start is not None:
        found = f" @ {format_timestamp(hit.start)}"
    elif hit.kind == "text" and hit.start and hit.source is None:
        found = f":{hit.start:.0f}"
    if hit.kind == "image" and hit.box is not None:
        left, top, width, height = hit.box
        found += f" [{width}x{height}+{left}+{top}]"
    return found


def format_timestamp(seconds: float) -> str:
    """Return a time in a video or a sound: 01:23.4, from an hour on 1:02:03.4."""
    tenths = int(10 * seconds + 1e-6)  # never later than the moment itself
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:" * (hours > 0) + f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"


def parse_timed_path(text: str) -> tuple[str, float] | None:
    """Return path and seconds of a place as it is shown, `clip.mp4 @ 01:23.4`; None where it is none."""
    found = _TIMED_PATH.fullmatch(text)
    if found is None:
        return None
    path, hours, minutes, seconds = found.groups()
    return path, 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


_TIMED_PATH = re.compile(r"(.+?) *@ *(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,6})?)", re.DOTALL | re.ASCII)


def format_bytes(count: float) -> str:
    """Return bytes as a person reads them: 3.2 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(int(math.log10(count) / 3), 4)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def format_segment_counts(counts: Mapping[str, int]) -> str:
    """Return `1,200 images, 3 passages`."""
    return ", ".join(
        pluralize(counts[kind], name) for kind, name in SEGMENT_NOUNS.items() if counts.get(kind)
    )


def pluralize(count: int, noun: str) -> str:
    """Return `1 image`, `2,000 images`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
