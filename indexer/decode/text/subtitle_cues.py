"""Cues of subtitles: cleaning their text, joining them to sentences, reading tracks of videos."""

import re
from collections.abc import Sequence
from html import unescape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

MAX_CUES = 50_000  # of a file
MAX_CUE_CHARACTERS = 2_000
MAX_PAUSE_SECONDS = 1.0  # between two cues of one sentence
MAX_PASSAGE_SECONDS = 20.0
SENTENCE_ENDS = (".", "!", "?", "…", "。", "\uff01", "\uff1f", '"', "”", ")", "]", "♪")
TEXT_SUBTITLE_CODECS = frozenset(("subrip", "srt", "text", "mov_text", "webvtt", "ass", "ssa"))
# The first alternative is a reading (ruby text), which would be joined to the word before.
_MARKUP = re.compile(r"<rt\b[^<>]{0,200}>[^<>]{0,200}|<[^<>]{0,200}>|\{[^{}]{0,200}\}")
_DRAWING = re.compile(r"\{[^{}]{0,200}\\p[1-9]")  # the commands of a vector drawing follow


class Cue(NamedTuple):
    """A line of subtitles, and when it is shown, in seconds."""

    start: float
    end: float
    text: str


def is_text_stream(stream: "Stream") -> bool:
    """Return True if a subtitle track holds text, not images of text."""
    return stream.codec_context is not None and stream.codec_context.name in TEXT_SUBTITLE_CODECS


def packet_cues(packet: "Packet[Any]") -> list[Cue]:
    """Return the cue of a packet of a text track, in seconds of the file; empty if it has no text."""
    data, name = bytes(packet)[: 4 * MAX_CUE_CHARACTERS], packet.stream.codec_context.name
    if name == "mov_text":
        data = data[2 : 2 + int.from_bytes(data[:2])]
    text = data.decode("utf-8", "replace")
    if name in ("ass", "ssa"):
        text = substation_text(text.split(",", 8)[-1])
    text = clean_cue_text(text)
    unit = float(packet.time_base)
    start = (packet.pts or 0) * unit
    return [Cue(start, start + (packet.duration or 0) * unit, text)] if text else []


def substation_text(text: str) -> str:
    """Return the text of a SubStation Alpha event with its line breaks; empty if it is a drawing."""
    if _DRAWING.search(text):
        return ""
    return text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")


def clean_cue_text(text: str) -> str:
    """Return the words of a cue without markup; lines stay separate."""
    plain = unescape(_MARKUP.sub("", text[:MAX_CUE_CHARACTERS])).replace("\0", "")
    return "\n".join(line for each in plain.splitlines() if (line := " ".join(each.split())))


def join_cues(cues: Sequence[Cue]) -> list[Cue]:
    """Join the cues of a sentence; of rolling captions, which repeat lines, keep each line once.

    Cues are taken for parts of sentences only if at least a fifth of them ends as a sentence does.
    """
    unrolled = _merge_rolling_cues(cues)
    ended = sum(cue.text.endswith(SENTENCE_ENDS) for cue in unrolled)
    if 5 * ended < len(unrolled):
        return unrolled
    joined: list[Cue] = []
    for cue in unrolled:
        last = joined[-1] if joined else None
        if last is not None and _continues_sentence(last, cue):
            joined[-1] = Cue(last.start, max(last.end, cue.end), f"{last.text} {cue.text}")
        else:
            joined.append(cue)
    return joined


def _continues_sentence(previous: Cue, cue: Cue) -> bool:
    """Return True if a cue continues a sentence that the previous one began."""
    if previous.text.endswith(SENTENCE_ENDS) or not cue.text[:1].islower():
        return False
    return cue.start - previous.end <= MAX_PAUSE_SECONDS and cue.end - previous.start <= MAX_PASSAGE_SECONDS


def _merge_rolling_cues(cues: Sequence[Cue]) -> list[Cue]:
    """Drop from each cue the lines that the previous cue shows too."""
    merged: list[Cue] = []
    shown: list[str] = []
    for cue in cues:
        lines = cue.text.split("\n")
        new = [line for line in lines if line not in shown]
        if new:
            merged.append(cue._replace(text="\n".join(new)))
        elif merged:  # the same words for a longer time
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, cue.end))
        shown = lines
    return merged
