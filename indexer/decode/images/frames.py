"""The pictures of one file: frames of an animation that differ, pages of a TIFF."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.metadata.fields import try_read
from retrieval.media.images.loader import decode_image

ANIMATED_FORMATS, PAGED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF"), ("TIFF",)
MAX_EXTRA_FRAMES = 4  # of an animation, beside its first
MAX_CANDIDATE_FRAMES = 24  # frames that these are chosen from, spread over all that are read
MAX_FRAMES_READ = 1_000  # frames read of one file
MAX_ANIMATION_PIXELS = 60_000_000  # and pixels: the frames of a GIF of 1.6 MB can take 20 s
MIN_FRAME_DIFFERENCE = 0.06  # of the range of colours, on average: frames that differ less are alike
MAX_PAGES = 50  # of one file
MAX_TOTAL_PAGE_PIXELS = 400_000_000
DEFAULT_FRAME_SECONDS = 0.1  # seconds a frame is shown that does not say how long
SUBFILE_TYPE, REDUCED_IMAGE, TRANSPARENCY_MASK = (
    0x00FE,
    1,
    4,
)  # what TIFF says of a page that is another again: smaller, or a mask
COMPARED_SIDE = 16  # pixels a side at which frames are compared


class Frame(NamedTuple):
    """A picture, upright; where in the file it is: seconds from its begin, or its page, from 1."""

    image: Image.Image
    start: float | None = None
    page: int | None = None


class FrameSet(NamedTuple):
    """The pictures of a file, the first first; how many seconds an animation takes, as far as it was read."""

    frames: list[Frame]
    duration: float | None = None


class _CandidateFrame(NamedTuple):
    """A frame that may be chosen, and how it looks at its own size, so that all embedders get the same."""

    frame: Frame
    signature: NDArray[np.float32]  # (768,)


def extract_frames(original: Image.Image, min_side: int, min_long_side: int = 0) -> FrameSet:
    """Return the pictures in a file that is open; raises MediaError where even the first cannot be read.

    What is damaged further on is left out. Frames and pages have at least `near` pixels a side, the first
    `longer` on its longer one, where their file has them.
    """
    form = original.format or ""
    first = decode_image(original, min_side=min_side, min_long_side=min_long_side)
    affordable = 2 * original.width * original.height <= MAX_ANIMATION_PIXELS
    moves = (
        form in ANIMATED_FORMATS and affordable and try_read(lambda: getattr(original, "is_animated", False))
    )
    if not moves and form not in PAGED_FORMATS:
        return FrameSet([Frame(first)])
    if first is original:  # which will show another frame
        first = first.copy()
    return (
        _animation_frames(original, first, min_side)
        if moves
        else FrameSet(_tiff_pages(original, first, min_side))
    )


def _animation_frames(original: Image.Image, first: Image.Image, min_side: int) -> FrameSet:
    """Return the first frame and those that differ most from it and from each other, in order."""
    held, step, length = (
        [_CandidateFrame(Frame(first, 0.0), _frame_signature(first))],
        1,
        _frame_seconds(original),
    )
    for number, frame in enumerate(_decode_frames(original), start=1):
        if number % step == 0:
            held.append(
                _CandidateFrame(Frame(_shrink(frame, min_side), round(length, 3)), _frame_signature(frame))
            )
        length += _frame_seconds(original)
        if len(held) > MAX_CANDIDATE_FRAMES:
            held, step = held[::2], 2 * step
    if len(held) == 1:  # said to move, and it does not
        return FrameSet([Frame(first)])
    chosen = [
        held[row].frame for row in _most_distinct([each.signature for each in held], MAX_EXTRA_FRAMES) if row
    ]
    return FrameSet([Frame(first), *chosen], round(length, 3))


def _decode_frames(original: Image.Image) -> Iterator[Image.Image]:
    """Yield each frame after the first, up to a bound, as long as they can be read."""
    most = min(MAX_FRAMES_READ, MAX_ANIMATION_PIXELS // max(1, original.width * original.height))
    for number in range(1, most + 1):
        try:
            original.seek(number)
            frame = decode_image(original).copy()
        except Exception:  # the end, or what is damaged, which raises nearly anything
            return
        yield frame


def _frame_seconds(frame: Image.Image) -> float:
    """Return how many seconds the frame that was read last is shown."""
    shown = frame.info.get("duration", 0)
    return shown / 1000 if isinstance(shown, int | float) and 0 < shown < 1e7 else DEFAULT_FRAME_SECONDS


def _shrink(image: Image.Image, min_side: int) -> Image.Image:
    factor = min(image.size) // min_side
    return image.reduce(factor) if factor > 1 else image


def _most_distinct(signatures: list[NDArray[np.float32]], count: int) -> list[int]:
    """Return the rows of the first and of up to `count` more, each the farthest from those chosen before.

    Ascending: Gonzalez, Clustering to minimize the maximum intercluster distance, TCS 1985.
    """
    looks = np.array(signatures)
    chosen, away = [0], np.abs(looks - looks[0]).mean(axis=1)
    while len(chosen) <= count and away.max() >= MIN_FRAME_DIFFERENCE:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.abs(looks - looks[chosen[-1]]).mean(axis=1))
    return sorted(chosen)


def _frame_signature(image: Image.Image) -> NDArray[np.float32]:
    """Return the colours of a picture at 16 x 16, (768,), from 0 to 1."""
    small = image.resize((COMPARED_SIDE, COMPARED_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def _tiff_pages(original: Image.Image, first: Image.Image, min_side: int) -> list[Frame]:
    """Return the pages of a TIFF; of one alone no number is told."""
    pages, held = [Frame(first, page=1)], first.width * first.height
    size = original.size
    for number in range(1, MAX_PAGES):
        try:
            original.seek(number)
            if is_reduced_copy(original, size):
                continue
            held += original.width * original.height
            if held > MAX_TOTAL_PAGE_PIXELS:
                break
            pages.append(
                Frame(_shrink(decode_image(original, min_side=min_side).copy(), min_side), page=number + 1)
            )
        except Exception:  # the end, or what is damaged
            break
    return pages if len(pages) > 1 else [Frame(first)]


def is_reduced_copy(page: Image.Image, size: tuple[int, int]) -> bool:
    """Say whether a page is the first again: smaller, for a preview or a pyramid, or as a mask."""
    tags = getattr(page, "tag_v2", {})
    if int(tags.get(SUBFILE_TYPE, 0)) & (REDUCED_IMAGE | TRANSPARENCY_MASK):
        return True
    (width, height), (whole, high) = page.size, size
    return 2 * width <= whole and abs(width * high - height * whole) <= max(whole, high)
