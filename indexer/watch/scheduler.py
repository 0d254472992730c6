"""Schedule rescans from file-system events, pending writes and timers.

Events are only hints: they decide where to rescan, never what has changed.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from stat import S_ISDIR, S_ISREG
from time import monotonic
from typing import NamedTuple

from indexer.scan.rules import ScanOptions, is_included
from indexer.scan.sidecars import has_decoder, name_stem
from indexer.scan.targets import ScanTarget
from indexer.store.roots import Roots
from indexer.types import Notify
from indexer.watch.fs_events import EVENT_ADDED, FileEvent, FolderWatcher
from indexer.watch.options import DEFAULT_WATCH_OPTIONS, WatchOptions
from indexer.watch.write_detection import Clock, PendingWrites
from retrieval.formatting import printable
from retrieval.media.archives.archive import is_archive

MAX_NAME_STEMS = 500  # with more changed files in a folder, the complete folder is rescanned

StartWatcher = Callable[[bytes, Queue[set[FileEvent]], Collection[str]], FolderWatcher]


class RescanTarget(NamedTuple):
    """A folder to rescan, recursively or only its files with one name stem."""

    folder: bytes
    recursive: bool = False
    name_stem: bytes = b""


class RescanScheduler:
    """The watched folders and the rescan targets in them."""

    def __init__(
        self,
        folders: Sequence[bytes],
        library_folder: bytes,
        notify: Notify,
        options: WatchOptions = DEFAULT_WATCH_OPTIONS,
        *,
        clock: Clock = monotonic,
        start_watcher: StartWatcher = FolderWatcher,
    ) -> None:
        """Watch these folders, or all roots if there are none; events in the library are ignored."""
        self.folders, self.options = folders, options
        self.notify: Notify = lambda message: notify(printable(message))
        self.pending_writes = PendingWrites(options=options, clock=clock)
        self._clock, self._start_watcher = clock, start_watcher
        self._library_prefix = library_folder + b"/"
        self._roots: list[ScanTarget] = []
        self._events: Queue[set[FileEvent]] = Queue()
        self._watchers: dict[bytes, FolderWatcher | None] = {}
        self._identities: dict[bytes, tuple[int, int] | None] = {}
        self._links: dict[bytes, dict[bytes, tuple[int, ...] | None]] = {}  # watched folder -> its links
        self._due_at: dict[RescanTarget, float] = {}
        self._full_rescan_at = self._clock() + options.rescan_seconds
        self._watchers_checked_at = 0.0
        self._notified: set[str] = set()

    def set_roots(self, roots: Roots) -> None:
        """Read the roots and their options, and watch new ones."""
        self._roots = roots.all()
        self._refresh_watchers()

    def wait(self, until: float) -> None:
        """Wait for an event or a due target, at the latest until `until`, and schedule rescans."""
        due = min(
            self.pending_writes.next_check_at,
            self._full_rescan_at,
            until,
            *self._due_at.values(),
            self._clock() + self.options.check_seconds,
        )
        with suppress(Empty):
            events = self._events.get(timeout=max(0.01, due - self._clock()))
            while True:
                for change, name in sorted(events):
                    self._handle_event(change == EVENT_ADDED, name)
                events = self._events.get_nowait()
        now = self._clock()
        if now >= self._watchers_checked_at + self.options.check_seconds:
            self._refresh_watchers()
        if now >= self._full_rescan_at:
            self._full_rescan_at = now + self.options.rescan_seconds
            prefixes = tuple(folder.rstrip(b"/") + b"/" for folder in self._watched_folders)
            nested = [root.root_path for root in self._roots if root.root_path.startswith(prefixes)]
            folders = [*self._watched_folders, *nested]
            self._due_at |= {RescanTarget(folder, recursive=True): now for folder in folders}
        for path in self.pending_writes.completed():
            self._schedule_file(path, now)

    def due(self) -> list[RescanTarget]:
        """Return the targets to rescan if one is due, with those that are due soon."""
        now = self._clock()
        if min(self._due_at.values(), default=now + 1) > now:
            return []
        return [target for target, due in self._due_at.items() if due <= now + self.options.coalesce_seconds]

    def mark_done(self, targets: Sequence[RescanTarget]) -> None:
        """Remove targets that have been rescanned."""
        for target in targets:
            del self._due_at[target]
        self.pending_writes.clear_completed()

    def retry_after(self, targets: Sequence[RescanTarget], seconds: float) -> None:
        """Schedule these targets again after a delay."""
        self._due_at |= dict.fromkeys(targets, self._clock() + seconds)

    def notify_once(self, line: str) -> None:
        """Show a message once until a folder appears or disappears."""
        if line not in self._notified:
            self._notified.add(line)
            self.notify(line)

    def close(self) -> None:
        """Stop all watchers."""
        for top in self._watchers:
            self._close_watcher(top)
        self._watchers.clear()

    @property
    def _watched_folders(self) -> Sequence[bytes]:
        """Return the folders to watch."""
        return self.folders or [root.root_path for root in self._roots]

    def _handle_event(self, added: bool, name: str) -> None:
        """Schedule the rescan for an event."""
        now, path = self._clock(), self._restore_symlinks(os.fsencode(name))
        root = self._root_of(path)
        if root is None:
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            while not os.path.lexists(above := os.path.dirname(path)):
                path = above
            self._schedule(RescanTarget(path, recursive=True), now + self.options.event_delay_seconds)
            self._schedule(_target_of_file(path), now + self.options.event_delay_seconds)
            return
        if S_ISDIR(mode):
            self._schedule(RescanTarget(path, recursive=added), now + self.options.event_delay_seconds)
        elif S_ISREG(mode) and _is_indexable(path, root.options) and self.pending_writes.check(path):
            self._schedule_file(path, now + self.options.event_delay_seconds)

    def _restore_symlinks(self, path: bytes) -> bytes:
        """Return the path below its watched folder; the system resolves links in that folder's own path."""
        for top in self._watched_folders:
            real = os.path.realpath(top) + b"/"
            if path.startswith(real) and not path.startswith(top):
                return os.path.join(top, path[len(real) :])
        return path

    def _schedule_file(self, path: bytes, due_at: float) -> None:
        """Schedule the rescan of a file; for an archive, of its folder."""
        self._schedule(
            RescanTarget(os.path.dirname(path), recursive=True)
            if is_archive(path)
            else _target_of_file(path),
            due_at,
        )

    def _schedule(self, target: RescanTarget, due_at: float) -> None:
        self._due_at.setdefault(target, due_at)

    def _root_of(self, path: bytes) -> ScanTarget | None:
        """Return the root of a path, or None if the path is excluded or in the library."""
        if path.startswith(self._library_prefix):
            return None
        tops = [root for root in self._roots if (path + b"/").startswith(root.root_path.rstrip(b"/") + b"/")]
        root = max(tops, key=lambda root: len(root.root_path), default=None)
        if root is None or not is_included(root.options, path[len(root.root_path.rstrip(b"/")) + 1 :]):
            return None
        return root

    def _refresh_watchers(self) -> None:
        """Start and stop watchers as folders and links appear and disappear; rescan what was replaced."""
        self._watchers_checked_at = self._clock()
        for top in set(self._watchers) - set(self._watched_folders):
            self._close_watcher(top)
            del self._watchers[top], self._identities[top], self._links[top]
        for top in self._watched_folders:
            identity = _device_and_inode(top)
            known, old_links = top in self._watchers, self._links.get(top, {})
            self._links[top] = links = self._link_identities(top)
            if known and self._identities[top] == identity:
                self._watch_links(
                    top, [path for path in links if links[path] not in (None, old_links.get(path))]
                )
                continue
            self._close_watcher(top)
            self._watchers[top] = self._open_watcher(top) if identity else None
            self._identities[top] = identity
            if known:
                self._notified.clear()
                self._schedule(
                    RescanTarget(top, recursive=True), self._clock() + self.options.event_delay_seconds
                )
                if identity is not None:
                    self.notify(f"{os.fsdecode(top)} is available again.")

    def _watch_links(self, top: bytes, links: Sequence[bytes]) -> None:
        """Watch a folder again to include these links in it, and rescan them.

        A watcher follows only the links that are there when it starts.
        """
        if links and self._identities[top] is not None:
            previous = self._watchers[top]
            self._watchers[top] = self._open_watcher(top)
            if previous is not None:  # closed last, so that no event is lost
                previous.close()
            for path in links:
                self._schedule(
                    RescanTarget(path, recursive=True), self._clock() + self.options.event_delay_seconds
                )

    def _link_identities(self, top: bytes) -> dict[bytes, tuple[int, ...] | None]:
        """Return the links below a folder that are followed, each with numbers that identify its folder."""
        prefix = top.rstrip(b"/") + b"/"
        paths = [os.path.join(root.root_path, path) for root in self._roots for _, path in root.known_links]
        return {path: _link_identity(path) for path in paths if path.startswith(prefix)}

    def _open_watcher(self, folder: bytes) -> FolderWatcher | None:
        try:
            watcher = self._start_watcher(folder, self._events, self.options.polled_file_systems)
        except (OSError, ValueError) as error:
            self.notify_once(
                f"Cannot watch {os.fsdecode(folder)} ({error}). It will be rescanned every "
                f"{self.options.rescan_seconds:.0f} s instead."
            )
            return None
        if watcher.polling_reason is not None:
            self.notify_once(
                f"Polling {os.fsdecode(folder)} every {watcher.poll_seconds:.0f} s: {watcher.polling_reason}."
            )
        return watcher

    def _close_watcher(self, folder: bytes) -> None:
        watcher = self._watchers.get(folder)
        if watcher is not None:
            watcher.close()


def scan_targets(roots: Roots, rescan_targets: Sequence[RescanTarget]) -> Iterator[ScanTarget]:
    """Yield the scan targets of rescan targets, each once; deleted folders only if they have known files."""
    recursive = {rescan.folder for rescan in rescan_targets if rescan.recursive}
    stems = defaultdict[bytes, set[bytes]](set)  # b"" for the complete folder
    for rescan in rescan_targets:
        stems[rescan.folder].add(rescan.name_stem)
    targets = [
        target
        for folder in stems
        if (target := roots.target_at(folder, recursive=folder in recursive)) is not None
    ]
    scanned = defaultdict[int, tuple[bytes, ...]](tuple)  # root -> folders that are scanned recursively
    for target in targets:
        if target.recursive:
            scanned[target.root_id] += (target.folder.rstrip(b"/") + b"/",)
    for target in targets:
        if target.folder.startswith(scanned[target.root_id]):
            continue
        names = stems[target.folder]
        if not target.recursive and b"" not in names and len(names) <= MAX_NAME_STEMS:
            target = target._replace(name_stems=frozenset(names))
        if os.path.isdir(target.folder) or target.is_offline or next(roots.catalog_rows(target), None):
            yield target


def _target_of_file(path: bytes) -> RescanTarget:
    """Return the rescan target of a file and its sidecars."""
    return RescanTarget(os.path.dirname(path), name_stem=name_stem(os.path.basename(path)))


def _is_indexable(path: bytes, options: ScanOptions) -> bool:
    """Return True if a file may be indexed, judged by its name."""
    return has_decoder(path) or (options.archives and is_archive(path))


def _device_and_inode(folder: bytes) -> tuple[int, int] | None:
    """Return a number pair that identifies a folder, or None if it is missing."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if S_ISDIR(status.st_mode) else None


def _link_identity(path: bytes) -> tuple[int, ...] | None:
    """Return numbers that identify a link and the folder that it leads to, or None if that is missing."""
    identity = _device_and_inode(path)
    with suppress(OSError):
        status = os.lstat(path)
        return None if identity is None else (*identity, status.st_ino, status.st_ctime_ns)
    return None
