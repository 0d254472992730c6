"""End a process although a thread still runs a call."""

import os
import sys
from threading import current_thread
from threading import enumerate as enumerate_threads
from time import monotonic

THREAD_SECONDS = 0.5  # for threads that are ending


def end_running_calls(code: int) -> None:
    """End the process if a thread still runs a call, for which Python would wait without limit."""
    end, own = monotonic() + THREAD_SECONDS, current_thread()
    threads = [thread for thread in enumerate_threads() if thread is not own and not thread.daemon]
    for thread in threads:
        thread.join(max(0.0, end - monotonic()))
    if any(thread.is_alive() for thread in threads):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
