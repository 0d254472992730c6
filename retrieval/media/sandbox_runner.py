"""Answer the requests of `retrieval.media.sandbox`, which runs this file in a subprocess.

It imports nothing from clew: the subprocess runs wherever clew was imported from.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, BinaryIO

Answer = tuple[dict[str, Any], bytes]
Handler = Callable[[dict[str, Any], BinaryIO | None], Answer | Iterator[Answer]]


def load_handler(script: str) -> Handler:
    """Return the handler of a worker script."""
    spec = spec_from_file_location("worker", script)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.create_handler()
    return handler


def serve(channel: Connection, handler: Handler, timeout_seconds: float) -> None:
    """Answer requests until the channel is closed."""
    while True:
        try:
            request, has_file = json.loads(channel.recv_bytes())
        except EOFError:
            return
        seconds = request.pop("seconds", timeout_seconds)
        answers = _answers(channel, handler, request, has_file)
        more = True
        while more:
            answer: dict[str, Any]
            signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends native code too
            try:
                answer, data = next(answers)
            except Exception as error:
                answer, data = {"error": str(error), "code": getattr(error, "err_code", None)}, b""
            signal.setitimer(signal.ITIMER_REAL, 0)  # sending may wait for clew
            channel.send_bytes(json.dumps(answer).encode())
            channel.send_bytes(data)
            more = bool(answer.get("more"))


def _answers(
    channel: Connection, handler: Handler, request: dict[str, Any], has_file: bool
) -> Iterator[Answer]:
    """Yield the answers to a request."""
    file = os.fdopen(recv_handle(channel), "rb") if has_file else None
    result = handler(request, file)
    if isinstance(result, tuple):
        yield result
    else:
        yield from result


if __name__ == "__main__":
    _, script, descriptor, timeout, memory = sys.argv
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each of its threads takes memory
    # On Linux, only memory that is written to counts, not what threads reserve.
    limited = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with suppress(ValueError, OSError):  # macOS does not support this limit
        resource.setrlimit(limited, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(Connection(int(descriptor)), load_handler(script), float(timeout))
