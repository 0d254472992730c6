"""Open pictures: any allowed format, upright, RGB, no larger than they need to be."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives.archive import open_path
from retrieval.media.images.jpeg_xl import open_jxl
from retrieval.media.images.pixels import (
    LARGE_IMAGE_PIXELS,
    apply_exif_orientation,
    to_reduced_srgb,
)
from retrieval.media.images.psd import open_psd
from retrieval.media.images.raw import open_raw
from retrieval.media.images.signatures import HEADER_BYTES, SIGNATURES, detect_format, unreadable_reason
from retrieval.media.images.svg import open_svg
from retrieval.media.images.truncated import load_partial, open_partial_webp
from retrieval.media.limits import check_pixel_limit
from retrieval.quiet import ignore_pillow_warnings

# What Pillow may open by itself: no EPS, which runs programs, and nothing that begins with no mark.
PILLOW_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF"),
    *("JPEG2000", "PPM", "ICO", "CUR"),
)
MAX_PIXELS = 178_000_000  # a 20 KB PNG can unpack to gigabytes; Pillow itself stops a little above
MAX_IN_MEMORY_BYTES = 500_000_000  # of a file that its decoder reads whole
_large_image_lock = Lock()
UNHELPFUL_MESSAGE = re.compile(
    r"(decoder|encoder|codec) error -|cannot load this|could not create|failed to read next"
)
MAX_MESSAGE_LENGTH = 80  # letters of what a decoder says

ignore_pillow_warnings()


def load_image(
    source: Path | BinaryIO,
    *,
    min_side: int | None = None,
    min_long_side: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Decode a picture to upright RGB; raises MediaError with a reason a person understands.

    `near` allows it to be decoded at a scale at which both sides still have that many pixels, and the
    longer side `longer`. Raises ExtraMissing where the decoder of a format is not installed.
    """
    with open_image(source, max_pixels=max_pixels) as picture:
        return decode_image(picture, min_side=min_side, min_long_side=min_long_side)


@contextmanager
def open_image(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture: what it says of itself is read, its pixels hardly. Raises as `open_picture` does."""
    try:
        given = open_path(source) if isinstance(source, Path) else nullcontext(source)
    except FileNotFoundError as error:
        raise MediaError("not there") from error
    except OSError as error:
        raise MediaError(error.strerror or str(error)) from error
    with given as file:
        with _translate_errors(file, max_pixels):
            picture = _open_by_format(file, max_pixels)
        with picture:
            check_pixel_limit(picture.width, picture.height, max_pixels)
            yield picture


def decode_image(image: Image.Image, *, min_side: int | None = None, min_long_side: int = 0) -> Image.Image:
    """Return the pixels of a picture that is open, or of the frame it is at: upright, sRGB."""
    scale = None
    with _translate_errors(None, MAX_PIXELS):
        if min_side is not None:
            least, most = min_side, max(min_side, min_long_side)
            scale = (most, least) if image.width > image.height else (least, most)
            image.draft("RGB", scale)
        with _large_image_lock if image.width * image.height > LARGE_IMAGE_PIXELS else nullcontext():
            return apply_exif_orientation(
                to_reduced_srgb(load_partial(image, scale), min_side, min_long_side), image
            )


def _open_by_format(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a file by what its first bytes say it is."""
    form = detect_format(file)
    picture = None
    if form in ("RAW", "TIFF"):
        picture = open_raw(file, max_pixels)
    elif form == "PSD":
        picture = open_psd(file, max_pixels)
    elif form == "SVG":
        picture = open_svg(file)
    elif form == "JXL":
        _check_file_size(file)
        picture = open_jxl(file, max_pixels)
    elif form == "HEIF":
        from pi_heif.as_plugin import HeifImageFile  # heavy; it turns the picture and its EXIF says so

        _check_file_size(file)
        picture = HeifImageFile(file)
    if picture is not None:
        return picture
    file.seek(0)
    if form in ("AVIF", "WEBP"):
        _check_file_size(file)
    if form == "WEBP":
        return _open_webp(file, max_pixels)
    return Image.open(file, formats=(form,) if form in ("AVIF", "PSD", "TGA") else PILLOW_FORMATS)


def _open_webp(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a WebP; of one that is cut short, which its decoder refuses, what is there."""
    try:
        return Image.open(file, formats=("WEBP",))
    except Image.DecompressionBombError:
        raise
    except Exception:
        left = open_partial_webp(file, max_pixels)
        if left is None:
            raise
        return left


def _check_file_size(file: BinaryIO) -> None:
    """Raise MediaError where a file is too large to be held in memory."""
    if file.seek(0, 2) > MAX_IN_MEMORY_BYTES:
        raise MediaError(f"more than the limit of {MAX_IN_MEMORY_BYTES:,} bytes")
    file.seek(0)


@contextmanager
def _translate_errors(file: BinaryIO | None, max_pixels: int) -> Iterator[None]:
    """Turn what decoders raise into MediaError."""
    try:
        yield
    except (MediaError, ExtraMissing):
        raise
    except UnidentifiedImageError as error:
        raise MediaError(_unidentified_reason(file)) from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"more pixels than the limit of {max_pixels:,}") from error
    except MemoryError as error:
        raise MediaError("it needs more memory than there is") from error
    except Exception as error:  # decoders of broken files raise nearly anything
        raise MediaError(f"damaged: {_decoder_message(error)}") from error


def _decoder_message(error: Exception) -> str:
    """Return what a decoder says, where a person can make something of it."""
    text = " ".join(str(error).split())
    if text.startswith("Generic Error"):  # and on how its decoder is built
        return "its data cannot be decoded"
    if text.startswith("image file is truncated"):
        return "it breaks off, and too little of it is there"
    if isinstance(error, OSError | SyntaxError | ValueError) and text and not UNHELPFUL_MESSAGE.match(text):
        return text
    return f"its data cannot be decoded ({text[:MAX_MESSAGE_LENGTH] or type(error).__name__})"


def _unidentified_reason(file: BinaryIO | None) -> str:
    """Say why no decoder took the file."""
    if file is None:
        return "damaged: it goes on as no picture"
    file.seek(0)
    head = file.read(HEADER_BYTES)
    file.seek(0)
    if head.startswith(SIGNATURES["TIFF"]) and _is_unsupported_tiff(file):
        return "a TIFF of a kind clew does not read"
    return unreadable_reason(head)


def _is_unsupported_tiff(file: BinaryIO) -> bool:
    """Say whether a TIFF that cannot be opened is whole, but coded in a way that is rare."""
    try:
        TiffImageFile(file)
    except SyntaxError as error:
        return "unknown" in str(error) or isinstance(error.__cause__, KeyError)
    except Exception:  # whatever else is wrong with it
        return False
    return True
