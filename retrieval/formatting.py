"""Format hits, numbers and names as text."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.types import Hit

SEGMENT_NOUNS = {
    "image": "image",
    "video": "moment",
    "text": "passage",
    "page": "page",
    "audio": "audio segment",
    "part": "part",  # of an image
}


def to_json(value: object) -> str:
    """Return JSON on one line; bytes of a path that are not UTF-8 are written as \\udcXX.

    So are characters that control a terminal: JSON leaves those from DEL on as they are.
    """
    text = json.dumps(value, ensure_ascii=False, default=_json_default)
    text = _CONTROLS_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


# DEL, C1, and characters that reverse the direction or break the line
_CONTROLS_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _json_default(value: object) -> object:
    """Return a dataclass as a dict and a path as a string."""
    if isinstance(value, Path):
        return str(value)
    return asdict(value)  # type: ignore[call-overload]


def one_line(text: str) -> str:
    """Return the text with line breaks, tabs and other control characters escaped."""
    return _CONTROL_CHARACTERS.sub(lambda match: repr(match[0])[1:-1], text)


_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """Return the text for a terminal: unprintable characters and bytes that are not UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_location(hit: "Hit") -> str:
    """Return the path and the location in the file: `notes.md:12`, `clip.mp4 @ 01:23.4`, `paper.pdf p. 3`.

    A part of an image is written in the notation of ImageMagick: `photo.jpg [1200x900+0+300]`.
    """
    return printable(f"{hit.path}{location_suffix(hit)}")


def location_suffix(hit: "Hit") -> str:
    """Return the location in the file, empty for a complete file."""
    suffix = ""
    if hit.page is not None:
        suffix = f" p. {hit.page}"
    elif hit.timed and hit.start is not None:
        suffix = f" @ {format_timestamp(hit.start)}"
    elif hit.kind == "text" and hit.start and hit.source is None:
        suffix = f":{hit.start:.0f}"
    if hit.kind == "image" and hit.box is not None:
        left, top, width, height = hit.box
        suffix += f" [{width}x{height}+{left}+{top}]"
    return suffix


def format_timestamp(seconds: float) -> str:
    """Return 01:23.4, or 1:02:03.4 from an hour on."""
    tenths = int(10 * seconds + 1e-6)  # rounded down, so that it is not after the start
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:" * (hours > 0) + f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"


def parse_timed_path(text: str) -> tuple[str, float] | None:
    """Return path and seconds of `clip.mp4 @ 01:23.4`, None if the text has another form."""
    match = _TIMED_PATH.fullmatch(text)
    if match is None:
        return None
    path, hours, minutes, seconds = match.groups()
    return path, 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


_TIMED_PATH = re.compile(r"(.+?) *@ *(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,6})?)", re.DOTALL | re.ASCII)


def format_share(share: float) -> str:
    """Return a share of 1 in percent: 75 %."""
    return f"{100 * share:.0f} %"


def format_bytes(count: float) -> str:
    """Return a number of bytes with a decimal unit: 3.2 MB."""
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
