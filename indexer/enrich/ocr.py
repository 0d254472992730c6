"""Text in pictures, on pages of documents that are pictures, and in videos: read by rapidocr, offline."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.decode.base import Draft
from indexer.decode.documents.pdf_process import open_pdf
from indexer.decode.images.frames import PAGED, repeats
from indexer.decode.video.frame_extraction import Moment, shots
from indexer.enrich.base import Part
from indexer.enrich.text_layout import Line, passages
from indexer.store.analyses import Source
from retrieval.embedders.base import Embedder
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.loader import decode, opened
from retrieval.system import cores

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "1"  # a larger one makes the next `clew index` read all pictures again
GLANCE = 736  # pixels of the longer side at which a picture is looked at first: most have no text
DETAIL = 1_600  # pixels of the longer side in which lines are looked for
SHARP = 3_200  # pixels of the longer side from which they are read
LONG = 2.5  # times as long as wide: a picture that is cut into pieces, as a long screenshot
HELD, WIDE = 4_096, 1_200  # pixels of the longer side of a picture at most, and of a long one's shorter
PIECE, OVERLAP, PIECES = 2.0, 0.1, 16  # the length and overlap of pieces, in that side; at most so many
SIGNS = 4  # lines seen at a glance; of more the picture is read whole, of fewer what is around them
AROUND = 0.05  # of a piece, beside what a glance has found
SURE = 0.6  # least confidence in a line
ENGINES = 4  # at most, of some hundred megabytes each
PAGE, PAGES = 1_754, 5_000  # pixels of the longer side of a page, as A4 at 150 dpi; pages of a file
WRITTEN = 16  # letters from which on a page is text, and no picture of it


class Shown(NamedTuple):
    """A picture to read, its page from 1 or its moment in seconds, how far it reaches.

    A page of a PDF has no pixels for a box.
    """

    picture: "Image"
    page: int | None = None
    upto: float | None = None
    boxed: bool = True
    moment: Moment | tuple[None, None] = (None, None)


class Ocr:
    """Reads the text in pictures."""

    def __init__(self, embedder: Embedder, moments: Callable[[int], Sequence[Moment]]) -> None:
        """Load the engines; `moments` returns those of a video, by its content. Raises ExtraMissing."""
        self.threads = min(cores(), ENGINES)
        self._embedder, self._moments = embedder, moments
        self._engines: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.threads):
            self._engines.put(_engine(max(1, cores() // self.threads)))

    def parts(self, file: BinaryIO, source: Source) -> Generator[Part]:
        """Yield the picture, pages of a document that are pictures, moments of a video; raises MediaError."""
        upto: float | None = 0.0
        if source.reader == "video":
            pictures = _moments(file, source.after, self._moments(source.content))
        else:
            pictures = PICTURES[source.reader](file, int(source.after))
        for shown in pictures:
            upto = shown.upto
            small, factor = _bounded(shown.picture)
            yield Part(partial(self.read, shown._replace(picture=small), factor), upto)
        if upto is not None:
            yield Part(list, None)

    def read(self, shown: Shown, factor: float = 1) -> list[Draft]:
        """Return the passages on a picture that was so many times as large."""
        engine = self._engines.get()
        try:
            lines = [line.placed(0, 0, factor) for line in _lines(engine, shown.picture)]
        finally:
            self._engines.put(engine)
        found = passages(lines, self._embedder.tokens, self._embedder.context)
        start, end = shown.moment
        return [
            Draft(
                "text",
                text=words.text,
                start=start,
                end=end,
                page=shown.page,
                box=words.box if shown.boxed else None,
            )
            for words in found
        ]


def _lines(engine: Any, picture: "Image") -> Iterator[Line]:
    """Yield the lines of a picture, in its pixels; a long one is read piece by piece."""
    (width, height), along = picture.size, picture.height >= picture.width
    short, long = sorted(picture.size)
    step = round(PIECE * short) if long > LONG * short else long
    margin = round(OVERLAP * short / 2) if step < long else 0
    for begin in range(0, min(long, PIECES * step), step):
        first, last = max(0, begin - margin), min(long, begin + step + margin)
        box = (0, first, width, last) if along else (first, 0, last, height)
        for line in _look(engine, picture.crop(box)):
            placed = line.placed(*box[:2], 1)
            middle = (placed.top + placed.bottom) / 2 if along else (placed.left + placed.right) / 2
            if begin <= middle < begin + step:
                yield placed


def _look(engine: Any, picture: "Image") -> Iterator[Line]:
    """Glance at a picture, and read what is around the text that is seen."""
    box = (0, 0, *picture.size)
    if max(picture.size) > 1.3 * GLANCE:
        seen = _ask(engine, picture, GLANCE, read=False)
        if seen.boxes is None:
            return
        if len(seen.boxes) <= SIGNS:
            box = _around(np.reshape(seen.boxes, (-1, 2)) * _shrunk(picture, GLANCE), picture)
    piece = picture.crop(box)
    said = _ask(engine, piece, SHARP, read=True)
    for corners, text, sure in zip(said.boxes, said.txts, said.scores, strict=True) if said.txts else ():
        places = np.asarray(corners) * _shrunk(piece, SHARP) + box[:2]
        if sure >= SURE and _tells(text):
            yield Line(text.strip(), *places.min(axis=0).tolist(), *places.max(axis=0).tolist())


def _around(corners: NDArray[np.float64], picture: "Image") -> tuple[int, int, int, int]:
    """Return the part of a picture that has these corners, (n, 2), and something beside them."""
    beside = AROUND * max(picture.size)
    left, top = np.maximum(0, corners.min(axis=0) - beside).astype(int).tolist()
    right, bottom = np.minimum(picture.size, corners.max(axis=0) + beside).astype(int).tolist()
    return left, top, right, bottom


def _ask(engine: Any, picture: "Image", side: int, *, read: bool) -> Any:
    """Find the lines of a picture at this size, and read them."""
    pixels = np.asarray(_small(picture, _shrunk(picture, side)))
    blue_first = np.ascontiguousarray(pixels[:, :, ::-1])
    return engine(blue_first, use_det=True, use_cls=read, use_rec=read)


def _bounded(picture: "Image") -> tuple["Image", float]:
    """Return a picture no larger than is held of it, and by how much it was made smaller."""
    short, long = sorted(picture.size)
    if long <= LONG * short:
        factor = max(1.0, long / HELD)
    else:
        factor, most = max(1.0, short / WIDE), round(PIECES * PIECE * short)
        picture = picture.crop((0, 0, min(picture.width, most), min(picture.height, most)))
    return _small(picture, factor), factor


def _small(picture: "Image", factor: float) -> "Image":
    if factor == 1:
        return picture
    width, height = (max(1, round(length / factor)) for length in picture.size)
    return picture.resize((width, height), reducing_gap=2.0)


def _shrunk(picture: "Image", side: int) -> float:
    """Return by how much a picture is made smaller for its longer side to be no more than this."""
    return max(1.0, max(picture.size) / side)


def _tells(text: str) -> bool:
    """Say whether a line is more than one sign, which texture is often taken for."""
    return sum(letter.isalnum() for letter in text) > 1


def _stills(file: BinaryIO, after: int) -> Iterator[Shown]:
    """Yield a picture, or the pages of a TIFF behind so many, as far as they can be read."""
    with opened(file) as original:
        size = original.size
        if original.format not in PAGED or not getattr(original, "is_animated", False):
            yield Shown(decode(original))
            return
        for number in range(after, PAGES):
            try:
                original.seek(number)
                if number and repeats(original, size):
                    continue
                picture = decode(original).copy()
            except Exception:  # the end, or what is damaged
                return
            yield Shown(picture, number + 1, number + 1)


def _pages(file: BinaryIO, after: int) -> Iterator[Shown]:
    """Yield the pages of a PDF behind so many that hold no text but in their pictures."""
    with open_pdf(file) as document:
        for number in range(after + 1, min(PAGES, document.pages) + 1):
            with suppress(MediaError):  # a page that is broken costs no other
                if len(document.page(number, shorter=0, longer=1).text.strip()) < WRITTEN:
                    picture = document.page(number, shorter=0, longer=PAGE).picture
                    if picture is not None:
                        yield Shown(picture, number, number, boxed=False)


def _moments(file: BinaryIO, after: float, moments: Sequence[Moment]) -> Iterator[Shown]:
    """Yield a frame of each moment of a video that ends behind so many seconds."""
    for moment, picture in shots(file, [each for each in moments if each[1] > after], SHARP):
        yield Shown(picture, upto=moment[1], moment=moment)


PICTURES: dict[str, Callable[[BinaryIO, int], Iterator[Shown]]] = {"picture": _stills, "document": _pages}
READERS = (*PICTURES, "video")


def _engine(threads: int) -> Any:
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
            "Global.max_side_len": SHARP,
            "Det.limit_type": "max",
            "Det.limit_side_len": DETAIL,
            "Rec.rec_batch_num": 1,  # several of different lengths are as long as the longest
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            **{f"{task.capitalize()}.model_path": str(file) for task, file in files.items()},
        }
    )
