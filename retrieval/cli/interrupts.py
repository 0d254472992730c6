"""End a command on Ctrl-C or SIGTERM without a traceback.

The first signal raises KeyboardInterrupt, so that a command that writes closes its library and removes its
temporary files. The second ends the process at once: a library stays valid wherever its writer ends. The exit
code is that of a shell, 128 + the number of the signal.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval.cli.console import note

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"
INTERRUPTED = "Interrupted."
MESSAGE = f"{INTERRUPTED} Finished work is kept; the same command does the rest."


@contextmanager
def interruptible(message: str = MESSAGE) -> Iterator[None]:
    """Write the message of a KeyboardInterrupt, or this one, and end the process."""
    received = list[int]()

    def handle(number: int, frame: object) -> None:
        if number in received:
            end_process(number)
        received.append(number)
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    except KeyboardInterrupt as error:
        number = received[0] if received else signal.SIGINT
        note(str(error) or message)
        if any(thread.name.startswith("clew-") for thread in threading.enumerate()):
            end_process(number)  # files in hand hold it up no longer
        raise SystemExit(128 + number) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def exit_code_of_interrupt() -> Iterator[None]:
    """End a command that only reads on Ctrl-C: there is no state to keep, so SIGTERM ends it without this."""
    try:
        yield
    except KeyboardInterrupt:
        note(INTERRUPTED)
        raise SystemExit(128 + signal.SIGINT) from None


def end_process(number: int) -> None:
    """End the process without waiting for its threads, with the exit code of a signal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{SHOW_CURSOR}\n")  # a progress bar hides it
        sys.stderr.flush()
    os._exit(128 + number)
