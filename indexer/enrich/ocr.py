"""Text recognition (OCR) in images, scanned pages and videos, by rapidocr, offline."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event
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
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandboxed_calls import iterate_sandboxed
from retrieval.system import cores
from retrieval.types import PAGE_BOX_SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "1"  # another one analyzes all images again
FIRST_PASS_SIZE = 736  # pixels of the longer side in the first detection: most images have no text
DETECTION_SIZE = 1_600  # pixels of the longer side in the detection of lines
RECOGNITION_SIZE = 3_200  # pixels of the longer side in their recognition
LONG_ASPECT_RATIO = 2.5  # from which an image, such as a long screenshot, is cut into pieces
MAX_IMAGE_SIZE = 4_096  # pixels of the longer side
MAX_LONG_IMAGE_WIDTH = 1_200  # pixels of the shorter side of a long image
PIECE_LENGTH_RATIO, PIECE_OVERLAP_RATIO = 2.0, 0.1  # of the shorter side
MAX_PIECES = 16
FULL_READ_LINES = 4  # more lines in the first detection: read the complete image, else a crop around them
CROP_MARGIN_RATIO = 0.05  # of the longer side, around the detected lines
MIN_CONFIDENCE = 0.6  # of a line in an image with more text that is certain
CERTAIN_CONFIDENCE = 0.8  # of a line that is text in any image
CERTAIN_SHORT_CONFIDENCES = {2: 0.95, 3: 0.9}  # by letters and digits: textures look like short words
MAX_ENGINES = 4  # some hundred megabytes each
PAGE_SIZE = 1_754  # pixels of the longer side of a page: A4 at 150 dpi
MIN_PAGE_LETTERS = 16  # a page with fewer letters is a scan
MIN_SCAN_SHARE = 0.5  # of a page with little text that images cover if it is a scan with a stamp
SUPPORTED_DECODERS = ("picture", "document", "video")


Engine = Callable[..., Any]  # a RapidOCR: BGR pixels -> boxes, texts and scores of lines


class RecognizedLine(NamedTuple):
    """A line of text, and how certain the engine is of it."""

    line: Line
    confidence: float  # 0 to 1

    @property
    def letter_count(self) -> int:
        """Return the number of letters and digits."""
        return sum(map(str.isalnum, self.line.text))

    @property
    def is_certain(self) -> bool:
        """Return True if this is text, and no texture."""
        return self.confidence >= CERTAIN_SHORT_CONFIDENCES.get(self.letter_count, CERTAIN_CONFIDENCE)


class OcrImage(NamedTuple):
    """An image to recognize, and its location in the file."""

    image: "Image"
    page: int | None = None  # from 1
    progress: float | None = None  # seconds or pages up to its end; None completes the content
    factor: float = 1.0  # from its pixels to those of boxes
    scene: SceneRange | tuple[None, None] = (None, None)
    text_layer: str = ""  # whose lines are known


def load_engine(threads: int) -> Engine:
    """Load an engine with the models in its package, so that nothing is downloaded; raises ExtraMissing."""
    try:
        import rapidocr
        from rapidocr import RapidOCR
    except ImportError as error:
        raise ExtraMissing("Text recognition", "ocr") from error
    folder = Path(str(rapidocr.__file__)).parent / "models"
    files = {
        task: next(iter(sorted(folder.glob(f"*_{task}_*.onnx"))), None) for task in ("det", "cls", "rec")
    }
    if None in files.values():
        raise ExtraMissing("Text recognition (this rapidocr contains no models)", "ocr")
    engine: Engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": RECOGNITION_SIZE,
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECTION_SIZE,
            "Rec.rec_batch_num": 1,  # a batch pads its lines to the longest
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{task.capitalize()}.model_path": str(file) for task, file in files.items()},
        }
    )
    return engine


class OcrAnalyzer:
    """Analyzer that recognizes text."""

    def __init__(
        self,
        embedder: Embedder,
        scene_ranges: Callable[[int], Sequence[SceneRange]],
        limits: DecodeLimits = DEFAULT_LIMITS,
        stop: Event | None = None,
        load_engine: Callable[[int], Engine] = load_engine,
    ) -> None:
        """Load the engines; `scene_ranges` returns the scenes of a video. Raises ExtraMissing."""
        self.threads, self._stop = min(cores(), MAX_ENGINES), stop
        self._chunker, self._scene_ranges, self._limits = Chunker(embedder), scene_ranges, limits
        self._engines: SimpleQueue[Engine] = SimpleQueue()
        for _ in range(self.threads):
            self._engines.put(load_engine(max(1, cores() // self.threads)))

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the image, the scanned pages of a document or the scenes of a video; raises MediaError."""
        progress: float | None = 0.0
        for image in self._images(file, pending):
            progress = image.progress
            yield WorkUnit(partial(self.recognize, image), progress)
        if progress is not None:
            yield WorkUnit(list, None)

    def _images(self, file: BinaryIO, pending: PendingContent) -> Iterator[OcrImage]:
        """Yield the images of a file after `pending.progress`."""
        after, limits, stop = pending.progress, self._limits, self._stop
        if pending.decoder == "document":
            yield from map(_limit_size, _scanned_pages(file, int(after), limits, stop))
        elif pending.decoder == "picture":
            yield from iterate_sandboxed(read_image_pages, file, int(after), limits, limits=limits, stop=stop)
        else:
            scenes = [scene for scene in self._scene_ranges(pending.content) if scene[1] > after]
            for scene, frame in iterate_sandboxed(
                extract_scene_frames, file, scenes, RECOGNITION_SIZE, limits=limits, stop=stop
            ):
                yield _limit_size(OcrImage(frame, progress=scene[1], scene=scene))

    def recognize(self, image: OcrImage) -> list[SegmentDraft]:
        """Return the passages in an image; their boxes refer to the original, or to a page of a size."""
        engine = self._engines.get()
        try:
            recognized = list(_recognize_lines(engine, image.image))
        finally:
            self._engines.put(engine)
        known = _letters(image.text_layer)
        lines = [
            line.transformed(0, 0, image.factor)
            for line in text_lines(recognized)
            if _letters(line.text) not in known
        ]
        blocks = text_blocks(lines, self._chunker)
        start, end = image.scene
        return [
            SegmentDraft(
                "text",
                text=block.text,
                start=start,
                end=end,
                page=image.page,
                box=block.box,
            )
            for block in blocks
        ]


def text_lines(recognized: Sequence[RecognizedLine]) -> list[Line]:
    """Return the lines that are text: the certain ones, and all if most letters of the image are certain."""
    certain = [each for each in recognized if each.is_certain]
    certain_count, count = (sum(each.letter_count for each in part) for part in (certain, recognized))
    return [each.line for each in (recognized if 2 * certain_count > count else certain)]


def _recognize_lines(engine: Engine, image: "Image") -> Iterator[RecognizedLine]:
    """Yield the lines of an image, in its pixels; a long one is recognized in pieces."""
    (width, height), is_tall = image.size, image.height >= image.width
    short, long = sorted(image.size)
    step = round(PIECE_LENGTH_RATIO * short) if long > LONG_ASPECT_RATIO * short else long
    margin = round(PIECE_OVERLAP_RATIO * short / 2) if step < long else 0
    for begin in range(0, min(long, MAX_PIECES * step), step):
        first, last = max(0, begin - margin), min(long, begin + step + margin)
        box = (0, first, width, last) if is_tall else (first, 0, last, height)
        for line, confidence in _detect_and_recognize(engine, image.crop(box)):
            placed = line.transformed(*box[:2], 1)
            middle = (placed.top + placed.bottom) / 2 if is_tall else (placed.left + placed.right) / 2
            if begin <= middle < begin + step:
                yield RecognizedLine(placed, confidence)


def _detect_and_recognize(engine: Engine, image: "Image") -> Iterator[RecognizedLine]:
    """Detect lines in a small image first, and recognize a crop around them."""
    box = (0, 0, *image.size)
    if max(image.size) > 1.3 * FIRST_PASS_SIZE:
        detected = _run_engine(engine, image, FIRST_PASS_SIZE, recognize=False)
        if detected.boxes is None:
            return
        if len(detected.boxes) <= FULL_READ_LINES:
            box = _crop_box(
                np.reshape(detected.boxes, (-1, 2)) * _shrink_factor(image, FIRST_PASS_SIZE), image
            )
    piece = image.crop(box)
    result = _run_engine(engine, piece, RECOGNITION_SIZE, recognize=True)
    lines = zip(result.boxes, result.txts, result.scores, strict=True) if result.txts else ()
    for corners, text, confidence in lines:
        points = np.asarray(corners) * _shrink_factor(piece, RECOGNITION_SIZE) + box[:2]
        if confidence >= MIN_CONFIDENCE and _is_text(text):
            line = Line(text.strip(), *points.min(axis=0).tolist(), *points.max(axis=0).tolist())
            yield RecognizedLine(line, float(confidence))


def _crop_box(corners: NDArray[np.float64], image: "Image") -> tuple[int, int, int, int]:
    """Return the box around corners (n, 2), with a margin, within an image."""
    margin = CROP_MARGIN_RATIO * max(image.size)
    left, top = np.maximum(0, corners.min(axis=0) - margin).astype(int).tolist()
    right, bottom = np.minimum(image.size, corners.max(axis=0) + margin).astype(int).tolist()
    return left, top, right, bottom


def _run_engine(engine: Engine, image: "Image", size: int, *, recognize: bool) -> Any:
    """Detect the lines of an image at a size, and recognize them if required."""
    pixels = np.asarray(_shrink(image, _shrink_factor(image, size)))
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    return engine(bgr, use_det=True, use_cls=recognize, use_rec=recognize)


def _limit_size(ocr_image: OcrImage) -> OcrImage:
    """Return an image within the size limits."""
    image = ocr_image.image
    short, long = sorted(image.size)
    if long <= LONG_ASPECT_RATIO * short:
        factor = max(1.0, long / MAX_IMAGE_SIZE)
    else:
        factor = max(1.0, short / MAX_LONG_IMAGE_WIDTH)
        max_length = round(MAX_PIECES * PIECE_LENGTH_RATIO * short)
        image = image.crop((0, 0, min(image.width, max_length), min(image.height, max_length)))
    return ocr_image._replace(image=_shrink(image, factor), factor=factor * ocr_image.factor)


def _shrink(image: "Image", factor: float) -> "Image":
    if factor == 1:
        return image
    width, height = (max(1, round(length / factor)) for length in image.size)
    return image.resize((width, height), reducing_gap=2.0)


def _shrink_factor(image: "Image", size: int) -> float:
    """Return the factor that reduces the longer side of an image to at most a size."""
    return max(1.0, max(image.size) / size)


def _is_text(text: str) -> bool:
    """Return True if a line has several letters; single ones are often texture."""
    return sum(letter.isalnum() for letter in text) > 1


def read_image_pages(file: BinaryIO, after: int, limits: DecodeLimits) -> Iterator[OcrImage]:
    """Yield an image, or the readable pages of a TIFF after a number of pages."""
    with open_image(file, limits) as original:
        size = original.size
        if original.format not in PAGED_FORMATS or not getattr(original, "is_animated", False):
            image = decode_image(original, limits)
            yield _limit_size(OcrImage(image, factor=max(size) / max(image.size)))
            return
        for number in range(after, limits.max_pages):
            try:
                original.seek(number)
                if number and is_reduced_copy(original, size):
                    continue
                image = decode_image(original, limits).copy()
            except Exception:  # the end, or damage
                return
            yield _limit_size(OcrImage(image, number + 1, number + 1))


def _scanned_pages(
    file: BinaryIO, after: int, limits: DecodeLimits, stop: Event | None
) -> Iterator[OcrImage]:
    """Yield the scanned pages of a PDF after a number of pages, with the text of their stamps."""
    with open_pdf(file, limits, stop) as document:
        for number in range(after + 1, min(limits.max_pages, document.page_count) + 1):
            with suppress(MediaError):  # other pages are read although this one is damaged
                page = document.read_page(number, min_side=0, min_long_side=1)
                text = page.text.strip()
                if len(text) < MIN_PAGE_LETTERS or page.image_share >= MIN_SCAN_SHARE:
                    image = document.read_page(number, min_side=0, min_long_side=PAGE_SIZE).image
                    if image is not None:
                        factor = PAGE_BOX_SIDE / max(image.size)
                        yield OcrImage(image, number, number, factor, text_layer=text)


def _letters(text: str) -> str:
    """Return the letters and digits of a text, to compare it with a recognized one."""
    return "".join(filter(str.isalnum, text.casefold()))
