"""Read the body of a request that programs send."""

import base64
import json
from typing import TYPE_CHECKING, Any, BinaryIO

from retrieval.errors import MediaError, QueryError

if TYPE_CHECKING:
    from PIL.Image import Image


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, of any content type; raises QueryError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise QueryError("The body is no JSON object.")
    return value


def decode_base64(text: object, name: str) -> bytes:
    """Return the bytes of base64, which may follow the prefix of a data URI; raises QueryError."""
    if not isinstance(text, str):
        raise QueryError(f"Invalid {name}. Use base64.")
    start = text.find("base64,", 0, 200) + len("base64,") if text.startswith("data:") else 0
    try:
        return base64.b64decode(text[start:].encode())
    except ValueError as error:
        raise QueryError(f"`{name}` is not base64: {error}.") from error


def decode_picture(file: BinaryIO, min_side: int) -> "Image":
    """Return a picture, decoded in a sandbox at the scale of `min_side`; raises QueryError."""
    from retrieval.media import picture  # late: most requests have no picture

    try:
        return picture.decode_picture(file, min_side)
    except (MediaError, OSError, ValueError, RuntimeError) as error:
        raise QueryError(f"The picture cannot be read: {error}. Use JPEG, PNG or WebP.") from error
