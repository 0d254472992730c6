"""Text in pictures, on pages of documents that are pictures, and in videos: read by rapidocr, offline."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.decode.base import SegmentDraft
from indexer.decode.documents.pdf_process import open_pdf
from indexer.decode.images.frames import PAGED_FORMATS, is_reduced_copy
from indexer.decode.text.chunking import Chunker
from indexer.decode.video.frame_extraction import SceneRange, extract_scene_frames
from indexer.enrich.base import WorkUnit
from indexer.enrich.text_layout import Line, text_blocks
from indexer.store.analyses import PendingContent
from retrieval.embedders.base import Embedder
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.loader import decode_image, open_image
from retrieval.system import cores

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "1"  # a larger one makes the next `clew index` read all pictures again
FIRST_PASS_SIZE = 736  # pixels of the longer side at which a picture is looked at first: most have no text
DETECTION_SIZE = 1_600  # pixels of the longer side in which lines are looked for
RECOGNITION_SIZE = 3_200  # pixels of the longer side from which they are read
LONG_ASPECT_RATIO = 2.5  # times as long as wide: a picture that is cut into pieces, as a long screenshot
MAX_IMAGE_SIZE, MAX_LONG_IMAGE_WIDTH = (
    4_096,
    1_200,
)  # pixels of the longer side of a picture at most, and of a long one's shorter
PIECE_LENGTH_RATIO, PIECE_OVERLAP_RATIO, MAX_PIECES = (
    2.0,
    0.1,
    16,
)  # the length and overlap of pieces, in that side; at most so many
FULL_READ_LINES = 4  # lines seen at a glance; of more the picture is read whole, of fewer what is around them
CROP_MARGIN_RATIO = 0.05  # of a piece, beside what a glance has found
MIN_CONFIDENCE = 0.6  # least confidence in a line
MAX_ENGINES = 4  # at most, of some hundred megabytes each
PAGE_SIZE, MAX_PAGES = 1_754, 5_000  # pixels of the longer side of a page, as A4 at 150 dpi; pages of a file
MIN_PAGE_LETTERS = 16  # letters from which on a page is text, and no picture of it


class OcrImage(NamedTuple):
    """A picture to read, its page from 1 or its moment in seconds, how far it reaches.

    A page of a PDF has no pixels for a box.
    """

    image: "Image"
    page: int | None = None
    progress: float | None = None
    has_boxes: bool = True
    scene: SceneRange | tuple[None, None] = (None, None)


class OcrAnalyzer:
    """Reads the text in pictures."""

    def __init__(self, embedder: Embedder, scene_ranges: Callable[[int], Sequence[SceneRange]]) -> None:
        """Load the engines; `moments` returns those of a video, by its content. Raises ExtraMissing."""
        self.threads = min(cores(), MAX_ENGINES)
        self._chunker, self._scene_ranges = Chunker(embedder), scene_ranges
        self._engines: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.threads):
            self._engines.put(_load_engine(max(1, cores() // self.threads)))

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the picture, pages of a document that are pictures, moments of a video; raises MediaError."""
        upto: float | None = 0.0
        if pending.decoder == "video":
            pictures = _scene_frames(file, pending.progress, self._scene_ranges(pending.content))
        else:
            pictures = IMAGE_EXTRACTORS[pending.decoder](file, int(pending.progress))
        for shown in pictures:
            upto = shown.progress
            small, factor = _limit_size(shown.image)
            yield WorkUnit(partial(self.recognize, shown._replace(image=small), factor), upto)
        if upto is not None:
            yield WorkUnit(list, None)

    def recognize(self, ocr_image: OcrImage, factor: float = 1) -> list[SegmentDraft]:
        """Return the passages on a picture that was so many times as large."""
        engine = self._engines.get()
        try:
            lines = [line.transformed(0, 0, factor) for line in _recognize_lines(engine, ocr_image.image)]
        finally:
            self._engines.put(engine)
        found = text_blocks(lines, self._chunker)
        start, end = ocr_image.scene
        return [
            SegmentDraft(
                "text",
                text=words.text,
                start=start,
                end=end,
                page=ocr_image.page,
                box=words.box if ocr_image.has_boxes else None,
            )
            for words in found
        ]


def _recognize_lines(engine: Any, image: "Image") -> Iterator[Line]:
    """Yield the lines of a picture, in its pixels; a long one is read piece by piece."""
    (width, height), along = image.size, image.height >= image.width
    short, long = sorted(image.size)
    step = round(PIECE_LENGTH_RATIO * short) if long > LONG_ASPECT_RATIO * short else long
    margin = round(PIECE_OVERLAP_RATIO * short / 2) if step < long else 0
    for begin in range(0, min(long, MAX_PIECES * step), step):
        first, last = max(0, begin - margin), min(long, begin + step + margin)
        box = (0, first, width, last) if along else (first, 0, last, height)
        for line in _detect_and_recognize(engine, image.crop(box)):
            placed = line.transformed(*box[:2], 1)
            middle = (placed.top + placed.bottom) / 2 if along else (placed.left + placed.right) / 2
            if begin <= middle < begin + step:
                yield placed


def _detect_and_recognize(engine: Any, image: "Image") -> Iterator[Line]:
    """Glance at a picture, and read what is around the text that is seen."""
    box = (0, 0, *image.size)
    if max(image.size) > 1.3 * FIRST_PASS_SIZE:
        seen = _run_engine(engine, image, FIRST_PASS_SIZE, recognize=False)
        if seen.boxes is None:
            return
        if len(seen.boxes) <= FULL_READ_LINES:
            box = _crop_box(np.reshape(seen.boxes, (-1, 2)) * _shrink_factor(image, FIRST_PASS_SIZE), image)
    piece = image.crop(box)
    said = _run_engine(engine, piece, RECOGNITION_SIZE, recognize=True)
    for corners, text, sure in zip(said.boxes, said.txts, said.scores, strict=True) if said.txts else ():
        places = np.asarray(corners) * _shrink_factor(piece, RECOGNITION_SIZE) + box[:2]
        if sure >= MIN_CONFIDENCE and _is_text(text):
            yield Line(text.strip(), *places.min(axis=0).tolist(), *places.max(axis=0).tolist())


def _crop_box(corners: NDArray[np.float64], image: "Image") -> tuple[int, int, int, int]:
    """Return the part of a picture that has these corners, (n, 2), and something beside them."""
    beside = CROP_MARGIN_RATIO * max(image.size)
    left, top = np.maximum(0, corners.min(axis=0) - beside).astype(int).tolist()
    right, bottom = np.minimum(image.size, corners.max(axis=0) + beside).astype(int).tolist()
    return left, top, right, bottom


def _run_engine(engine: Any, image: "Image", size: int, *, recognize: bool) -> Any:
    """Find the lines of a picture at this size, and read them."""
    pixels = np.asarray(_shrink(image, _shrink_factor(image, size)))
    blue_first = np.ascontiguousarray(pixels[:, :, ::-1])
    return engine(blue_first, use_det=True, use_cls=recognize, use_rec=recognize)


def _limit_size(image: "Image") -> tuple["Image", float]:
    """Return a picture no larger than is held of it, and by how much it was made smaller."""
    short, long = sorted(image.size)
    if long <= LONG_ASPECT_RATIO * short:
        factor = max(1.0, long / MAX_IMAGE_SIZE)
    else:
        factor, most = max(1.0, short / MAX_LONG_IMAGE_WIDTH), round(MAX_PIECES * PIECE_LENGTH_RATIO * short)
        image = image.crop((0, 0, min(image.width, most), min(image.height, most)))
    return _shrink(image, factor), factor


def _shrink(image: "Image", factor: float) -> "Image":
    if factor == 1:
        return image
    width, height = (max(1, round(length / factor)) for length in image.size)
    return image.resize((width, height), reducing_gap=2.0)


def _shrink_factor(image: "Image", size: int) -> float:
    """Return by how much a picture is made smaller for its longer side to be no more than this."""
    return max(1.0, max(image.size) / size)


def _is_text(text: str) -> bool:
    """Say whether a line is more than one sign, which texture is often taken for."""
    return sum(letter.isalnum() for letter in text) > 1


def _image_pages(file: BinaryIO, after: int) -> Iterator[OcrImage]:
    """Yield a picture, or the pages of a TIFF behind so many, as far as they can be read."""
    with open_image(file) as original:
        size = original.size
        if original.format not in PAGED_FORMATS or not getattr(original, "is_animated", False):
            yield OcrImage(decode_image(original))
            return
        for number in range(after, MAX_PAGES):
            try:
                original.seek(number)
                if number and is_reduced_copy(original, size):
                    continue
                picture = decode_image(original).copy()
            except Exception:  # the end, or what is damaged
                return
            yield OcrImage(picture, number + 1, number + 1)


def _scanned_pages(file: BinaryIO, after: int) -> Iterator[OcrImage]:
    """Yield the pages of a PDF behind so many that hold no text but in their pictures."""
    with open_pdf(file) as document:
        for number in range(after + 1, min(MAX_PAGES, document.page_count) + 1):
            with suppress(MediaError):  # a page that is broken costs no other
                if (
                    len(document.read_page(number, min_side=0, min_long_side=1).text.strip())
                    < MIN_PAGE_LETTERS
                ):
                    picture = document.read_page(number, min_side=0, min_long_side=PAGE_SIZE).image
                    if picture is not None:
                        yield OcrImage(picture, number, number, has_boxes=False)


def _scene_frames(file: BinaryIO, after: float, scenes: Sequence[SceneRange]) -> Iterator[OcrImage]:
    """Yield a frame of each moment of a video that ends behind so many seconds."""
    for moment, picture in extract_scene_frames(
        file, [each for each in scenes if each[1] > after], RECOGNITION_SIZE
    ):
        yield OcrImage(picture, progress=moment[1], scene=moment)


IMAGE_EXTRACTORS: dict[str, Callable[[BinaryIO, int], Iterator[OcrImage]]] = {
    "picture": _image_pages,
    "document": _scanned_pages,
}
SUPPORTED_DECODERS = (*IMAGE_EXTRACTORS, "video")


def _load_engine(threads: int) -> Any:
    """Load an engine, from the files in its package alone, so that nothing is ever fetched."""
    try:
        import rapidocr
        from rapidocr import RapidOCR
    except ImportError as error:
        raise ExtraMissing("Reading text in pictures", "ocr") from error
    folder = Path(str(rapidocr.__file__)).parent / "models"
    files = {
        task: next(iter(sorted(folder.glob(f"*_{task}_*.onnx"))), None) for task in ("det", "cls", "rec")
    }
    if None in files.values():
        raise ExtraMissing("Reading text in pictures (this rapidocr holds no models)", "ocr")
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": RECOGNITION_SIZE,
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECTION_SIZE,
            "Rec.rec_batch_num": 1,  # several of different lengths are as long as the longest
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{task.capitalize()}.model_path": str(file) for task, file in files.items()},
        }
    )
