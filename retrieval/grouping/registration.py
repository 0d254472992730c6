"""Register two images of one scene, which may be cropped, resized, brightened or rotated a little.

A transform maps the coordinates of the first image to those of the second, both from -1 to 1.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Transform: TypeAlias = NDArray[np.float64]  # (2, 3)
Plane: TypeAlias = NDArray[np.float32]  # gray levels, (h, w)

IDENTITY: Transform = np.eye(2, 3)
COARSE_LEVELS = ((24, 10, False), (48, 6, False), (96, 5, False))  # side in pixels, iterations, affine
FINE_LEVELS = ((192, 8, True), (384, 6, True), (768, 4, True))
MIN_OVERLAP = 0.6  # of the first image
MIN_STEP = 0.03  # pixels; a smaller one ends the iteration
SEARCH_SIDE = 192  # pixels, of the search for a crop
CROP_STEP, CROP_STEPS = 0.01, 13  # scales that are searched


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


def warp(image: Image.Image, transform: Transform, size: tuple[int, int]) -> Plane:
    """Return the second image as the first sees it, 0 where it has no pixels."""
    (a, b, c), (d, e, f) = transform.tolist()
    half_width, half_height = image.width / 2, image.height / 2
    data = (
        *(2 * half_width * a / size[0], 2 * half_width * b / size[1], half_width * (c - a - b + 1)),
        *(2 * half_height * d / size[0], 2 * half_height * e / size[1], half_height * (f - d - e + 1)),
    )
    warped = image.convert("F").transform(size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(warped, np.float32)


def overlap(second: Image.Image, transform: Transform, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels of the first image the second covers."""
    return warp(Image.new("L", second.size, 1), transform, size) > 0.99


def refine(
    first: Image.Image,
    second: Image.Image,
    levels: tuple[tuple[int, int, bool], ...],
    transform: Transform = IDENTITY,
) -> tuple[Transform, float]:
    """Return the transform and the correlation of two gray images, -1 if they hardly overlap.

    Gauss-Newton on a pyramid: Lucas & Kanade, IJCAI 1981; Baker & Matthews, IJCV 2004.
    """
    correlation = -1.0
    for side, iterations, affine in levels:
        size = fit_size(first.size, side * side)
        plane, other = np.asarray(scaled(first, size), np.float32), scaled(second, size)
        for iteration in range(iterations + 1):
            mask = overlap(other, transform, size)
            mask[[0, -1]] = mask[:, [0, -1]] = False
            if mask.mean() < MIN_OVERLAP:
                return transform, -1.0
            warped = warp(other, transform, size)
            deviation = warped[mask].std() + 1e-3
            errors = _standardized(plane[mask]) - _standardized(warped[mask])
            correlation = 1 - float(np.square(errors).mean()) / 2
            if iteration == iterations:
                break
            step = _gauss_newton_step(warped / deviation, errors, mask, affine)
            transform = transform @ step
            if np.abs(step - np.eye(3)).max() * max(size) / 2 < MIN_STEP:
                break
    return transform, correlation


def search_crop(first: Image.Image, second: Image.Image) -> Transform:
    """Return the transform of the best scale and shift, by correlation of the details in Fourier space."""
    size = fit_size(first.size, SEARCH_SIDE**2)
    shape = tuple(1 << int(np.ceil(np.log2(side * 1.15))) for side in size[::-1])
    details = _details(scaled(first, size))
    spectrum = np.fft.rfft2(details, shape)
    ratios = second.width / first.width, second.height / first.height
    steps = 1 + CROP_STEP * np.arange(CROP_STEPS)
    best, transform = -1.0, IDENTITY
    for ratio in (*max(ratios) * steps, *min(ratios) / steps):
        width, height = (
            round(second.width / ratio * size[0] / first.width),
            round(second.height / ratio * size[1] / first.height),
        )
        if not (16 <= width <= shape[1] and 16 <= height <= shape[0]):
            continue
        other = _details(scaled(second, (width, height)))
        match = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(other, shape)), shape)
        score = float(match.max()) / float(np.sqrt(np.square(other).sum()) + 1e-9)
        if score > best:
            y, x = np.unravel_index(int(match.argmax()), shape)
            shift_y, shift_x = (
                int(at) - length * (int(at) > length // 2) for at, length in zip((y, x), shape, strict=True)
            )
            across, down = size[0] / width, size[1] / height
            best = score
            transform = np.array(
                [
                    [across, 0, across - 2 * shift_x / width - 1],
                    [0, down, down - 2 * shift_y / height - 1],
                ]
            )
    return transform


def _box_mean(plane: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Return the mean of the square around each pixel, of an odd side."""
    half = side // 2
    padded = np.pad(plane.astype(np.float64), ((half + 1, half), (half + 1, half)), mode="edge")
    total = padded.cumsum(axis=0).cumsum(axis=1)
    return np.asarray(
        (total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]) / side**2
    )


def _gauss_newton_step(warped: Plane, errors: Plane, mask: NDArray[np.bool_], affine: bool) -> Transform:
    """Return the step that reduces the errors, (3, 3), with weights against outliers."""
    height, width = warped.shape
    x, y = np.meshgrid(
        (2 * np.arange(width, dtype=np.float32) + 1) / width - 1,
        (2 * np.arange(height, dtype=np.float32) + 1) / height - 1,
    )
    down, across = np.gradient(warped)
    across, down = across * (width / 2), down * (height / 2)
    parts = [across * x, across, down * y, down] + ([across * y, down * x] if affine else [])
    jacobian = np.stack(parts)[:, mask]
    weighted = jacobian / (1 + np.square(errors))
    # einsum, because threads of BLAS cost more than these small products
    products = np.einsum("in,jn->ij", weighted, jacobian) + 1e-2 * np.eye(len(parts))
    solution = np.linalg.solve(products, np.einsum("in,n->i", weighted, errors))
    a, c, e, f, b, d = (*solution.tolist(), 0.0, 0.0)[:6]
    return np.array([[1 + a, b, c], [d, 1 + e, f], [0, 0, 1]])


def _standardized(values: Plane) -> Plane:
    return np.asarray((values - values.mean()) / (values.std() + 1e-3), np.float32)


def _details(image: Image.Image) -> NDArray[np.float64]:
    plane = np.asarray(image, np.float64)
    return plane - _box_mean(plane, 9)
