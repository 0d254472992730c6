"""The pictures of one file: frames of an animation that differ, pages of a TIFF."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.decode.metadata.fields import attempt
from retrieval.media.images.loader import decode_image

ANIMATED, PAGED = ("GIF", "WEBP", "PNG", "AVIF"), ("TIFF",)
FRAMES = 4  # of an animation, beside its first
HELD = 24  # frames that these are chosen from, spread over all that are read
LOOKED = 1_000  # frames read of one file
PIXELS = 60_000_000  # and pixels: the frames of a GIF of 1.6 MB can take 20 s
DISTINCT = 0.06  # of the range of colours, on average: frames that differ less are alike
PAGES = 50  # of one file
PAGE_PIXELS = 400_000_000
USUAL = 0.1  # seconds a frame is shown that does not say how long
SUBFILE, REDUCED, MASK = 0x00FE, 1, 4  # what TIFF says of a page that is another again: smaller, or a mask
SMALL = 16  # pixels a side at which frames are compared


class Still(NamedTuple):
    """A picture, upright; where in the file it is: seconds from its begin, or its page, from 1."""

    picture: Image.Image
    start: float | None = None
    page: int | None = None


class Stills(NamedTuple):
    """The pictures of a file, the first first; how many seconds an animation takes, as far as it was read."""

    stills: list[Still]
    duration: float | None = None


class _Held(NamedTuple):
    """A frame that may be chosen, and how it looks at its own size, so that all embedders get the same."""

    still: Still
    look: NDArray[np.float32]  # (768,)


def stills_of(original: Image.Image, near: int, longer: int = 0) -> Stills:
    """Return the pictures in a file that is open; raises MediaError where even the first cannot be read.

    What is damaged further on is left out. Frames and pages have at least `near` pixels a side, the first
    `longer` on its longer one, where their file has them.
    """
    form = original.format or ""
    first = decode_image(original, min_side=near, min_long_side=longer)
    affordable = 2 * original.width * original.height <= PIXELS
    moves = form in ANIMATED and affordable and attempt(lambda: getattr(original, "is_animated", False))
    if not moves and form not in PAGED:
        return Stills([Still(first)])
    if first is original:  # which will show another frame
        first = first.copy()
    return _moving(original, first, near) if moves else Stills(_pages(original, first, near))


def _moving(original: Image.Image, first: Image.Image, near: int) -> Stills:
    """Return the first frame and those that differ most from it and from each other, in order."""
    held, step, length = [_Held(Still(first, 0.0), _look(first))], 1, _shown(original)
    for number, frame in enumerate(_frames(original), start=1):
        if number % step == 0:
            held.append(_Held(Still(_shrink(frame, near), round(length, 3)), _look(frame)))
        length += _shown(original)
        if len(held) > HELD:
            held, step = held[::2], 2 * step
    if len(held) == 1:  # said to move, and it does not
        return Stills([Still(first)])
    chosen = [held[row].still for row in _distinct([each.look for each in held], FRAMES) if row]
    return Stills([Still(first), *chosen], round(length, 3))


def _frames(original: Image.Image) -> Iterator[Image.Image]:
    """Yield each frame after the first, up to a bound, as long as they can be read."""
    most = min(LOOKED, PIXELS // max(1, original.width * original.height))
    for number in range(1, most + 1):
        try:
            original.seek(number)
            frame = decode_image(original).copy()
        except Exception:  # the end, or what is damaged, which raises nearly anything
            return
        yield frame


def _shown(frame: Image.Image) -> float:
    """Return how many seconds the frame that was read last is shown."""
    shown = frame.info.get("duration", 0)
    return shown / 1000 if isinstance(shown, int | float) and 0 < shown < 1e7 else USUAL


def _shrink(picture: Image.Image, near: int) -> Image.Image:
    factor = min(picture.size) // near
    return picture.reduce(factor) if factor > 1 else picture


def _distinct(seen: list[NDArray[np.float32]], count: int) -> list[int]:
    """Return the rows of the first and of up to `count` more, each the farthest from those chosen before.

    Ascending: Gonzalez, Clustering to minimize the maximum intercluster distance, TCS 1985.
    """
    looks = np.array(seen)
    chosen, away = [0], np.abs(looks - looks[0]).mean(axis=1)
    while len(chosen) <= count and away.max() >= DISTINCT:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.abs(looks - looks[chosen[-1]]).mean(axis=1))
    return sorted(chosen)


def _look(picture: Image.Image) -> NDArray[np.float32]:
    """Return the colours of a picture at 16 x 16, (768,), from 0 to 1."""
    small = picture.resize((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def _pages(original: Image.Image, first: Image.Image, near: int) -> list[Still]:
    """Return the pages of a TIFF; of one alone no number is told."""
    pages, held = [Still(first, page=1)], first.width * first.height
    size = original.size
    for number in range(1, PAGES):
        try:
            original.seek(number)
            if repeats(original, size):
                continue
            held += original.width * original.height
            if held > PAGE_PIXELS:
                break
            pages.append(Still(_shrink(decode_image(original, min_side=near).copy(), near), page=number + 1))
        except Exception:  # the end, or what is damaged
            break
    return pages if len(pages) > 1 else [Still(first)]


def repeats(page: Image.Image, size: tuple[int, int]) -> bool:
    """Say whether a page is the first again: smaller, for a preview or a pyramid, or as a mask."""
    tags = getattr(page, "tag_v2", {})
    if int(tags.get(SUBFILE, 0)) & (REDUCED | MASK):
        return True
    (width, height), (whole, high) = page.size, size
    return 2 * width <= whole and abs(width * high - height * whole) <= max(whole, high)
