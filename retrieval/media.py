"""Open pictures: any allowed format, upright, RGB, no larger than they need to be."""

import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from retrieval.archives import archive_of, open_place
from retrieval.errors import MediaError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF")
MAX_PIXELS = 178_000_000  # a 20 KB PNG can unpack to gigabytes; Pillow itself stops a little above
LARGE = 40_000_000  # pixels; only one such picture is decoded at a time
_one_large = Lock()
MARKS = {  # how a file of each format begins
    "JPEG": (b"\xff\xd8",),
    "PNG": (b"\x89PNG",),
    "GIF": (b"GIF8",),
    "WebP": (b"RIFF",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
WHITE = (255, 255, 255)
TURNS = {  # EXIF orientation -> what sets it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns from half its own limit on; ours is the check in `open_picture`.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# What Pillow thinks of a file's metadata is no news to the person; a file that fails is reported.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def open_picture(
    source: Path | BinaryIO, *, near: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a picture to upright RGB; raises MediaError with a reason a person understands.

    `near` allows a JPEG to be decoded at a scale at which both sides still have that many pixels.
    """
    if isinstance(source, Path) and archive_of(os.fsencode(source)):
        with open_place(source) as file:
            return open_picture(file, near=near, max_pixels=max_pixels)
    try:
        with Image.open(source, formats=FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                raise MediaError(
                    f"{picture.width} x {picture.height} pixels, more than the limit of {max_pixels:,}"
                )
            if near is not None:
                picture.draft("RGB", (near, near))
            with _one_large if picture.width * picture.height > LARGE else nullcontext():
                picture.load()
                return upright(to_rgb(picture), picture)
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError(_unknown(source)) from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"more pixels than the limit of {max_pixels:,}") from error
    except FileNotFoundError as error:
        raise MediaError("not there") from error
    except Exception as error:  # decoders of broken files raise nearly anything
        raise MediaError(f"damaged: {str(error) or type(error).__name__}") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Return RGB: transparency on white, CMYK and palettes converted, 16 bits and floats scaled to 8."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy() if picture.readonly else picture
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _from_deep(picture)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        page = Image.new("RGB", layer.size, WHITE)
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    return picture.convert("RGB")


def upright(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Turn the picture as the original's EXIF says, if it says so readably."""
    try:
        orientation = original.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF: the pixels are still good
        return picture
    turn = TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _from_deep(picture: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits: by the type's range, or by the picture's own."""
    grey = np.asarray(picture).astype(np.float32)
    low, high = 0.0, 65535.0
    if picture.mode == "F" or grey.min() < 0 or grey.max() > high:
        finite = grey[np.isfinite(grey)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    elif picture.mode == "I" and grey.max() <= 255:
        high = 255.0
    scaled = np.nan_to_num((grey - low) * (255.0 / max(high - low, 1e-12)))
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)).convert("RGB")


def _unknown(source: Path | BinaryIO) -> str:
    """Say why no decoder took the file."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            start = file.read(16)
    else:
        source.seek(0)
        start = source.read(16)
    if not start:
        return "empty file"
    for name, marks in MARKS.items():
        if start.startswith(marks):
            return f"damaged: it begins as {name} and goes on as no picture"
    if start[4:8] == b"ftyp":
        return f"of a format clew does not read ({start[8:12].decode('ascii', 'replace').strip()})"
    return f"not a picture: it begins with {start[:8]!r}"
