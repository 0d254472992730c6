"""Answer the requests of `retrieval.media.sandbox`, which runs this file in a subprocess.

It imports nothing from clew: the subprocess runs wherever clew was imported from.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, BinaryIO

Handler = Callable[[dict[str, Any], BinaryIO | None], tuple[dict[str, Any], bytes]]


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
        answer: dict[str, Any]
        signal.setitimer(signal.ITIMER_REAL, timeout_seconds)  # SIGALRM ends native code too
        try:
            file = os.fdopen(recv_handle(channel), "rb") if has_file else None
            answer, data = handler(request, file)
        except Exception as error:
            answer, data = {"error": str(error), "code": getattr(error, "err_code", None)}, b""
        signal.setitimer(signal.ITIMER_REAL, 0)  # sending may wait for clew
        channel.send_bytes(json.dumps(answer).encode())
        channel.send_bytes(data)


if __name__ == "__main__":
    _, script, descriptor, timeout, memory = sys.argv
    with suppress(ValueError, OSError):  # macOS does not support this limit
        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(Connection(int(descriptor)), load_handler(script), float(timeout))
