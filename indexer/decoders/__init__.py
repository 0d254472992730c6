"""Decoders: a file in, the segments that can be found in it out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from retrieval.embedders import Embedder, Pixels
from retrieval.records import Details, Kind, Vectors

READERS: dict[str, str] = {  # suffix -> decoder; the file's own bytes say which picture format it is
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"), "picture"),
    **dict.fromkeys((".bmp", ".dib", ".tif", ".tiff"), "picture"),
    **dict.fromkeys((".txt", ".text", ".md", ".markdown"), "text"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"), "video"),
    **dict.fromkeys((".ts", ".mts", ".m2ts", ".3gp", ".wmv", ".flv", ".ogv"), "video"),
    **dict.fromkeys((".srt", ".vtt"), "subtitles"),  # beside a video or alone
}
CAPTION_SUFFIXES = frozenset((".txt", ".json", ".xmp"))  # beside a picture


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment before it is embedded: pixels or text, and its place in the file.

    `start` and `end` are seconds where the file has a duration, else lines; `page` counts from 1; `box` is
    left, top, width and height in pixels of the upright picture. What a decoder has embedded itself, as
    the mean of several pictures, has its `vector`, (d,).
    """

    kind: Kind
    pixels: Pixels | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None
    page: int | None = None
    box: tuple[int, int, int, int] | None = None
    vector: Vectors | None = None
    thumbnail: bytes | None = None  # WebP


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a file holds: its segments, and what it says of itself or of its picture."""

    drafts: list[Draft] = field(default_factory=list)
    details: Details = field(default_factory=Details)


Decoder = Callable[[BinaryIO, str, Embedder], Decoded]  # file, suffix, who will read it
