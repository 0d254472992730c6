"""States of known files after a scan, decided without a file system."""

import pytest

from indexer.operations.report import Report
from indexer.operations.steps.reconcile import (
    MIN_MISSING_FILES,
    classify_missing,
    reconcile,
    too_many_missing,
)
from indexer.scan.diff import CatalogFile, Changes
from indexer.store.writer import LibraryWriter


def missing_files(count, state="present"):
    return [
        CatalogFile(number, b"%d" % number, 1, 1, "picture", None, None, state, False)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("missing_count", "known_count", "expected"),
    [
        (50, 50, False),  # never for 50 files or fewer
        (51, 51, True),
        (51, 255, False),  # exactly a fifth
        (51, 254, True),
        (200, 1_000, False),
        (201, 1_000, True),
    ],
)
def test_drive_seems_disconnected_above_50_files_and_a_fifth(missing_count, known_count, expected):
    assert too_many_missing(missing_count, known_count) == expected


def test_few_missing_files_are_gone():
    states = classify_missing(missing_files(3), known_count=10)
    assert (states.gone, states.offline) == ([1, 2, 3], [])


def test_many_missing_files_are_offline():
    states = classify_missing(missing_files(60), known_count=100)
    assert (states.gone, len(states.offline)) == ([], 60)


def test_offline_files_stay_offline():
    missing = [*missing_files(1), *(old._replace(id=2) for old in missing_files(1, "offline"))]
    states = classify_missing(missing, known_count=10)
    assert (states.gone, states.offline) == ([1], [2])


def test_confirmed_missing_files_are_gone():
    states = classify_missing(missing_files(60, "offline"), known_count=100, confirm_gone=True)
    assert (len(states.gone), states.offline) == (60, [])


@pytest.fixture
def writer(tmp_path, toy):
    with LibraryWriter(tmp_path / "library", lambda space: toy) as opened:
        yield opened


@pytest.fixture
def target(writer):
    return writer.roots.register(b"/photos")


def add_file(writer, root, path, content=None, state="present"):
    """Insert a file whose content has this hash, and return its catalog row."""
    execute = writer.db.conn.execute
    with writer.db.atomic():
        if content is not None:
            execute("INSERT OR IGNORE INTO contents (hash, decoder) VALUES (?, 'picture')", (content,))
        id_ = execute(
            """INSERT INTO files (root, path, size, mtime, decoder, content, time, state)
               VALUES (?, ?, 1, 1, 'picture', (SELECT id FROM contents WHERE hash = ?), '', ?)""",
            (root, path, content, state),
        ).lastrowid
    return CatalogFile(id_, path, 1, 1, "picture", None, None, state, False)


def states(writer):
    return dict(writer.db.conn.execute("SELECT path, state FROM files"))


def run(writer, target, missing, since_id=0, on_disk=(), **changes):
    """Reconcile one target in which these files are missing, and return the report."""
    report = Report()
    known = Changes(missing=missing, known_count=len(states(writer)), **changes)
    reconcile(writer.roots, [(target, known)], since_id, report, exists=lambda target, path: path in on_disk)
    return report


def test_moved_file_is_counted_once_and_its_old_row_is_deleted(writer, target):
    old = add_file(writer, target.root_id, b"a.png", b"red")
    since = writer.roots.last_file_id()
    add_file(writer, target.root_id, b"b.png", b"red")
    report = run(writer, target, [old], since)
    assert (report.moved, report.added, report.gone) == (1, -1, 0)  # the new path was counted as added
    assert states(writer) == {b"b.png": "present"}


def test_missing_copy_of_a_known_file_is_gone(writer, target):
    old = add_file(writer, target.root_id, b"a.png", b"red")
    add_file(writer, target.root_id, b"b.png", b"red")
    report = run(writer, target, [old], writer.roots.last_file_id())
    assert (report.moved, report.gone) == (0, 1)
    assert states(writer) == {b"b.png": "present"}


def test_two_missing_copies_and_one_new_file_are_one_move(writer, target):
    old = [add_file(writer, target.root_id, path, b"red") for path in (b"a.png", b"b.png")]
    since = writer.roots.last_file_id()
    add_file(writer, target.root_id, b"c.png", b"red")
    report = run(writer, target, old, since)
    assert (report.moved, report.added, report.gone) == (1, -1, 1)


def test_file_that_moved_between_roots_is_counted_once(writer, target):
    other = writer.roots.register(b"/other")
    old = [
        add_file(writer, target.root_id, b"a.png", b"red"),
        add_file(writer, other.root_id, b"a.png", b"red"),
    ]
    since = writer.roots.last_file_id()
    add_file(writer, other.root_id, b"b.png", b"red")
    report = Report()
    scans = [(target, Changes(missing=old[:1])), (other, Changes(missing=old[1:]))]
    reconcile(writer.roots, scans, since, report)
    assert (report.moved, report.gone) == (1, 1)


def test_copy_in_a_root_that_was_not_scanned_is_not_a_move(writer, target):
    other = writer.roots.register(b"/other")
    old = add_file(writer, target.root_id, b"a.png", b"red")
    add_file(writer, other.root_id, b"a.png", b"red")
    report = run(writer, target, [old])
    assert (report.moved, report.gone) == (0, 1)
    assert states(writer)[b"a.png"] in ("gone", "present")
    assert writer.db.conn.execute("SELECT state FROM files WHERE id = ?", (old.id,)).fetchone() == ("gone",)


def test_copies_that_are_missing_too_do_not_keep_each_other(writer, target):
    old = [add_file(writer, target.root_id, path, b"red") for path in (b"a.png", b"b.png")]
    report = run(writer, target, old)
    assert (report.moved, report.gone) == (0, 2)
    assert states(writer) == {b"a.png": "gone", b"b.png": "gone"}


def test_file_without_content_cannot_move(writer, target):
    old = add_file(writer, target.root_id, b"a.png")
    add_file(writer, target.root_id, b"b.png")
    assert run(writer, target, [old]).gone == 1


def test_excluded_files_that_exist_are_gone_however_many(writer, target):
    old = [add_file(writer, target.root_id, b"%d.png" % n, b"%d" % n) for n in range(MIN_MISSING_FILES + 10)]
    report = run(writer, target, old, on_disk={file.path for file in old})
    assert (report.gone, report.offline, report.notes) == (60, 0, [])


def test_files_of_a_disconnected_drive_are_kept_with_a_note(writer, target):
    old = [add_file(writer, target.root_id, b"%d.png" % n, b"%d" % n) for n in range(MIN_MISSING_FILES + 10)]
    report = run(writer, target, old)
    assert (report.gone, report.offline) == (0, 60)
    assert set(states(writer).values()) == {"offline"}
    assert "--confirm-gone" in report.notes[0]


def move_files(writer, target, count):
    """Add files to a target that was completely scanned, and then their copies to another root.

    Returns the old files, their copies and the other root.
    """
    other = writer.roots.register(b"/other")
    old = [add_file(writer, target.root_id, b"a/%d" % n, b"%d" % n) for n in range(count)]
    writer.roots.mark_scanned(target)
    copies = [add_file(writer, other.root_id, b"b/%d" % n, b"%d" % n) for n in range(count)]
    writer.roots.mark_scanned(other)
    return old, copies, other


@pytest.mark.parametrize("scanned_first", [False, True])
def test_files_that_moved_into_a_root_that_was_scanned_first_are_gone_however_many(
    writer, target, scanned_first
):
    deleted = add_file(writer, target.root_id, b"a/deleted", b"deleted")
    old, _, other = move_files(writer, target, 60)
    missing, since = [*old, deleted], writer.roots.last_file_id()
    if scanned_first:  # without the other root, its files are no proof of a move
        assert run(writer, target, missing, since).offline == 61
        missing = [file._replace(state="offline") for file in old]
    report = Report()
    scans = [(target, Changes(missing=missing, known_count=61)), (other, Changes())]
    reconcile(writer.roots, scans, since, report)
    assert (report.moved, report.gone, report.offline, report.notes) == (0, len(missing), 0, [])
    assert {state for path, state in states(writer).items() if path.startswith(b"b/")} == {"present"}


def test_missing_copies_of_files_that_an_earlier_scan_found_are_offline(writer, target):
    old, _, other = move_files(writer, target, 60)
    writer.roots.mark_scanned(target)  # all were present
    report = Report()
    scans = [(target, Changes(missing=old, known_count=60)), (other, Changes())]
    reconcile(writer.roots, scans, writer.roots.last_file_id(), report)
    assert (report.moved, report.gone, report.offline) == (0, 0, 60)


def test_share_of_missing_files_is_that_of_the_root(writer, target):
    for number in range(300):
        add_file(writer, target.root_id, b"z%d.png" % number, b"z%d" % number)
    old = [add_file(writer, target.root_id, b"a/%d.png" % n, b"%d" % n) for n in range(60)]
    part = target._replace(subpath=b"a")
    report = Report()
    reconcile(writer.roots, [(part, Changes(missing=old, known_count=60))], 0, report)
    assert (report.gone, report.offline) == (60, 0)


def test_returned_files_are_present_and_unreadable_ones_are_kept(writer, target):
    returned = add_file(writer, target.root_id, b"a.png", b"red", "offline")
    unread = add_file(writer, target.root_id, b"b/c.png", b"green")
    report = run(writer, target, [], returned=[returned.id], unreadable=[unread], unreadable_paths=[b"b"])
    assert states(writer) == {b"a.png": "present", b"b/c.png": "present"}
    assert (report.unchanged, report.offline, len(report.notes)) == (1, 0, 1)
