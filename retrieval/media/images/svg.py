"""Open SVG drawings with resvg (extra `svg`), in a sandboxed subprocess."""

import zlib
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.signatures import GZIP_SIGNATURE
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandbox import ProcessEnded, RequestFailed, SandboxPool, shared_pool

WORKER_SCRIPT = Path(__file__).with_name("svg_worker.py")


def svg_pool(limits: DecodeLimits = DEFAULT_LIMITS) -> SandboxPool:
    """Return the subprocesses that draw within limits."""
    return shared_pool(WORKER_SCRIPT, limits)


def open_svg(file: BinaryIO, limits: DecodeLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return a drawing as an open PNG; raises MediaError, and ExtraMissing without resvg."""
    if find_spec("resvg_py") is None:
        raise ExtraMissing("To draw SVG", "svg")
    xml = BytesIO(_read_xml(file, limits.max_svg_bytes))
    try:
        with svg_pool(limits).borrow() as process:
            _, png = process.request({}, xml)
    except RequestFailed as error:
        raise MediaError(f"damaged: {_failure_reason(str(error))}") from error
    except ProcessEnded as error:
        raise MediaError(str(error)) from error
    return Image.open(BytesIO(png), formats=("PNG",))


def _failure_reason(message: str) -> str:
    """Return an error of the parser or of resvg in plain words."""
    if "recursion" in message:
        return "its elements are nested too deeply"
    if "Forbidden" in message:
        return "it refers to another file, which is not opened"
    return message or "it cannot be drawn"


def _read_xml(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the XML, decompressed if the file is gzip."""
    data = file.read(max_bytes + 1)
    if data.startswith(GZIP_SIGNATURE):
        try:
            data = zlib.decompressobj(31).decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise MediaError(f"damaged: {error}") from error
    if len(data) > max_bytes:
        raise MediaError(f"a drawing of more than the limit of {max_bytes:,} bytes")
    return data
