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
from PIL import Image, ImageStat

from retrieval.catalog.reader import Catalog
from retrieval.catalog.thumbnails import find_segment_thumbnail
from retrieval.errors import ClewError
from retrieval.grouping.registration import (
    COARSE_LEVELS,
    FINE_LEVELS,
    IDENTITY,
    GrayImage,
    Plane,
    Transform,
    covered,
    fit_size,
    inverse,
    refine,
    scaled,
    search_crop,
    warp,
)
from retrieval.media.images.loader import load_image
from retrieval.types import FileAttributes

THUMBNAIL_SIDE = 320  # pixels, of an image without a stored thumbnail
DOCUMENT_AREA = 1_500_000  # pixels at which documents are compared: A4 at 125 dpi
GRID_SIDE = 48  # of the grids by which candidates are ranked
MIN_DOCUMENT_GRID_CORRELATION = 0.8  # of the edges of documents that are compared in detail
# The structure of squares of 3 x 3 cells, about a letter, is compared at each cell.
CELL, SMALL_CELL = 3, 1  # pixels of its side
BLUR = 1.0  # pixels; hides differences of scaling
SMALL_BLUR = 0.4
SMALL_AREA = 45_000  # pixels; the text of a smaller image is hardly legible
NOISE_VARIANCE = 100.0  # gray levels squared, of compression
MIN_VARIANCE = 225.0  # of a square with structure
MIN_AGREEMENT = 0.6  # of the structure of a square; equal is 1, unrelated is 0
MAX_PHOTO_MISMATCH = 0.03  # of the squares with structure, in thumbnails
MAX_DOCUMENT_THUMBNAIL_MISMATCH = 0.03
MAX_REDUCED_DOCUMENT_MISMATCH = 0.05  # at a fifth of the pixels
MAX_DOCUMENT_MISMATCH = 0.0005  # in full
MIN_CROP = 0.005  # of a side
REDUCED_DOCUMENT_AREA = 300_000  # pixels
MAX_MISMATCHED_SQUARES = 4  # in any document; a changed digit has more
MIN_REGISTERED = 0.95  # correlation of edges in thumbnails that needs no search for a crop
MIN_CORRELATION = 0.5  # of edges in thumbnails
MIN_DOCUMENT_CORRELATION = 0.65  # of edges in documents at about 384 x 384 pixels
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


class Thumbnail(NamedTuple):
    """A thumbnail without its colors, and its mean color, as Cb and Cr without gray, (2,)."""

    gray: GrayImage
    chroma: NDArray[np.float64]


class PixelComparison:
    """Comparison of files by their thumbnails and, for documents, by the files themselves."""

    def __init__(self, catalog: Catalog, files: Sequence[FileAttributes]) -> None:
        self._catalog, self._files = catalog, files
        self._thumbnail = lru_cache(64)(self._load_thumbnail)
        self._full = lru_cache(8)(self._load_full)
        self._is_document = lru_cache(8_192)(self._looks_like_document)
        self._grids = lru_cache(512)(self._load_grids)

    def rank(self, one: int, others: Sequence[int]) -> list[int]:
        """Return the positions of the others, the most similar first."""
        if len(others) < 2:
            return list(range(len(others)))
        scores = [sum(self._grid_correlations(one, other)) for other in others]
        return sorted(range(len(others)), key=lambda position: -scores[position])

    def show_the_same(self, one: int, other: int) -> bool:
        """Return True if two files show the same image and, if they have text, the same text.

        Files that cannot be compared, because they are offline and have no thumbnails, do not.
        """
        thumbnail, other_thumbnail = self._thumbnail(one), self._thumbnail(other)
        if thumbnail is None or other_thumbnail is None:
            return False
        (first, chroma), (second, other_chroma) = thumbnail, other_thumbnail
        if _aspect_ratio(first, second) > MAX_ASPECT_RATIO:
            return False
        if is_plain(first.image) and is_plain(second.image):
            return not _are_other_colors(chroma, other_chroma)
        is_document = self._is_document(one) or self._is_document(other)
        if is_document and self._is_illegible(one, other):
            return False
        if is_document and self._grid_correlations(one, other)[1] < MIN_DOCUMENT_GRID_CORRELATION:
            return False
        transform, correlation = _register(first, second, search=is_document)
        if correlation < MIN_CORRELATION:
            return False
        most = MAX_DOCUMENT_THUMBNAIL_MISMATCH if is_document else MAX_PHOTO_MISMATCH
        if measure_mismatch(first, second, transform).share > most:
            return False
        if not is_document:
            return not _are_other_colors(chroma, other_chroma)
        full, other_full = self._full(one), self._full(other)
        return full is not None and other_full is not None and is_same_document(full, other_full, transform)

    def _is_illegible(self, one: int, other: int) -> bool:
        """Return True if one of two documents is too small to compare their texts."""
        small, large = sorted(self._files[row].pixels for row in (one, other))
        return small < MIN_LEGIBLE_AREA and small < large / 5

    def _looks_like_document(self, row: int) -> bool:
        thumbnail = self._thumbnail(row)
        return thumbnail is not None and looks_like_document(thumbnail.gray.image)

    def _load_thumbnail(self, row: int) -> Thumbnail | None:
        colored = self._load_colored(row)
        if colored is None:
            return None
        chroma = np.array(ImageStat.Stat(colored.convert("YCbCr")).mean[1:]) - 128
        return Thumbnail(GrayImage(colored.convert("L")), chroma)

    def _load_colored(self, row: int) -> Image.Image | None:
        webp = find_segment_thumbnail(self._catalog, self._files[row].segment)
        if webp is None:
            return self._load(row, THUMBNAIL_SIDE**2)
        with Image.open(BytesIO(webp)) as image:
            return image.convert("RGB")

    def _load_full(self, row: int) -> GrayImage | None:
        image = self._load(row, DOCUMENT_AREA)
        return None if image is None else GrayImage(image.convert("L"))

    def _load(self, row: int, area: int) -> Image.Image | None:
        """Return an image at most as large as `area`; None if its file cannot be read."""
        file = self._files[row]
        size = (file.width or 1, file.height or 1)
        try:
            image = load_image(file.path, min_side=min(fit_size(size, area)))
        except (ClewError, OSError):
            return None
        return scaled(image, fit_size(image.size, area))

    def _grid_correlations(self, one: int, other: int) -> tuple[float, float]:
        """Return the correlation of two images and that of their edges; crops match the center of others."""
        pairs = zip(self._grids(one), self._grids(other), strict=True)
        gray, edges = (
            max(float((first[:1] * second).sum(1).max()), float((first * second[:1]).sum(1).max()))
            for first, second in pairs
        )
        return gray, edges

    def _load_grids(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return grids of an image and its crops, and of their edges, normalized, each (n, cells)."""
        thumbnail = self._thumbnail(row)
        if thumbnail is None:
            empty = np.zeros((len(GRID_CROPS), GRID_SIDE**2), np.float32)
            return empty, empty
        return _grids(thumbnail.gray.image), _grids(thumbnail.gray.edges())


def _are_other_colors(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return True if two mean colors are far from each other, and neither is gray."""
    least = min(np.linalg.norm(one), np.linalg.norm(other))
    return bool(least >= MIN_CHROMA and np.linalg.norm(one - other) > MAX_CHROMA_DISTANCE)


def _grids(image: Image.Image) -> NDArray[np.float32]:
    """Return the normalized grids of an image and of crops of it, (n, cells)."""
    grids = []
    for share in GRID_CROPS:
        x, y = image.width * share / 2, image.height * share / 2
        box = (x, y, image.width - x, image.height - y)
        grid = image.resize((GRID_SIDE, GRID_SIDE), Image.Resampling.BOX, box=box)
        grids.append(np.asarray(grid, np.float32).ravel())
    centered = np.array(grids) - np.mean(grids, axis=1, keepdims=True)
    return np.asarray(centered / (np.sqrt(np.square(centered).sum(1, keepdims=True)) + 1e-3), np.float32)


def is_plain(gray: Image.Image) -> bool:
    """Return True if an image shows nothing."""
    return bool(np.ptp(np.asarray(gray)) <= MAX_FLAT_RANGE)


def looks_like_document(gray: Image.Image) -> bool:
    """Return True if a thumbnail is flat as a screenshot, or has the one brightness of paper.

    Some photos do, with much sky or snow; they are only compared more strictly.
    """
    levels = np.asarray(gray)
    ranges = extremes_of_neighbors(levels, np.maximum) - extremes_of_neighbors(levels, np.minimum)
    counts = np.bincount(levels.ravel(), minlength=256)
    paper = np.convolve(counts, np.ones(2 * PAPER_RANGE + 1), "same").max() / counts.sum()
    return bool((ranges <= MAX_FLAT_RANGE).mean() + paper >= MIN_DOCUMENT_SHARE)


def extremes_of_neighbors(levels: NDArray[np.uint8], function: np.ufunc) -> NDArray[np.uint8]:
    """Return the minimum or maximum of the 3 x 3 pixels around each, as the filters of Pillow, but faster."""
    padded = np.pad(levels, 1, mode="edge")
    rows = function(function(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(function(function(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), np.uint8)


def is_same_document(one: GrayImage, other: GrayImage, transform: Transform) -> bool:
    """Return True if the text and all other structure of two gray images agree.

    `transform` registers their thumbnails. That of a crop may be wrong by a line of text, so another one is
    searched for if they do not agree.
    """
    if _is_same_registered_document(one, other, transform):
        return True
    is_cropped = np.abs(transform - IDENTITY).max() > MIN_CROP
    return bool(is_cropped) and _is_same_registered_document(one, other, search_crop(one, other))


def _is_same_registered_document(one: GrayImage, other: GrayImage, transform: Transform) -> bool:
    transform, correlation = refine(one, other, FINE_LEVELS[:2], transform)
    if correlation < MIN_DOCUMENT_CORRELATION:
        return False
    reduced = measure_mismatch(one, other, transform, REDUCED_DOCUMENT_AREA)
    if reduced.share > MAX_REDUCED_DOCUMENT_MISMATCH:
        return False
    transform, _ = refine(one, other, FINE_LEVELS[2:], transform)
    mismatch = measure_mismatch(one, other, transform)
    return mismatch.squares <= MAX_MISMATCHED_SQUARES or mismatch.share <= MAX_DOCUMENT_MISMATCH


def measure_mismatch(
    first: GrayImage, second: GrayImage, transform: Transform, area: float = DOCUMENT_AREA
) -> Mismatch:
    """Compare the structure of two registered images square by square, at the scale of the smaller one.

    The agreement of a square is its contrast and structure term in SSIM: Wang et al., IEEE TIP 2004.
    """
    if first.area > second.area:
        first, second, transform = second, first, inverse(transform)
    area = min(area, first.area)
    cell, blur = (CELL, BLUR) if area >= SMALL_AREA else (SMALL_CELL, SMALL_BLUR)
    one, other = first.blurred(area, blur), second.blurred(area * 1.3, blur)
    plane, warped = np.asarray(one, np.float32), warp(other, transform, one.size)
    shown = covered(transform, one.size, cell, margin=0)
    plane, warped = _equal_tone(plane, warped, shown, cell)
    mean, other_mean = _square_means(plane, cell), _square_means(warped, cell)
    variance = _square_means(np.square(plane), cell) - np.square(mean)
    other_variance = _square_means(np.square(warped), cell) - np.square(other_mean)
    covariance = _square_means(plane * warped, cell) - mean * other_mean
    agreement = (2 * covariance + NOISE_VARIANCE) / (variance + other_variance + NOISE_VARIANCE)
    structured = np.maximum(variance, other_variance) > MIN_VARIANCE
    structured &= covered(transform, one.size, cell, margin=1.5 * cell + 1)[1:-1, 1:-1]
    different = int(np.count_nonzero(agreement[structured] < MIN_AGREEMENT))
    return Mismatch(different, different / max(1, int(structured.sum())))


def _square_means(plane: Plane, cell: int) -> Plane:
    """Return the means of squares of 3 x 3 cells."""
    cells = np.asarray(Image.fromarray(plane).reduce(cell), np.float32) if cell > 1 else plane
    rows = cells[:-2] + cells[1:-1] + cells[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _register(first: GrayImage, second: GrayImage, *, search: bool) -> tuple[Transform, float]:
    """Return the transform of two thumbnails and their correlation; a text may need a `search` for a crop."""
    coarse, correlation = refine(first, second, COARSE_LEVELS)
    found = [refine(first, second, FINE_LEVELS[:1], coarse if correlation > 0 else IDENTITY)]
    if search and found[0][1] < MIN_REGISTERED:
        found.append(refine(first, second, FINE_LEVELS[:1], search_crop(first, second)))
    return max(found, key=lambda one: one[1])


def _equal_tone(one: Plane, other: Plane, shown: NDArray[np.bool_], cell: int) -> tuple[Plane, Plane]:
    """Return both images with the brightness and contrast, and the clipped whites, of the brighter one.

    `shown` are the cells that are in both.
    """
    centers = slice(cell // 2, None, cell)
    height, width = one[centers, centers].shape
    shown = shown[:height, :width]
    gain, bias = _tone(one[centers, centers][shown], other[centers, centers][shown])
    if gain >= 1:
        one = np.clip(gain * one + bias, 0, 255)
    else:
        other = np.clip((other - bias) / gain, 0, 255)
    levels = one[centers, centers][shown]
    contrast = float(np.subtract(*np.percentile(levels, (99.5, 0.5)))) if len(levels) else 0.0
    stretch = max(1.0, FULL_CONTRAST / max(contrast, MIN_CONTRAST))
    return stretch * (one - 128), stretch * (other - 128)


def _aspect_ratio(one: GrayImage, other: GrayImage) -> float:
    """Return how many times longer one shape is than the other."""
    ratio = (one.size[0] * other.size[1]) / (one.size[1] * other.size[0])
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
