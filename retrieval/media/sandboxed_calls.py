"""Call the functions of clew that decode untrusted files in sandboxed subprocesses.

A subprocess isolates crashes, hangs and memory, but runs with the rights of its user.
"""

import os
from collections.abc import Callable, Generator, Iterator
from io import UnsupportedOperation
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, TypeVar

from retrieval.errors import MediaError
from retrieval.media.call_codec import decode, encode
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandbox import ProcessEnded, RequestFailed, SandboxPool, shared_pool

WORKER_SCRIPT = Path(__file__).with_name("call_worker.py")

Item = TypeVar("Item")
Result = TypeVar("Result")


def decoder_pool(limits: DecodeLimits) -> SandboxPool:
    """Return the subprocesses that decode within limits."""
    return shared_pool(WORKER_SCRIPT, limits, limits.max_decoder_memory_bytes)


def call_sandboxed(
    function: Callable[..., Result],
    file: BinaryIO,
    *arguments: Any,
    limits: DecodeLimits,
    stop: Event | None = None,
) -> Result:
    """Return function(file, *arguments), called in a subprocess; errors are those of `iterate_sandboxed`."""
    iterator = _run(_reference(function), file, arguments, limits, stop)
    while True:
        try:
            next(iterator)
        except StopIteration as end:
            result: Result = end.value
            return result


def iterate_sandboxed(
    function: Callable[..., Iterator[Item]],
    file: BinaryIO,
    *arguments: Any,
    limits: DecodeLimits,
    stop: Event | None = None,
) -> Generator[Item, None, Any]:
    """Yield the items of a generator function that runs in a subprocess, and return its value.

    `function` is defined in a module. Its file is at its beginning, and each item has to come within a time
    that grows with the size of the file. Raises the errors of the function, MediaError if the subprocess
    crashes or reaches a limit, and CancelledError when `stop` is set.
    """
    return _run(_reference(function), file, arguments, limits, stop)


def _run(
    reference: str,
    file: BinaryIO,
    arguments: tuple[Any, ...],
    limits: DecodeLimits,
    stop: Event | None,
) -> Generator[Any, None, Any]:
    request = {
        "function": reference,
        "arguments": encode(arguments).hex(),
        "seconds": limits.max_decode_seconds(_size(file)),
    }
    with decoder_pool(limits).borrow(stop) as process:
        file.seek(0)
        try:
            process.send(request, file)
            while True:
                answer, data = process.receive()
                value = _decode(data)
                if answer["more"]:
                    yield value
                    continue
                if answer["raised"]:
                    raise value
                return value
        except ProcessEnded as error:
            raise MediaError(f"damaged, or its decoder fails: {error}") from error
        except RequestFailed as error:
            raise MediaError(f"its decoder fails: {error}") from error


def _decode(data: bytes | bytearray) -> Any:
    """Return the value of an answer; raises MediaError if its bytes are damaged."""
    try:
        return decode(data)
    except Exception as error:
        raise MediaError(f"its decoder fails: an answer is damaged ({error})") from error


def _reference(function: Callable[..., Any]) -> str:
    """Return "module:name" of a function."""
    return f"{function.__module__}:{function.__qualname__}"


def _size(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    try:
        return os.fstat(file.fileno()).st_size
    except (UnsupportedOperation, AttributeError):
        return file.seek(0, 2)
