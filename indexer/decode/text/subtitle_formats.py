"""Parsers of subtitle files: SubRip, WebVTT, SubStation Alpha (.ass, .ssa) and MicroDVD (.sub).

Each reads a file in linear time and within limits, and skips what is broken.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from indexer.decode.text.subtitle_cues import MAX_CUES, Cue, clean_cue_text, substation_text

DEFAULT_FRAME_RATE = 23.976  # frames a second of a MicroDVD file that declares none: that of films
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
_TIME_RANGE = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}")
_SUBSTATION_TIME = re.compile(rf"\s*{_TIME}\s*")
_FRAME_RANGE = re.compile(r"\s*\{(\d{1,9})\}\{(\d{1,9})\}(.*)")
_FRAME_RATE = re.compile(r"\s*\{1\}\{1\}(\d{1,3}(?:\.\d{1,6})?)\s*$", re.M)
_SPRITE = re.compile(r"\.\w+#xywh=")  # of a WebVTT file that lists thumbnails
# Of ASS and SSA files without a Format line.
_SUBSTATION_FIELDS = ("layer", "start", "end", "style", "name", "left", "right", "vertical", "effect", "text")


def parse_cues(text: str) -> list[Cue]:
    """Return the cues of a subtitle file of any of these formats, sorted by time."""
    parsers: tuple[Callable[[str], Iterator[Cue]], ...] = (_timed_cues, _substation_cues, _microdvd_cues)
    for parse in parsers:
        cues = (cue for cue in islice(parse(text), MAX_CUES) if cue.text and not _SPRITE.search(cue.text))
        if sorted_cues := sorted(cue._replace(end=max(cue.start, cue.end)) for cue in cues):
            return sorted_cues
    return []


def lacks_frame_rate(text: str) -> bool:
    """Return True if this is a MicroDVD file that does not declare its frame rate."""
    return _FRAME_RANGE.match(text) is not None and not _declared_frame_rate(text)


def _timed_cues(text: str) -> Iterator[Cue]:
    """Yield the cues of SubRip or WebVTT; only WebVTT has comments and other blocks between them."""
    ends_at_blank = text.startswith("WEBVTT")
    times: Sequence[str | None] = ()
    lines: list[str] = []
    in_cue = False
    for line in text.splitlines():
        if match := _TIME_RANGE.match(line):
            if lines and not ends_at_blank and lines[-1].strip().isdigit():
                lines.pop()  # the number of the next cue
            if times:
                yield _timed_cue(times, lines)
            times, lines, in_cue = match.groups(), [], True
        elif ends_at_blank and not line.strip():
            in_cue = False
        elif in_cue:
            lines.append(line)
    if times:
        yield _timed_cue(times, lines)


def _timed_cue(times: Sequence[str | None], lines: Sequence[str]) -> Cue:
    return Cue(_seconds(times[:4]), _seconds(times[4:]), clean_cue_text("\n".join(lines)))


def _substation_cues(text: str) -> Iterator[Cue]:
    """Yield the dialogue of an ASS or SSA file; a Format line gives the order of its fields."""
    fields: Sequence[str] = _SUBSTATION_FIELDS
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind.strip() == "Format":
            names = [name.strip().lower() for name in rest.split(",")]
            fields = names if {"start", "end"} < set(names) and names[-1] == "text" else fields
        elif kind.strip() == "Dialogue":
            values = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            start = _SUBSTATION_TIME.fullmatch(values.get("start", ""))
            end = _SUBSTATION_TIME.fullmatch(values.get("end", ""))
            if start and end:
                words = substation_text(values.get("text", ""))
                yield Cue(_seconds(start.groups()), _seconds(end.groups()), clean_cue_text(words))


def _microdvd_cues(text: str) -> Iterator[Cue]:
    """Yield the cues of a MicroDVD file, whose times are frame numbers."""
    declared = _declared_frame_rate(text)
    rate = declared or DEFAULT_FRAME_RATE
    for number, line in enumerate(text.splitlines()):
        match = _FRAME_RANGE.match(line)
        if match and (number or not declared):
            words = clean_cue_text(match[3].replace("|", "\n"))
            yield Cue(int(match[1]) / rate, int(match[2]) / rate, words)


def _declared_frame_rate(text: str) -> float | None:
    """Return the frame rate that the first line of a MicroDVD file declares, if any."""
    match = _FRAME_RATE.match(text)
    return float(match[1]) or None if match else None


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
