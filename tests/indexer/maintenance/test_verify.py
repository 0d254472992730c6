"""A library that is not as it was written is noticed, and what can be made again is."""

import os
import sqlite3

from indexer import verify_library
from retrieval import Library


def flip(file):
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size - 9)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte[0] ^ 0xFF]))


def test_a_good_library_is_as_it_was_written(folder, index, place):
    index(folder)
    assert verify_library(place).errors == []


def test_one_flipped_byte_is_noticed_and_mended(folder, index, place, toy):
    index(folder)
    (file,) = (place / "indexes").iterdir()
    flip(file)
    (wrong,) = verify_library(place).errors
    assert "--repair" in wrong
    assert len(verify_library(place, repair=True).repaired) == 1
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=10)) == 7


def test_a_vector_without_its_segment_is_noticed(folder, index, place):
    index(folder)
    db = sqlite3.connect(place / "catalogue.sqlite")
    with db:
        db.execute("DELETE FROM vectors_1 WHERE segment = 3")
        db.execute("INSERT INTO vectors_1 VALUES (99, x'00')")
    db.close()
    wrong = verify_library(place).errors
    assert any("1 segments have no vector" in line for line in wrong)
    assert any("1 vectors of toy have no segment" in line for line in wrong)


def test_the_command_ends_with_1_where_something_is_wrong(folder, clew):
    clew("index", folder)
    assert clew("verify").stdout == "No damage found.\n"
    library = folder.parent / "library"
    flip(next((library / "indexes").iterdir()))
    assert clew("verify").exit_code == 1
    assert "Rebuilt" in clew("verify", "--repair").stdout
    assert clew("verify").exit_code == 0
