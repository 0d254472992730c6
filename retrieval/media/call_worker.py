"""Call functions by name in a sandboxed subprocess, for `retrieval.media.sandboxed_calls`."""

import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial
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
    return partial(call, import_module("retrieval.media.call_codec"))


def call(codec: Any, request: dict[str, Any], file: BinaryIO) -> Iterator[Answer]:
    """Yield the items of a call as they come, then its result or its error."""
    with file:
        file.seek(0)  # a copy of a file in memory is at its end
        try:
            result = _call(codec, request, file)
            while isinstance(result, Generator):
                try:
                    item = next(result)
                except StopIteration as end:
                    result = end.value
                else:
                    yield {"more": True}, codec.encode(item)
            answer = {"more": False, "raised": False}, codec.encode(result)
        except Exception as error:
            answer = {"more": False, "raised": True}, codec.encode_error(error)
    yield answer


def _call(codec: Any, request: dict[str, Any], file: BinaryIO) -> Any:
    module, _, name = request["function"].partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    arguments = codec.decode(bytes.fromhex(request["arguments"]))
    return function(file, *arguments)
