"""Tests of the search for commits that a damaged log has lost."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from indexer.store.durability.catalog_connection import CatalogConnection
from indexer.store.durability.log_frames import log_frames, log_loss
from indexer.store.durability.losses import recorded_losses
from indexer.store.durability.page_file import open_page_file
from retrieval.catalog.connection import log_path
from retrieval.catalog.schema import CATALOG_FILE

PAGE, HEADER, FRAME_HEADER = 16_384, 32, 24
COMMITS, ROWS = 6, 20


@pytest.fixture
def killed(tmp_path):
    """Return the folder of a catalog as a killed process leaves it, whose log has some commits."""
    folder, copy = tmp_path / "open", tmp_path / "killed"
    folder.mkdir()
    copy.mkdir()
    with closing(CatalogConnection.open(folder)) as db:
        db.execute("BEGIN")
        db.execute("CREATE TABLE files (id INTEGER PRIMARY KEY, name BLOB)")
        db.execute("COMMIT")
        db.checkpoint("TRUNCATE")
        for _ in range(COMMITS):
            db.execute("BEGIN")
            db.executemany("INSERT INTO files (name) VALUES (?)", [(os.urandom(4_000),)] * ROWS)
            db.execute("COMMIT")
        for path in folder.iterdir():
            shutil.copyfile(path, copy / path.name)
    (copy / f"{CATALOG_FILE}-shm").unlink()
    return copy


def change(log, at):
    data = bytearray(log.read_bytes())
    data[at] ^= 0x10
    log.write_bytes(data)


def loss_in(folder):
    with open_page_file(folder) as file:
        return log_loss(log_path(folder / CATALOG_FILE), file)


def count_rows(folder):
    with closing(sqlite3.connect(folder / CATALOG_FILE)) as db:
        return db.execute("SELECT count(*) FROM files").fetchone()[0]


def test_intact_log_has_no_loss(killed):
    assert loss_in(killed) is None
    with closing(CatalogConnection.open(killed)) as db:
        assert db.loss is None


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.2, 0.5, 0.8, 0.9999])
def test_loss_in_a_damaged_log_is_what_sqlite_leaves_out(killed, share):
    log = log_path(killed / CATALOG_FILE)
    change(log, int(share * log.stat().st_size))
    loss = loss_in(killed)
    lost = COMMITS - count_rows(killed) // ROWS
    assert lost
    assert loss.commits == lost


@pytest.mark.parametrize("field", range(0, FRAME_HEADER, 4))
def test_damaged_header_of_a_frame_is_found(killed, field):
    log = log_path(killed / CATALOG_FILE)
    frames = len(list(log_frames(log)))
    number = frames // 2
    change(log, HEADER + number * (PAGE + FRAME_HEADER) + field)
    loss = loss_in(killed)
    assert loss.frames == frames - number
    assert loss.commits == COMMITS - count_rows(killed) // ROWS


@pytest.mark.parametrize("frame", [0, 3, 20])
def test_zeros_in_a_log_are_damage(killed, frame):
    """A power loss leaves them, if the disk has written only later parts."""
    with log_path(killed / CATALOG_FILE).open("r+b") as log:
        log.seek(HEADER + frame * (PAGE + FRAME_HEADER))
        log.write(bytes(2 * (PAGE + FRAME_HEADER)))
    loss = loss_in(killed)
    assert loss.commits + count_rows(killed) // ROWS in (COMMITS - 1, COMMITS)


@pytest.mark.parametrize("missing", [1, PAGE, PAGE + 1, PAGE + FRAME_HEADER, 3 * (PAGE + FRAME_HEADER)])
def test_transaction_that_a_kill_has_cut_is_not_a_loss(killed, missing):
    log = log_path(killed / CATALOG_FILE)
    os.truncate(log, log.stat().st_size - missing)
    assert loss_in(killed) is None


@pytest.mark.parametrize("written", [16, HEADER, HEADER + FRAME_HEADER, HEADER + FRAME_HEADER + 99])
def test_log_that_a_killed_process_was_starting_again_is_not_a_loss(killed, tmp_path, written):
    """The rest of the log is older, and its pages are in the catalog."""
    log, copy = log_path(killed / CATALOG_FILE), tmp_path / "copy"
    before = log.read_bytes()
    with closing(sqlite3.connect(killed / CATALOG_FILE)) as db:
        db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        shutil.copytree(killed, copy)
        with db:
            db.execute("UPDATE files SET id = id + 1000 WHERE id = 3")
        begun = log.read_bytes()
    assert begun[:HEADER] != before[:HEADER]
    log_path(copy / CATALOG_FILE).write_bytes(begun[:written] + before[written:])
    assert loss_in(copy) is None


def test_writer_records_the_loss_before_it_uses_the_log(killed):
    log = log_path(killed / CATALOG_FILE)
    change(log, log.stat().st_size // 2)
    with closing(CatalogConnection.open(killed)) as db:
        loss = db.loss
    assert loss.commits == COMMITS - count_rows(killed) // ROWS
    assert recorded_losses(killed) == [loss]
    with closing(CatalogConnection.open(killed)) as db:
        assert db.loss is None
    assert recorded_losses(killed) == [loss]
