"""Tests of a damaged catalog: it is detected, restored from parity or recovered, and the loss is reported."""

import json
import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from indexer import switch_library, teach, update_library, verify_library
from indexer.operations.pipeline import update_folders
from indexer.store.durability.catalog_connection import CatalogConnection
from indexer.store.durability.damage import check_pages
from indexer.store.durability.parity import LANES
from indexer.store.writer import LibraryWriter
from indexer.tag.saved_searches import save_search
from retrieval import Library
from retrieval.catalog.connection import log_path
from retrieval.catalog.reader import add_functions
from retrieval.errors import LibraryError
from tests.support.catalog import downgrade_catalog
from tests.support.files import draw_image
from tests.support.toy_embedder import RotatedToyEmbedder, ToyEmbedder

PAGE = 16_384
EVERY = 10_000  # more hits than there are; a cut among equal ones depends on ids


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Return a folder with 60 long texts and 30 images, and its library."""
    place = tmp_path_factory.mktemp("indexed")
    for number in range(30):
        color = "red" if number % 2 else "blue"
        draw_image(place / "pictures" / f"{number}.png", color, size=(20 + number, 20))
    for number in range(60):
        (place / "pictures" / f"{number}.txt").write_text(f"note {number} " + "red green blue " * 100)
    update_library([place / "pictures"], library=place / "library", embedder=ToyEmbedder())
    return place


@pytest.fixture
def library(indexed, place):
    """Return the path of the catalog of a copy of the library."""
    shutil.copytree(indexed / "library", place)
    return place / "catalogue.sqlite"


def answers(place, toy):
    """Return the hits of some queries, without their ids, which a recovered library may change."""
    with Library.open(place, embedder=toy) as opened:
        queries = ("red", "blue", "note 7", "kind:image red")
        hits = [hit for query in queries for hit in opened.search(query, count=EVERY)]
        return sorted((hit.path.name, hit.kind, hit.start or 0, round(hit.score, 5)) for hit in hits)


def damage_pages(catalog, pages):
    with catalog.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(os.urandom(PAGE))


def pages_of_table(catalog, table):
    with closing(sqlite3.connect(catalog)) as db:
        return [row[0] for row in db.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,))]


def test_changed_byte_of_a_vector_is_restored(library, place, toy, clew):
    before, data = answers(place, toy), library.read_bytes()
    with closing(sqlite3.connect(library)) as db:
        (vector,) = db.execute("SELECT vector FROM vectors_1 WHERE segment = 9").fetchone()
    at = data.index(vector)
    library.write_bytes(data[:at] + vector[::-1] + data[at + len(vector) :])
    (changed, advice) = verify_library(place).errors
    assert changed == "1 page of the catalog changed on the disk after they were written."
    assert "--repair" in advice
    assert clew("verify").exit_code == 1
    assert clew("verify", "--repair").stdout == "Restored 1 page of the catalog.\nNo damage found.\n"
    assert library.read_bytes() == data
    assert answers(place, toy) == before


def test_unreadable_catalog_is_an_error_that_names_the_repair(library, place, toy, clew):
    damage_pages(library, [1])
    with pytest.raises(LibraryError, match="is not a clew library"):
        Library.open(place, embedder=toy).search("red")
    assert clew("verify").exit_code == 1
    assert verify_library(place, repair=True).repaired == ["Restored 1 page of the catalog."]
    assert len(answers(place, toy)) > 40


@pytest.mark.parametrize("table", ["segments", "contents", "files", "vectors_1", "text_words_data"])
def test_rows_outside_of_damaged_pages_are_recovered(library, place, toy, index, table):
    """Two pages of a group are more than parity restores."""
    before = answers(place, toy)
    page = pages_of_table(library, table)[-1]
    partner = page + LANES if page + LANES <= library.stat().st_size // PAGE else page - LANES
    damage_pages(library, [page, partner])
    errors = verify_library(place).errors
    assert "2 pages of the catalog changed on the disk after they were written." in errors
    assert any("clew restore" in error for error in errors)
    (recovered, *_) = verify_library(place, repair=True).repaired
    assert recovered.startswith("The catalog was damaged. Recovered ")
    assert "of 90 files" in recovered
    assert len(list(place.glob("catalogue.sqlite.damaged-*"))) == 1
    assert verify_library(place).errors == []
    report = index()
    assert report.added + report.unchanged == 90
    assert answers(place, toy) == before
    assert verify_library(place).errors == []


def test_recovery_keeps_what_people_made(library, place, toy, index):
    save_search("beach", "red sand", library=place)
    pages = pages_of_table(library, "segments")[-1:]
    damage_pages(library, [*pages, pages[0] - LANES])
    verify_library(place, repair=True)
    with Library.open(place, embedder=toy) as opened:
        assert opened.saved_searches() == {"beach": "red sand"}


def test_truncated_catalog_is_recovered_as_far_as_it_goes(library, indexed, place, toy, index):
    before = answers(place, toy)
    os.truncate(library, library.stat().st_size // 2)
    assert verify_library(place).errors
    verify_library(place, repair=True)
    index(indexed / "pictures")
    assert answers(place, toy) == before
    assert verify_library(place).errors == []


@pytest.mark.parametrize("vacuum", [False, True])
def test_changes_by_another_program_are_accepted_only_on_demand(library, place, toy, clew, vacuum):
    with closing(sqlite3.connect(library)) as db:
        add_functions(db)
        db.execute("UPDATE segments SET text = text || ' more' WHERE text IS NOT NULL")
        db.commit()
        if vacuum:
            db.execute("VACUUM")
    before, data = answers(place, toy), library.read_bytes()
    assert len(check_pages(place).damaged) > 16
    for arguments in ((), ("--repair",)):
        done = clew("verify", "--json", *arguments)
        assert done.exit_code == 1
        assert "--trust" in json.loads(done.stdout)["errors"][-1]
        assert library.read_bytes() == data
    assert "Accepted" in clew("verify", "--trust").stdout
    assert clew("verify").stdout == "No damage found.\n"
    assert answers(place, toy) == before
    assert not list(place.glob("*.damaged-*"))


def test_recovery_keeps_examples_and_long_names(library, place, toy, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rex.png")
    teach("rex", [tmp_path / "rex.png"], library=place, embedder=toy)
    save_search("long", "red " * 5_000, library=place)
    with closing(sqlite3.connect(library)) as db:
        (picture,) = db.execute("SELECT picture FROM examples").fetchone()
    assert len(picture) > PAGE
    page = pages_of_table(library, "segments")[-1]
    damage_pages(library, [page, page - LANES])
    (recovered, *_) = verify_library(place, repair=True).repaired
    assert "1 of 1 example" in recovered
    with closing(sqlite3.connect(library)) as db:
        assert db.execute("SELECT picture FROM examples").fetchall() == [(picture,)]
    with Library.open(place, embedder=toy) as opened:
        assert opened.saved_searches() == {"long": "red " * 5_000}


@pytest.mark.parametrize("step", ["13-archives", "21-partial-reads", "28-architectures"])
def test_damaged_library_of_an_earlier_version_is_recovered_and_migrated(library, place, toy, index, step):
    before = answers(place, toy)
    downgrade_catalog(place, step)
    with closing(sqlite3.connect(library)) as db:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'segments_by_kind'"
        page, size = db.execute(query).fetchone()[0], db.execute("PRAGMA page_size").fetchone()[0]
    with library.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    assert verify_library(place).errors
    assert "Recovered 90" in verify_library(place, repair=True).repaired[0]
    index()
    assert answers(place, toy) == before
    assert verify_library(place).errors == []


def test_segments_without_vectors_are_read_again_after_a_repair(library, place, toy, index):
    before = answers(place, toy)
    with closing(sqlite3.connect(library)) as db, db:
        db.execute("DELETE FROM vectors_1 WHERE segment % 9 = 0")
    (place / "catalogue.checksums").unlink()
    assert any("segments have no vector" in error for error in verify_library(place).errors)
    assert any("Deleted the data of" in line for line in verify_library(place, repair=True).repaired)
    assert not list(place.glob("*.damaged-*"))
    with LibraryWriter(place, lambda space: toy) as writer:
        space = writer.catalog.space()
        assert sum(file.count for file in space.indexes) == writer.catalog.count_vectors(space)
    index()
    assert answers(place, toy) == before
    assert verify_library(place).errors == []


def test_repair_keeps_files_that_were_added_after_a_switch(folder, place, index):
    """Their vectors are in the active space only."""
    index(folder)
    switch_library("other", library=place, embedder=RotatedToyEmbedder())
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        complete = "SELECT name FROM spaces WHERE complete"
        assert db.execute(complete).fetchall() == [("other",)]
    for number in range(4):
        draw_image(folder / f"{number}.png", (number, 200, 90))
    assert update_library(library=place, embedder=RotatedToyEmbedder()).added == 4
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute("UPDATE spaces SET complete = 1")  # as earlier versions left it
        db.execute("DELETE FROM vectors_2 WHERE segment = 1")
    (place / "catalogue.checksums").unlink()
    damage, deleted, *_ = verify_library(place, repair=True).repaired
    assert (damage, deleted[:26]) == ("1 segments have no vector.", "Deleted the data of 1 file")
    report = update_library(library=place, embedder=RotatedToyEmbedder())
    assert (report.added, report.unchanged) == (1, 10)


def test_repair_keeps_contents_that_wait_for_their_vectors(library, place, toy, index):
    with closing(sqlite3.connect(library)) as db, db:
        add_functions(db)
        db.execute("UPDATE spaces SET complete = 0")
        db.execute("DELETE FROM vectors_1 WHERE segment % 2")
        db.execute("DELETE FROM segments WHERE id = 1")
    (place / "catalogue.checksums").unlink()
    assert any("Deleted the data of 1 file" in line for line in verify_library(place, repair=True).repaired)
    assert index().added == 1


def test_sample_of_vectors_is_embedded_again_and_compared(library, place, toy):
    assert verify_library(place, sample=400, embedder=toy).errors == []
    with closing(sqlite3.connect(library)) as db, db:
        (vector,) = db.execute("SELECT vector FROM vectors_1 LIMIT 1").fetchone()
        db.execute("UPDATE vectors_1 SET vector = ? WHERE segment % 5 = 0", (vector[::-1],))
    (place / "catalogue.checksums").unlink()
    findings = verify_library(place, sample=400, embedder=toy)
    assert any("differ from those that the model gives now" in error for error in findings.errors)
    with Library.open(place, embedder=toy) as opened:
        assert findings.compared == sum(opened.status().segments.values())


@pytest.fixture
def damaged_log(library, place):
    """Damage the second page in the log of a process that was killed after three commits."""
    with closing(CatalogConnection.open(place)) as db:
        for name in ("beach", "forest", "lake"):
            db.execute("BEGIN")
            db.execute("INSERT INTO saved_searches (name, query) VALUES (?, 'red')", (name,))
            db.execute("COMMIT")
        killed = {
            path: path.read_bytes() for path in place.glob("catalogue*") if not path.name.endswith("shm")
        }
    for path, data in killed.items():
        path.write_bytes(data)
    with log_path(library).open("r+b") as log:
        log.seek(PAGE + 1_000)  # in the second page
        log.write(os.urandom(1_000))


def test_commits_lost_with_a_damaged_log_are_errors_until_a_repair(damaged_log, place, toy, clew):
    for _ in range(2):
        (loss,) = verify_library(place).errors
        assert "Lost: 2 commits (2 pages)." in loss
    assert clew("verify").exit_code == 1
    assert verify_library(place, repair=True).repaired == [loss]
    assert clew("verify").stdout == "No damage found.\n"


def test_index_reports_commits_that_were_lost_with_a_damaged_log(damaged_log, index):
    assert sum("Lost: 2 commits" in note for note in index().notes) == 1
    assert not any("commits" in note for note in index().notes)


@pytest.mark.parametrize("page", [1, 40])
def test_library_whose_log_had_all_of_it_can_be_indexed_again(folder, place, toy, tmp_path, page):
    killed = tmp_path / "killed"
    with LibraryWriter(place, lambda space: toy) as writer:
        update_folders(writer, [folder])
        shutil.copytree(place, killed)
    with log_path(killed / "catalogue.sqlite").open("r+b") as log:
        log.seek(page * PAGE)
        log.write(os.urandom(1_000))
    loss, empty = verify_library(killed).errors
    assert "Lost: " in loss
    assert empty.startswith("The library is empty.")
    findings = verify_library(killed, repair=True)
    assert (findings.repaired, findings.errors) == ([loss], [empty])
    update_library(folder, library=killed, embedder=toy)
    assert verify_library(killed).errors == []
    assert answers(killed, toy) == answers(place, toy)
