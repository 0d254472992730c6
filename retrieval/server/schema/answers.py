"""The JSON objects with which routes answer; they have exactly these keys."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from retrieval.catalog.browse.facets import Facets
from retrieval.catalog.browse.passages import NearbyPassage
from retrieval.server.queries.query_tokens import QueryToken
from retrieval.types import Kind, Label, Status

Numbers: TypeAlias = dict[str, int]
Match: TypeAlias = Literal["words", "confident", "weak"]
Box: TypeAlias = tuple[int, int, int, int]


class Answer(BaseModel):
    """A JSON object of the API."""

    model_config = ConfigDict(extra="forbid")


class ErrorAnswer(Answer):
    """Why a request was not answered."""

    error: str
    column: int | None


class Moment(Answer):
    """Another hit in the same video or audio file."""

    id: int
    start: float | None
    end: float | None
    confidence: float | None


class Item(Answer):
    """A hit, and how it is drawn."""

    id: int
    score: float
    confidence: float | None
    match: Match | None
    kind: Kind
    space: str
    path: str
    library: str | None  # of several, the one that has the hit
    name: str
    folder: str
    source: str | None
    text: str | None
    start: float | None
    end: float | None
    page: int | None
    box: Box | None
    time: str | None
    timed: bool
    offline: bool
    ratio: float | None
    duration: float | None
    length: int | None
    placeholder: str | None
    thumbnail: bool
    moments: list[Moment]
    more: list["Item"]


class SegmentsAnswer(Answer):
    """Segments as hits without a score."""

    items: list[Item]


class ReadAs(Answer):
    """A filter that words of the query may mean."""

    words: str
    token: str


class NarrowTo(Answer):
    """A filter by a value that most of the confident hits share."""

    token: str
    label: str
    share: float


class Offers(Answer):
    """Filters to choose from."""

    read_as: list[ReadAs]
    narrow_to: list[NarrowTo]


class FacetsAnswer(Answer):
    """The values of filters with their counts, concepts with the number of examples, and saved searches."""

    kinds: Numbers
    years: Numbers
    months: Numbers
    cameras: Numbers
    folders: Numbers
    tags: Numbers
    concepts: Numbers
    saved: dict[str, str]


class SearchAnswer(Answer):
    """The hits of a search, best first, and the cursor of the next ones."""

    items: list[Item]
    cursor: str | None
    confident: int
    kinds: Numbers
    best: float | None
    note: str | None
    tokens: list[QueryToken]
    filters: dict[str, Any]
    messages: list[str]
    offers: Offers
    total: int | None
    picture: str | None
    seconds: float
    facets: Facets | None


class RecognizedText(Answer):
    """A text in an image."""

    text: str
    box: Box | None


class FileAnswer(Answer):
    """The file of a segment, and how the page shows it."""

    width: int | None
    height: int | None
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    taken: str | None
    rating: int | None
    size_bytes: int
    modified: str
    tags: list[str]
    labels: list[Label]
    caption: str | None
    captions: list[str]
    recognized: list[RecognizedText]
    copies: list[str]
    root: str
    content_type: str
    shown: Literal["page", "image", "video", "audio", "text", "none"]
    media: str | None
    origin: str | None


class WhyAnswer(Answer):
    """A term of a query, and its score for a segment."""

    term: str
    weight: float
    score: float
    tick: float


class VideoScene(Answer):
    """A scene of a video."""

    id: int
    start: float | None
    end: float | None


class SegmentAnswer(Item):
    """Everything that the library knows of a segment."""

    details: FileAnswer
    why: list[WhyAnswer]
    scenes: list[VideoScene]


class PassagesAnswer(Answer):
    """A passage with its neighbors."""

    id: int
    name: str
    passages: list[NearbyPassage]


class WordsAnswer(Answer):
    """Boxes of words, and of recognized passages: left, top, width and height, as shares of the page."""

    boxes: list[list[float]]
    passages: list[list[float]]


class Month(Answer):
    """A month and the number of its files."""

    month: str
    count: int


class TimelineAnswer(Answer):
    """The number of files in each year and month, newest first."""

    total: int
    years: Numbers
    buckets: list[Month]
    undated: int


class MonthAnswer(Answer):
    """Files of a month, newest first, a list for each key."""

    id: list[int]
    ratio: list[float | None]
    placeholder: list[str | None]
    kind: list[Kind]
    duration: list[float | None]
    day: list[int]
    folder: list[str]
    name: list[str]
    thumbnail: list[bool]
    offline: list[bool]
    offset: int
    more: bool


class Completion(Answer):
    """A completion of a filter or name, with the number of its files."""

    token: str
    label: str
    count: int


class CompletionsAnswer(Answer):
    """Completions, best first."""

    tokens: list[Completion]


class MapPoints(Answer):
    """Segments and their places, a list for each key."""

    id: list[int]
    x: list[float]
    y: list[float]


class PlaceName(Answer):
    """The name of a cluster of points."""

    text: str
    x: float
    y: float
    count: int


class MapAnswer(Answer):
    """The two-dimensional map of the library."""

    points: MapPoints
    names: list[PlaceName]
    sampled: bool


class OfflineRoot(Answer):
    """A folder that is not available now, and the number of its files."""

    root: str
    files: int


class HealthAnswer(Answer):
    """The server answers."""

    status: Literal["ok"]


class SizeAnswer(Answer):
    """The size of chosen files."""

    bytes: int
    files: int


class KnnDescription(Answer):
    """The description of a result for clients of clip-retrieval; `image` is a JPEG in base64."""

    url: str = ""
    caption: str = ""
    image_path: str = ""
    image: str = ""


class KnnResult(KnnDescription):
    """A result for clients of clip-retrieval, of which the first are described."""

    id: int
    similarity: float


class MetadataResult(Answer):
    """The description of a result by its id."""

    id: int
    metadata: KnnDescription


class Embedding(Answer):
    """A vector, or its 32-bit floats in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class TokenUsage(Answer):
    """The number of tokens that the model has read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """The vectors of texts or pictures, in the format of OpenAI."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


class Model(Answer):
    """The model of the library."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    capabilities: list[str]


class ModelsAnswer(Answer):
    """The models, in the format of OpenAI."""

    object: Literal["list"]
    data: list[Model]


@dataclass(frozen=True, slots=True)
class StatusAnswer(Status):
    """The contents and settings of the library, and what is missing of it now."""

    offline: tuple[OfflineRoot, ...] = ()
    failures: int = 0
    map: bool = False
    version: str = ""
