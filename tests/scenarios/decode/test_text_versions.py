"""Texts that an older version decoded get the passages of this version."""

import pytest

from indexer import verify_library
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import TEXT_VERSIONS
from tests.support.catalog import PLAIN_DECODER, downgrade_catalog, edit_catalog
from tests.support.document_files import docx
from tests.support.files import write_text

CALENDAR = "BEGIN:VEVENT\nSUMMARY:blue day\nEND:VEVENT\n"
ESCAPED = (
    r"""UPDATE segments SET text = '{"a": "caf\u00e9"}' WHERE text LIKE '%café%'"""  # as version 0 read it
)
SEGMENTS = """SELECT CAST(f.path AS TEXT), s.id, s.text FROM files f JOIN segments s USING (content)
               ORDER BY 1, s.ordinal"""


def rows(place, query):
    with edit_catalog(place) as db:
        add_functions(db)
        return db.execute(query).fetchall()


@pytest.fixture
def folder(tmp_path, index):
    """Index texts in several formats."""
    folder = tmp_path / "texts"
    write_text(folder / "mail.eml", "Subject: green plan\n\nred apples")
    write_text(folder / "page.html", "<p>red page")
    write_text(folder / "day.ics", CALENDAR)
    write_text(folder / "data.json", r'{"a": "caf\u00e9"}')
    write_text(folder / "plain.json", '{"a": "red"}')
    write_text(folder / "notes.txt", "red notes")
    write_text(folder / "bad.eml", "no message")
    (folder / "report.docx").write_bytes(docx("red report"))
    index(folder)
    return folder


def test_texts_of_an_older_version_are_read_again_and_only_the_changed_are_embedded(
    folder, index, place, toy
):
    expected = rows(place, SEGMENTS)
    downgrade_catalog(place, "36-shards")
    rows(place, "DELETE FROM analyses WHERE analysis = 'text'")
    rows(place, "DELETE FROM vectors_1 WHERE segment IN (SELECT id FROM segments WHERE text = 'red apples')")
    rows(place, "UPDATE contents SET segments = 1, note = 'old' WHERE decoder = 'message'")
    rows(place, "DELETE FROM segments WHERE text = 'red apples'")
    rows(place, ESCAPED)
    report = index()
    assert report.notes == ["2 files read again for text that older versions left out or misread."]
    found = rows(place, SEGMENTS)
    assert [(path, text) for path, _, text in found] == [(path, text) for path, _, text in expected]
    new = {path for path, id_, _ in found if id_ not in {id_ for _, id_, _ in expected}}
    assert new == {"data.json", "mail.eml"}
    assert rows(place, "SELECT note FROM contents WHERE decoder = 'message'") == [(None,)]
    assert index().notes == []
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("apples", options=SearchOptions(by="keyword"))
        assert hit.path == folder / "mail.eml"


def test_migration_selects_the_texts_that_this_version_reads_differently(folder, index, place):
    rows(place, ESCAPED)
    rows(place, "DELETE FROM analyses WHERE analysis = 'text'")
    with edit_catalog(place) as db:
        add_functions(db)
        db.execute(f"UPDATE contents SET decoder = {PLAIN_DECODER}")  # as in the versions before
        for statement in TEXT_VERSIONS:
            db.execute(statement)
    query = """SELECT CAST(path AS TEXT) FROM files LEFT JOIN analyses USING (content)
                WHERE version = '0' OR retry ORDER BY 1"""
    outdated = ["bad.eml", "data.json", "day.ics", "mail.eml", "page.html", "report.docx"]
    assert [path for (path,) in rows(place, query)] == outdated
    (folder / "mail.eml").unlink()
    index()
    assert rows(place, query) == [("mail.eml",)]  # its content is read if it returns


def test_sounds_and_scans_that_were_misread_are_selected(folder, place):
    with edit_catalog(place) as db:
        add_functions(db)
        db.execute("UPDATE contents SET decoder = 'sound', id = id")
        db.execute("UPDATE contents SET decoder = 'document' WHERE id IN (1, 2)")
        db.execute("DELETE FROM analyses")
        db.execute("UPDATE segments SET text = 'Áåëûé ñíåã' WHERE content = 3")
        db.execute(
            "UPDATE segments SET page = 1, text = iif(content = 1, 'stamp', printf('%.300c', 'x'))"
            " WHERE content IN (1, 2)"
        )
        db.executemany("INSERT INTO analyses VALUES (?, 'ocr', '1', NULL)", [(1,), (2,)])
        for statement in TEXT_VERSIONS:
            db.execute(statement)
        query = "SELECT content, analysis FROM analyses WHERE version = '0' ORDER BY 1"
        assert db.execute(query).fetchall() == [(1, "ocr"), (3, "text")]
