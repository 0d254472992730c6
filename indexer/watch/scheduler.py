"""What is to be looked at, and when: by what is heard, by what comes of files, and by the clock.

What is heard is never believed: it says only where to look.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from indexer.watch.write_detection import PendingWrites
from retrieval.media.archives.archive import is_archive

POLL_SECONDS = 0.5  # seconds: folders that go and come are minded this often, and an end is noticed
EVENT_DELAY_SECONDS = 0.3  # seconds after which what went is looked at, and what came whole: it may be a move
COALESCE_SECONDS = 0.1  # seconds within which what is due is looked at together
MAX_NAME_STEMS = 500  # names; of more the whole folder is looked at


class RescanTarget(NamedTuple):
    """A folder to look at, with all that is below it if it is `deep`, or just for names of one head."""

    folder: bytes
    recursive: bool = False
    name_stem: bytes = b""


class RescanScheduler:
    """The folders that are watched, and the spots in them that are due for a look."""

    def __init__(
        self, folders: Sequence[bytes], library_folder: bytes, rescan_seconds: float, notify: Notify
    ) -> None:
        """Watch the folders that are given, else all roots; `own` is the library's folder, left out."""
        self.folders, self.rescan_seconds, self.notify = folders, rescan_seconds, notify
        self.pending_writes = PendingWrites()
        self._library_prefix = library_folder + b"/"
        self._roots: list[ScanTarget] = []
        self._events: Queue[set[FileEvent]] = Queue()
        self._watchers: dict[bytes, FolderWatcher | None] = {}
        self._identities: dict[bytes, tuple[int, int] | None] = {}
        self._due_at: dict[RescanTarget, float] = {}
        self._full_rescan_at = monotonic() + rescan_seconds
        self._watchers_checked_at = 0.0
        self._notified: set[str] = set()

    def set_roots(self, roots: Roots) -> None:
        """Learn which roots there are now, and how they are scanned."""
        self._roots = roots.all()
        self._refresh_watchers()

    def wait(self, until: float) -> None:
        """Wait for something to be heard or due, no longer than until then, and note where to look."""
        due = min(
            self.pending_writes.next_check_at,
            self._full_rescan_at,
            until,
            *self._due_at.values(),
            monotonic() + POLL_SECONDS,
        )
        with suppress(Empty):
            heard = self._events.get(timeout=max(0.01, due - monotonic()))
            while True:
                for change, name in sorted(heard):
                    self._handle_event(change == EVENT_ADDED, name)
                heard = self._events.get_nowait()
        now = monotonic()
        if now >= self._watchers_checked_at + POLL_SECONDS:
            self._refresh_watchers()
        if now >= self._full_rescan_at:
            self._full_rescan_at = now + self.rescan_seconds
            inside = tuple(top.rstrip(b"/") + b"/" for top in self._watched_folders)
            every = [
                *self._watched_folders,
                *(root.root_path for root in self._roots if root.root_path.startswith(inside)),
            ]
            self._due_at |= {RescanTarget(folder, recursive=True): now for folder in every}
        for path in self.pending_writes.completed():
            self._schedule_file(path, now)

    def due(self) -> list[RescanTarget]:
        """Return the spots to look at now, and those that are so nearly: a move is heard of in two parts."""
        now = monotonic()
        if min(self._due_at.values(), default=now + 1) > now:
            return []
        return [spot for spot, when in self._due_at.items() if when <= now + COALESCE_SECONDS]

    def mark_done(self, targets: Sequence[RescanTarget]) -> None:
        """Forget spots that were looked at."""
        for spot in targets:
            del self._due_at[spot]
        self.pending_writes.clear_completed()

    def retry_after(self, targets: Sequence[RescanTarget], seconds: float) -> None:
        """Look at these spots again after so many seconds."""
        self._due_at |= dict.fromkeys(targets, monotonic() + seconds)

    def notify_once(self, line: str) -> None:
        """Say a line, unless it was said since a folder last came or went."""
        if line not in self._notified:
            self._notified.add(line)
            self.notify(line)

    def close(self) -> None:
        """Look away from everything."""
        for top in self._watchers:
            self._close_watcher(top)
        self._watchers.clear()

    @property
    def _watched_folders(self) -> Sequence[bytes]:
        """Return the folders to watch."""
        return self.folders or [root.root_path for root in self._roots]

    def _handle_event(self, added: bool, name: str) -> None:
        """Note where to look for what was heard."""
        now, path = monotonic(), self._restore_symlinks(os.fsencode(name))
        root = self._root_of(path)
        if root is None:
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            while not os.path.lexists(above := os.path.dirname(path)):
                path = above
            self._schedule(RescanTarget(path, recursive=True), now + EVENT_DELAY_SECONDS)
            self._schedule(_target_of_file(path), now + EVENT_DELAY_SECONDS)
            return
        if S_ISDIR(mode):
            self._schedule(RescanTarget(path, recursive=added), now + EVENT_DELAY_SECONDS)
        elif S_ISREG(mode) and _is_indexable(path, root.options) and self.pending_writes.check(path):
            self._schedule_file(path, now + EVENT_DELAY_SECONDS)

    def _restore_symlinks(self, path: bytes) -> bytes:
        """Return a path as it is below its folder, where the system tells it without that folder's links."""
        for top in self._watched_folders:
            real = os.path.realpath(top) + b"/"
            if path.startswith(real) and not path.startswith(top):
                return os.path.join(top, path[len(real) :])
        return path

    def _schedule_file(self, path: bytes, due_at: float) -> None:
        """Look where a file is; for an archive all that is in its folder."""
        self._schedule(
            RescanTarget(os.path.dirname(path), recursive=True)
            if is_archive(path)
            else _target_of_file(path),
            due_at,
        )

    def _schedule(self, target: RescanTarget, due_at: float) -> None:
        self._due_at.setdefault(target, due_at)

    def _root_of(self, path: bytes) -> ScanTarget | None:
        """Return the root that a path is or is in; None where it is left out, or is the library's own."""
        if path.startswith(self._library_prefix):
            return None
        tops = [root for root in self._roots if (path + b"/").startswith(root.root_path.rstrip(b"/") + b"/")]
        root = max(tops, key=lambda root: len(root.root_path), default=None)
        if root is None or not is_included(root.options, path[len(root.root_path.rstrip(b"/")) + 1 :]):
            return None
        return root

    def _refresh_watchers(self) -> None:
        """Open eyes for folders that are there, close them for those that are not; look where one changed."""
        self._watchers_checked_at = monotonic()
        for top in set(self._watchers) - set(self._watched_folders):
            self._close_watcher(top)
            del self._watchers[top], self._identities[top]
        for top in self._watched_folders:
            identity = _device_and_inode(top)
            known = top in self._watchers
            if known and self._identities[top] == identity:
                continue
            self._close_watcher(top)
            self._watchers[top] = self._open_watcher(top) if identity else None
            self._identities[top] = identity
            if known:
                self._notified.clear()
                self._schedule(RescanTarget(top, recursive=True), monotonic() + EVENT_DELAY_SECONDS)
                if identity is not None:
                    self.notify(f"{os.fsdecode(top)} is there again.")

    def _open_watcher(self, folder: bytes) -> FolderWatcher | None:
        try:
            eyes = FolderWatcher(folder, self._events)
        except (OSError, ValueError) as error:
            self.notify_once(
                f"{os.fsdecode(folder)} cannot be listened to ({error}); it is scanned every "
                f"{self.rescan_seconds:.0f} s."
            )
            return None
        if eyes.polling_reason is not None:
            self.notify_once(
                f"{os.fsdecode(folder)} is looked at every {eyes.poll_seconds:.0f} s: "
                f"{eyes.polling_reason} what changes."
            )
        return eyes

    def _close_watcher(self, folder: bytes) -> None:
        eyes = self._watchers.get(folder)
        if eyes is not None:
            eyes.close()


def scan_targets(roots: Roots, rescan_targets: Sequence[RescanTarget]) -> Iterator[ScanTarget]:
    """Yield the places to look at, each once; what was deleted only if something of it is known."""
    deep = {spot.folder for spot in rescan_targets if spot.recursive}
    heads = defaultdict[bytes, set[bytes]](set)
    for spot in rescan_targets:
        heads[spot.folder].add(spot.name_stem)
    found = [
        place for folder in heads if (place := roots.target_at(folder, recursive=folder in deep)) is not None
    ]
    below = defaultdict[int, tuple[bytes, ...]](tuple)
    for place in found:
        if place.recursive:
            below[place.root_id] += (place.folder.rstrip(b"/") + b"/",)
    for place in found:
        if place.folder.startswith(below[place.root_id]):
            continue
        names = heads[place.folder]
        if not place.recursive and b"" not in names and len(names) <= MAX_NAME_STEMS:
            place = place._replace(name_stems=frozenset(names))
        if os.path.isdir(place.folder) or place.is_offline or next(roots.catalog_files(place), None):
            yield place


def _target_of_file(path: bytes) -> RescanTarget:
    """Return where to look for a file, and for what stands beside it."""
    return RescanTarget(os.path.dirname(path), name_stem=name_stem(os.path.basename(path)))


def _is_indexable(path: bytes, options: ScanOptions) -> bool:
    """Say whether a file is one that is read, by its name."""
    return has_decoder(path) or (options.archives and is_archive(path))


def _device_and_inode(folder: bytes) -> tuple[int, int] | None:
    """Return what tells a folder from another at its place; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if S_ISDIR(status.st_mode) else None
