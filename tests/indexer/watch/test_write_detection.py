"""Changed files become complete when no process writes them and they have not changed for a while."""

import os
import sys

import pytest

from indexer.watch.options import WatchOptions
from indexer.watch.write_detection import PendingWrites, is_being_written
from tests.indexer.watch.clock import FakeClock

OPTIONS = WatchOptions()
WALL_TIME = 1_700_000_000  # seconds; now, on the wall clock of the tests


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def path(tmp_path):
    """Write a file with the current time."""
    file = tmp_path / "a.png"
    file.write_bytes(b"12")
    os.utime(file, (WALL_TIME, WALL_TIME))
    return os.fsencode(file)


def pending_writes(clock, being_written):
    return PendingWrites(
        lambda path: being_written, options=OPTIONS, clock=clock, wall_clock=lambda: WALL_TIME
    )


def set_age(path, seconds):
    os.utime(path, (WALL_TIME - seconds, WALL_TIME - seconds))


def append(path, data=b"3"):
    with open(path, "ab") as file:
        file.write(data)
    set_age(path, 0)


def test_closed_file_is_complete_after_the_quiet_time(clock, path):
    pending = pending_writes(clock, False)
    assert not pending.check(path)
    assert len(pending) == 1
    assert pending.next_check_at == 100.0 + OPTIONS.quiet_seconds
    clock.now = 100.5
    assert pending.completed() == []
    clock.now = 101.0
    assert pending.completed() == [path]
    assert len(pending) == 0


def test_closed_file_older_than_the_quiet_time_is_complete_immediately(clock, path):
    set_age(path, 1)
    pending = pending_writes(clock, False)
    assert pending.check(path)
    assert len(pending) == 0


def test_open_file_is_pending_whatever_its_age(clock, path):
    set_age(path, 3_600)
    pending = pending_writes(clock, True)
    assert not pending.check(path)
    assert pending.next_check_at == 100.0 + OPTIONS.recheck_seconds
    clock.now = 200.0
    assert pending.completed() == []
    assert pending.next_check_at == 200.0 + OPTIONS.recheck_seconds


@pytest.mark.parametrize(("age", "complete"), [(9, False), (OPTIONS.assume_complete_seconds, True)])
def test_file_of_unknown_writers_is_complete_at_an_age(age, complete, clock, path):
    set_age(path, age)
    assert pending_writes(clock, None).check(path) is complete


@pytest.mark.parametrize("being_written", [False, None])
def test_file_from_the_future_is_complete_after_the_quiet_time(being_written, clock, path):
    set_age(path, -3_600)
    pending = pending_writes(clock, being_written)
    assert not pending.check(path)
    clock.now = 101.0
    assert pending.completed() == [path]


def test_change_of_size_restarts_the_quiet_time(clock, path):
    pending = pending_writes(clock, None)
    pending.check(path)
    clock.now = 100.5
    append(path)
    assert not pending.check(path)
    assert pending.next_check_at == 100.5 + OPTIONS.quiet_seconds
    clock.now = 101.0  # more than the quiet time after the first check
    assert pending.completed() == []
    clock.now = 101.5
    assert pending.completed() == [path]


def test_change_of_time_restarts_the_quiet_time(clock, path):
    pending = pending_writes(clock, None)
    pending.check(path)
    clock.now = 100.5
    set_age(path, 5)
    assert not pending.check(path)
    assert pending.next_check_at == 100.5 + OPTIONS.quiet_seconds


def test_repeated_check_of_an_unchanged_file_keeps_the_quiet_time(clock, path):
    pending = pending_writes(clock, None)
    pending.check(path)
    clock.now = 100.5
    assert not pending.check(path)
    assert pending.next_check_at == pytest.approx(100.0 + OPTIONS.quiet_seconds)


def test_missing_file_is_complete_and_not_pending(clock, path):
    pending = pending_writes(clock, True)
    pending.check(path)
    os.unlink(path)
    assert pending.check(path)
    assert len(pending) == 0
    assert pending.next_check_at == float("inf")


def test_deleted_pending_file_is_completed(clock, path):
    pending = pending_writes(clock, True)
    pending.check(path)
    os.unlink(path)
    clock.now = 101.0
    assert pending.completed() == [path]


def test_folder_is_complete(clock, tmp_path):
    assert pending_writes(clock, True).check(os.fsencode(tmp_path))


def test_completed_file_stays_complete_until_it_is_cleared(clock, path):
    pending = pending_writes(clock, None)
    pending.check(path)
    clock.now = 101.0
    assert pending.completed() == [path]
    assert pending.check(path)
    pending.clear_completed()
    assert not pending.check(path)


def test_completed_file_that_changes_is_pending_again(clock, path):
    pending = pending_writes(clock, None)
    pending.check(path)
    clock.now = 101.0
    pending.completed()
    append(path)
    assert not pending.check(path)
    assert pending.next_check_at == 101.0 + OPTIONS.quiet_seconds


def test_next_check_is_that_of_the_earliest_file(clock, path, tmp_path):
    pending = pending_writes(clock, False)
    pending.check(path)
    clock.now = 100.25
    later = os.fsencode(tmp_path / "b.png")
    append(later)
    pending.check(later)
    assert pending.next_check_at == 100.0 + OPTIONS.quiet_seconds
    clock.now = 101.0
    assert pending.completed() == [path]
    assert pending.next_check_at == 100.25 + OPTIONS.quiet_seconds


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports open files")
def test_file_is_being_written_while_it_is_open_for_writing(path):
    with open(path, "r+b"):
        assert is_being_written(path)
    with open(path, "rb"):
        assert is_being_written(path) is False
    assert is_being_written(path + b"none") is None


@pytest.mark.parametrize("offset", [3_600, 0], ids=["ahead", "equal"])
def test_file_of_another_clock_is_complete_after_its_last_change(offset, clock, path):
    set_age(path, -offset)
    pending = pending_writes(clock, None)
    assert not pending.check(path)
    for clock.now in (100.7, 101.4):
        with open(path, "ab") as file:
            file.write(b"3")
        set_age(path, -offset)
        assert not pending.check(path)
    clock.now = 102.1
    assert pending.completed() == []
    clock.now = 102.3
    assert pending.completed() == [path]
    assert pending.check(path)  # unchanged since it was completed
    assert len(pending) == 0
    os.unlink(path)
    assert pending.check(path)


def test_file_of_a_clock_behind_is_complete_immediately(clock, path):
    set_age(path, 3_600)
    assert pending_writes(clock, None).check(path)
