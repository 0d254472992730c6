"""Tests of `clew verify`, which detects damage and repairs derived files."""

import json
import os
import sqlite3

from indexer import verify_library
from retrieval import Library
from retrieval.catalog.schema import CHECKSUMS_FILE


def flip_byte(file):
    """Invert the bits of one byte near the end of a file."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size - 9)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte[0] ^ 0xFF]))


def test_intact_library_has_no_errors(folder, index, place):
    index(folder)
    assert verify_library(place).errors == []


def test_damaged_index_is_detected_and_rebuilt(folder, index, place, toy):
    index(folder)
    (file,) = (place / "indexes").iterdir()
    flip_byte(file)
    (error,) = verify_library(place).errors
    assert "--repair" in error
    assert len(verify_library(place, repair=True).repaired) == 1
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=10)) == 7


def test_missing_and_orphaned_vectors_are_errors(folder, index, place):
    index(folder)
    db = sqlite3.connect(place / "catalogue.sqlite")
    with db:
        db.execute("DELETE FROM vectors_1 WHERE segment = 3")
        db.execute("INSERT INTO vectors_1 VALUES (99, x'00')")
    db.close()
    (place / CHECKSUMS_FILE).unlink()  # else the changed pages are reported
    errors = verify_library(place).errors
    assert any("1 segments have no vector" in error for error in errors)
    assert any("1 vectors of toy have no segment" in error for error in errors)


def test_verify_command_exits_with_1_for_a_damaged_library(folder, clew):
    clew("index", folder)
    assert clew("verify").stdout == "No damage found.\n"
    library = folder.parent / "library"
    flip_byte(next((library / "indexes").iterdir()))
    assert clew("verify").exit_code == 1
    done = clew("verify", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    findings = json.loads(done.stdout)
    assert (len(findings["errors"]), findings["repaired"], findings["warnings"]) == (1, [], [])
    assert "Rebuilt" in clew("verify", "--repair").stdout
    assert clew("verify").exit_code == 0
    assert json.loads(clew("verify", "--json").stdout) == {"errors": [], "repaired": [], "warnings": []}
