"""Events, timers and pending writes become rescan targets; the clock is moved by hand."""

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import pytest

from indexer.store.roots import Roots
from indexer.watch.scheduler import MAX_NAME_STEMS, RescanScheduler, RescanTarget, scan_targets
from indexer.watch.write_detection import PendingWrites
from tests.indexer.watch.clock import FakeClock
from tests.support.catalog import empty_catalog

ADDED, MODIFIED, DELETED = 1, 2, 3  # kinds of events of watchfiles
OLD = (1_000_000_000, 1_000_000_000)  # seconds; files with this time are complete


class FakeWatcher:
    """A watcher without a thread; the test puts events into its queue."""

    polling_reason, poll_seconds = None, 0.0

    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True


@dataclass
class Watch:
    """A scheduler, its clock, and its watchers by folder."""

    top: Path
    roots: Roots
    clock: FakeClock = field(default_factory=lambda: FakeClock(1_000.0))
    messages: list[str] = field(default_factory=list)
    watchers: dict[bytes, FakeWatcher] = field(default_factory=dict)
    written: set[bytes] = field(default_factory=set)  # files that are open for writing
    queue: Queue | None = None
    scheduler: RescanScheduler | None = None

    def start(self, *folders):
        self.scheduler = RescanScheduler(
            [os.fsencode(folder) for folder in folders],
            os.fsencode(self.top / "library"),
            self.messages.append,
            clock=self.clock,
            start_watcher=self.start_watcher,
        )
        self.scheduler.pending_writes = PendingWrites(self.written.__contains__, clock=self.clock)
        self.scheduler.set_roots(self.roots)
        return self

    def start_watcher(self, folder, queue, polled_file_systems):
        self.queue = queue
        self.watchers[folder] = FakeWatcher()
        return self.watchers[folder]

    def send(self, *paths, kind=MODIFIED):
        self.queue.put({(kind, str(path)) for path in paths})
        self.wait_until(self.clock.now)

    def wait_until(self, now):
        self.clock.now = now
        self.scheduler.wait(now)

    def due_at(self, now):
        self.clock.now = now
        return set(self.scheduler.due())


@pytest.fixture
def db():
    db = empty_catalog()
    yield db
    db.close()


@pytest.fixture
def top(tmp_path):
    """Return a folder with the files a.png, b.png and sub/c.png."""
    for name in ("a.png", "b.png", "sub/c.png"):
        write(tmp_path / "top" / name)
    return tmp_path / "top"


@pytest.fixture
def watch(top, db):
    roots = Roots(db)
    roots.register(os.fsencode(top), ["private"], archives=True)
    return Watch(top, roots).start()


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, OLD)
    return path


def files(folder, stem):
    return RescanTarget(os.fsencode(folder), name_stem=stem)


def tree(folder):
    return RescanTarget(os.fsencode(folder), recursive=True)


def test_changed_file_is_due_after_the_event_delay(watch, top):
    watch.send(top / "a.png")
    assert watch.due_at(1_000.25) == set()
    assert watch.due_at(1_000.31) == {files(top, b"a")}


def test_events_of_one_file_are_one_target_and_do_not_delay_it(watch, top):
    watch.send(top / "a.png", kind=ADDED)
    watch.clock.now = 1_000.2
    watch.send(top / "a.png")
    assert watch.due_at(1_000.31) == {files(top, b"a")}


def test_image_and_caption_are_one_target(watch, top):
    watch.send(top / "a.png", write(top / "a.png.txt"), write(top / "a.json"))
    assert watch.due_at(1_000.31) == {files(top, b"a")}


def test_targets_that_are_due_soon_are_returned_together(watch, top):
    watch.send(top / "a.png")
    watch.clock.now = 1_000.05
    watch.send(top / "b.png")
    watch.clock.now = 1_000.25
    watch.send(top / "sub" / "c.png")
    assert watch.due_at(1_000.31) == {files(top, b"a"), files(top, b"b")}


def test_done_targets_are_removed(watch, top):
    watch.send(top / "a.png", top / "sub" / "c.png")
    watch.clock.now = 1_000.31
    targets = watch.scheduler.due()
    assert len(targets) == 2
    watch.scheduler.mark_done(targets)
    assert watch.due_at(1_001) == set()


def test_targets_are_retried_after_a_delay(watch, top):
    watch.send(top / "a.png")
    watch.clock.now = 1_001.0
    watch.scheduler.retry_after(watch.scheduler.due(), 10.0)
    assert watch.due_at(1_010.9) == set()
    assert watch.due_at(1_011.0) == {files(top, b"a")}


def test_all_folders_are_rescanned_after_the_rescan_time(watch, top):
    watch.wait_until(1_599.0)
    assert watch.scheduler.due() == []
    watch.wait_until(1_600.0)
    assert watch.scheduler.due() == [tree(top)]
    watch.scheduler.mark_done([tree(top)])
    watch.wait_until(2_199.0)
    assert watch.scheduler.due() == []
    watch.wait_until(2_200.0)
    assert watch.scheduler.due() == [tree(top)]


def test_timed_rescan_includes_roots_in_a_watched_folder(top, db):
    roots = Roots(db)
    roots.register(os.fsencode(top / "sub"))
    roots.register(os.fsencode(top))
    watch = Watch(top, roots).start(top)
    watch.wait_until(1_600.0)
    assert set(watch.scheduler.due()) == {tree(top), tree(top / "sub")}


def test_deleted_file_schedules_its_path_and_its_sidecars(watch, top):
    (top / "sub" / "c.png").unlink()
    watch.send(top / "sub" / "c.png", kind=DELETED)
    assert watch.due_at(1_000.31) == {tree(top / "sub" / "c.png"), files(top / "sub", b"c")}


def test_deleted_folder_schedules_the_topmost_missing_path(watch, top):
    (top / "sub" / "c.png").unlink()
    (top / "sub").rmdir()
    watch.send(top / "sub" / "c.png", kind=DELETED)
    assert watch.due_at(1_000.31) == {tree(top / "sub"), files(top, b"sub")}


def test_new_folder_is_scanned_recursively_and_a_changed_one_is_not(watch, top):
    watch.send(top / "sub", kind=ADDED)
    watch.send(top)
    assert watch.due_at(1_000.31) == {tree(top / "sub"), RescanTarget(os.fsencode(top))}


def test_archive_schedules_its_folder(watch, top):
    with zipfile.ZipFile(top / "sub" / "a.zip", "w"):
        pass
    os.utime(top / "sub" / "a.zip", OLD)
    watch.send(top / "sub" / "a.zip")
    assert watch.due_at(1_000.31) == {tree(top / "sub")}


@pytest.mark.parametrize(
    "name", ["private/a.png", ".hidden/a.png", ".a.png", "library/a.png", "a.xyz", "../outside.png"]
)
def test_event_of_a_file_that_is_not_indexed_is_ignored(name, watch, top):
    watch.send(write(top / name).resolve())
    assert watch.due_at(1_001.0) == set()


def test_file_that_is_being_written_is_scheduled_when_it_is_complete(watch, top):
    path = os.fsencode(top / "a.png")
    watch.written.add(path)
    watch.send(top / "a.png")
    watch.wait_until(1_001.0)
    assert watch.due_at(1_001.0) == set()
    watch.written.clear()
    watch.wait_until(1_002.0)
    assert watch.due_at(1_002.0) == {files(top, b"a")}


def test_event_below_a_linked_folder_schedules_the_path_with_the_link(top, tmp_path, db):
    link = tmp_path / "link"
    link.symlink_to(top)
    roots = Roots(db)
    roots.register(os.fsencode(link))
    watch = Watch(top, roots).start()
    watch.send(top / "a.png")  # the system reports the path without the link
    assert watch.due_at(1_000.31) == {files(link, b"a")}


def test_new_link_is_watched_and_rescanned_and_again_when_its_folder_returns(watch, top, tmp_path):
    def watch_again():
        """Return True if the watcher was replaced, and whether the link is due."""
        before = watch.watchers[os.fsencode(top)]
        watch.wait_until(watch.clock.now + 3)
        due = watch.due_at(watch.clock.now + 0.31)
        watch.scheduler.mark_done(list(due))
        after = watch.watchers[os.fsencode(top)]
        assert before.closed == (after is not before)
        assert not after.closed
        return after is not before, due

    write(tmp_path / "elsewhere" / "d.png")
    (top / "link").symlink_to(tmp_path / "elsewhere")
    assert watch_again() == (False, set())  # the walk of the root decides whether it is followed
    (target,) = watch.roots.all()
    watch.roots.save_links(target, {os.fsencode(tmp_path / "elsewhere"): b"link"})
    watch.scheduler.set_roots(watch.roots)
    assert watch.due_at(watch.clock.now + 0.31) == {tree(top / "link")}
    watch.scheduler.mark_done([tree(top / "link")])
    assert watch_again() == (False, set())
    (tmp_path / "elsewhere").rename(tmp_path / "away")
    assert watch_again() == (False, set())
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    assert watch_again() == (True, {tree(top / "link")})
    (top / "link").unlink()
    (top / "link").symlink_to(tmp_path / "elsewhere")
    assert watch_again() == (True, {tree(top / "link")})
    assert watch.messages == []


def test_missing_folder_is_rescanned_when_it_disappears_and_when_it_returns(watch, top, tmp_path):
    first = watch.watchers[os.fsencode(top)]
    top.rename(tmp_path / "away")
    watch.wait_until(1_000.4)  # too early for the next check of the folders
    assert not first.closed
    watch.wait_until(1_000.5)
    assert first.closed
    assert watch.due_at(1_000.81) == {tree(top)}
    watch.scheduler.mark_done([tree(top)])
    (tmp_path / "away").rename(top)
    watch.wait_until(1_001.5)
    assert watch.messages == [f"{top} is available again."]
    assert watch.watchers[os.fsencode(top)] is not first
    assert watch.due_at(1_001.81) == {tree(top)}


def test_folder_that_cannot_be_watched_is_reported_once(top, db):
    def fail(folder, queue, polled_file_systems):
        raise OSError(28, "No space left on device")

    roots = Roots(db)
    roots.register(os.fsencode(top))
    watch = Watch(top, roots)
    watch.start_watcher = fail
    watch.start()
    watch.scheduler.set_roots(roots)
    watch.wait_until(1_001.0)
    assert len(watch.messages) == 1
    assert watch.messages[0].startswith(f"Cannot watch {top} ")


def test_message_is_repeated_after_a_folder_has_returned(watch, top, tmp_path):
    watch.scheduler.notify_once("busy")
    watch.scheduler.notify_once("busy")
    assert watch.messages == ["busy"]
    top.rename(tmp_path / "away")
    watch.wait_until(1_000.5)
    watch.scheduler.notify_once("busy")
    assert watch.messages == ["busy", "busy"]


def test_forgotten_root_is_no_longer_watched(watch, top):
    watch.roots.forget([os.fsencode(top)])
    watch.scheduler.set_roots(watch.roots)
    assert watch.watchers[os.fsencode(top)].closed
    watch.send(top / "a.png")
    assert watch.due_at(1_001.0) == set()


def test_close_stops_all_watchers(watch):
    watch.scheduler.close()
    assert all(watcher.closed for watcher in watch.watchers.values())


def test_scan_target_has_the_name_stems_of_its_folder(watch, top):
    (target,) = scan_targets(watch.roots, [files(top, b"a"), files(top, b"b")])
    assert (target.folder, target.recursive) == (os.fsencode(top), False)
    assert target.name_stems == {b"a", b"b"}


def test_complete_folder_replaces_its_name_stems(watch, top):
    (target,) = scan_targets(watch.roots, [files(top, b"a"), RescanTarget(os.fsencode(top))])
    assert (target.recursive, target.name_stems) == (False, frozenset())


@pytest.mark.parametrize(("count", "has_stems"), [(MAX_NAME_STEMS, True), (MAX_NAME_STEMS + 1, False)])
def test_many_name_stems_are_the_complete_folder(count, has_stems, watch, top):
    (target,) = scan_targets(watch.roots, [files(top, b"%d" % number) for number in range(count)])
    assert bool(target.name_stems) is has_stems


def test_recursive_target_replaces_the_targets_below_it(watch, top):
    targets = list(scan_targets(watch.roots, [files(top / "sub", b"c"), tree(top), files(top, b"a")]))
    assert [(target.folder, target.recursive) for target in targets] == [(os.fsencode(top), True)]


def test_deleted_folder_without_known_files_has_no_scan_target(watch, top, db):
    assert list(scan_targets(watch.roots, [tree(top / "deleted")])) == []
    db.execute(
        """INSERT INTO files (root, path, size, mtime, decoder, time, state)
           VALUES (1, ?, 1, 1, 'picture', '', 'present')""",
        (b"deleted/a.png",),
    )
    (target,) = scan_targets(watch.roots, [tree(top / "deleted")])
    assert target.subpath == b"deleted"


def test_excluded_folder_and_folder_outside_have_no_scan_target(watch, top, tmp_path):
    (top / "private").mkdir()
    assert list(scan_targets(watch.roots, [tree(top / "private"), tree(tmp_path)])) == []
