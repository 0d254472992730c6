"""Stand-in: what a picture looks like, and the camera it is of (the merger takes the other of this name)."""

import numpy as np
from PIL import Image

SIDE, KEPT = 32, 8
_rows = np.arange(SIDE)
DCT = np.cos(np.pi * (2 * _rows[None] + 1) * np.arange(KEPT)[:, None] / (2 * SIDE))  # (8, 32)


def looks(picture: Image.Image) -> bytes:
    """Return the 64-bit perceptual hash of a picture: the signs of its lowest frequencies."""
    grey = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    low = (DCT @ grey @ DCT.T).round(6)
    return np.packbits(low > np.median(low.ravel()[1:])).tobytes()


def sharpness(picture: Image.Image) -> float:
    """Return the variance of the Laplacian of the grey picture."""
    grey = np.asarray(picture.convert("L"), np.float64)
    if min(grey.shape) < 3:
        return 0.0
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(inner.var())


def camera(picture: Image.Image) -> str | None:
    """Return make and model as the EXIF says."""
    exif = picture.getexif()
    said = " ".join(str(exif.get(tag, "")).strip(" \0") for tag in (0x010F, 0x0110)).strip()
    return said or None
