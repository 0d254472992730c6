"""Decoder of subtitle files, which belong to a video of the same name or stand alone."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.text.chunking import Chunker, PassageLimit
from indexer.decode.text.encoding import detect_and_decode
from indexer.decode.text.plain import read_bytes
from indexer.decode.text.subtitle_cues import Cue, join_cues
from indexer.decode.text.subtitle_formats import DEFAULT_FRAME_RATE, lacks_frame_rate, parse_cues
from retrieval.errors import MediaError
from retrieval.types import MediaProperties

VOBSUB_SIGNATURE = b"\0\0\1\xba"  # subtitles of a DVD, in a .sub file too
FRAME_RATE_NOTE = f"no frame rate in it; its times assume {DEFAULT_FRAME_RATE} frames a second"


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return a segment for each passage, with the seconds at which it is shown."""
    data = read_bytes(file, context.limits.max_text_bytes)
    if data.startswith(VOBSUB_SIGNATURE):
        raise MediaError("images of subtitles (VobSub), which clew does not read")
    decoded = detect_and_decode(data, language=context.language)
    text = decoded.text
    cues = parse_cues(text)
    if not cues:
        raise MediaError("no subtitles in it: no line has times such as 00:01:02,500 --> 00:01:04,000")
    limit = PassageLimit(context.limits)
    drafts = limit.take(subtitle_drafts(cues, context.chunker))
    assumptions = [FRAME_RATE_NOTE if lacks_frame_rate(text) else None, decoded.assumption]
    properties = MediaProperties(duration=max(cue.end for cue in cues))
    return DecodedFile(drafts, properties, limit.note, "; ".join(filter(None, assumptions)) or None)


def subtitle_drafts(cues: Sequence[Cue], chunker: Chunker) -> Iterator[SegmentDraft]:
    """Yield the segments of cues, joined to sentences."""
    for cue in join_cues(cues):
        text = cue.text.replace("\n", " ")
        yield from chunker.drafts(text, start=round(cue.start, 3), end=round(cue.end, 3))
