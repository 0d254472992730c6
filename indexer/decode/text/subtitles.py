"""A file of subtitles: SubRip or WebVTT, beside its video or alone."""

from collections.abc import Sequence
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.text.plain import read_text
from indexer.decode.text.subtitle_cues import Cue, cue_passages, parse_cues
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> DecodedFile:
    """Return a segment for each passage, with the seconds at which it is shown."""
    found = parse_cues(read_text(file))
    if not found:
        raise MediaError("no subtitles in it: no line tells times as 00:01:02,500 --> 00:01:04,000")
    return DecodedFile(
        subtitle_drafts(found, embedder), MediaProperties(duration=max(cue.end for cue in found))
    )


def subtitle_drafts(cues: Sequence[Cue], embedder: Embedder) -> list[SegmentDraft]:
    """Return a segment for each passage of cues."""
    return [
        SegmentDraft("text", text=cue.text, start=cue.start, end=cue.end)
        for cue in cue_passages(cues, embedder)
    ]
