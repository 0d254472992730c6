"""Call functions by name in a sandboxed subprocess, for `retrieval.media.sandboxed_calls`."""

import io
import pickle
import sys
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

PACKAGE_FOLDER = Path(__file__).parents[2]  # of clew, which may not be the one that is installed

Answer = tuple[dict[str, Any], bytes]


def create_handler() -> Any:
    """Return the handler of requests, and import what most of them need: clew may start ahead of them."""
    found = find_spec("retrieval")
    if found is None or found.origin is None or Path(found.origin).parents[1] != PACKAGE_FOLDER:
        sys.path.insert(0, str(PACKAGE_FOLDER))
    import_module("retrieval.media.images.loader")
    return call


def call(request: dict[str, Any], file: BinaryIO) -> Iterator[Answer]:
    """Yield the items of a call as they come, then its result or its error."""
    with file:
        file.seek(0)  # a copy of a file in memory is at its end
        try:
            result = _call(request, file)
            while isinstance(result, Generator):
                try:
                    item = next(result)
                except StopIteration as end:
                    result = end.value
                else:
                    yield {"more": True}, _dump(item)
            answer = {"more": False, "raised": False}, _dump(result)
        except Exception as error:
            answer = {"more": False, "raised": True}, _dump_error(error)
    yield answer


def _call(request: dict[str, Any], file: BinaryIO) -> Any:
    module, _, name = request["function"].partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    arguments = pickle.loads(bytes.fromhex(request["arguments"]))
    return function(file, *arguments)


class _Pickler(pickle.Pickler):
    """Pickles images as their pixels, without their file and metadata."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to restore an image."""
        image_module = sys.modules.get("PIL.Image")
        if image_module is not None and isinstance(value, image_module.Image):
            return image_module.frombytes, (value.mode, value.size, value.tobytes())
        return NotImplemented


def _dump(value: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def _dump_error(error: Exception) -> bytes:
    """Return an error, or one with its message if it cannot be restored."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        data = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data
