"""Load truncated images as far as possible: the rows before the end, or the first progressive scans.

Pillow's LOAD_TRUNCATED_IMAGES is global and does not tell how much is missing. Here the image is gray before
it is decoded, and rows that are still gray afterwards are missing.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from retrieval.media.images.jpeg import open_jpeg
from retrieval.media.limits import check_pixel_limit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAMAGE_KEY = "clew"  # in the `info` of an image: a note on the missing part
MIN_ROW_SHARE = 0.25  # of the rows must be decoded
MAX_FILE_BYTES = 100_000_000  # read into memory
PARTIAL_FORMATS = {
    "MPO": "JPEG",
    **{name: name for name in ("JPEG", "PNG", "GIF", "BMP", "PPM", "TGA", "TIFF")},
}
GRAY_VALUES: dict[str, Any] = {
    "L": 128,
    "P": 128,
    "LA": (128, 255),
    "RGB": (128, 128, 128),
    "YCbCr": (128, 128, 128),
    "RGBA": (128, 128, 128, 255),
    "CMYK": (0, 0, 0, 127),
    "I;16": 32_768,
}
BAND_ROWS = 64  # checked at a time
JPEG_EOI, JPEG_SOS, JPEG_SOF2 = b"\xff\xd9", b"\xff\xda", b"\xff\xc2"  # JPEG markers
VP8_START_CODE = b"\x9d\x01\x2a"  # in the VP8 header, before its size


def load_partial(image: Image.Image, draft_size: tuple[int, int] | None = None) -> Image.Image:
    """Return an image with its pixels; missing rows of a truncated image are gray, with a note in `info`.

    `draft_size` is the size with which `image.draft` was called. Raises the error of the decoder if too
    little can be decoded.
    """
    file = getattr(image, "fp", None)
    if file is not None and (image.format, image.mode) == ("TIFF", "1"):
        from retrieval.media.images.fax_tiff import is_fax

        if is_fax(image):
            return _load_fax(image, file)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        partial = None
        if file is not None and image.format in PARTIAL_FORMATS and not getattr(image, "tell", int)():
            partial = _decode_progressive(image, file, draft_size) or _decode_top_rows(
                image, file, draft_size
            )
        if partial is None:
            raise
        image.info[DAMAGE_KEY] = partial.info[DAMAGE_KEY]
        return partial
    return image


def _load_fax(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Return the current page of a TIFF with fax compression; raises OSError if too little is intact."""
    from retrieval.media.images.fax_tiff import decode_fax

    fax = decode_fax(image, file)
    loaded = Image.fromarray(fax.pixels)
    loaded.info.update(image.info)
    if fax.is_decoded.all():
        return loaded
    partial = _with_damage_note(loaded, int(fax.is_decoded.sum()))
    if partial is None:
        raise OSError("image file is truncated")
    image.info[DAMAGE_KEY] = partial.info[DAMAGE_KEY]
    return partial


def open_partial_webp(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return the decodable part of a truncated WebP; None if it is too small."""
    import av  # heavy, and only needed for damaged files

    file.seek(0)
    data = file.read(MAX_FILE_BYTES)
    chunk = data.find(b"VP8 ")  # of the image, or of the first frame
    start = chunk + 8
    if (
        chunk < 0 or data[start + 3 : start + 6] != VP8_START_CODE
    ):  # lossless WebP has no complete rows before its end
        return None
    width, height = (int.from_bytes(data[start + at : start + at + 2], "little") & 0x3FFF for at in (6, 8))
    check_pixel_limit(width, height, max_pixels)
    decoder: Any = av.CodecContext.create("vp8", "r")
    try:
        frames = [*decoder.decode(av.Packet(data[start:])), *decoder.decode(None)]
    except (av.FFmpegError, ValueError):
        return None
    if not frames:
        return None
    luma = frames[0].to_ndarray(format="yuv420p")[:height]
    is_decoded = luma.any(axis=1)  # decoders never write luma 0, the initial value of the memory
    pixels = frames[0].to_ndarray(format="rgb24")
    pixels[~is_decoded] = GRAY_VALUES["RGB"]
    return _with_damage_note(Image.fromarray(pixels), int(is_decoded.sum()))


def _decode_progressive(
    image: Image.Image, file: BinaryIO, draft_size: tuple[int, int] | None
) -> Image.Image | None:
    """Return a progressive JPEG from its scans before the end; None if no scan is complete."""
    if not image.info.get("progressive"):
        return None
    file.seek(0)
    data = file.read(MAX_FILE_BYTES)
    if data.count(JPEG_SOS, max(0, data.find(JPEG_SOF2))) < 2:
        return None
    partial: Image.Image = _reopen(BytesIO(data + JPEG_EOI), image, draft_size)
    try:
        partial.load()
    except (OSError, SyntaxError, ValueError):
        return None
    partial.info[DAMAGE_KEY] = "damaged: truncated, and less sharp than the original"
    return partial


def _decode_top_rows(
    image: Image.Image, file: BinaryIO, draft_size: tuple[int, int] | None
) -> Image.Image | None:
    """Return an image with the rows that can be decoded; None if they are too few or cannot be counted."""
    if image.info.get("progressive") or image.info.get("interlace"):
        return None
    partial = _reopen(file, image, draft_size)
    if partial.mode not in GRAY_VALUES:
        return None
    partial.im = Image.new(partial.mode, partial.size, GRAY_VALUES[partial.mode]).im
    try:
        partial.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        partial.tile = []
    partial.load()  # the palette
    is_decoded = _decoded_rows(partial)
    if partial.mode == "P":  # its palette may have no gray
        import numpy as np

        pixels = np.array(partial.convert("RGB"))
        pixels[~is_decoded] = GRAY_VALUES["RGB"]
        return _with_damage_note(Image.fromarray(pixels), int(is_decoded.sum()))
    return _with_damage_note(partial, int(is_decoded.sum()))


def _reopen(file: BinaryIO, image: Image.Image, draft_size: tuple[int, int] | None) -> Any:
    file.seek(0)
    format_ = PARTIAL_FORMATS[image.format or ""]
    reopened: Any = open_jpeg(file) if format_ == "JPEG" else Image.open(file, formats=(format_,))
    if draft_size is not None:
        reopened.draft("RGB", draft_size)
    return reopened


def _decoded_rows(image: Image.Image) -> "NDArray[np.bool_]":
    """Return which rows, (height,), are not entirely gray."""
    import numpy as np  # late: most images are intact

    gray = np.asarray(Image.new(image.mode, (1, 1), GRAY_VALUES[image.mode]))[0, 0]
    is_decoded = np.zeros(image.height, bool)
    for top in range(0, image.height, BAND_ROWS):
        band = np.asarray(image.crop((0, top, image.width, min(top + BAND_ROWS, image.height))))
        is_decoded[top : top + len(band)] = (band != gray).reshape(len(band), -1).any(axis=1)
    return is_decoded


def _with_damage_note(image: Image.Image, row_count: int) -> Image.Image | None:
    """Return an image with a note on its missing rows; None if it has too few."""
    if row_count < MIN_ROW_SHARE * image.height:
        return None
    percent = min(99, 100 * row_count // image.height)
    image.info[DAMAGE_KEY] = f"damaged: truncated, {percent} % of its rows are read"
    return image
