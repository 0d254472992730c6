"""Media are only read, and searching writes nothing."""

from pathlib import Path

from indexer import verify_library
from retrieval import Library


def contents(folder):
    """Return the bytes and times of all files below a folder, without the shared memory of SQLite."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def test_media_are_only_read(folder, clew):
    (folder / "note.txt").write_text("red and blue")
    before = contents(folder)
    for command in (
        ("index", folder),
        ("search", "red"),
        ("similar", folder / "red.png"),
        ("tag", "red", "blue"),
        ("teach", "rex", folder / "red.png"),
        ("duplicates",),
        ("switch", "builtin"),
        ("verify", "--repair"),
        ("forget", "--purge", folder),
    ):
        assert clew(*command).exit_code in (0, 1), command
    assert contents(folder) == before


def test_searching_writes_nothing(folder, index, place, toy, clew):
    index(folder)
    before = contents(place)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red", count=3)[0]
        library.similar(hit.path)
        library.status()
        library.failures()
    assert contents(place) == before
    assert verify_library(place).errors == []
