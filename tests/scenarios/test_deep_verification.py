"""Tests of `clew verify --deep`, which embeds a sample of files again."""

import sqlite3
from contextlib import closing

import numpy as np

from indexer import index_folder, verify_library
from tests.support.files import write_text
from tests.support.toy_embedder import ToyEmbedder


class UnknowingEmbedder(ToyEmbedder):
    """An embedder that knows no word: the vectors of all texts are zero."""

    def embed_texts(self, texts):
        return np.zeros((len(texts), self.dim), np.float32)

    def knows(self, text):
        return False


def test_zero_vectors_are_equal(place, tmp_path):
    write_text(tmp_path / "notes" / "a.txt", "xyzzy")
    index_folder(tmp_path / "notes", library=place, embedder=UnknowingEmbedder()).close()
    findings = verify_library(place, sample=9, embedder=UnknowingEmbedder())
    assert (findings.errors, findings.warnings, findings.compared) == ([], [], 1)
    (error,) = verify_library(place, sample=9, embedder=ToyEmbedder()).errors
    assert "the worst cosine is 0.00" in error


def test_error_counts_the_compared_files(folder, index, place, toy):
    index(folder)
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db, db:
        db.execute("UPDATE vectors_1 SET vector = ?", (np.array([-1, 0, 0], np.float16).tobytes(),))
    (place / "catalogue.checksums").unlink()
    for path in sorted(folder.iterdir())[:3]:
        path.unlink()
    (error,) = verify_library(place, sample=9, embedder=toy).errors
    assert error.startswith("4 of 4 vectors of 4 files differ ")


def test_sample_without_readable_files_is_a_warning(folder, clew):
    clew("index", folder)
    assert "7 vectors embedded again and compared." in clew("verify", "--deep").stderr
    for path in folder.iterdir():
        path.unlink()
    done = clew("verify", "--deep")
    assert "0 vectors embedded again and compared." in done.stderr
    assert "No vector was compared: the sample of 7 files cannot be read now" in done.stderr
