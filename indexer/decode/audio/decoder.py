"""Decode audio to a segment that describes its tags, and passages of its comments and lyrics."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from PIL.Image import Image

from indexer.decode.audio.stream import duration_seconds
from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE
from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, audio_stream, decode_frames, open_container
from retrieval.media.images.loader import load_image
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandboxed_calls import call_sandboxed
from retrieval.normalization import nfc
from retrieval.types import MediaProperties

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_TAG_CHARACTERS = 100
MAX_COMMENT_CHARACTERS = 20_000  # of a comment, and of lyrics
MAX_GENRES = 10
TEXT_TAGS = ("comment", "description", "synopsis", "lyrics", "unsyncedlyrics")
_TAG_SEPARATOR = "\n\x1e\n"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]+")


class AudioContents(NamedTuple):
    """What is read of an audio file."""

    tags: Mapping[str, str]
    cover: Image | None
    duration: float  # seconds


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Read tags, duration and cover; raises MediaError if no audio can be decoded."""
    limits = context.limits
    tags, cover, duration = call_sandboxed(read_contents, file, limits, limits=limits, stop=context.stop)
    thumbnail = None if cover is None else context.thumbnail(cover)
    text = describe_tags(tags)
    if text is not None and not context.embedder.count_tokens(text):
        text = None
    drafts = [SegmentDraft("audio", text=text, start=0.0, end=duration, thumbnail=thumbnail)]
    for comment in dict.fromkeys(tags[name] for name in tags if name.partition("-")[0] in TEXT_TAGS):
        drafts += context.chunker.drafts(comment[:MAX_COMMENT_CHARACTERS])
    return DecodedFile(drafts, MediaProperties(duration=duration, keywords=_genres(tags)))


def read_contents(file: BinaryIO, limits: DecodeLimits) -> AudioContents:
    """Read tags, cover and duration of an audio file; raises MediaError."""
    with open_container(file, MEDIA_FORMATS) as container:
        stream = audio_stream(container)
        tags, cover = _read_tags(container, stream), _read_cover(container, limits)
        if next(decode_frames(container, stream), None) is None:
            raise MediaError("damaged: no audio can be decoded")
        return AudioContents(tags, cover, duration_seconds(container, stream))


def describe_tags(tags: Mapping[str, str]) -> str | None:
    """Return the tags of audio as text: `title by artist, from album, genre, year`; None without tags."""
    short = {name: " ".join(value.split())[:MAX_TAG_CHARACTERS] for name, value in tags.items()}
    title, album = short.get("title", ""), short.get("album", "")
    artist = short.get("artist") or short.get("album_artist") or short.get("composer", "")
    work = f"{title} by {artist}" if title and artist else title or artist
    year = re.search(r"\b\d{4}\b", short.get("date", ""))
    parts = (work, f"from {album}" if album else "", ", ".join(_genres(tags)), year[0] if year else "")
    text = ", ".join(filter(None, parts))
    return text if any(letter.isalpha() for letter in text) else None


def _read_tags(container: "InputContainer", stream: Any) -> dict[str, str]:
    """Return the tags of the container and the stream, with lowercase names and clean values."""
    items = {name.lower(): value for name, value in [*stream.metadata.items(), *container.metadata.items()]}
    values = decode_tags(list(items.values()))
    clean = (nfc(_CONTROL_CHARACTERS.sub(" ", value)).strip() for value in values)
    return {name: value for name, value in zip(items, clean, strict=True) if value}


def decode_tags(values: Sequence[str]) -> Sequence[str]:
    """Return tags in the encoding that they have: many that declare Latin-1 have that of their language."""
    try:
        data = _TAG_SEPARATOR.join(values).encode("latin-1")
        decoded = decode_text(data).split(_TAG_SEPARATOR)
    except (UnicodeEncodeError, MediaError):  # Unicode
        return values
    return decoded if len(decoded) == len(values) else values


def _genres(tags: Mapping[str, str]) -> tuple[str, ...]:
    names = (
        " ".join(name.split())[:MAX_TAG_CHARACTERS]
        for name in re.split(r"[;,/]", tags.get("genre", "")[:MAX_COMMENT_CHARACTERS])
    )
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_GENRES]


def _read_cover(container: "InputContainer", limits: DecodeLimits) -> Image | None:
    """Return the cover, or None if it is missing or broken."""
    from av.stream import Disposition

    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    if not covers:
        return None
    try:
        data = bytes(next(container.demux(covers[0])))
        limits = replace(limits, max_image_pixels=limits.max_cover_pixels)
        return load_image(BytesIO(data), min_side=THUMBNAIL_SIDE, limits=limits)
    except Exception:  # the audio may still be valid
        return None
