"""A renamed file has the segments and properties that its new name gives, as in a new library."""

import sqlite3
from contextlib import closing

import pytest

from indexer import index_folder
from tests.support.files import write_text
from tests.support.video_files import write_video

POLISH = "1\n00:00:01,000 --> 00:00:02,000\nIdę do domu.\n"


def described(library):
    """Return the texts and properties of each present file."""
    query = """SELECT f.path, f.decoder, f.time, c.taken, c.zone, c.note, group_concat(s.text, '\n')
                 FROM files f JOIN contents c ON c.id = f.content LEFT JOIN segments s ON s.content = c.id
                WHERE f.state = 'present' GROUP BY f.id ORDER BY f.path"""
    with closing(sqlite3.connect(library / "catalogue.sqlite")) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def is_as_new(tmp_path, index, place, toy):
    """Return a function that renames an indexed file and compares the library with a new one."""

    def rename_and_compare(old, new):
        index(old.parent)
        before = described(place)
        old.rename(new)
        report = index(old.parent)
        assert (report.moved, report.added, report.gone) == (1, 0, 0)
        index_folder(old.parent, library=tmp_path / "new", embedder=toy)
        after = described(place)
        assert after == described(tmp_path / "new")
        return [row[3:] for row in after] != [row[3:] for row in before]

    return rename_and_compare


def test_renamed_log_is_read_as_text(tmp_path, is_as_new):
    lines = "\n\n".join(f"On day {day}, the weather was fine." for day in range(250))
    assert is_as_new(write_text(tmp_path / "a" / "diary.log", lines), tmp_path / "a" / "diary.txt")


def test_renamed_subtitles_have_the_encoding_of_their_language(tmp_path, is_as_new):
    path = tmp_path / "a" / "film.srt"
    path.parent.mkdir()
    path.write_bytes(POLISH.encode("cp1250"))
    assert is_as_new(path, path.with_name("film.pl.srt"))


def test_renamed_video_has_the_time_in_its_name(tmp_path, is_as_new):
    metadata = {"creation_time": "2022-01-01T23:30:00.000000Z"}
    path = write_video(tmp_path / "a" / "a.mp4", [("red", 1.0)], metadata=metadata)
    assert is_as_new(path, path.with_name("VID_20220102_083000.mp4"))


def test_renamed_file_with_the_same_reading_is_not_embedded_again(tmp_path, index, place):
    path = write_text(tmp_path / "a" / "diary.log", "red green blue")
    index(path.parent)
    path.rename(path.with_name("diary.json"))
    report = index(path.parent)
    assert (report.moved, report.segments) == (1, 0)
