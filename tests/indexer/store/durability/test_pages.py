"""Tests of checksums and parity of the catalog's pages."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from indexer.store.durability import catalog_connection
from indexer.store.durability.catalog_connection import CatalogConnection
from indexer.store.durability.damage import check_pages
from indexer.store.durability.page_checksums import read_checksums
from indexer.store.durability.page_file import open_page_file
from indexer.store.durability.parity import LANES, group_members, group_of
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE, PARITY_FILE

PAGE = 16_384


def add_rows(db, count=200):
    db.execute("CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, name BLOB)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO files (name) VALUES (?)", [(os.urandom(2_000),) for _ in range(count)])
    db.execute("COMMIT")


@pytest.fixture
def catalog(tmp_path):
    """Return the folder of a closed catalog of about 30 pages."""
    with closing(CatalogConnection.open(tmp_path)) as db:
        add_rows(db)
    return tmp_path


def flip(folder, page, offset=9_000, name=CATALOG_FILE):
    with (folder / name).open("r+b") as file:
        file.seek((page - 1) * PAGE + offset)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def content(folder):
    return (folder / CATALOG_FILE).read_bytes()


def kill(db, folder):
    """Copy the files of an open catalog, as a killed process leaves them."""
    copy = folder / "killed"
    copy.mkdir()
    for name in (CATALOG_FILE, f"{CATALOG_FILE}-wal", CHECKSUMS_FILE, PARITY_FILE):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / name)
    return copy


def test_group_members_are_in_the_group():
    for page in (1, 16, 17, 256, 257, 1_000):
        assert page in group_members(group_of(page), 1_000)
        assert group_of(page) != group_of(page + 1)
        assert len(group_members(group_of(page), 10_000)) == 16


def test_intact_pages_are_known(catalog):
    assert check_pages(catalog).damaged == ()
    assert len(read_checksums(catalog).pages) == len(content(catalog)) // PAGE


@pytest.mark.parametrize("page", [1, 2, 7, 27])
def test_damaged_page_is_found_and_restored(catalog, page):
    before = content(catalog)
    flip(catalog, page)
    assert check_pages(catalog).damaged == (page,)
    assert check_pages(catalog, repair=True).restored == (page,)
    assert content(catalog) == before


def test_page_size_is_known_when_the_header_is_damaged(catalog):
    before = content(catalog)
    flip(catalog, 1, offset=16)
    assert check_pages(catalog, repair=True).restored == (1,)
    assert content(catalog) == before


def test_truncated_catalog_is_restored_from_the_parity_of_its_groups(catalog):
    before = content(catalog)
    (catalog / CATALOG_FILE).write_bytes(before[: -(LANES // 2) * PAGE - 100])
    assert len(check_pages(catalog, repair=True).restored) == LANES // 2 + 1
    assert content(catalog) == before


def test_two_damaged_pages_of_a_group_are_reported(catalog):
    first, second = group_members(group_of(2), 27)[:2]
    flip(catalog, first)
    flip(catalog, second)
    damage = check_pages(catalog, repair=True)
    assert (damage.restored, damage.damaged) == ((), (first, second))


def test_later_commits_keep_the_parity_correct(catalog):
    for count in (1, 50, 3):
        with closing(CatalogConnection.open(catalog)) as db:
            add_rows(db, count)
    before = content(catalog)
    for page in range(1, len(before) // PAGE + 1):
        flip(catalog, page)
        assert check_pages(catalog, repair=True).restored == (page,)
    assert content(catalog) == before


def test_catalog_that_shrinks_keeps_the_parity_correct(catalog):
    with closing(CatalogConnection.open(catalog)) as db:
        db.execute("BEGIN")
        db.execute("DELETE FROM files WHERE id > 40")
        db.execute("COMMIT")
        db.execute("VACUUM")
    before = content(catalog)
    assert len(before) < 12 * PAGE
    for page in range(1, len(before) // PAGE + 1):
        flip(catalog, page)
        assert check_pages(catalog, repair=True).restored == (page,)


def pages_of(data):
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


def rewritten_pages(folder, tmp_path_factory):
    """Return the pages that the next small transaction changes."""
    copy = tmp_path_factory.mktemp("copy") / "library"
    shutil.copytree(folder, copy)
    with closing(CatalogConnection.open(copy)) as db:
        add_rows(db, 1)
    pairs = zip(pages_of(content(folder)), pages_of(content(copy)), strict=False)
    return [number for number, (old, new) in enumerate(pairs, 1) if old != new]


def test_page_that_was_damaged_when_it_was_rewritten_stays_damaged(catalog, tmp_path_factory):
    """Otherwise the damage would get a correct checksum."""
    page = rewritten_pages(catalog, tmp_path_factory)[-1]
    flip(catalog, page)
    for _ in range(2):
        with closing(CatalogConnection.open(catalog)) as db:
            add_rows(db, 1)
        assert check_pages(catalog, repair=True).damaged == (page,)


def test_damaged_free_page_is_intact_when_it_is_used_again(catalog):
    with closing(CatalogConnection.open(catalog)) as db:
        db.execute("BEGIN")
        db.execute("DELETE FROM files WHERE id > 20")
        db.execute("COMMIT")
    with closing(sqlite3.connect(catalog / CATALOG_FILE)) as db:
        used = {row[0] for row in db.execute("SELECT pageno FROM dbstat")}
    with open_page_file(catalog) as file:
        free = read_checksums(catalog).free_pages(file)
    assert len(free) > 20
    assert not free & used
    pages = sorted(free)[-20:]
    for page in pages:
        flip(catalog, page)
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 100)  # uses some of the pages, and marks others in their groups
    assert check_pages(catalog).damaged
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 400)
    assert check_pages(catalog).damaged == ()


def test_damaged_page_is_restored_before_the_parity_of_its_group_changes(catalog, tmp_path_factory):
    rewritten = rewritten_pages(catalog, tmp_path_factory)
    neighbors = {member for page in rewritten for member in group_members(group_of(page), 27)}
    page = max(neighbors - set(rewritten))
    before = pages_of(content(catalog))[page - 1]
    flip(catalog, page)
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 1)
    assert check_pages(catalog).damaged == ()
    assert pages_of(content(catalog))[page - 1] == before


def test_log_of_a_killed_process_is_not_damage(catalog):
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 30)
        killed = kill(db, catalog)
    assert check_pages(killed).damaged == ()
    with closing(CatalogConnection.open(killed)) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (230,)
    assert check_pages(killed).damaged == ()


def test_log_of_a_killed_process_that_another_program_applies_is_not_damage(catalog):
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 30)
        killed = kill(db, catalog)
    with closing(sqlite3.connect(killed / CATALOG_FILE)) as db:
        db.execute("SELECT count(*) FROM files").fetchone()
    assert not (killed / f"{CATALOG_FILE}-wal").exists()
    assert check_pages(killed).damaged == ()
    with closing(CatalogConnection.open(killed)) as db:
        add_rows(db, 1)
    assert check_pages(killed).damaged == ()


def test_checkpoint_that_a_reader_holds_up_is_not_damage(catalog):
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 5)
        with closing(sqlite3.connect(catalog / CATALOG_FILE)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM files").fetchone()
            add_rows(db, 30)
            db.checkpoint("PASSIVE")
            assert read_checksums(catalog).pending
            assert check_pages(catalog).damaged == ()
        add_rows(db, 5)
    assert not read_checksums(catalog).pending
    assert check_pages(catalog).damaged == ()


def test_catalog_without_checksums_gets_them(catalog):
    (catalog / CHECKSUMS_FILE).unlink()
    (catalog / PARITY_FILE).unlink()
    with closing(CatalogConnection.open(catalog)):
        pass
    before = content(catalog)
    flip(catalog, 5)
    assert check_pages(catalog, repair=True).restored == (5,)
    assert content(catalog) == before


def test_damaged_checksums_are_not_used(catalog):
    flip(catalog, 1, offset=40, name=CHECKSUMS_FILE)
    assert read_checksums(catalog) is None
    assert check_pages(catalog).damaged == ()


def test_commit_without_changes_does_not_accept_damage(catalog):
    flip(catalog, 5)
    with closing(CatalogConnection.open(catalog)) as db:
        db.execute("BEGIN")
        db.execute("DELETE FROM files WHERE id = -1")
        db.execute("COMMIT")
    assert check_pages(catalog).damaged == (5,)


def test_page_that_an_interrupted_checkpoint_has_torn_is_not_damage(catalog):
    file = catalog / CATALOG_FILE
    with closing(CatalogConnection.open(catalog)) as db, closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM files").fetchone()
        add_rows(db, 30)
        db.checkpoint("PASSIVE")  # writes no page, because of the reader
        killed = kill(db, catalog)
    page = max(page for page in read_checksums(killed).pending if page <= 27)
    flip(killed, page)
    with closing(CatalogConnection.open(killed)) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (230,)
    assert check_pages(killed).damaged == ()


def test_checksums_of_a_deleted_catalog_are_not_those_of_the_next(catalog):
    (catalog / CATALOG_FILE).unlink()
    with closing(CatalogConnection.open(catalog)) as db:
        add_rows(db, 300)
    assert check_pages(catalog).damaged == ()


def test_parity_that_is_damaged_is_reported_and_computed_again(catalog):
    flip(catalog, 1, name=PARITY_FILE)
    assert "parity" in check_pages(catalog).notes[0]
    assert check_pages(catalog, repair=True).notes == ()
    assert check_pages(catalog).notes == ()


def test_damaged_checksums_are_reported(catalog):
    flip(catalog, 1, offset=40, name=CHECKSUMS_FILE)
    assert "checksums" in check_pages(catalog).notes[0]


def test_damaged_catalog_is_not_vacuumed(catalog):
    first, second = group_members(group_of(2), 27)[:2]
    flip(catalog, first, offset=12_000)
    flip(catalog, second, offset=12_000)
    with (
        closing(CatalogConnection.open(catalog)) as db,
        pytest.raises(sqlite3.OperationalError, match="damaged"),
    ):
        db.execute("VACUUM")
    assert check_pages(catalog).damaged == (first, second)


def test_large_log_is_not_copied_at_each_commit(catalog, monkeypatch):
    monkeypatch.setattr(catalog_connection, "MAX_LOG_BYTES", 50 * PAGE)
    monkeypatch.setattr(CatalogConnection, "_checkpoint_bytes", 50 * PAGE)
    checkpoints, checkpoint = [], CatalogConnection.checkpoint

    def count(db, mode):
        checkpoints.append(mode)
        checkpoint(db, mode)

    monkeypatch.setattr(CatalogConnection, "checkpoint", count)
    with closing(CatalogConnection.open(catalog)) as db:
        for _ in range(40):
            add_rows(db, 60)
    assert 2 <= checkpoints.count("PASSIVE") <= 12
    assert check_pages(catalog).damaged == ()
