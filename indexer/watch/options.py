"""Options of a watch: what it calls, its delays, and the file systems that are polled."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from retrieval.file_systems import NETWORK_FILE_SYSTEMS

if TYPE_CHECKING:
    from indexer.operations.report import Report
    from indexer.watch.change_log import Change


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Options of a watch; times in seconds."""

    on_initial_scan: "Callable[[Report], None]" = lambda report: None  # gets the report of the first scan
    on_change: "Callable[[Change], None]" = lambda change: None  # gets each change after it is committed
    stop: Event | None = None  # ends the watch when it is set

    rescan_seconds: float = 600.0  # between two scans of all folders, for changes without an event
    polled_file_systems: Collection[str] = NETWORK_FILE_SYSTEMS  # they report no events

    # Files that may still be written.
    quiet_seconds: float = 0.8  # without a change, after which a file that no process has open is complete
    recheck_seconds: float = 0.2  # until an open file is checked again
    assume_complete_seconds: float = 10.0  # age of a complete file, if open files are not reported

    # Rescans.
    event_delay_seconds: float = 0.3  # from an event to its rescan: a move is reported as two events
    coalesce_seconds: float = 0.1  # targets that are due within this time are rescanned together
    check_seconds: float = 0.5  # between two checks for missing and returned folders, and for the end
    index_update_seconds: float = 60.0  # from the first change until the indexes are updated
    busy_retry_seconds: float = 1.0  # until the next attempt if another process writes the library
    error_retry_seconds: float = 10.0  # until the next attempt after an error


DEFAULT_WATCH_OPTIONS = WatchOptions()
