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

from indexer.scan.rules import Options, passes
from indexer.scan.sidecars import head, is_readable
from indexer.scan.targets import Place
from indexer.store.roots import Roots
from indexer.types import Say
from indexer.watch.fs_events import ADDED, Eyes, Heard
from indexer.watch.write_detection import Unfinished
from retrieval.media.archives.archive import is_archive

TICK = 0.5  # seconds: folders that go and come are minded this often, and an end is noticed
SOON = 0.3  # seconds after which what went is looked at, and what came whole: it may be a move
TOGETHER = 0.1  # seconds within which what is due is looked at together
MOST = 500  # names; of more the whole folder is looked at


class Spot(NamedTuple):
    """A folder to look at, with all that is below it if it is `deep`, or just for names of one head."""

    folder: bytes
    deep: bool = False
    head: bytes = b""


class Attention:
    """The folders that are watched, and the spots in them that are due for a look."""

    def __init__(self, given: Sequence[bytes], own: bytes, every: float, say: Say) -> None:
        """Watch the folders that are given, else all roots; `own` is the library's folder, left out."""
        self.given, self.every, self.say = given, every, say
        self.unfinished = Unfinished()
        self._own = own + b"/"
        self._roots: list[Place] = []
        self._heard: Queue[set[Heard]] = Queue()
        self._eyes: dict[bytes, Eyes | None] = {}
        self._identities: dict[bytes, tuple[int, int] | None] = {}
        self._due: dict[Spot, float] = {}
        self._all_at = monotonic() + every
        self._minded = 0.0
        self._said: set[str] = set()

    def learn(self, roots: Roots) -> None:
        """Learn which roots there are now, and how they are scanned."""
        self._roots = roots.all()
        self._mind()

    def wait(self, until: float) -> None:
        """Wait for something to be heard or due, no longer than until then, and note where to look."""
        due = min(self.unfinished.due, self._all_at, until, *self._due.values(), monotonic() + TICK)
        with suppress(Empty):
            heard = self._heard.get(timeout=max(0.01, due - monotonic()))
            while True:
                for change, name in sorted(heard):
                    self._note(change == ADDED, name)
                heard = self._heard.get_nowait()
        now = monotonic()
        if now >= self._minded + TICK:
            self._mind()
        if now >= self._all_at:
            self._all_at = now + self.every
            inside = tuple(top.rstrip(b"/") + b"/" for top in self._tops)
            every = [*self._tops, *(root.top for root in self._roots if root.top.startswith(inside))]
            self._due |= {Spot(folder, deep=True): now for folder in every}
        for path in self.unfinished.ripe():
            self._look_at_file(path, now)

    def due(self) -> list[Spot]:
        """Return the spots to look at now, and those that are so nearly: a move is heard of in two parts."""
        now = monotonic()
        if min(self._due.values(), default=now + 1) > now:
            return []
        return [spot for spot, when in self._due.items() if when <= now + TOGETHER]

    def done(self, spots: Sequence[Spot]) -> None:
        """Forget spots that were looked at."""
        for spot in spots:
            del self._due[spot]
        self.unfinished.forget()

    def later(self, spots: Sequence[Spot], seconds: float) -> None:
        """Look at these spots again after so many seconds."""
        self._due |= dict.fromkeys(spots, monotonic() + seconds)

    def say_once(self, line: str) -> None:
        """Say a line, unless it was said since a folder last came or went."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def close(self) -> None:
        """Look away from everything."""
        for top in self._eyes:
            self._shut(top)
        self._eyes.clear()

    @property
    def _tops(self) -> Sequence[bytes]:
        """Return the folders to watch."""
        return self.given or [root.top for root in self._roots]

    def _note(self, added: bool, name: str) -> None:
        """Note where to look for what was heard."""
        now, path = monotonic(), self._spelled(os.fsencode(name))
        root = self._root_of(path)
        if root is None:
            return
        try:
            mode = os.stat(path).st_mode
        except OSError:
            while not os.path.lexists(above := os.path.dirname(path)):
                path = above
            self._look_at(Spot(path, deep=True), now + SOON)
            self._look_at(_named(path), now + SOON)
            return
        if S_ISDIR(mode):
            self._look_at(Spot(path, deep=added), now + SOON)
        elif S_ISREG(mode) and _is_read(path, root.options) and self.unfinished.look(path):
            self._look_at_file(path, now + SOON)

    def _spelled(self, path: bytes) -> bytes:
        """Return a path as it is below its folder, where the system tells it without that folder's links."""
        for top in self._tops:
            real = os.path.realpath(top) + b"/"
            if path.startswith(real) and not path.startswith(top):
                return os.path.join(top, path[len(real) :])
        return path

    def _look_at_file(self, path: bytes, when: float) -> None:
        """Look where a file is; for an archive all that is in its folder."""
        self._look_at(Spot(os.path.dirname(path), deep=True) if is_archive(path) else _named(path), when)

    def _look_at(self, spot: Spot, when: float) -> None:
        self._due.setdefault(spot, when)

    def _root_of(self, path: bytes) -> Place | None:
        """Return the root that a path is or is in; None where it is left out, or is the library's own."""
        if path.startswith(self._own):
            return None
        tops = [root for root in self._roots if (path + b"/").startswith(root.top.rstrip(b"/") + b"/")]
        root = max(tops, key=lambda root: len(root.top), default=None)
        if root is None or not passes(root.options, path[len(root.top.rstrip(b"/")) + 1 :]):
            return None
        return root

    def _mind(self) -> None:
        """Open eyes for folders that are there, close them for those that are not; look where one changed."""
        self._minded = monotonic()
        for top in set(self._eyes) - set(self._tops):
            self._shut(top)
            del self._eyes[top], self._identities[top]
        for top in self._tops:
            identity = _identity(top)
            known = top in self._eyes
            if known and self._identities[top] == identity:
                continue
            self._shut(top)
            self._eyes[top] = self._open(top) if identity else None
            self._identities[top] = identity
            if known:
                self._said.clear()
                self._look_at(Spot(top, deep=True), monotonic() + SOON)
                if identity is not None:
                    self.say(f"{os.fsdecode(top)} is there again.")

    def _open(self, top: bytes) -> Eyes | None:
        try:
            eyes = Eyes(top, self._heard)
        except (OSError, ValueError) as error:
            self.say_once(
                f"{os.fsdecode(top)} cannot be listened to ({error}); it is scanned every {self.every:.0f} s."
            )
            return None
        if eyes.why is not None:
            self.say_once(
                f"{os.fsdecode(top)} is looked at every {eyes.every:.0f} s: {eyes.why} what changes."
            )
        return eyes

    def _shut(self, top: bytes) -> None:
        eyes = self._eyes.get(top)
        if eyes is not None:
            eyes.close()


def places(roots: Roots, spots: Sequence[Spot]) -> Iterator[Place]:
    """Yield the places to look at, each once; what was deleted only if something of it is known."""
    deep = {spot.folder for spot in spots if spot.deep}
    heads = defaultdict[bytes, set[bytes]](set)
    for spot in spots:
        heads[spot.folder].add(spot.head)
    found = [place for folder in heads if (place := roots.part(folder, deep=folder in deep)) is not None]
    below = defaultdict[int, tuple[bytes, ...]](tuple)
    for place in found:
        if place.deep:
            below[place.root] += (place.folder.rstrip(b"/") + b"/",)
    for place in found:
        if place.folder.startswith(below[place.root]):
            continue
        names = heads[place.folder]
        if not place.deep and b"" not in names and len(names) <= MOST:
            place = place._replace(heads=frozenset(names))
        if os.path.isdir(place.folder) or place.is_away or next(roots.known(place), None):
            yield place


def _named(path: bytes) -> Spot:
    """Return where to look for a file, and for what stands beside it."""
    return Spot(os.path.dirname(path), head=head(os.path.basename(path)))


def _is_read(path: bytes, options: Options) -> bool:
    """Say whether a file is one that is read, by its name."""
    return is_readable(path) or (options.archives and is_archive(path))


def _identity(folder: bytes) -> tuple[int, int] | None:
    """Return what tells a folder from another at its place; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if S_ISDIR(status.st_mode) else None
