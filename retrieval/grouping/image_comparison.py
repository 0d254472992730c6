"""Compare the pixels of images that are similar by hash and vector: photos as thumbnails, documents in full.

Two receipts of one shop have the same layout, the same colors and nearly the same vector. They differ in
their text, which is legible only at a high resolution.
"""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from retrieval.catalog.reader import Catalog
from retrieval.catalog.thumbnails import find_segment_thumbnail
from retrieval.errors import ClewError
from retrieval.grouping.registration import (
    COARSE_LEVELS,
    FINE_LEVELS,
    IDENTITY,
    Plane,
    Transform,
    fit_size,
    overlap,
    refine,
    scaled,
    search_crop,
    warp,
)
from retrieval.media.images.loader import load_image
from retrieval.types import FileAttributes

THUMBNAIL_SIDE = 320  # pixels, of an image without a stored thumbnail
DOCUMENT_AREA = 1_500_000  # pixels at which documents are compared: A4 at 125 dpi
GRID_SIDE = 32  # of the grid by which candidates are ranked
CELL = 3  # pixels; the structure of squares of 3 x 3 cells, about a letter, is compared at each cell
BLUR = 1.0  # pixels; hides differences of scaling
NOISE_VARIANCE = 100.0  # gray levels squared, of compression
MIN_VARIANCE = 225.0  # of a square with structure
MIN_AGREEMENT = 0.6  # of the structure of a square; equal is 1, unrelated is 0
MAX_PHOTO_MISMATCH = 0.03  # of the squares with structure, in thumbnails
MAX_DOCUMENT_THUMBNAIL_MISMATCH = 0.12
MAX_REDUCED_DOCUMENT_MISMATCH = 0.1  # at a fifth of the pixels
MAX_DOCUMENT_MISMATCH = 0.0005  # in full
MIN_CROP = 0.005  # of a side
REDUCED_DOCUMENT_AREA = 300_000  # pixels
MAX_MISMATCHED_SQUARES = 4  # in any document; a changed digit has more
MIN_REGISTERED = 0.9  # correlation of thumbnails that needs no search for a crop
MIN_DOCUMENT_SHARE = 0.75  # of flat pixels, plus that of pixels as bright as the paper; photos have 0.5
MAX_FLAT_RANGE, PAPER_RANGE = 8, 8  # gray levels
MIN_LEGIBLE_AREA = 60_000  # pixels of a document with a legible text
MAX_ASPECT_RATIO = 1.2  # between the shapes of two images, one of which is cropped
FULL_CONTRAST = 160  # gray levels; images with less, such as faded receipts, are stretched to it
MIN_CONTRAST = 16  # gray levels, which may be noise
GRID_CROPS = (0.0, 0.02, 0.05, 0.1)  # of the grids by which candidates are ranked
SATURATED = 6  # gray levels from black or white
MIN_TONE_CORRELATION = 0.8
MAX_GAIN = 3.0
MIN_CHROMA = 15.0  # of the mean color of an image that is not gray, in levels of Cb and Cr
MAX_CHROMA_DISTANCE = 50.0  # of two images of one scene, whose white balance may differ


class Mismatch(NamedTuple):
    """Squares whose structure differs in two images."""

    squares: int
    share: float  # of the squares with structure


class PixelComparison:
    """Comparison of files by their thumbnails and, for documents, by the files themselves."""

    def __init__(self, catalog: Catalog, files: Sequence[FileAttributes]) -> None:
        self._catalog, self._files = catalog, files
        self._thumbnail = lru_cache(512)(self._load_thumbnail)
        self._full = lru_cache(8)(self._load_full)
        self._grids = lru_cache(2_048)(self._load_grids)
        self._chroma = lru_cache(2_048)(self._load_chroma)

    def rank(self, one: int, others: Sequence[int]) -> list[int]:
        """Return the positions of the others, the most similar first."""
        if len(others) < 2:
            return list(range(len(others)))
        first = self._grids(one)
        scores = []
        for other in others:
            second = self._grids(other)
            scores.append(
                max(float((first[:1] * second).sum(1).max()), float((first * second[:1]).sum(1).max()))
            )
        return sorted(range(len(others)), key=lambda position: -scores[position])

    def show_the_same(self, one: int, other: int) -> bool:
        """Return True if two files show the same image and, if they have text, the same text.

        Files that cannot be compared, because they are offline and have no thumbnails, do not.
        """
        first, second = self._thumbnail(one), self._thumbnail(other)
        if first is None or second is None or _aspect_ratio(first, second) > MAX_ASPECT_RATIO:
            return False
        is_document = looks_like_document(first) or looks_like_document(second)
        if is_document and self._is_illegible(one, other):
            return False
        transform = _register(first, second, search=is_document)
        most = MAX_DOCUMENT_THUMBNAIL_MISMATCH if is_document else MAX_PHOTO_MISMATCH
        if measure_mismatch(first, second, transform).share > most:
            return False
        if not is_document:
            return not self._have_other_colors(one, other)
        full, other_full = self._full(one), self._full(other)
        return full is not None and other_full is not None and is_same_document(full, other_full, transform)

    def _have_other_colors(self, one: int, other: int) -> bool:
        """Return True if both images are colored and their mean colors are far from each other."""
        first, second = self._chroma(one), self._chroma(other)
        least = min(np.linalg.norm(first), np.linalg.norm(second))
        return bool(least >= MIN_CHROMA and np.linalg.norm(first - second) > MAX_CHROMA_DISTANCE)

    def _is_illegible(self, one: int, other: int) -> bool:
        """Return True if one of two documents is too small to compare their texts."""
        small, large = sorted(self._files[row].pixels for row in (one, other))
        return small < MIN_LEGIBLE_AREA and small < large / 5

    def _load_thumbnail(self, row: int) -> Image.Image | None:
        """Return the thumbnail in gray."""
        thumbnail = self._load_colored(row)
        return None if thumbnail is None else thumbnail.convert("L")

    def _load_chroma(self, row: int) -> NDArray[np.float32]:
        """Return the mean color of a thumbnail, as Cb and Cr without gray, (2,)."""
        thumbnail = self._load_colored(row)
        if thumbnail is None:
            return np.zeros(2, np.float32)
        channels = np.asarray(thumbnail.convert("YCbCr"), np.float32)
        return np.asarray(channels[..., 1:].mean(axis=(0, 1)) - 128, np.float32)

    def _load_colored(self, row: int) -> Image.Image | None:
        webp = find_segment_thumbnail(self._catalog, self._files[row].segment)
        if webp is None:
            return self._load(row, THUMBNAIL_SIDE**2)
        with Image.open(BytesIO(webp)) as image:
            return image.convert("RGB")

    def _load_full(self, row: int) -> Image.Image | None:
        image = self._load(row, DOCUMENT_AREA)
        return None if image is None else image.convert("L")

    def _load(self, row: int, area: int) -> Image.Image | None:
        """Return an image at most as large as `area`; None if its file cannot be read."""
        file = self._files[row]
        size = (file.width or 1, file.height or 1)
        try:
            image = load_image(file.path, min_side=min(fit_size(size, area)))
        except (ClewError, OSError):
            return None
        return scaled(image, fit_size(image.size, area))

    def _load_grids(self, row: int) -> NDArray[np.float32]:
        """Return the normalized grids of an image and of crops of it, (n, cells)."""
        image = self._thumbnail(row)
        if image is None:
            return np.zeros((len(GRID_CROPS), GRID_SIDE**2), np.float32)
        grids = []
        for share in GRID_CROPS:
            x, y = image.width * share / 2, image.height * share / 2
            box = (x, y, image.width - x, image.height - y)
            grid = image.resize((GRID_SIDE, GRID_SIDE), Image.Resampling.BOX, box=box)
            grids.append(np.asarray(grid, np.float32).ravel())
        centered = np.array(grids) - np.mean(grids, axis=1, keepdims=True)
        return np.asarray(centered / (np.sqrt(np.square(centered).sum(1, keepdims=True)) + 1e-3), np.float32)


def looks_like_document(gray: Image.Image) -> bool:
    """Return True if a thumbnail is flat as a screenshot, or has the one brightness of paper.

    Some photos do, with much sky or snow; they are only compared more strictly.
    """
    low = np.asarray(gray.filter(ImageFilter.MinFilter(3)), np.int16)
    high = np.asarray(gray.filter(ImageFilter.MaxFilter(3)), np.int16)
    counts = np.bincount(np.asarray(gray).ravel(), minlength=256)
    paper = np.convolve(counts, np.ones(2 * PAPER_RANGE + 1), "same").max() / counts.sum()
    return bool((high - low <= MAX_FLAT_RANGE).mean() + paper >= MIN_DOCUMENT_SHARE)


def is_same_document(one: Image.Image, other: Image.Image, transform: Transform) -> bool:
    """Return True if the text and all other structure of two gray images agree.

    `transform` registers their thumbnails. That of a crop may be wrong by a line of text, so another one is
    searched for if they do not agree.
    """
    if _is_same_registered_document(one, other, transform):
        return True
    is_cropped = np.abs(transform - IDENTITY).max() > MIN_CROP
    return bool(is_cropped) and _is_same_registered_document(one, other, search_crop(one, other))


def _is_same_registered_document(one: Image.Image, other: Image.Image, transform: Transform) -> bool:
    transform, _ = refine(one, other, FINE_LEVELS[:1], transform)
    size = fit_size(one.size, REDUCED_DOCUMENT_AREA)
    other_size = fit_size(other.size, size[0] * size[1])
    reduced = measure_mismatch(scaled(one, size), scaled(other, other_size), transform)
    if reduced.share > MAX_REDUCED_DOCUMENT_MISMATCH:
        return False
    transform, _ = refine(one, other, FINE_LEVELS[1:], transform)
    mismatch = measure_mismatch(one, other, transform)
    return mismatch.squares <= MAX_MISMATCHED_SQUARES or mismatch.share <= MAX_DOCUMENT_MISMATCH


def measure_mismatch(first: Image.Image, second: Image.Image, transform: Transform) -> Mismatch:
    """Compare the structure of two registered gray images square by square, at the scale of the smaller one.

    The agreement of a square is its contrast and structure term in SSIM: Wang et al., IEEE TIP 2004.
    """
    if first.width * first.height > second.width * second.height:
        first, second = second, first
        transform = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
    second = scaled(second, fit_size(second.size, first.width * first.height * 1.3))
    blur = ImageFilter.GaussianBlur(BLUR)
    mask = overlap(second, transform, first.size)
    one = np.asarray(first.filter(blur), np.float32)
    one, other = _equal_tone(one, warp(second.filter(blur), transform, first.size), mask)
    mean, other_mean = _square_means(one), _square_means(other)
    variance = _square_means(np.square(one)) - np.square(mean)
    other_variance = _square_means(np.square(other)) - np.square(other_mean)
    covariance = _square_means(one * other) - mean * other_mean
    agreement = (2 * covariance + NOISE_VARIANCE) / (variance + other_variance + NOISE_VARIANCE)
    structured = np.maximum(variance, other_variance) > MIN_VARIANCE
    structured &= _square_means(mask.astype(np.float32)) > 0.999
    different = int(np.count_nonzero(agreement[structured] < MIN_AGREEMENT))
    return Mismatch(different, different / max(1, int(structured.sum())))


def _square_means(plane: Plane) -> Plane:
    """Return the means of squares of 3 x 3 cells."""
    cells = np.asarray(Image.fromarray(plane).reduce(CELL), np.float32)
    rows = cells[:-2] + cells[1:-1] + cells[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _register(first: Image.Image, second: Image.Image, *, search: bool) -> Transform:
    """Return the transform of two thumbnails; the lines of a text may need a `search` for a crop."""
    transform, correlation = refine(first, second, COARSE_LEVELS)
    if search and correlation < MIN_REGISTERED:
        return refine(first, second, FINE_LEVELS[:1], search_crop(first, second))[0]
    if correlation < 0:
        return IDENTITY
    return refine(first, second, FINE_LEVELS[:1], transform)[0]


def _equal_tone(one: Plane, other: Plane, mask: NDArray[np.bool_]) -> tuple[Plane, Plane]:
    """Return both images with the brightness and contrast, and the clipped whites, of the brighter one."""
    gain, bias = _tone(one[mask], other[mask])
    if gain >= 1:
        one = np.clip(gain * one + bias, 0, 255)
    else:
        other = np.clip((other - bias) / gain, 0, 255)
    shown = one[mask][::16]
    contrast = float(np.subtract(*np.percentile(shown, (99.5, 0.5)))) if len(shown) else 0.0
    stretch = max(1.0, FULL_CONTRAST / max(contrast, MIN_CONTRAST))
    return stretch * (one - 128), stretch * (other - 128)


def _aspect_ratio(one: Image.Image, other: Image.Image) -> float:
    """Return how many times longer one shape is than the other."""
    ratio = (one.width * other.height) / (one.height * other.width)
    return max(ratio, 1 / ratio)


def _tone(one: Plane, other: Plane) -> tuple[float, float]:
    """Return gain and bias from one image to the other, by pixels that are not clipped if these agree."""
    low, high = SATURATED, 255 - SATURATED
    inner = (one > low) & (one < high) & (other > low) & (other < high)
    x, y = one[inner], other[inner]
    if len(x) > 200 and min(x.std(), y.std()) > 1 and np.corrcoef(x, y)[0, 1] > MIN_TONE_CORRELATION:
        one, other = x, y
    gain = float(np.clip(other.std() / (one.std() + 1e-9), 1 / MAX_GAIN, MAX_GAIN))
    return gain, float(other.mean() - gain * one.mean())
