"""Render an image or a page of a PDF as WebP for a screen, in a sandboxed subprocess."""

from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from PIL.Image import Image

WEBP_QUALITY = 85
WEBP_EFFORT = 2  # 0 to 6; a person waits


def render_image(file: BinaryIO, side: int, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """Return an image as WebP with at most `side` pixels on its longer side; raises MediaError."""
    from retrieval.media.sandboxed_calls import call_sandboxed  # late: the subprocess does without it

    return call_sandboxed(draw_image, file, side, limits, limits=limits)


def render_page(file: BinaryIO, number: int, side: int, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """Return a page of a PDF, from 1, as WebP with `side` pixels on its longer side; raises MediaError."""
    from retrieval.media.sandboxed_calls import call_sandboxed

    return call_sandboxed(draw_page, file, number, side, limits=limits)


def draw_image(file: BinaryIO, side: int, limits: DecodeLimits) -> bytes:
    """Do the work of `render_image` in this process."""
    from retrieval.media.images.loader import load_image

    return _as_webp(load_image(file, min_side=1, min_long_side=side, limits=limits), side)


def draw_page(file: BinaryIO, number: int, side: int) -> bytes:
    """Do the work of `render_page` in this process."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(file)
        if not 1 <= number <= len(document):
            raise MediaError(f"it has no page {number}, but {len(document)}")
        page = document[number - 1]
        width, height = (max(1.0, length) for length in page.get_size())
        return _as_webp(page.render(scale=side / max(width, height)).to_pil(), side)
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"the page cannot be rendered: {error}") from error


def _as_webp(image: "Image", side: int) -> bytes:
    from PIL.Image import Resampling

    image = image if image.mode == "RGB" else image.convert("RGB")
    image.thumbnail((side, side), Resampling.LANCZOS, reducing_gap=2.0)
    data = BytesIO()
    image.save(data, "WEBP", quality=WEBP_QUALITY, method=WEBP_EFFORT)
    return data.getvalue()
