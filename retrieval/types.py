"""The words of clew as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]  # (n, d), every row of length 1
Scores: TypeAlias = NDArray[np.float32]  # cosines, 1.0 is the same direction
Ids: TypeAlias = NDArray[np.int64]  # segment ids

Kind: TypeAlias = Literal["image", "video", "text", "page", "audio"]
KINDS: tuple[Kind, ...] = get_args(Kind)

CONFIDENCE_THRESHOLD = 0.75  # three of four background queries match nothing so well

IndexMethod: TypeAlias = Literal["flat", "hnsw", "ivf"]  # of an index
INDEX_METHODS: tuple[IndexMethod, ...] = get_args(IndexMethod)

Orientation: TypeAlias = Literal["landscape", "portrait", "square"]  # of a picture as it is shown
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)

SortOrder: TypeAlias = Literal["score", "date", "date-desc", "name"]  # of hits
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)

GroupReason: TypeAlias = Literal[
    "copy", "pair", "near-duplicate", "burst", "frames"
]  # of a group, the surest first
GROUP_REASONS: tuple[GroupReason, ...] = get_args(GroupReason)
FILE_GROUP_REASONS = tuple(
    reason for reason in GROUP_REASONS if reason != "frames"
)  # those are parts of one file


@dataclass(frozen=True, slots=True)
class Filters:
    """What a hit must be, before anything is ranked; of several `under`, `camera` or `lens`, any.

    `under` are folders: absolute, or a run of folder names anywhere in the path. `after` (inclusive)
    and `before` (exclusive) are the beginnings of ISO times, local: `2021`, `2021-06`, `2021-06-30`;
    `2021~` is behind all of 2021. `camera` and `lens` are patterns with `*` and `?`, of which case does
    not matter; `near` is latitude, longitude and kilometres; every one of `tags` must hold; `rating` is
    the least, as are width, height and pixels in `size`.
    """

    kinds: frozenset[Kind] = frozenset()
    under: tuple[str, ...] = ()
    after: str = ""
    before: str = ""
    camera: tuple[str, ...] = ()
    lens: tuple[str, ...] = ()
    near: tuple[float, float, float] | None = None
    tags: tuple[str, ...] = ()
    rating: int | None = None
    size: tuple[int, int, int] | None = None
    orientation: Orientation | None = None

    @property
    def has_non_kind_filters(self) -> bool:
        """Say whether more than kinds is asked."""
        return self != Filters(self.kinds)


@dataclass(frozen=True, slots=True)
class MediaProperties:
    """What a picture says of itself, and how it looks; None is what it does not say.

    `width` and `height` are as it is shown, whatever its EXIF `orientation` (1 to 8); `taken` is local time
    on the camera's clock, ISO, and `zone` that clock's offset as `+02:00`; `latitude` and `longitude` are
    degrees north and east; `rating` is -1 (rejected) to 5; `looks` are 64 bits of which few differ where
    pictures look alike; `sharpness` is larger for the sharper of two pictures of one scene;
    `duration` is in seconds, of video, sound and what is said in them.
    """

    width: int | None = None
    height: int | None = None
    taken: str | None = None
    zone: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    orientation: int | None = None
    rating: int | None = None
    perceptual_hash: bytes | None = None
    sharpness: float | None = None
    duration: float | None = None
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TermScore:
    """A term of a query: how much it counts, and its own cosine with a hit."""

    asked: str
    weight: float
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer: a segment, where it is, and how well it fits.

    `score` is the cosine of hit and query, `confidence` the share of background queries, in [0, 1], that
    match nothing in the library so well; None before the library is calibrated. `start` and `end` are
    seconds where the hit is `timed` (video, sound, and what is said there), else lines of a text, from 1.
    A caption's `path` is the picture it belongs to, a subtitle's the video, and `source` the file it was
    read from; `time` is when the picture was taken, else when the file was last written, local, ISO.
    `page` counts from 1, and `box` is left, top, width and height in pixels of the upright picture; both
    are None where they have no meaning. `usual` is the score that half of the background queries reach,
    `words` the part of the query's words that are in the hit's text or name, `why` what each term
    brought, where that was asked. `more` are the
    other members of its group, where groups were asked for.
    """

    id: int
    score: float
    kind: Kind
    path: Path
    space: str
    confidence: float | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None
    page: int | None = None
    box: tuple[int, int, int, int] | None = None
    source: Path | None = None
    time: str | None = None
    timed: bool = False
    offline: bool = False
    usual: float | None = None
    words: float = 0.0
    why: "tuple[TermScore, ...]" = ()
    more: "tuple[Hit, ...]" = ()

    @property
    def match(self) -> Literal["confident", "weak"] | None:
        """Say whether the match is unusual enough to be meant."""
        if self.confidence is None:
            return None
        return "confident" if self.confidence >= CONFIDENCE_THRESHOLD else "weak"


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """A file, or a part of one, as far as it matters to what it belongs with.

    `segment` is the one whose vector tells what it looks like, -1 for none. `taken` is the time on the
    camera's clock, ISO, never the file's. `looks` is the perceptual hash, 64 bits. `start` and `end`
    are seconds of a video. `inside` says that it is in an archive, from which it cannot be taken alone.
    """

    path: Path
    content: int
    segment: int = -1
    kind: Kind | None = None
    size: int = 0
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    camera: str | None = None
    perceptual_hash: int | None = None
    sharpness: float | None = None
    start: float | None = None
    end: float | None = None
    offline: bool = False
    in_archive: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Files that belong together, the best first."""

    reason: GroupReason
    files: tuple[FileAttributes, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def waste(self) -> int:
        """Return the bytes of all files but the best."""
        return self.size - self.files[0].size


@dataclass(frozen=True, slots=True)
class IndexFile:
    """One row of `indexes`: the index file of one kind of segment."""

    kind: Kind
    method: IndexMethod
    file: str
    digest: str
    size: int
    count: int
    effort: int
    recall: float
    format: str  # internal format; one that differs from FILE_FORMATS is outdated


@dataclass(frozen=True, slots=True)
class Space:
    """A vector space and its index files."""

    id: int
    name: str
    model: str  # name of the model; differs from `name` if a newer version of the model has replaced it
    fingerprint: str
    dim: int
    indexed_to: int = 0  # the last segment in the index files
    parts: Mapping[str, str] = field(default_factory=dict)  # what the fingerprint covers
    complete: bool = True  # every segment has its vector
    indexes: tuple[IndexFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Root:
    """A folder the person asked to index, and how many of its files are in which state."""

    path: Path
    state: Literal["present", "offline"]
    scanned: str | None
    present: int = 0
    offline: int = 0
    gone: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """What a library holds."""

    folder: Path
    roots: tuple[Root, ...]
    segments: dict[str, int] = field(
        default_factory=dict
    )  # kind (or `part` of a picture) -> how many can be found
    kept: int = 0  # segments of files that are gone, until they are purged
    space: Space | None = None  # the one that answers
    spaces: dict[str, int] = field(default_factory=dict)  # every space -> its vectors
    precision: str | None = None  # in which this machine embeds pictures
    ocr: bool = False  # whether the text in pictures is read
    speech: str | None = None  # the model that hears what is said
    sounds: str | None = None  # the model that names what sounds
    tail: int = 0  # vectors newer than the indexes, searched exactly
    size: int = 0  # bytes on disk
    thumbnails: int = 0  # bytes of them
    thumbnail_limit: int = 0  # bytes they may take; 0 is none at all
    thumbnails_full: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class ConceptInfo:
    """A concept, how many pictures it was taught from, and how well those are told apart.

    `auroc` is 0.5 where it is left to chance and 1.0 where none is mistaken; None of one example, or
    before `clew teach NAME` has fitted it to the space that answers.
    """

    name: str
    positives: int
    negatives: int
    auroc: float | None = None
    fitted: bool = True
