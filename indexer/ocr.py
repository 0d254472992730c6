"""Text in pictures, and on pages of documents that are pictures themselves: read by rapidocr, offline."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from indexer.decoders import Draft
from indexer.layout import Line, passages
from indexer.said import Part
from retrieval.embedders import Embedder
from retrieval.errors import ExtraMissing
from retrieval.machine import cores
from retrieval.media import open_picture

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "1"  # a larger one makes the next `clew index` read all pictures again
GLANCE = 736  # pixels of the longer side at which a picture is looked at first: most have no text
DETAIL = 1_600  # pixels of the longer side in which lines are looked for
SHARP = 3_200  # pixels of the longer side from which they are read
LONG = 2.5  # times as long as wide: a picture that is cut into pieces, as a long screenshot
WIDE = 1_200  # pixels of the shorter side of such a picture
PIECE, OVERLAP, PIECES = 2.0, 0.1, 16  # the length and overlap of pieces, in that side; at most so many
AROUND = 0.05  # of a piece, beside what a glance has found
SURE = 0.6  # least confidence in a line
ENGINES = 4  # at most, of some hundred megabytes each
DPI = 150  # of a page
WRITTEN = 16  # letters from which on a page is text, and no picture of it


class Ocr:
    """Reads the text in pictures."""

    def __init__(self, embedder: Embedder) -> None:
        """Load the engines; raises ExtraMissing."""
        self.threads = min(cores(), ENGINES)
        self._embedder = embedder
        self._engines: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.threads):
            self._engines.put(_engine(max(1, cores() // self.threads)))

    def parts(self, file: BinaryIO, reader: str, after: float) -> Generator[Part]:
        """Yield the picture, or the pages of a document that are pictures; raises MediaError."""
        upto: float | None = 0.0
        for picture, page, upto in PICTURES[reader](file, int(after)):
            yield Part(partial(self.read, picture, page), upto)
        if upto is not None:  # there was none
            yield Part(list, None)

    def read(self, picture: "Image", page: int | None = None) -> list[Draft]:
        """Return the passages on a picture; those on a page have no box, as it has no pixels."""
        engine = self._engines.get()
        try:
            lines = list(_lines(engine, picture))
        finally:
            self._engines.put(engine)
        found = passages(lines, self._embedder.tokens, self._embedder.context)
        return [
            Draft("text", text=words.text, page=page, box=words.box if page is None else None)
            for words in found
        ]


def _lines(engine: Any, picture: "Image") -> Iterator[Line]:
    """Yield the lines of a picture, in its pixels; a long one is read piece by piece."""
    width, height = picture.size
    along = height >= width
    short, long = min(width, height), max(width, height)
    step = long if long <= LONG * short else round(PIECE * short)
    margin = round(OVERLAP * short / 2) if step < long else 0
    for number, begin in enumerate(range(0, long, step)):
        if number == PIECES:
            break
        first, last = max(0, begin - margin), min(long, begin + step + margin)
        box = (0, first, width, last) if along else (first, 0, last, height)
        for line in _look(engine, picture.crop(box)):
            moved = line.moved(*box[:2])
            middle = (moved.top + moved.bottom) / 2 if along else (moved.left + moved.right) / 2
            if begin <= middle < begin + step:
                yield moved


def _look(engine: Any, picture: "Image") -> Iterator[Line]:
    """Glance at a picture, and read what is around the text that is seen."""
    box = (0, 0, *picture.size)
    if max(picture.size) > 1.3 * GLANCE:
        seen = _ask(engine, picture, GLANCE, read=False)
        if seen.boxes is None:
            return
        corners = np.reshape(seen.boxes, (-1, 2)) * _shrunk(picture, GLANCE)
        beside = AROUND * max(picture.size)
        left, top = np.maximum(0, corners.min(axis=0) - beside).astype(int).tolist()
        right, bottom = np.minimum(picture.size, corners.max(axis=0) + beside).astype(int).tolist()
        box = (left, top, right, bottom)
    piece = picture.crop(box)
    said = _ask(engine, piece, SHARP, read=True)
    for corners, text, sure in zip(said.boxes, said.txts, said.scores, strict=True) if said.txts else ():
        places = np.asarray(corners) * _shrunk(piece, SHARP) + box[:2]
        if sure >= SURE and _tells(text):
            yield Line(text.strip(), *places.min(axis=0).tolist(), *places.max(axis=0).tolist())


def _ask(engine: Any, picture: "Image", side: int, *, read: bool) -> Any:
    """Find the lines of a picture at this size, and read them."""
    factor = _shrunk(picture, side)
    small = picture
    if factor > 1:
        width, height = (max(1, round(length / factor)) for length in picture.size)
        small = picture.resize((width, height), reducing_gap=2.0)
    pixels = np.ascontiguousarray(np.asarray(small)[:, :, ::-1])  # blue first
    return engine(pixels, use_det=True, use_cls=read, use_rec=read)


def _shrunk(picture: "Image", side: int) -> float:
    """Return by how much a picture is made smaller for its longer side to be no more than this."""
    return max(1.0, max(picture.size) / side)


def _tells(text: str) -> bool:
    """Say whether a line is more than one sign, which texture is often taken for."""
    return sum(letter.isalnum() for letter in text) > 1


def _picture(file: BinaryIO, after: int) -> Iterator[tuple["Image", int | None, float | None]]:
    yield open_picture(file), None, None


def _pages(file: BinaryIO, after: int) -> Iterator[tuple["Image", int | None, float | None]]:
    """Yield the pages of a PDF behind so many that hold no text, with their numbers from 1."""
    import pypdfium2

    with closing(pypdfium2.PdfDocument(file)) as document:
        bare = [number for number in range(after, len(document)) if _is_bare(document, number)]
        for number in bare:
            with closing(document[number]) as page:
                scale = min(DPI / 72, SHARP / max(page.get_size()))
                picture = page.render(scale=scale).to_pil().convert("RGB")
            yield picture, number + 1, None if number == bare[-1] else number + 1


def _is_bare(document: Any, number: int) -> bool:
    """Say whether a page holds no text but in its pictures."""
    with closing(document[number]) as page, closing(page.get_textpage()) as text:
        return bool(text.count_chars() < WRITTEN)


PICTURES: dict[str, Callable[[BinaryIO, int], Iterator[tuple["Image", int | None, float | None]]]] = {
    "picture": _picture,
    "document": _pages,
}  # reader -> its pictures, their page, and how far they reach
READERS = tuple(PICTURES)


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
