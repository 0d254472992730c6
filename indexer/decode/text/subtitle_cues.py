"""Subtitles: cues read from SubRip, WebVTT and a video's own tracks, joined into passages."""

import re
from collections.abc import Sequence
from html import unescape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

MAX_CUES = 50_000  # of a file
MAX_CUE_CHARACTERS = 2_000  # letters of a cue
MAX_PAUSE_SECONDS = 1.0  # seconds between two cues of one sentence, at most
MAX_PASSAGE_SECONDS = 20.0  # seconds of a passage
SENTENCE_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f", '"', "”", ")", "]", "♪")
TEXT_SUBTITLE_CODECS = frozenset(
    ("subrip", "srt", "text", "mov_text", "webvtt", "ass", "ssa")
)  # the others are pictures
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}")
_MARKUP = re.compile(r"<[^<>]{0,200}>|\{[^{}]{0,200}\}")
_SPRITE = re.compile(r"\.\w+#xywh=")  # a WebVTT of thumbnails


class Cue(NamedTuple):
    """A line of subtitles, and when it is shown, in seconds."""

    start: float
    end: float
    text: str


def parse_cues(text: str) -> list[Cue]:
    """Return the cues of SubRip or WebVTT, by time; what is broken is left out."""
    ends_at_blank = text.startswith("WEBVTT")
    found: list[tuple[float, float, list[str]]] = []
    within = False
    for line in text.splitlines():
        if times := _TIMES.match(line):
            if found and not ends_at_blank and found[-1][2] and found[-1][2][-1].strip().isdigit():
                found[-1][2].pop()  # the number of this cue
            if len(found) == MAX_CUES:
                break
            parts = times.groups()
            found.append((_seconds(parts[:4]), _seconds(parts[4:]), []))
            within = True
        elif ends_at_blank and not line.strip():
            within = False
        elif within:
            found[-1][2].append(line)
    cues = (Cue(start, max(start, end), clean_cue_text("\n".join(lines))) for start, end, lines in found)
    return sorted(cue for cue in cues if cue.text and not _SPRITE.search(cue.text))


def is_text_stream(stream: "Stream") -> bool:
    """Say whether a track of subtitles is text, as against pictures of it."""
    return stream.codec_context is not None and stream.codec_context.name in TEXT_SUBTITLE_CODECS


def packet_cues(packet: "Packet[Any]") -> list[Cue]:
    """Return the cue that a packet of a text track holds, in seconds of the file, if any."""
    data, name = bytes(packet)[: 4 * MAX_CUE_CHARACTERS], packet.stream.codec_context.name
    if name == "mov_text":
        data = data[2 : 2 + int.from_bytes(data[:2])]
    text = data.decode("utf-8", "replace")
    if name in ("ass", "ssa"):
        text = text.split(",", 8)[-1].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    said = clean_cue_text(text)
    unit = float(packet.time_base)
    start = (packet.pts or 0) * unit
    return [Cue(start, start + (packet.duration or 0) * unit, said)] if said else []


def clean_cue_text(text: str) -> str:
    """Return the words without markup, its lines kept apart."""
    plain = unescape(_MARKUP.sub("", text[:MAX_CUE_CHARACTERS])).replace("\0", "")
    return "\n".join(line for each in plain.splitlines() if (line := " ".join(each.split())))


def join_cues(cues: Sequence[Cue]) -> list[Cue]:
    """Join the cues of a sentence; of captions that roll, where lines come again, each line is once.

    Cues are taken for parts of sentences only where some cues end as sentences do.
    """
    fresh = _merge_rolling_cues(cues)
    ended = sum(cue.text.endswith(SENTENCE_ENDS) for cue in fresh)
    if 5 * ended < len(fresh):
        return fresh
    joined: list[Cue] = []
    for cue in fresh:
        last = joined[-1] if joined else None
        if last is not None and _continues_sentence(last, cue):
            joined[-1] = Cue(last.start, max(last.end, cue.end), f"{last.text} {cue.text}")
        else:
            joined.append(cue)
    return joined


def _continues_sentence(one: Cue, other: Cue) -> bool:
    """Say whether the second cue is in the midst of a sentence that the first began."""
    if one.text.endswith(SENTENCE_ENDS) or not other.text[:1].islower():
        return False
    return other.start - one.end <= MAX_PAUSE_SECONDS and other.end - one.start <= MAX_PASSAGE_SECONDS


def _merge_rolling_cues(cues: Sequence[Cue]) -> list[Cue]:
    """Leave out of each cue the lines that the one before shows, too."""
    fresh: list[Cue] = []
    shown: list[str] = []
    for cue in cues:
        lines = cue.text.split("\n")
        new = [line for line in lines if line not in shown]
        if new:
            fresh.append(cue._replace(text="\n".join(new)))
        elif fresh:  # the same words, for longer
            fresh[-1] = fresh[-1]._replace(end=max(fresh[-1].end, cue.end))
        shown = lines
    return fresh


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, thousandths = parts
    part = int((thousandths or "0").ljust(3, "0"))
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0) + part / 1000
