"""Tests of reading a library without permission to write to its folder."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from indexer.operations.forget import forget
from retrieval import Library
from retrieval.catalog import connection
from retrieval.catalog.connection import reads_catalog, snapshot
from retrieval.catalog.reader import Catalog
from retrieval.errors import LibraryError
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image

# A reader without the capabilities of root, which answers each line of stdin with its number of hits.
READER = """
import sys
from pathlib import Path
from retrieval import Library
from tests.support.toy_embedder import ToyEmbedder
library = Library.open(Path(sys.argv[1]), embedder=ToyEmbedder())
for line in sys.stdin:
    hits = library.search(line.strip(), count=500)
    print(len(hits), sorted({hit.path.exists() for hit in hits}), flush=True)
"""


@pytest.fixture
def read_only_place(place):
    """Yield the library, whose folders may not be written by others; drop the privileges of root."""
    yield place
    for path in (place, place / "indexes"):
        path.chmod(0o755)


class Reader:
    """A subprocess that searches a library."""

    def __init__(self, place: Path) -> None:
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [*drop, sys.executable, "-c", READER, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY_ROOT,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY_ROOT)},
        )

    def search(self, words: str) -> str:
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        return answer or self.process.stderr.read()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        assert self.process.wait(30) == 0


@pytest.fixture
def reader(read_only_place, folder, index):
    """Yield a reader that may not write to the library; the writer keeps its permission through root."""
    if os.geteuid() != 0 or not any(Path(p, "setpriv").exists() for p in os.environ["PATH"].split(":")):
        pytest.skip("needs root and setpriv, to write a folder that the reader may not write to")
    index(folder)
    for path in (read_only_place, read_only_place / "indexes"):
        path.chmod(0o555)
    opened = Reader(read_only_place)
    yield opened
    opened.close()


def test_reader_without_write_permission_sees_changes(reader, folder, index, read_only_place):
    assert reader.search("red") == "7 [True]"
    for number in range(60):
        draw_image(folder / f"{number}.png", (200, number, 0))
    index(folder)
    assert reader.search("red") == "67 [True]"
    for number in range(30):
        (folder / f"{number}.png").unlink()
    index(folder, confirm_gone=True)
    forget(library=read_only_place, purge=True)
    assert reader.search("red") == "37 [True]"


def test_reader_without_write_permission_sees_commits_of_a_running_writer(reader, read_only_place):
    assert reader.search("red") == "7 [True]"
    with closing(sqlite3.connect(read_only_place / "catalogue.sqlite")) as db:
        for remaining in (6, 5):
            db.execute(
                "UPDATE files SET state = 'gone' WHERE id = (SELECT max(id) FROM files WHERE state != 'gone')"
            )
            db.commit()
            assert reader.search("red") == f"{remaining} [True]"
    assert reader.search("red") == "5 [True]"


@pytest.mark.parametrize("leftover", ["-wal", "-shm"])
def test_reader_without_write_permission_ignores_empty_files_of_sqlite(reader, read_only_place, leftover):
    (read_only_place / f"catalogue.sqlite{leftover}").touch()
    assert reader.search("red") == "7 [True]"
    fresh = Reader(read_only_place)
    assert fresh.search("red") == "7 [True]"
    fresh.close()


def test_reader_without_write_permission_applies_a_log_without_its_index(reader, read_only_place, tmp_path):
    """As in a backup that lacks the -shm file, or after a crash of the writer."""
    catalog, log = read_only_place / "catalogue.sqlite", read_only_place / "catalogue.sqlite-wal"
    with closing(sqlite3.connect(catalog)) as db:
        db.execute("UPDATE files SET state = 'gone' WHERE id = 1")
        db.commit()
    with closing(sqlite3.connect(catalog)) as db:  # the log is applied when the last connection closes
        db.execute("UPDATE files SET state = 'present'")
        db.commit()
    assert not log.exists()
    assert reader.search("red") == "7 [True]"
    main = catalog.read_bytes()
    with closing(sqlite3.connect(catalog)) as db:
        db.execute("UPDATE files SET state = 'gone' WHERE id = 1")
        db.commit()
        content = log.read_bytes()
    catalog.write_bytes(main)
    log.write_bytes(content)
    assert reader.search("red") == "6 [True]"


def cannot_create_shm(monkeypatch):
    """Let SQLite fail as in a folder where it may not create the -shm file; return the parameters used."""
    connect, used = connection._connect, []

    def connect_or_fail(file, parameters):
        used.append(parameters)
        if parameters == "mode=ro":
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(file, parameters)

    monkeypatch.setattr(connection, "_connect", connect_or_fail)
    return used


def test_private_copy_leaves_no_files(folder, index, place, toy, monkeypatch, tmp_path):
    index(folder)
    cannot_create_shm(monkeypatch)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = sorted(path.name for path in place.iterdir())
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red")) == 7
        assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in place.iterdir()) == before


def test_file_on_a_read_only_file_system_is_not_copied(folder, index, place, toy, monkeypatch):
    index(folder)
    cannot_create_shm(monkeypatch)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((0,) * 8 + (os.ST_RDONLY, 255)))
    monkeypatch.setattr(connection, "_copy", lambda *paths: pytest.fail("copied"))
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red")) == 7
        (folder / "red.png").unlink()
        index(folder)  # through another mount
        assert len(library.search("red")) == 6


def test_copy_that_is_not_possible_is_an_error(folder, index, place, monkeypatch, tmp_path):
    index(folder)
    cannot_create_shm(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(LibraryError, match="folder is not writable"):
        Catalog.open(place)


def test_file_that_changes_while_it_is_copied_is_copied_again(folder, index, place, monkeypatch):
    index(folder)
    cannot_create_shm(monkeypatch)
    copy, copies = connection._copy, []

    def copy_and_write(file, target):
        copies.append(copy(file, target))
        if len(copies) < 3:
            os.utime(file)
        return copies[-1]

    monkeypatch.setattr(connection, "_copy", copy_and_write)
    with closing(Catalog.open(place)) as catalog:
        assert catalog.count_segments("image") == 7
    assert len(copies) == 3
    monkeypatch.setattr(connection, "_copy", lambda file, target: (os.utime(file), copy(file, target))[1])
    with pytest.raises(LibraryError, match="is being written"):
        Catalog.open(place)


def test_error_of_sqlite_is_an_error_of_clew(library, place, folder):
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        db.execute("DROP TABLE settings")
        db.execute("DROP TABLE tags")
    for read in (
        lambda: library.search("red"),
        lambda: library.similar(folder / "red.png"),
        lambda: library.details(folder / "red.png"),
        lambda: library.clip(1, "clip.mp4"),
        library.status,
        library.duplicates,
    ):
        with pytest.raises(LibraryError, match=f"Cannot read the library at {place}: no such table"):
            read()


def test_library_in_a_folder_that_is_not_utf8_is_searched_by_its_index(folder, tmp_path, toy):
    from indexer import index_folder

    place = tmp_path / os.fsdecode(b"caf\xe9 1")
    with index_folder(folder, library=place, embedder=toy) as library:
        assert [hit.path.name for hit in library.search("red", count=1)] == ["red.png"]
        assert library.damage is None


@pytest.mark.parametrize("call", ["execute", "executemany"])
def test_interrupt_in_a_function_of_a_statement_is_raised(call, tmp_path):
    """Most signals during a long write are handled where SQLite next calls Python."""

    def interrupt():
        raise KeyboardInterrupt

    factory = connection.InterruptibleConnection
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite", factory=factory)) as db:
        db.execute("CREATE TABLE files (id)")
        db.create_function("fail", 0, interrupt)
        with pytest.raises(KeyboardInterrupt):
            getattr(db, call)("INSERT INTO files VALUES (fail())", [()] if call == "executemany" else ())
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            db.execute("SELECT * FROM roots")


class Numbers:
    """A library of one table of numbers; while they are read, another process may delete them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = sqlite3.connect(folder / "numbers.db", isolation_level=None)

    def _is_replaced(self) -> bool:
        return False

    def _version(self) -> object:
        return self.db.execute("PRAGMA data_version").fetchone()

    def _snapshot(self) -> AbstractContextManager[None]:
        return snapshot(self.db)

    @reads_catalog
    def greatest(self, meanwhile: Callable[[], object]) -> int:
        """Return the greatest number, or 0 if there is none."""
        if not self.db.execute("SELECT count(*) FROM numbers").fetchone()[0]:
            return 0
        meanwhile()
        return int(max(number for (number,) in self.db.execute("SELECT number FROM numbers")))


@pytest.fixture
def numbers(tmp_path):
    library = Numbers(tmp_path)
    library.db.execute("PRAGMA journal_mode=WAL")
    library.db.execute("CREATE TABLE numbers (number)")
    library.db.execute("INSERT INTO numbers VALUES (1)")
    yield library
    library.db.close()


def test_error_of_two_versions_is_not_seen(numbers):
    with closing(sqlite3.connect(numbers.folder / "numbers.db", isolation_level=None)) as writer:
        assert numbers.greatest(lambda: writer.execute("DELETE FROM numbers")) == 0


def test_error_of_one_version_is_seen(numbers):
    def meanwhile():
        raise ValueError("no writer")

    with pytest.raises(ValueError, match="no writer"):
        numbers.greatest(meanwhile)
