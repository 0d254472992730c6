"""Extract several images from one file: distinct frames of an animation, pages of a TIFF."""

from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.metadata.fields import try_read
from retrieval.media.images.loader import decode_image
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

ANIMATED_FORMATS, PAGED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF"), ("TIFF",)
MAX_EXTRA_FRAMES = 4  # of an animation, in addition to the first
MAX_CANDIDATE_FRAMES = 24  # evenly spaced frames from which the extra ones are chosen
MIN_FRAME_DIFFERENCE = 0.06  # mean difference of frames, 0 to 1; closer frames count as equal
DEFAULT_FRAME_SECONDS = 0.1  # of a frame without a valid duration
SUBFILE_TYPE, REDUCED_IMAGE, TRANSPARENCY_MASK = 0x00FE, 1, 4  # TIFF tag NewSubfileType and its bits
COMPARED_SIDE = 16  # pixels


class Frame(NamedTuple):
    """An upright image and its position in the file."""

    image: Image.Image
    start: float | None = None  # seconds, in an animation
    page: int | None = None  # from 1, in a TIFF of several pages


class FrameSet(NamedTuple):
    """The extracted images of a file, in order."""

    frames: list[Frame]
    duration: float | None = None  # seconds of an animation, as far as it was read


class _CandidateFrame(NamedTuple):
    """A frame that may be chosen.

    Its signature is taken before it is scaled, so that the choice is the same for every embedder.
    """

    frame: Frame
    signature: NDArray[np.float32]  # (768,)


def extract_frames(
    original: Image.Image,
    min_side: int,
    min_long_side: int = 0,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> FrameSet:
    """Return the distinct images of an open file; raises MediaError if the first cannot be decoded.

    Reading stops at the first damaged frame or page. Images are scaled down, but keep at least `min_side`
    pixels on their shorter side; the first one also keeps `min_long_side` on its longer side.
    """
    image_format = original.format or ""
    first = decode_image(original, limits, min_side=min_side, min_long_side=min_long_side)
    frame_pixels = max(1, original.width * original.height)
    max_frames = min(limits.max_animation_frames, limits.max_animation_pixels // frame_pixels)
    is_animated = (
        image_format in ANIMATED_FORMATS
        and max_frames > 1
        and try_read(lambda: getattr(original, "is_animated", False))
    )
    if not is_animated and image_format not in PAGED_FORMATS:
        return FrameSet([Frame(first)])
    if first is original:  # seeking changes its pixels
        first = first.copy()
    if is_animated:
        frames = islice(_decode_frames(original, limits), max_frames)
        return _animation_frames(original, first, min_side, frames)
    return FrameSet(_tiff_pages(original, first, min_side, limits))


def _animation_frames(
    original: Image.Image, first: Image.Image, min_side: int, frames: Iterator[Image.Image]
) -> FrameSet:
    """Return the first frame and those that differ most from it and from each other, in order."""
    candidates = [_CandidateFrame(Frame(first, 0.0), _frame_signature(first))]
    step, seconds = 1, _frame_seconds(original)
    for number, frame in enumerate(frames, start=1):
        if number % step == 0:
            signature = _frame_signature(frame)
            candidates.append(_CandidateFrame(Frame(_shrink(frame, min_side), round(seconds, 3)), signature))
        seconds += _frame_seconds(original)
        if len(candidates) > MAX_CANDIDATE_FRAMES:
            candidates, step = candidates[::2], 2 * step
    if len(candidates) == 1:  # the header announces an animation, but only one frame is readable
        return FrameSet([Frame(first)])
    distinct = _most_distinct([candidate.signature for candidate in candidates], MAX_EXTRA_FRAMES)
    extra_frames = [candidates[row].frame for row in distinct if row]
    return FrameSet([Frame(first), *extra_frames], round(seconds, 3))


def _decode_frames(original: Image.Image, limits: DecodeLimits) -> Iterator[Image.Image]:
    """Yield each frame after the first, until the end or a damaged one."""
    for number in count(1):
        try:
            original.seek(number)
            frame = decode_image(original, limits).copy()
        except Exception:  # the end, or damage, for which Pillow raises nearly any type
            return
        yield frame


def _frame_seconds(frame: Image.Image) -> float:
    """Return the duration of the current frame, in seconds."""
    duration = frame.info.get("duration", 0)  # milliseconds
    is_valid = isinstance(duration, int | float) and 0 < duration < 1e7
    return duration / 1000 if is_valid else DEFAULT_FRAME_SECONDS


def _shrink(image: Image.Image, min_side: int) -> Image.Image:
    factor = min(image.size) // min_side
    return image.reduce(factor) if factor > 1 else image


def _most_distinct(signatures: list[NDArray[np.float32]], max_extra: int) -> list[int]:
    """Return the rows of the first and of up to `max_extra` more, each the farthest from those chosen before.

    Ascending: Gonzalez, Clustering to minimize the maximum intercluster distance, TCS 1985.
    """
    points = np.array(signatures)
    chosen, distances = [0], np.abs(points - points[0]).mean(axis=1)
    while len(chosen) <= max_extra and distances.max() >= MIN_FRAME_DIFFERENCE:
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.abs(points - points[chosen[-1]]).mean(axis=1))
    return sorted(chosen)


def _frame_signature(image: Image.Image) -> NDArray[np.float32]:
    """Return the colors of an image at 16 x 16 pixels, (768,), from 0 to 1."""
    small = image.resize((COMPARED_SIDE, COMPARED_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def _tiff_pages(
    original: Image.Image, first: Image.Image, min_side: int, limits: DecodeLimits
) -> list[Frame]:
    """Return the pages of a TIFF; a single page has no page number."""
    pages, total_pixels = [Frame(first, page=1)], first.width * first.height
    first_size = original.size
    for number in range(1, limits.max_tiff_pages):
        try:
            original.seek(number)
            if is_reduced_copy(original, first_size):
                continue
            total_pixels += original.width * original.height
            if total_pixels > limits.max_tiff_pixels:
                break
            image = decode_image(original, limits, min_side=min_side).copy()
            pages.append(Frame(_shrink(image, min_side), page=number + 1))
        except Exception:  # the end, or damage
            break
    return pages if len(pages) > 1 else [Frame(first)]


def is_reduced_copy(page: Image.Image, first_size: tuple[int, int]) -> bool:
    """Return True if a TIFF page repeats the first: as a preview, a level of a pyramid, or a mask."""
    tags = getattr(page, "tag_v2", {})
    if int(tags.get(SUBFILE_TYPE, 0)) & (REDUCED_IMAGE | TRANSPARENCY_MASK):
        return True
    (width, height), (first_width, first_height) = page.size, first_size
    same_shape = abs(width * first_height - height * first_width) <= max(first_width, first_height)
    return 2 * width <= first_width and same_shape
