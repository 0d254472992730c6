"""Load image files of the supported formats as upright sRGB, reduced to the size that is needed."""

import fcntl
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives.archive import open_path
from retrieval.media.images.jpeg import JPEG_FORMATS, check_jpeg, draft_size, open_jpeg
from retrieval.media.images.jpeg_xl import open_jxl
from retrieval.media.images.pixels import apply_exif_orientation, to_reduced_srgb
from retrieval.media.images.raw import open_raw
from retrieval.media.images.signatures import HEADER_BYTES, SIGNATURES, detect_format, unreadable_reason
from retrieval.media.images.truncated import load_partial, open_partial_webp
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits, check_pixel_limit
from retrieval.quiet import ignore_pillow_warnings

# Left out: EPS, which runs programs, and formats without a signature.
PILLOW_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF"),
    *("JPEG2000", "PPM", "ICO", "CUR"),
)
_large_image_lock = Lock()
UNHELPFUL_MESSAGE = re.compile(
    r"(decoder|encoder|codec) error -|cannot load this|could not create|failed to read next"
)
MAX_MESSAGE_LENGTH = 80  # characters of a decoder message

ignore_pillow_warnings()


def load_image(
    source: Path | BinaryIO,
    *,
    min_side: int | None = None,
    min_long_side: int = 0,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Image.Image:
    """Return an image as upright sRGB; raises MediaError, and ExtraMissing without an optional decoder.

    With `min_side`, the image may be decoded at a smaller scale: both sides keep at least that many pixels,
    and the longer side `min_long_side`.
    """
    with open_image(source, limits) as image:
        return decode_image(image, limits, min_side=min_side, min_long_side=min_long_side)


@contextmanager
def open_image(source: Path | BinaryIO, limits: DecodeLimits = DEFAULT_LIMITS) -> Iterator[Image.Image]:
    """Open an image and read its metadata, without its pixels; raises MediaError and ExtraMissing."""
    try:
        opened = open_path(source, limits) if isinstance(source, Path) else nullcontext(source)
    except FileNotFoundError as error:
        raise MediaError("file not found") from error
    except OSError as error:
        raise MediaError(error.strerror or str(error)) from error
    with opened as file:
        with _translate_errors(file, limits.max_image_pixels):
            image = _open_by_format(file, limits)
        with image:
            opened_file = getattr(image, "fp", None)
            if opened_file is not None and image.format in JPEG_FORMATS:
                check_jpeg(opened_file, image.width, image.height, limits)
            else:
                check_pixel_limit(image.width, image.height, limits.max_image_pixels)
            yield image


def decode_image(
    image: Image.Image,
    limits: DecodeLimits = DEFAULT_LIMITS,
    *,
    min_side: int | None = None,
    min_long_side: int = 0,
) -> Image.Image:
    """Return the current frame of an open image as upright sRGB.

    A JPEG of more pixels than the limit is decoded at a smaller scale, also without `min_side`.
    """
    with _translate_errors(None, limits.max_image_pixels):
        size = draft_size(image, min_side, min_long_side, limits.max_image_pixels)
        if size is not None:
            image.draft("RGB", size)
        check_pixel_limit(image.width, image.height, limits.max_image_pixels)
        is_large = image.width * image.height > limits.large_image_pixels
        with _one_large_image() if is_large else nullcontext():
            loaded = load_partial(image, size)
            return apply_exif_orientation(to_reduced_srgb(loaded, min_side, min_long_side, limits), image)


@contextmanager
def _one_large_image() -> Iterator[None]:
    """Wait until no other thread or process decodes a large image; the wait is not timed."""
    seconds, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # of the sandbox, if this is a subprocess
    with _large_image_lock, Path(__file__).open("rb") as lock_file:
        with suppress(OSError):  # a network file system without locks
            fcntl.flock(lock_file, fcntl.LOCK_EX)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield


def _open_by_format(file: BinaryIO, limits: DecodeLimits) -> Image.Image:
    """Open a file in the format of its signature."""
    format_, max_pixels = detect_format(file), limits.max_image_pixels
    if format_ in ("JXL", "HEIF", "AVIF", "WEBP"):
        _check_file_size(file, limits.max_image_file_bytes)
    image = None
    if format_ in ("RAW", "TIFF"):
        image = open_raw(file, max_pixels)
    elif format_ == "PSD":
        from retrieval.media.images.psd import open_psd  # late, for numpy

        image = open_psd(file, max_pixels)
    elif format_ == "SVG":
        from retrieval.media.images.svg import open_svg

        image = open_svg(file, limits)
    elif format_ == "JXL":
        image = open_jxl(file, max_pixels)
    elif format_ == "HEIF":
        from pi_heif.as_plugin import HeifImageFile  # heavy; it turns the image and updates the EXIF

        image = HeifImageFile(file)
    elif format_ == "JPEG":
        image = open_jpeg(file)
    if image is not None:
        return image
    file.seek(0)
    if format_ == "WEBP":
        return _open_webp(file, max_pixels)
    return Image.open(file, formats=(format_,) if format_ in ("AVIF", "TGA") else PILLOW_FORMATS)


def _open_webp(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Open a WebP; a truncated file, which its decoder rejects, is read as far as possible."""
    try:
        return Image.open(file, formats=("WEBP",))
    except Image.DecompressionBombError:
        raise
    except Exception:
        partial = open_partial_webp(file, max_pixels)
        if partial is None:
            raise
        return partial


def _check_file_size(file: BinaryIO, max_bytes: int) -> None:
    """Raise MediaError if a file is too large to be read at once."""
    if file.seek(0, 2) > max_bytes:
        raise MediaError(f"more than the limit of {max_bytes:,} bytes")
    file.seek(0)


@contextmanager
def _translate_errors(file: BinaryIO | None, max_pixels: int) -> Iterator[None]:
    """Translate the errors of decoders to MediaError."""
    try:
        yield
    except (MediaError, ExtraMissing):
        raise
    except UnidentifiedImageError as error:
        raise MediaError(_unidentified_reason(file)) from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"more pixels than the limit of {max_pixels:,}") from error
    except MemoryError as error:
        raise MediaError("it needs too much memory") from error
    except Exception as error:  # decoders raise various errors for damaged files
        raise MediaError(f"damaged: {_decoder_message(error)}") from error


def _decoder_message(error: Exception) -> str:
    """Return the message of a decoder if it is helpful, else a general one."""
    text = " ".join(str(error).split())
    if text.startswith("Generic Error"):  # followed by the build options of the decoder
        return "its data cannot be decoded"
    if text.startswith("image file is truncated"):
        return "truncated, and too little of it remains"
    if isinstance(error, OSError | SyntaxError | ValueError) and text and not UNHELPFUL_MESSAGE.match(text):
        return text
    return f"its data cannot be decoded ({text[:MAX_MESSAGE_LENGTH] or type(error).__name__})"


def _unidentified_reason(file: BinaryIO | None) -> str:
    """Return why no decoder accepts a file."""
    if file is None:
        return "damaged: not a valid image"
    file.seek(0)
    head = file.read(HEADER_BYTES)
    file.seek(0)
    if head.startswith(SIGNATURES["TIFF"]) and _is_unsupported_tiff(file):
        return "a TIFF with an encoding that clew does not read"
    return unreadable_reason(head)


def _is_unsupported_tiff(file: BinaryIO) -> bool:
    """Return True if a TIFF is intact, but has an encoding that Pillow does not read."""
    try:
        TiffImageFile(file)
    except SyntaxError as error:
        return "unknown" in str(error) or isinstance(error.__cause__, KeyError)
    except Exception:  # the file is damaged
        return False
    return True
