"""Shared records and type aliases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]  # (n, d), rows of length 1
Scores: TypeAlias = NDArray[np.float32]  # cosines, at most 1.0
# A segment with its cosine, and with the confidence and `usual` of its hit.
ScoredId: TypeAlias = tuple[int, float] | tuple[int, float, float | None, float | None]
Ids: TypeAlias = NDArray[np.int64]  # segment ids

Kind: TypeAlias = Literal["image", "video", "text", "page", "audio"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VISUAL_KINDS: tuple[Kind, ...] = ("image", "video", "page")  # the kinds that an embedder sees as images

CONFIDENCE_THRESHOLD = 0.75  # of a confident match: 3 of 4 background queries match nothing as well

PAGE_BOX_SIDE = 1_000  # pixels of the longer side of a page on which its boxes are given

IndexMethod: TypeAlias = Literal["flat", "hnsw", "ivf"]
INDEX_METHODS: tuple[IndexMethod, ...] = get_args(IndexMethod)

TunedMode: TypeAlias = Literal["words", "picture"]  # the modes of queries that are tuned apart
TUNED_MODES: tuple[TunedMode, ...] = get_args(TunedMode)

Orientation: TypeAlias = Literal["landscape", "portrait", "square"]  # of an image as displayed
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)

SortOrder: TypeAlias = Literal["score", "date", "date-desc", "name"]
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)

GroupReason: TypeAlias = Literal["copy", "pair", "near-duplicate", "burst", "frames"]  # most certain first
GROUP_REASONS: tuple[GroupReason, ...] = get_args(GroupReason)
FILE_GROUP_REASONS = tuple(reason for reason in GROUP_REASONS if reason != "frames")  # groups of files


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that every hit satisfies; empty fields do not filter."""

    kinds: frozenset[Kind] = frozenset()
    under: tuple[str, ...] = ()  # any of: an absolute folder, or consecutive folder names in the path
    after: str = ""  # inclusive; prefix of a local ISO time: `2021`, `2021-06`, `2021-06-30`
    before: str = ""  # exclusive; `2021~` sorts after all times in 2021
    camera: tuple[str, ...] = ()  # any of these case-insensitive patterns with `*` and `?`
    lens: tuple[str, ...] = ()  # as `camera`
    near: tuple[float, float, float] | None = None  # latitude, longitude, radius in kilometers
    tags: tuple[str, ...] = ()  # all of these keywords or labels
    rating: int | None = None  # minimum
    size: tuple[int, int, int] | None = None  # minimum width, height and number of pixels
    orientation: tuple[Orientation, ...] = ()  # any of these
    any_tags: tuple[str, ...] = ()  # any of these keywords or labels
    max_rating: int | None = None
    none: "tuple[Filters, ...]" = ()  # a hit that satisfies any of these is excluded

    @property
    def has_non_kind_filters(self) -> bool:
        """Return True if a field other than `kinds` filters."""
        return self != Filters(self.kinds)


@dataclass(frozen=True, slots=True)
class MediaProperties:
    """Metadata and computed properties of a media file; None if unknown."""

    width: int | None = None  # pixels, as displayed
    height: int | None = None
    taken: str | None = None  # capture time, ISO, local time of the camera
    zone: str | None = None  # UTC offset of the camera: +02:00
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east
    orientation: int | None = None  # EXIF orientation, 1 to 8
    rating: int | None = None  # -1 (rejected) to 5
    perceptual_hash: bytes | None = None  # 64 bits; similar images differ in few of them
    sharpness: float | None = None  # compares images of the same scene; higher is sharper
    duration: float | None = None  # seconds, of video, audio and transcripts
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TermScore:
    """A term of a query, its weight, and its cosine with a hit."""

    asked: str
    weight: float
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A segment that was found, with its location and score."""

    id: int
    score: float  # cosine of segment and query
    kind: Kind
    path: Path  # of a caption the image, of a subtitle the video
    space: str
    confidence: float | None = None  # share of background queries that match less well; None: uncalibrated
    text: str | None = None
    start: float | None = None  # seconds if `timed`, else the first line of a text, from 1
    end: float | None = None
    page: int | None = None  # from 1
    # Left, top, width, height in pixels of the upright image; of a PDF, of the page at PAGE_BOX_SIDE.
    box: tuple[int, int, int, int] | None = None
    source: Path | None = None  # the file of a caption or subtitle
    time: str | None = None  # capture time, else modification time; ISO, local
    timed: bool = False  # video, audio and their texts
    offline: bool = False
    usual: float | None = None  # median score of the background queries
    words: float = 0.0  # share of the query's words in the text or the file name
    has_words: bool = False  # all words of the query, or all its quotations and file names
    why: "tuple[TermScore, ...]" = ()  # only if requested
    labels: "tuple[Label, ...]" = ()  # that the model gave to the segment; only if `why` was requested
    more: "tuple[Hit, ...]" = ()  # the rest of its group, if groups were requested
    library: str | None = None  # folder or address, if several libraries were searched

    @property
    def match(self) -> Literal["words", "confident", "weak"] | None:
        """Return "words" for a hit with the words of the query, which comes before all others.

        Others are "confident" if the confidence reaches the threshold; None without calibration.
        """
        if self.has_words:
            return "words"
        if self.confidence is None:
            return None
        return "confident" if self.confidence >= CONFIDENCE_THRESHOLD else "weak"


class Hits(list[Hit]):
    """The hits of a search, best first, with a note if it ended before all segments were compared."""

    def __init__(self, hits: Iterable[Hit] = (), note: str | None = None) -> None:
        super().__init__(hits)
        self.note = note

    @property
    def have_good_match(self) -> bool:
        """Return True if a hit contains the words or is better than those of background queries.

        Also if the first hit cannot be compared with background queries, because its library is too small or
        not calibrated yet.
        """
        return not self or self[0].match is None or any(hit.match in ("words", "confident") for hit in self)


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """The attributes by which files, or frames of a video, are grouped."""

    path: Path
    content: int
    segment: int = -1  # the segment whose vector represents the file; -1: none
    kind: Kind | None = None
    size: int = 0  # bytes
    width: int | None = None
    height: int | None = None
    taken: str | None = None  # capture time, ISO, local time of the camera
    camera: str | None = None
    perceptual_hash: int | None = None
    sharpness: float | None = None
    frames: int = 1  # frames or pages of an image
    start: float | None = None  # seconds in a video
    end: float | None = None
    offline: bool = False
    in_archive: bool = False  # so it cannot be deleted on its own
    modified: int = 0  # nanoseconds since 1970; 0: unknown

    @property
    def pixels(self) -> int:
        """Return width times height, 0 if they are unknown."""
        return (self.width or 0) * (self.height or 0)


@dataclass(frozen=True, slots=True)
class Group:
    """Files that belong together, best first."""

    reason: GroupReason
    files: tuple[FileAttributes, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def redundant(self) -> tuple[FileAttributes, ...]:
        """Return all files but the best, without those that have more pixels than it."""
        best, *others = self.files
        return tuple(file for file in others if file.pixels <= best.pixels or not best.pixels)

    @property
    def waste(self) -> int:
        """Return the bytes of the redundant files."""
        return sum(file.size for file in self.redundant)


@dataclass(frozen=True, slots=True)
class IndexTuning:
    """The search effort of an index file for one mode of queries, and its measured recall and speed."""

    query_mode: TunedMode
    effort: int  # efSearch or nprobe
    recall: float  # recall@10 against exact search
    p50_ms: float  # milliseconds of the median query on one core
    p95_ms: float


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index file of one kind of segments; a kind may have several, for ranges of segments."""

    kind: Kind
    method: IndexMethod
    file: str
    digest: str
    size: int  # bytes
    count: int  # vectors
    effort: int  # efSearch or nprobe, for a query mode without a tuning
    recall: float  # recall@10 against exact search, measured when built; the least of all query modes
    format: str  # internal format; one that differs from FILE_FORMATS is outdated
    mtime: int | None  # in nanoseconds, when `digest` was last checked
    indexed_after: int = 0  # the file covers the segments of its kind after this one
    indexed_to: int = 0  # and up to this one
    tunings: tuple[IndexTuning, ...] = ()  # of each query mode; none for files of earlier versions


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
    arch: str | None = None  # open_clip architecture of local weights, if the user named it
    indexes: tuple[IndexFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """The collection of a space on a Milvus server."""

    collection: str
    revisions: frozenset[int]  # that the collection may have
    complete: bool  # all vectors were published at least once
    written: float  # Unix time of the last write


@dataclass(frozen=True, slots=True)
class Root:
    """An indexed folder, with the number of its files in each state."""

    path: Path
    state: Literal["present", "offline"]
    scanned: str | None  # time of the last scan, ISO
    present: int = 0
    offline: int = 0
    gone: int = 0
    failed: int = 0  # could not be read
    partial: int = 0  # read in part
    exclude: tuple[str, ...] = ()  # patterns that are not indexed
    hidden: bool = False  # hidden files are indexed too
    archives: bool = False  # the files in archives are indexed too


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The progress of a run that writes to a library, such as of `clew index`."""

    title: str  # a folder, or a step such as "tiles"
    done: int  # files, or other items
    total: int  # 0 while files are counted
    rate: float | None = None  # items a second
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The contents and settings of a library."""

    folder: Path
    roots: tuple[Root, ...]
    segments: dict[str, int] = field(default_factory=dict)  # kind (or `part` of an image) -> findable
    kept: int = 0  # segments of deleted files, until they are purged
    space: Space | None = None  # the active one
    spaces: dict[str, int] = field(default_factory=dict)  # name of each space -> vectors
    precision: str | None = None  # in which this machine embeds images
    ocr: bool = False  # text in images is recognized
    speech: str | None = None  # model that transcribes speech
    sounds: str | None = None  # model that labels sound events
    tail: int = 0  # vectors that are not in an index yet
    vectors_url: str | None = None  # Milvus server that searches use; None: the index files
    published: int = 0  # vectors of the active space on this server
    unpublished: int = 0  # vectors that were added or deleted since
    size: int = 0  # bytes on disk
    thumbnails: int = 0  # bytes
    thumbnail_limit: int = 0  # bytes; 0: no thumbnails
    thumbnails_full: bool = False
    indexing: RunProgress | None = None  # of a run by any process


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read, or only in part."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class ConceptInfo:
    """A concept, the number of its examples, and its quality."""

    name: str
    positives: int
    negatives: int
    auroc: float | None = None  # of held-out examples: 0.5 is chance; None: one example, or not fitted
    fitted: bool = True  # to the active space


@dataclass(frozen=True, slots=True)
class Caption:
    """A text that describes an image, and the file that contains it."""

    text: str
    source: Path


@dataclass(frozen=True, slots=True)
class Label:
    """A label that the model gave to a file, with the confidence of its best segment."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class SegmentDetails:
    """A segment of a file; its query is `#id`."""

    id: int
    kind: Kind
    origin: str  # that made it: file, ocr, speech, sounds or tiles
    text: str | None = None
    start: float | None = None  # seconds, or the first line of a text
    end: float | None = None
    page: int | None = None  # from 1
    box: tuple[int, int, int, int] | None = None  # left, top, width, height in pixels


@dataclass(frozen=True, slots=True)
class FileDetails:
    """Everything that a library knows of a file; None if unknown."""

    path: Path
    root: Path
    offline: bool
    size: int  # bytes
    time: str  # capture time, else modification time; ISO, local
    error: str | None = None  # why the file could not be read
    assumption: str | None = None  # what it does not tell and was assumed, such as its encoding
    width: int | None = None  # pixels, as displayed
    height: int | None = None
    taken: str | None = None  # capture time, ISO, local time of the camera
    zone: str | None = None  # UTC offset of the camera: +02:00
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east
    rating: int | None = None  # -1 (rejected) to 5
    duration: float | None = None  # seconds
    keywords: tuple[str, ...] = ()  # written in the file or its sidecar
    labels: tuple[Label, ...] = ()  # given by the model
    captions: tuple[Caption, ...] = ()
    copies: tuple[Path, ...] = ()  # other files with the same bytes
    segments: tuple[SegmentDetails, ...] = ()
