"""Results of decoders: the segments and the metadata of a file."""

from dataclasses import dataclass, field

from retrieval.embedders.base import Pixels
from retrieval.types import Kind, MediaProperties, Vectors

DRAFT_BYTES = 400  # of a draft without its contents


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """A segment before it is embedded: its pixels or text, and its location in the file."""

    kind: Kind
    pixels: Pixels | None = None
    text: str | None = None
    start: float | None = None  # seconds in a file with a duration, else a line, from 1
    end: float | None = None
    page: int | None = None  # from 1
    # Left, top, width, height in pixels of the upright image; of a PDF, of the page at PAGE_BOX_SIDE.
    box: tuple[int, int, int, int] | None = None
    vector: Vectors | None = None  # (d,), if the decoder has embedded the segment itself
    thumbnail: bytes | None = None  # WebP
    caption_target: bytes | None = None  # the image of a table's caption; path relative to the table

    @property
    def memory_bytes(self) -> int:
        """Return the approximate memory of the segment."""
        arrays = sum(array.nbytes for array in (self.pixels, self.vector) if array is not None)
        return DRAFT_BYTES + arrays + 2 * len(self.text or "") + len(self.thumbnail or b"")

    @property
    def has_vector(self) -> bool:
        """Return False for a segment that says nothing: a sound without tags."""
        return not (self.pixels is None and self.text is None and self.vector is None)

    @property
    def is_image_part(self) -> bool:
        """Return True for a part of an image that has a segment: a tile, a crop or a later frame."""
        return self.kind == "image" and (self.box is not None or self.start is not None)

    def matches(self, kind: Kind, page: int | None, start: float | None) -> bool:
        """Return True if a segment has this location; older versions stored no page."""
        return (self.kind, self.start) == (kind, start) and page in (None, self.page)


@dataclass(frozen=True, slots=True)
class DecodedFile:
    """The segments and metadata of a file, a note on omissions, and what the decoder had to assume."""

    drafts: list[SegmentDraft] = field(default_factory=list)
    properties: MediaProperties = field(default_factory=MediaProperties)
    note: str | None = None  # on the parts that were left out
    assumption: str | None = None  # of what the file does not tell, such as its encoding
    is_taken_in_utc: bool = False  # the capture time in `properties` is universal, not local
