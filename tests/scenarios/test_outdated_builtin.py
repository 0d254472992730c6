"""A library of an earlier version of the built-in model answers what it can, until it is switched.

The fixture libraries/builtin-1.zip was made by make_builtin_library.py.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from indexer import index_folder, switch_library, update_library
from indexer.cli import demo
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.embedders.builtin import FINGERPRINT
from retrieval.errors import ModelOutdated, SpaceMismatch
from tests.scenarios import test_old_libraries
from tests.support.files import draw_image

NOTE = "Run `clew switch builtin` to embed the library with the current version."


@pytest.fixture
def old(tmp_path):
    """Unpack the fixture, and upgrade its catalog, for which `clew index` is enough."""
    unpacked = test_old_libraries.unpack("builtin-1", tmp_path)
    with pytest.raises(SpaceMismatch):
        update_library(library=unpacked.library)
    return unpacked


@pytest.fixture
def library(old):
    """Open the library of the fixture."""
    with Library.open(old.library) as opened:
        yield opened


def names(hits):
    return [hit.path.name for hit in hits]


def test_outdated_library_finds_keywords_names_and_filters(library):
    assert library.is_outdated
    assert names(library.search("boat pier")) == ["note.txt"]
    assert names(library.search("red")) == ["red disk 2.png"]
    assert names(library.search("square", kind="image")) == ["square.png"]
    assert len(library.search("kind:image")) == 4
    assert library.search("elephant") == []
    assert names(library.search("boat", options=SearchOptions(by="keyword"))) == ["note.txt"]


def test_outdated_library_compares_its_own_files(old, library):
    disk = old.folder / "pictures" / "disk.png"
    assert names(library.similar(disk))[0] == "red disk 2.png"
    assert names(library.search(image=disk))[0] == "disk.png"
    shutil.copyfile(disk, old.folder / "copy.png")  # its content is that of an indexed file
    assert names(library.search(image=old.folder / "copy.png"))[0] == "disk.png"
    identity = library.search("kind:image name:disk.png")[0].id
    assert names(library.search(f"#{identity}", kind="image"))[0] == "red disk 2.png"
    assert names(library.search("@round"))[0] == "disk.png"
    assert library.tags() == {"circle": 4, "line": 0}
    assert names(library.search(options=SearchOptions(tag="circle"))) != []
    assert [len(group.files) for group in library.duplicates()] == [2]


def test_query_that_needs_the_old_model_names_the_command(tmp_path, library):
    draw_image(tmp_path / "new.png", "red")
    with pytest.raises(ModelOutdated, match="clew switch builtin"):
        library.similar(tmp_path / "new.png")
    with pytest.raises(ModelOutdated, match="clew switch builtin"):
        library.search(image=tmp_path / "new.png")
    with pytest.raises(ModelOutdated, match="clew switch builtin"):
        library.search("boat not:disk")
    with pytest.raises(ModelOutdated, match="clew switch builtin"):
        library.search("boat", options=SearchOptions(by="meaning"))


@pytest.mark.parametrize(
    "command", [("search", "boat"), ("search", "elephant"), ("similar", "pictures/disk.png"), ("status",)]
)
def test_note_names_the_command_once(old, clew, command):
    done = clew(*command, "--library", old.library)
    assert done.output.count(NOTE) == 1
    assert "Traceback" not in done.output


def test_index_says_what_to_do_and_changes_nothing(old, clew):
    before = old.select("SELECT path, content FROM files ORDER BY path")
    done = clew("index", old.folder / "pictures", "--library", old.library)
    assert done.exit_code == 2
    assert "version 1, now version 3" in done.output
    assert done.output.count("clew switch builtin") == 1
    assert "image.onnx" not in done.output
    with pytest.raises(SpaceMismatch):
        update_library(library=old.library)
    assert old.select("SELECT path, content FROM files ORDER BY path") == before


def test_switch_embeds_the_library_with_the_current_version(old):
    switched = switch_library("builtin", library=old.library)
    assert (switched.new, switched.embedded, switched.waiting) == ("builtin", 6, 0)
    draw_image(old.folder / "pictures" / "new.png", "red")
    assert update_library(library=old.library).added == 1
    with Library.open(old.library) as library:
        assert not library.is_outdated
        assert (library.status().space.fingerprint, library.status().space.dim) == (FINGERPRINT, 384)
        assert names(library.search("ein Boot", kind="text"))[0] == "note.txt"
        assert len(library.search("@round", kind="image")) > 0
        assert sum(library.tags().values()) == 5
    assert old.verify() == []


def test_old_space_of_a_switched_library_still_opens(old):
    name = switch_library("builtin", library=old.library).old
    with Library.open(old.library, space=name) as library:
        assert library.is_outdated
        assert names(library.search("boat pier")) == ["note.txt"]
    with pytest.raises(SpaceMismatch, match="clew switch builtin"):
        switch_library(name, library=old.library)


def test_demo_made_with_the_earlier_version_is_switched(tmp_path, clew, monkeypatch):
    old = test_old_libraries.unpack("builtin-1", tmp_path)  # with the catalog of that version

    def photos(folder):
        Path(folder).mkdir(exist_ok=True)
        draw_image(Path(folder) / "cat.png", "red")
        return Path(folder)

    monkeypatch.setattr(demo, "make_photos", photos)
    done = clew("demo", "--folder", old.folder)
    assert done.exit_code == 0, done.output
    with Library.open(old.library) as library:
        assert not library.is_outdated
        assert "cat.png" in names(library.search("cat", kind="image"))


def test_index_of_an_empty_outdated_library_starts_anew(old):
    with closing(sqlite3.connect(old.library / CATALOG_FILE)) as db, db:
        add_functions(db)
        for table in ("segments", "files", "contents", "roots"):
            db.execute(f"DELETE FROM {table}")
    with index_folder(old.folder / "pictures", library=old.library) as library:
        assert not library.is_outdated
