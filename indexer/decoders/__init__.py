"""Decoders: a file in, the segments that can be found in it out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from retrieval.embedders import Embedder, Pixels
from retrieval.records import Details, Kind, Vectors

READERS: dict[str, str] = {  # suffix -> decoder; the file's own bytes say which picture format it is
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"), "picture"),
    **dict.fromkeys((".bmp", ".dib", ".tif", ".tiff"), "picture"),
    **dict.fromkeys(
        (".txt", ".text", ".md", ".markdown", ".rst", ".org", ".adoc", ".asciidoc", ".tex"), "text"
    ),
    ".pdf": "document",
    **dict.fromkeys((".html", ".htm", ".xhtml", ".mht", ".mhtml"), "web"),
    **dict.fromkeys((".docx", ".docm", ".dotx", ".odt", ".ott", ".epub", ".rtf"), "office"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".odp"), "office"),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "table"),
}
CAPTION_SUFFIXES = frozenset((".txt", ".json", ".xmp"))  # beside a picture


@dataclass(frozen=True, slots=True)
class Draft:
    """A segment before it is embedded: pixels or text, and its place in the file.

    `start` and `end` are seconds where the file has a duration, else lines; `page` counts from 1; `box` is
    left, top, width and height in pixels of the upright picture. What a decoder has embedded itself, as
    the mean of several pictures, has its `vector`, (d,). A caption in a table names its `picture`: the path
    from the table's folder.
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
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a file holds: its segments, what it says of itself or its picture, and what of it was left out."""

    drafts: list[Draft] = field(default_factory=list)
    details: Details = field(default_factory=Details)
    note: str | None = None


Decoder = Callable[[BinaryIO, str, Embedder], Decoded]  # file, suffix, who will read it
