"""Decoders: a file in, the segments that can be found in it out."""

from dataclasses import dataclass, field

from retrieval.embedders.base import Pixels
from retrieval.types import Kind, MediaProperties, Vectors


@dataclass(frozen=True, slots=True)
class SegmentDraft:
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
    caption_target: bytes | None = None

    @property
    def is_image_part(self) -> bool:
        """Say whether this is of a picture that is a segment itself: a tile, a crop, a later frame."""
        return self.kind == "image" and (self.box is not None or self.start is not None)

    def matches(self, kind: Kind, page: int | None, start: float | None) -> bool:
        """Say whether a segment of this place is made of such a draft; older readers told no page."""
        return (self.kind, self.start) == (kind, start) and page in (None, self.page)


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """What a file holds: its segments, what it says of itself or its picture, and what of it was left out."""

    drafts: list[SegmentDraft] = field(default_factory=list)
    properties: MediaProperties = field(default_factory=MediaProperties)
    note: str | None = None
