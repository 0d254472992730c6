"""Draw an SVG (extra `svg`): by resvg, in a process of its own, with limits on time, memory and size.

A drawing is a program: filters nest, patterns repeat, and a renderer may overflow its stack. What goes wrong
there ends that process alone.
"""

import sys
import zlib
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import BinaryIO

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.signatures import GZIP_SIGNATURE

MAX_SVG_BYTES = 20_000_000  # of XML
TIMEOUT_SECONDS = 20
WORKER_SCRIPT = Path(__file__).with_name("svg_worker.py")


def open_svg(file: BinaryIO) -> Image.Image:
    """Return the drawing as a PNG that is open; raises MediaError, and ExtraMissing without resvg."""
    if find_spec("resvg_py") is None:
        raise ExtraMissing("To draw SVG", "svg")
    data = _read_xml(file)
    # -P: no folder that happens to be the current one has a say in what is imported.
    with Popen([sys.executable, "-P", str(WORKER_SCRIPT)], stdin=PIPE, stdout=PIPE, stderr=PIPE) as drawer:
        try:
            drawn, said = drawer.communicate(data, timeout=TIMEOUT_SECONDS)
        except TimeoutExpired as error:
            drawer.kill()
            raise MediaError(f"a drawing that takes more than the limit of {TIMEOUT_SECONDS} s") from error
        except BaseException:
            drawer.kill()
            raise
    if drawer.returncode or not drawn:
        reason = said.decode("utf-8", "replace").strip().rpartition("\n")[2].partition(": ")[2]
        raise MediaError(f"damaged: {_failure_reason(reason)}")
    return Image.open(BytesIO(drawn), formats=("PNG",))


def _failure_reason(error_text: str) -> str:
    """Return what a person can make of why a drawing cannot be drawn."""
    if "recursion" in error_text:
        return "its parts are nested too deeply"
    if "Forbidden" in error_text:
        return "it asks for another file, which is not opened"
    return error_text or "it cannot be drawn"


def _read_xml(file: BinaryIO) -> bytes:
    """Return the XML, unpacked if it is packed."""
    data = file.read(MAX_SVG_BYTES + 1)
    if data.startswith(GZIP_SIGNATURE):
        try:
            data = zlib.decompressobj(31).decompress(data, MAX_SVG_BYTES + 1)
        except zlib.error as error:
            raise MediaError(f"damaged: {error}") from error
    if len(data) > MAX_SVG_BYTES:
        raise MediaError(f"a drawing of more than the limit of {MAX_SVG_BYTES:,} bytes")
    return data
