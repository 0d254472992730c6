"""Answer the requests of `retrieval.media.sandbox`, which runs this file in a subprocess.

It imports nothing from clew: the subprocess runs wherever clew was imported from.
"""

import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, BinaryIO

LENGTHS = struct.Struct("!IQB")  # of the JSON and of the data in bytes, and the number of files
ACKNOWLEDGES_FILES = sys.platform == "darwin"  # which may lose a file that is closed before it is received

Answer = tuple[dict[str, Any], bytes | bytearray]
Handler = Callable[[dict[str, Any], BinaryIO | None], Answer | Iterator[Answer]]


class Channel:
    """A socket for messages of JSON, bytes and an open file; shorter to import than `multiprocessing`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    def send(self, header: Any, data: bytes | bytearray = b"", descriptor: int | None = None) -> None:
        """Send a message; raises OSError if the other process has ended."""
        text = json.dumps(header).encode()
        start = LENGTHS.pack(len(text), len(data), descriptor is not None) + text
        if descriptor is None:
            self._socket.sendall(start)
        else:
            sent = socket.send_fds(self._socket, [start], [descriptor])
            self._socket.sendall(start[sent:])
            if ACKNOWLEDGES_FILES:
                self._receive(1)
        if data:
            self._socket.sendall(data)

    def receive(self) -> tuple[Any, bytearray, int | None]:
        """Return the next message and the descriptor of its file; raises EOFError at the end."""
        start, descriptors, _, _ = socket.recv_fds(self._socket, LENGTHS.size, 1)
        if not start:
            raise EOFError
        start += self._receive(LENGTHS.size - len(start))
        text_length, data_length, file_count = LENGTHS.unpack(start)
        if file_count and ACKNOWLEDGES_FILES:
            self._socket.sendall(b"A")
        header = json.loads(self._receive(text_length))
        return header, self._receive(data_length), descriptors[0] if file_count else None

    def has_message(self, seconds: float) -> bool:
        """Wait until a message or the end arrives; return False if none does within these seconds."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        """Close the socket, which ends the other process."""
        self._socket.close()

    def _receive(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view, 0, socket.MSG_WAITALL)
            if not count:
                raise EOFError
            view = view[count:]
        return data


def load_handler(script: str) -> Handler:
    """Return the handler of a worker script."""
    spec = spec_from_file_location("worker", script)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.create_handler()
    return handler


def serve(channel: Channel, handler: Handler, timeout_seconds: float) -> None:
    """Answer requests until the channel is closed."""
    while True:
        try:
            request, _, descriptor = channel.receive()
        except EOFError:
            return
        seconds = request.pop("seconds", timeout_seconds)
        answers = _answers(handler, request, descriptor)
        more = True
        while more:
            answer: dict[str, Any]
            signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends native code too
            try:
                answer, data = next(answers)
            except Exception as error:
                answer, data = {"error": str(error), "code": getattr(error, "err_code", None)}, b""
            signal.setitimer(signal.ITIMER_REAL, 0)  # sending may wait for clew
            channel.send(answer, data)
            more = bool(answer.get("more"))


def _answers(handler: Handler, request: dict[str, Any], descriptor: int | None) -> Iterator[Answer]:
    """Yield the answers to a request."""
    file = None if descriptor is None else os.fdopen(descriptor, "rb")
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
    serve(Channel(socket.socket(fileno=int(descriptor))), load_handler(script), float(timeout))
