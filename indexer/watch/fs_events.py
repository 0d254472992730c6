"""File-system events below a folder, from the system or by polling."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from queue import Queue
from threading import Event, Thread
from time import monotonic
from typing import Any

from retrieval.file_systems import NETWORK_FILE_SYSTEMS, file_system_type

# An event is reported when none followed for STEP_MS, at the latest after DEBOUNCE_MS.
DEBOUNCE_MS, STEP_MS = 300, 50
TIMEOUT_MS = 100  # without an event; a watcher takes so long to start
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 1.0, 60.0
POLL_COST_FACTOR = 20  # a folder is polled every 20 times the duration of one poll
RESTART_SECONDS = 1.0  # until a failed watcher is started again

EVENT_ADDED = 1  # the value of watchfiles.Change.added
FileEvent = tuple[int, str]  # the value of watchfiles.Change, and the path


class FolderWatcher:
    """A thread that puts the events below a folder into a queue until it is closed."""

    def __init__(
        self,
        folder: bytes,
        events: "Queue[set[FileEvent]]",
        polled_file_systems: Collection[str] = NETWORK_FILE_SYSTEMS,
    ) -> None:
        """Start watching. Raises OSError if the folder is missing, ValueError if its name is not UTF-8."""
        self.folder = folder.decode()  # watchfiles accepts only UTF-8
        kind = file_system_type(folder)
        self.polling_reason: str | None = None
        self.poll_seconds = 0.0
        self._events, self._closed = events, Event()
        if kind in polled_file_systems:
            self.polling_reason = f"{kind} reports no events"
        else:
            try:
                self._start()
            except FileNotFoundError:
                raise
            except (OSError, RuntimeError) as error:
                self.polling_reason = f"the system reports no events ({error})"
        if self.polling_reason is not None:
            self.poll_seconds = _polling_interval(folder)
            with suppress(RuntimeError):  # a name that is not UTF-8, handled by the thread
                self._start()
        self._thread = Thread(target=self._forward_events, name="clew-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _start(self) -> None:
        """Start watching now, so that all later changes are reported."""
        self._changes = self._watch()
        self._events.put(next(self._changes, set()))

    def _watch(self) -> Iterator[set[Any]]:
        """Yield events; the system is watched from the first one on, which comes after TIMEOUT_MS."""
        from watchfiles import watch  # heavy, and only needed to watch

        return watch(
            self.folder,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._closed,
            rust_timeout=TIMEOUT_MS,
            yield_on_timeout=True,
            force_polling=bool(self.poll_seconds),
            poll_delay_ms=round(1000 * self.poll_seconds),
            recursive=True,
            ignore_permission_denied=True,
        )

    def _forward_events(self) -> None:
        """Put events into the queue.

        After a path that is not UTF-8, the watcher raises RuntimeError and reports nothing more. It is
        started again, and the folder is rescanned for the events that were missed.
        """
        while not self._closed.is_set():
            try:
                for events in self._changes:
                    if events:
                        self._events.put(events)
            except OSError:  # the folder is missing, which the scheduler notices
                return
            except RuntimeError:
                pass
            if not self._closed.wait(RESTART_SECONDS):
                self._changes = self._watch()
                self._events.put({(EVENT_ADDED, self.folder)})


def _polling_interval(folder: bytes) -> float:
    """Return the seconds between two polls, so that polling takes a twentieth of the time."""
    started_at = monotonic()
    for parent, _, names in os.walk(folder):
        for name in names:
            os.path.lexists(os.path.join(parent, name))
    return min(MAX_POLL_SECONDS, max(MIN_POLL_SECONDS, POLL_COST_FACTOR * (monotonic() - started_at)))
