"""Register two images of one scene, which may be cropped, resized, brightened or rotated a little.

A transform maps the coordinates of the first image to those of the second, both from -1 to 1.
"""

from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Transform: TypeAlias = NDArray[np.float64]  # (2, 3)
Plane: TypeAlias = NDArray[np.float32]  # gray levels, (h, w)
Steps: TypeAlias = tuple[tuple[int, int, bool], ...]  # side in pixels, iterations, affine

IDENTITY: Transform = np.eye(2, 3)
COARSE_LEVELS: Steps = ((24, 10, False), (48, 6, False), (96, 5, True))
FINE_LEVELS: Steps = ((192, 8, True), (384, 6, True), (768, 4, True))
MIN_OVERLAP = 0.6  # of the points of the first image
MIN_STEP = 0.03  # pixels; a smaller one ends the iteration
MAX_POINTS = 4_000  # of a level, with the steepest edges
EDGE_SHARE = 4  # times as many points are steep, of which every fourth is used
PROFILE_LENGTH = 512  # of the edges along each axis, by which a crop is found
PROFILE_WINDOW = 31  # samples; slower changes are shades
SEARCHED_SCALES = np.concatenate([1.01 ** -np.arange(1, 13.0)[::-1], 1.01 ** np.arange(13.0)])
MAX_SHIFT = 0.3  # of a side


class Level(NamedTuple):
    """An image in one size, and its points with the steepest edges."""

    plane: Plane
    points: NDArray[np.float32]  # (2, n), x and y from -1 to 1
    values: NDArray[np.float32]  # (n,)
    jacobian: NDArray[np.float32]  # (6, n), the change of the values with the transform


class GrayImage:
    """A gray image in several sizes, each made on first use."""

    def __init__(self, image: Image.Image) -> None:
        self.image, self.size = image, image.size
        self.area = image.width * image.height
        self._levels = dict[int, Level]()
        self._blurred = dict[tuple[tuple[int, int], float], Image.Image]()

    def level(self, side: int) -> Level:
        """Return the image with at most side x side pixels."""
        level = self._levels.get(side)
        if level is None:
            size = fit_size(self.size, side * side)
            level = self._levels[side] = _make_level(np.asarray(scaled(self.image, size), np.float32))
        return level

    def blurred(self, area: float, blur: float) -> Image.Image:
        """Return the image with at most this area, blurred by these pixels."""
        size = fit_size(self.size, area)
        blurred = self._blurred.get((size, blur))
        if blurred is None:
            if len(self._blurred) > 1:
                self._blurred.clear()
            small = scaled(self.image, size).filter(ImageFilter.GaussianBlur(blur))
            blurred = self._blurred[size, blur] = small.convert("F")
        return blurred

    def edges(self) -> Image.Image:
        """Return how much each pixel differs from the next ones."""
        plane = np.asarray(self.image, np.float32)
        edges = np.zeros_like(plane)
        edges[:-1] += np.abs(np.diff(plane, axis=0))
        edges[:, :-1] += np.abs(np.diff(plane, axis=1))
        return Image.fromarray(edges)

    @cached_property
    def profiles(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the edges are across and down, each (PROFILE_LENGTH,), without slow changes."""
        size = PROFILE_LENGTH, PROFILE_LENGTH
        plane = np.asarray(self.image.resize(size, Image.Resampling.BILINEAR), np.float32)
        down, across = np.abs(np.diff(plane, axis=0)), np.abs(np.diff(plane, axis=1))
        return _details(across.mean(axis=0)), _details(down.mean(axis=1))


def fit_size(size: tuple[int, int], area: float) -> tuple[int, int]:
    """Return a size of the same shape and at most this area, at least 16 pixels a side."""
    scale = min(1.0, (area / (size[0] * size[1])) ** 0.5)
    return max(16, round(size[0] * scale)), max(16, round(size[1] * scale))


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image in another size."""
    if image.size == size:
        return image
    smaller = size[0] <= image.width and size[1] <= image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)


def inverse(transform: Transform) -> Transform:
    """Return the transform from the second image to the first."""
    return np.asarray(np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2])


def warp(image: Image.Image, transform: Transform, size: tuple[int, int]) -> Plane:
    """Return the second image, of mode F, as the first sees it, 0 where it has no pixels."""
    (a, b, c), (d, e, f) = transform.tolist()
    half_width, half_height = image.width / 2, image.height / 2
    data = (
        *(2 * half_width * a / size[0], 2 * half_width * b / size[1], half_width * (c - a - b + 1)),
        *(2 * half_height * d / size[0], 2 * half_height * e / size[1], half_height * (f - d - e + 1)),
    )
    warped = image.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(warped, np.float32)


def covered(transform: Transform, size: tuple[int, int], cell: int, margin: float) -> NDArray[np.bool_]:
    """Return which square cells of the first image, with a margin in pixels, the second covers."""
    x, y = ((2 * cell * np.arange(-(-side // cell)) + cell) / side - 1 for side in size)
    (a, b, c), (d, e, f) = transform.tolist()
    across = np.abs(a * x[None] + b * y[:, None] + c) <= 1 - 2 * margin / size[0] * (abs(a) + abs(b))
    down = np.abs(d * x[None] + e * y[:, None] + f) <= 1 - 2 * margin / size[1] * (abs(d) + abs(e))
    return np.asarray(across & down)


def refine(
    first: GrayImage, second: GrayImage, levels: Steps, transform: Transform = IDENTITY
) -> tuple[Transform, float]:
    """Return the transform and the correlation of the edges of two images, -1 if they hardly overlap.

    Gauss-Newton on a pyramid with the gradients of the first image: Lucas & Kanade, IJCAI 1981; Baker &
    Matthews, IJCV 2004.
    """
    correlation = -1.0
    largest = int(min(first.area, second.area) ** 0.5)
    for side, iterations, affine in levels:
        one, other = first.level(min(side, largest)), second.level(min(side, largest)).plane
        for iteration in range(iterations + 1):
            seen, inside = _sample(other, transform @ np.vstack([one.points, np.ones_like(one.values)]))
            if inside.mean() < MIN_OVERLAP:
                return transform, -1.0
            values = one.values[inside]
            errors = _standardized(values) - _standardized(seen[inside])
            correlation = 1 - float(np.square(errors).mean()) / 2
            if iteration == iterations:
                break
            jacobian = one.jacobian[: 6 if affine else 4, inside] / (values.std() + 1e-3)
            step = _gauss_newton_step(jacobian, errors)
            transform = transform @ step
            if np.abs(step - np.eye(3)).max() * max(one.plane.shape) / 2 < MIN_STEP:
                break
    return transform, correlation


def search_crop(first: GrayImage, second: GrayImage) -> Transform:
    """Return the transform of the best scale and shift, by correlation of the profiles of the edges."""
    shape_ratio = (first.size[0] * second.size[1] / (first.size[1] * second.size[0])) ** 0.5
    scales = SEARCHED_SCALES * shape_ratio, SEARCHED_SCALES / shape_ratio
    matches = [
        _match_profiles(one, other, scale)
        for one, other, scale in zip(first.profiles, second.profiles, scales, strict=True)
    ]
    best = int((matches[0][0] + matches[1][0]).argmax())
    (across, x), (down, y) = (
        (scale[best], shift[best]) for scale, (_, shift) in zip(scales, matches, strict=True)
    )
    return np.array([[across, 0, -across * x], [0, down, -down * y]])


def _match_profiles(
    one: NDArray[np.float64], other: NDArray[np.float64], scales: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each scale the best correlation of two profiles, and the shift that has it."""
    length = 4 * PROFILE_LENGTH
    at = (2 * np.arange(PROFILE_LENGTH) + 1) / PROFILE_LENGTH - 1
    wide = np.arange(-PROFILE_LENGTH, PROFILE_LENGTH)  # samples from the center
    scaled_others = np.interp(scales[:, None] * (2 * wide + 1) / PROFILE_LENGTH, at, other, 0, 0)
    spectrum = np.fft.rfft(one, length) * np.conj(np.fft.rfft(scaled_others, length))
    matches = np.fft.irfft(spectrum, length)
    most = int(MAX_SHIFT * PROFILE_LENGTH)
    shifts = np.arange(-most, most + 1)
    matches = matches[:, (shifts - PROFILE_LENGTH // 2) % length]  # the other begins half a length before
    norms = np.sqrt(np.square(scaled_others).sum(axis=1) * np.square(one).sum()) + 1e-9
    best = matches.argmax(axis=1)
    return matches.max(axis=1) / norms, 2 * shifts[best] / PROFILE_LENGTH


def _details(profile: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a profile of PROFILE_LENGTH without its slow changes."""
    padded = np.pad(profile.astype(np.float64), (1, 0), mode="edge")
    window = np.ones(PROFILE_WINDOW)
    mean = np.convolve(padded, window, "same") / np.convolve(np.ones_like(padded), window, "same")
    return np.asarray(padded - mean)


def _make_level(plane: Plane) -> Level:
    height, width = plane.shape
    down, across = np.gradient(plane)
    slope = np.minimum(np.abs(down) + np.abs(across), 255).astype(np.uint8)
    slope[[0, -1]] = slope[:, [0, -1]] = 0
    steeper = np.bincount(slope.ravel(), minlength=256)[::-1].cumsum()[::-1]  # pixels at least that steep
    wanted = min(EDGE_SHARE * MAX_POINTS, plane.size // 2)
    chosen = np.flatnonzero(slope.ravel() >= np.flatnonzero(steeper >= wanted).max())
    chosen = chosen[:: max(1, len(chosen) // MAX_POINTS)]
    y, x = np.divmod(chosen, width)
    x, y = ((2 * x + 1) / width - 1).astype(np.float32), ((2 * y + 1) / height - 1).astype(np.float32)
    across, down = across.ravel()[chosen] * (width / 2), down.ravel()[chosen] * (height / 2)
    jacobian = np.stack([across * x, across, down * y, down, across * y, down * x])
    return Level(plane, np.stack([x, y]), plane.ravel()[chosen], jacobian)


def _sample(plane: Plane, points: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the values of an image at points, and which points are inside."""
    height, width = plane.shape
    x = ((points[0] + 1) * (width / 2) - 0.5).astype(np.float32)
    y = ((points[1] + 1) * (height / 2) - 0.5).astype(np.float32)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = np.clip(x.astype(np.int32), 0, width - 2), np.clip(y.astype(np.int32), 0, height - 2)
    x, y = x - left, y - top
    flat, at = plane.ravel(), top * width + left
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + width] * (1 - x) + flat[at + width + 1] * x
    return upper * (1 - y) + lower * y, inside


def _gauss_newton_step(jacobian: NDArray[np.floating], errors: NDArray[np.float32]) -> Transform:
    """Return the step that reduces the errors, (3, 3), with weights against outliers."""
    weighted = jacobian / (1 + np.square(errors))
    # einsum, because threads of BLAS cost more than these small products
    products = np.einsum("in,jn->ij", weighted, jacobian) + 1e-2 * np.eye(len(jacobian))
    solution = np.linalg.solve(products, np.einsum("in,n->i", weighted, errors))
    a, c, e, f, b, d = (*solution.tolist(), 0.0, 0.0)[:6]
    return np.array([[1 + a, b, c], [d, 1 + e, f], [0, 0, 1]])


def _standardized(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((values - values.mean()) / (values.std() + 1e-3), np.float32)
