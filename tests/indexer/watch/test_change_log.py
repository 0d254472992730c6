"""The change log returns the net change of each file."""

from pathlib import Path

import pytest

from indexer.watch.change_log import Change, ChangeLog
from tests.support.catalog import empty_catalog


@pytest.fixture
def db():
    """Return a catalog with the files /root/known.png (content 1), offline.png (2) and gone.png (3)."""
    db = empty_catalog()
    db.execute("INSERT INTO roots (id, path, options, state) VALUES (1, ?, '{}', 'present')", (b"/root",))
    insert(db, "known.png", 1)
    insert(db, "offline.png", 2, state="offline")
    insert(db, "gone.png", 3, state="gone")
    yield db
    db.close()


@pytest.fixture
def log(db):
    return ChangeLog(db)


def insert(db, path, content, *, state="present", error=None, root=1):
    db.execute(
        """INSERT INTO files (root, path, size, mtime, decoder, content, error, time, state)
           VALUES (?, ?, 1, 1, 'picture', ?, ?, '', ?)""",
        (root, path.encode(), content, error, state),
    )


def update(db, path, assignments):
    db.execute(f"UPDATE files SET {assignments} WHERE path = ?", (path.encode(),))


def delete(db, path):
    db.execute("DELETE FROM files WHERE path = ?", (path.encode(),))


def change(change_type, name, was=None, reason=None):
    return Change(change_type, Path("/root", name), was and Path("/root", was), reason)


def test_log_without_changes_is_empty(log):
    assert log.changes() == []


def test_inserted_file_is_added(db, log):
    insert(db, "new.png", 9)
    assert log.changes() == [change("added", "new.png")]


def test_changed_content_is_an_update(db, log):
    update(db, "known.png", "content = 9")
    assert log.changes() == [change("updated", "known.png")]


def test_changed_size_and_time_are_not_a_change(db, log):
    update(db, "known.png", "size = 2, mtime = 2, content = content")
    assert log.changes() == []


@pytest.mark.parametrize(
    ("path", "state", "expected"),
    [
        ("known.png", "gone", "gone"),
        ("known.png", "offline", "offline"),
        ("offline.png", "gone", "gone"),
        ("offline.png", "present", "back"),
        ("gone.png", "present", "added"),
    ],
)
def test_changed_state_is_named_after_the_new_state(path, state, expected, db, log):
    update(db, path, f"state = '{state}'")
    assert log.changes() == [change(expected, path)]


def test_offline_file_with_other_content_is_an_update(db, log):
    update(db, "offline.png", "state = 'present', content = 9")
    assert log.changes() == [change("updated", "offline.png")]


def test_deleted_row_of_a_present_file_is_gone(db, log):
    delete(db, "known.png")
    assert log.changes() == [change("gone", "known.png")]


def test_deleted_row_of_a_gone_file_is_not_a_change(db, log):
    delete(db, "gone.png")
    assert log.changes() == []


def test_content_at_a_new_path_has_moved(db, log):
    insert(db, "new.png", 1)
    delete(db, "known.png")
    assert log.changes() == [change("moved", "new.png", was="known.png")]


def test_content_at_the_path_of_a_gone_file_has_moved(db, log):
    update(db, "gone.png", "state = 'present', content = 1")
    delete(db, "known.png")
    assert log.changes() == [change("moved", "gone.png", was="known.png")]


def test_copy_is_added_and_the_original_is_unchanged(db, log):
    insert(db, "copy.png", 1)
    assert log.changes() == [change("added", "copy.png")]


def test_file_that_moves_onto_a_known_path_is_an_update_and_the_old_path_is_gone(db, log):
    update(db, "known.png", "content = 2")
    delete(db, "offline.png")
    assert log.changes() == [change("updated", "known.png"), change("gone", "offline.png")]


def test_one_of_two_equal_files_moves_and_the_other_is_gone(db):
    insert(db, "twin.png", 1)
    log = ChangeLog(db)
    delete(db, "known.png")
    delete(db, "twin.png")
    insert(db, "new.png", 1)
    assert log.changes() == [change("moved", "new.png", was="twin.png"), change("gone", "known.png")]


def test_file_that_cannot_be_read_has_failed(db, log):
    update(db, "known.png", "content = NULL, error = 'damaged'")
    insert(db, "new.png", None, error="empty file")
    assert log.changes() == [
        change("failed", "known.png", reason="damaged"),
        change("failed", "new.png", reason="empty file"),
    ]


def test_two_unreadable_files_are_not_a_move(db):
    insert(db, "bad.png", None, error="damaged")
    log = ChangeLog(db)
    delete(db, "bad.png")
    insert(db, "new.png", None, error="damaged")
    assert log.changes() == [change("failed", "new.png", reason="damaged"), change("gone", "bad.png")]


def test_file_that_can_be_read_again_is_an_update(db):
    insert(db, "bad.png", None, error="damaged")
    log = ChangeLog(db)
    update(db, "bad.png", "content = 9, error = NULL")
    assert log.changes() == [change("updated", "bad.png")]


def test_state_that_is_restored_is_not_a_change(db, log):
    update(db, "known.png", "state = 'offline'")
    update(db, "known.png", "state = 'present'")
    assert log.changes() == []


def test_several_changes_of_a_file_are_one(db, log):
    insert(db, "new.png", 8)
    update(db, "new.png", "content = 9")
    update(db, "known.png", "content = 5")
    update(db, "known.png", "state = 'gone'")
    assert log.changes() == [change("gone", "known.png"), change("added", "new.png")]


def test_file_that_is_added_and_deleted_is_not_a_change(db, log):
    insert(db, "new.png", 9)
    delete(db, "new.png")
    assert log.changes() == []


def test_changes_are_in_path_order_of_each_root(db, log):
    db.execute("INSERT INTO roots (id, path, options, state) VALUES (2, ?, '{}', 'present')", (b"/",))
    for path in ("b.png", "a.png", "B.png"):
        insert(db, path, 9)
    insert(db, "top.png", 9, root=2)
    assert [str(item.path) for item in log.changes()] == [
        "/root/B.png",
        "/root/a.png",
        "/root/b.png",
        "/top.png",
    ]


def test_changes_before_the_log_are_not_in_it(db):
    insert(db, "new.png", 9)
    assert ChangeLog(db).changes() == []
