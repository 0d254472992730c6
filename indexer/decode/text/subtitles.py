"""A file of subtitles: SubRip or WebVTT, beside its video or alone."""

from collections.abc import Sequence
from typing import BinaryIO

from indexer.decode.base import Decoded, Draft
from indexer.decode.text.plain import read_text
from indexer.decode.text.subtitle_cues import Cue, passages, read_cues
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Return a segment for each passage, with the seconds at which it is shown."""
    found = read_cues(read_text(file))
    if not found:
        raise MediaError("no subtitles in it: no line tells times as 00:01:02,500 --> 00:01:04,000")
    return Decoded(drafts(found, embedder), MediaProperties(duration=max(cue.end for cue in found)))


def drafts(cues: Sequence[Cue], embedder: Embedder) -> list[Draft]:
    """Return a segment for each passage of cues."""
    return [Draft("text", text=cue.text, start=cue.start, end=cue.end) for cue in passages(cues, embedder)]
