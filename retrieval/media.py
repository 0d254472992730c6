"""Open pictures: any allowed format, upright, RGB, no larger than they need to be."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from retrieval.archives import open_place
from retrieval.colours import convert, is_needed
from retrieval.errors import ExtraMissing, MediaError
from retrieval.forms import HEAD, MARKS, form_of, why_unknown
from retrieval.jxl import open_jxl
from retrieval.psd import open_psd
from retrieval.raw import open_raw
from retrieval.rescue import load, open_webp
from retrieval.svg import open_svg

# What Pillow may open by itself: no EPS, which runs programs, and nothing that begins with no mark.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF"),
    *("JPEG2000", "PPM", "ICO", "CUR"),
)
MAX_PIXELS = 178_000_000  # a 20 KB PNG can unpack to gigabytes; Pillow itself stops a little above
MAX_BYTES = 500_000_000  # of a file that its decoder reads whole
LARGE = 40_000_000  # pixels; only one such picture is decoded at a time
_one_large = Lock()
CRYPTIC = re.compile(r"(decoder|encoder|codec) error -|cannot load this|could not create|failed to read next")
SHORT = 80  # letters of what a decoder says
BAND = 4_000_000  # pixels that are converted together
DEEP = 65_535.0  # the most that 16 bits hold
DIM = 8_192  # the most that is in a picture of 12 or 13 bits, which would be dark among 16
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
    source: Path | BinaryIO,
    *,
    near: int | None = None,
    longer: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Decode a picture to upright RGB; raises MediaError with a reason a person understands.

    `near` allows it to be decoded at a scale at which both sides still have that many pixels, and the
    longer side `longer`. Raises ExtraMissing where the decoder of a format is not installed.
    """
    with opened(source, max_pixels=max_pixels) as picture:
        return decode(picture, near=near, longer=longer)


@contextmanager
def opened(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture: what it says of itself is read, its pixels hardly. Raises as `open_picture` does."""
    try:
        given = open_place(source) if isinstance(source, Path) else nullcontext(source)
    except FileNotFoundError as error:
        raise MediaError("not there") from error
    except OSError as error:
        raise MediaError(error.strerror or str(error)) from error
    with given as file:
        with _reasons(file, max_pixels):
            picture = _open(file, max_pixels)
        with picture:
            if picture.width * picture.height > max_pixels:
                raise MediaError(
                    f"{picture.width} x {picture.height} pixels, more than the limit of {max_pixels:,}"
                )
            yield picture


def decode(picture: Image.Image, *, near: int | None = None, longer: int = 0) -> Image.Image:
    """Return the pixels of a picture that is open, or of the frame it is at: upright, sRGB."""
    scale = None
    with _reasons(None, MAX_PIXELS):
        if near is not None:
            least, most = near, max(near, longer)
            scale = (most, least) if picture.width > picture.height else (least, most)
            picture.draft("RGB", scale)
        with _one_large if picture.width * picture.height > LARGE else nullcontext():
            return upright(_in_srgb(load(picture, scale), near, longer), picture)


def _open(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a file by what its first bytes say it is."""
    form = form_of(file)
    picture = None
    if form in ("RAW", "TIFF"):
        picture = open_raw(file, max_pixels)
    elif form == "PSD":
        picture = open_psd(file, max_pixels)
    elif form == "SVG":
        picture = open_svg(file)
    elif form == "JXL":
        _check_size(file)
        picture = open_jxl(file, max_pixels)
    elif form == "HEIF":
        from pi_heif.as_plugin import HeifImageFile  # heavy; it turns the picture and its EXIF says so

        _check_size(file)
        picture = HeifImageFile(file)
    if picture is not None:
        return picture
    file.seek(0)
    if form in ("AVIF", "WEBP"):
        _check_size(file)
    if form == "WEBP":
        return _open_webp(file, max_pixels)
    return Image.open(file, formats=(form,) if form in ("AVIF", "PSD", "TGA") else FORMATS)


def _open_webp(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a WebP; of one that is cut short, which its decoder refuses, what is there."""
    try:
        return Image.open(file, formats=("WEBP",))
    except Image.DecompressionBombError:
        raise
    except Exception:
        left = open_webp(file, max_pixels)
        if left is None:
            raise
        return left


def _check_size(file: BinaryIO) -> None:
    """Raise MediaError where a file is too large to be held in memory."""
    if file.seek(0, 2) > MAX_BYTES:
        raise MediaError(f"more than the limit of {MAX_BYTES:,} bytes")
    file.seek(0)


@contextmanager
def _reasons(file: BinaryIO | None, max_pixels: int) -> Iterator[None]:
    """Turn what decoders raise into MediaError."""
    try:
        yield
    except (MediaError, ExtraMissing):
        raise
    except UnidentifiedImageError as error:
        raise MediaError(_unknown(file)) from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"more pixels than the limit of {max_pixels:,}") from error
    except MemoryError as error:
        raise MediaError("it needs more memory than there is") from error
    except Exception as error:  # decoders of broken files raise nearly anything
        raise MediaError(f"damaged: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return what a decoder says, where a person can make something of it."""
    text = " ".join(str(error).split())
    if text.startswith("Generic Error"):  # and on how its decoder is built
        return "its data cannot be decoded"
    if text.startswith("image file is truncated"):
        return "it breaks off, and too little of it is there"
    if isinstance(error, OSError | SyntaxError | ValueError) and text and not CRYPTIC.match(text):
        return text
    return f"its data cannot be decoded ({text[:SHORT] or type(error).__name__})"


def _in_srgb(picture: Image.Image, near: int | None, longer: int) -> Image.Image:
    """Return RGB in the colours that screens show; what must be converted is first made smaller."""
    profile = picture.info.get("icc_profile")
    if picture.mode in ("CMYK", "LAB"):
        return to_rgb(convert(_smaller(picture, near), profile))
    plain = _in_bands(picture, near, longer)
    if profile and picture.mode not in ("L", "LA", "1", "I", "F") and is_needed(plain, profile):
        return convert(_smaller(plain, near), profile)
    return plain


def _in_bands(picture: Image.Image, near: int | None, longer: int) -> Image.Image:
    """Return RGB; a large picture, of which no more is needed, is made smaller as it is converted."""
    factor = 1 if near is None else min(min(picture.size) // near, max(picture.size) // max(near, longer))
    if factor <= 1 or picture.width * picture.height <= LARGE:
        return to_rgb(picture)
    span = _span(picture) if _is_deep(picture) else None
    small = Image.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    step = factor * max(1, BAND // (factor * picture.width))
    for top in range(0, picture.height, step):
        band = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        small.paste(to_rgb(band, span).reduce(factor), (0, top // factor))
    return small


def _smaller(picture: Image.Image, near: int | None) -> Image.Image:
    """Return the picture at a whole fraction of its size at which both sides have `near` pixels."""
    factor = 1 if near is None else min(picture.size) // near
    return picture.reduce(factor) if factor > 1 else picture


def to_rgb(picture: Image.Image, span: tuple[float, float] | None = None) -> Image.Image:
    """Return RGB: transparency on white, CMYK and palettes converted, 16 bits and floats scaled to 8.

    Of what is scaled, `span` becomes black and white, else its own.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy() if picture.readonly else picture
    if _is_deep(picture):
        return _from_deep(picture, span or _span(picture))
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


def _is_deep(picture: Image.Image) -> bool:
    """Say whether the numbers of a picture are larger than bytes."""
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def _bands(picture: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the rows of a deep picture, a few at a time, each with the number of its first."""
    step = max(1, BAND // max(1, picture.width))
    for top in range(0, picture.height, step):
        band = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        yield top, np.asarray(band).astype(np.float32)


def _span(picture: Image.Image) -> tuple[float, float]:
    """Return what is black and white of a deep picture: the range of its type, or its own."""
    least, most, finite = np.inf, -np.inf, picture.mode != "F"
    for _, band in _bands(picture):
        known = band if finite else band[np.isfinite(band)]
        least, most = min(least, known.min(initial=np.inf)), max(most, known.max(initial=-np.inf))
    if least > most:  # no number in it
        return 0.0, 1.0
    if picture.mode == "F" or least < 0 or most > DEEP or 255 < most < DIM:
        return float(least), float(most)
    return 0.0, 255.0 if picture.mode == "I" and most <= 255 else DEEP


def _from_deep(picture: Image.Image, span: tuple[float, float]) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits."""
    low, high = span
    grey = np.empty((picture.height, picture.width), np.uint8)
    for top, band in _bands(picture):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (band - low) * (255.0 / max(high - low, 1e-12))
        grey[top : top + len(band)] = np.clip(np.nan_to_num(scaled), 0, 255)
    return Image.fromarray(grey).convert("RGB")


def _unknown(file: BinaryIO | None) -> str:
    """Say why no decoder took the file."""
    if file is None:
        return "damaged: it goes on as no picture"
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(MARKS["TIFF"]) and _is_odd_tiff(file):
        return "a TIFF of a kind clew does not read"
    return why_unknown(head)


def _is_odd_tiff(file: BinaryIO) -> bool:
    """Say whether a TIFF that cannot be opened is whole, but coded in a way that is rare."""
    try:
        TiffImageFile(file)
    except SyntaxError as error:
        return "unknown" in str(error) or isinstance(error.__cause__, KeyError)
    except Exception:  # whatever else is wrong with it
        return False
    return True
