"""Files that are replaced, rewritten and extended while they are read, by a thread of their own."""

import os
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from random import Random
from threading import Event, Thread
from time import sleep

import numpy as np
import pytest
from PIL import Image

from indexer.decode import reader
from retrieval.catalog.schema import CATALOG_FILE, vectors_table
from tests.support.toy_embedder import ToyEmbedder

FILE_COUNT = 12
MAX_DELAY_SECONDS = 0.002  # between the start of a reading and the write
WAIT_SECONDS = 10.0  # for a write
MAX_DIFFERENCE = 0.002  # of the elements of a vector that is stored in 16 bits


def bitmap(color: tuple[int, int, int]) -> bytes:
    """Return an image of one color; all have the same size in bytes."""
    file = BytesIO()
    Image.new("RGB", (24, 16), color).save(file, "BMP")
    return file.getvalue()


class Races:
    """A folder of images, and a thread that changes those which are being read."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.spare, self.random = folder, folder.with_name("spare.bmp"), Random(seed)
        self.states = defaultdict[str, list[bytes]](list)  # of each file, in order
        self.readings = Counter[str]()
        self.count = 0
        self._requests: SimpleQueue[tuple[Path | None, Event] | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="races")
        folder.mkdir()

    def __enter__(self) -> "Races":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.put(None)
        self._thread.join()

    def replace_all(self) -> None:
        """Give every file other bytes, after the changes that were requested."""
        self.request(None).wait(WAIT_SECONDS)
        for number in range(FILE_COUNT):
            self._replace(self.folder / f"{number}.bmp", self._bitmap())

    def request(self, path: Path | None) -> Event:
        """Change a file soon; return the event of its end, after all earlier ones. None changes nothing."""
        written = Event()
        self._requests.put((path, written))
        return written

    def _write(self) -> None:
        while (request := self._requests.get()) is not None:
            path, written = request
            if path is None:
                written.set()
                continue
            sleep(self.random.uniform(0, MAX_DELAY_SECONDS))
            change = self.random.choice((self._replace, self._rewrite, self._truncate, self._write_halves))
            change(path, self._bitmap()) if self.random.random() < 0.8 else self._append(path)
            self.count += 1
            written.set()

    def _bitmap(self) -> bytes:
        return bitmap(tuple(self.random.randrange(256) for _ in range(3)))

    def _replace(self, path: Path, data: bytes) -> None:
        self.spare.write_bytes(data)
        self.states[path.name].append(data)
        self.spare.replace(path)

    def _rewrite(self, path: Path, data: bytes) -> None:
        data += self.states[path.name][-1][len(data) :]
        self.states[path.name].append(data)
        with path.open("r+b", buffering=0) as file:
            file.write(data)

    def _truncate(self, path: Path, data: bytes) -> None:
        self.states[path.name] += [b"", data]
        with path.open("wb", buffering=0) as file:
            file.write(data)

    def _write_halves(self, path: Path, data: bytes) -> None:
        data += self.states[path.name][-1][len(data) :]
        half = len(data) // 2
        self.states[path.name] += [data[:half] + self.states[path.name][-1][half:], data]
        with path.open("r+b", buffering=0) as file:
            file.write(data[:half])
            file.write(data[half:])

    def _append(self, path: Path) -> None:
        self.states[path.name].append(self.states[path.name][-1] + b"more")
        with path.open("ab", buffering=0) as file:
            file.write(b"more")


@pytest.mark.parametrize("wanted", [50, pytest.param(1_000, marks=pytest.mark.large)])
def test_stored_vectors_are_of_the_stored_hashes_after_races(wanted, tmp_path, index, place, monkeypatch):
    original, chance = reader._hash, Random(wanted + 1)
    with Races(tmp_path / "images", seed=wanted) as races:

        def hash_and_race(file, stop):
            path = Path(os.fsdecode(file.name))
            races.readings[path.name] += 1
            written = races.request(path) if races.count < wanted and chance.random() < 0.6 else None
            digest = original(file, stop)
            if written is not None and chance.random() < 0.5:
                written.wait(WAIT_SECONDS)  # so that the decoder gets other bytes
            return digest

        monkeypatch.setattr(reader, "_hash", hash_and_race)
        repeated = 0
        while races.count < wanted:
            races.readings.clear()
            races.replace_all()  # a file that was read without a race is read again
            index(races.folder)
            repeated += sum(readings - 1 for readings in races.readings.values())
        assert repeated > 0
    monkeypatch.undo()
    report = index(races.folder)
    assert (report.failed, report.gone, report.offline) == (0, 0, 0)
    stored = stored_vectors(place)
    digests = {sha256(data).digest(): data for states in races.states.values() for data in states}
    assert stored.keys() <= digests.keys()
    toy = ToyEmbedder()
    for digest, vector in stored.items():
        image = Image.open(BytesIO(digests[digest])).convert("RGB")
        expected = toy.embed_images([toy.prepare(image)])[0]
        np.testing.assert_allclose(vector, expected, atol=MAX_DIFFERENCE)
    current = {path.name: sha256(path.read_bytes()).digest() for path in races.folder.iterdir()}
    assert files_by_digest(place) == current
    assert set(current.values()) <= stored.keys()
    assert index(races.folder).unchanged == FILE_COUNT


def stored_vectors(place: Path) -> dict[bytes, np.ndarray]:
    """Return the vector of each content by its hash."""
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        (space,) = db.execute("SELECT id FROM spaces").fetchone()
        query = f"""SELECT c.hash, v.vector FROM contents c JOIN segments s ON s.content = c.id
                      JOIN {vectors_table(space)} v ON v.segment = s.id"""
        return {digest: np.frombuffer(vector, np.float16) for digest, vector in db.execute(query)}


def files_by_digest(place: Path) -> dict[str, bytes]:
    """Return the stored hash of each present file."""
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        query = "SELECT path, hash FROM files f JOIN contents c ON c.id = f.content WHERE f.state = 'present'"
        return {os.fsdecode(path): digest for path, digest in db.execute(query)}
