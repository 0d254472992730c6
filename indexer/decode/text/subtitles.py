"""A file of subtitles: SubRip or WebVTT, beside its video or alone."""

from collections.abc import Sequence
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.chunking import Chunker
from indexer.decode.text.plain import read_text
from indexer.decode.text.subtitle_cues import Cue, join_cues, parse_cues
from retrieval.errors import MediaError
from retrieval.types import MediaProperties


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return a segment for each passage, with the seconds at which it is shown."""
    found = parse_cues(read_text(file))
    if not found:
        raise MediaError("no subtitles in it: no line tells times as 00:01:02,500 --> 00:01:04,000")
    return DecodedFile(
        subtitle_drafts(found, context.chunker), MediaProperties(duration=max(cue.end for cue in found))
    )


def subtitle_drafts(cues: Sequence[Cue], chunker: Chunker) -> list[SegmentDraft]:
    """Return a segment for each passage of cues."""
    return [
        draft
        for cue in join_cues(cues)
        for draft in chunker.drafts(
            cue.text.replace("\n", " "), start=round(cue.start, 3), end=round(cue.end, 3)
        )
    ]
