"""Open SVG drawings with resvg (extra `svg`), in a sandboxed subprocess."""

import zlib
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.signatures import GZIP_SIGNATURE
from retrieval.media.sandbox import ProcessEnded, RequestFailed, SandboxPool, Worker

MAX_SVG_BYTES = 20_000_000  # of XML
WORKER = Worker(Path(__file__).with_name("svg_worker.py"), timeout_seconds=20, max_memory_bytes=2_000_000_000)
POOL = SandboxPool(WORKER)


def open_svg(file: BinaryIO, pool: SandboxPool = POOL) -> Image.Image:
    """Return a drawing as an open PNG; raises MediaError, and ExtraMissing without resvg."""
    if find_spec("resvg_py") is None:
        raise ExtraMissing("To draw SVG", "svg")
    xml = BytesIO(_read_xml(file))
    try:
        with pool.borrow() as process:
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


def _read_xml(file: BinaryIO) -> bytes:
    """Return the XML, decompressed if the file is gzip."""
    data = file.read(MAX_SVG_BYTES + 1)
    if data.startswith(GZIP_SIGNATURE):
        try:
            data = zlib.decompressobj(31).decompress(data, MAX_SVG_BYTES + 1)
        except zlib.error as error:
            raise MediaError(f"damaged: {error}") from error
    if len(data) > MAX_SVG_BYTES:
        raise MediaError(f"a drawing of more than the limit of {MAX_SVG_BYTES:,} bytes")
    return data
