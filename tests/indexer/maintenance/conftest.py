"""A library of random vectors, written to the catalog without any files."""

from types import SimpleNamespace

import numpy as np
import pytest

from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table

DIM = 16


def unit_vectors(count: int, seed: int = 1) -> np.ndarray:
    """Draw normalized vectors, rounded to float16 as in a library."""
    rows = np.random.default_rng(seed).standard_normal((count, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16).astype(np.float32)


def embed_texts(texts) -> np.ndarray:
    """Embed each text as a random vector that depends on its length only."""
    return np.concatenate([unit_vectors(1, seed=len(text)) for text in texts])


@pytest.fixture
def embedder():
    """An embedder of texts; nothing else is needed here."""
    return SimpleNamespace(
        name="random",
        fingerprint="random-1",
        parts={},
        dim=DIM,
        max_tokens=70,
        embed_texts=embed_texts,
        count_tokens=lambda text: len(text.split()),
        unfamiliarity=lambda text: 0.0,
    )


@pytest.fixture
def writer(tmp_path, embedder):
    """Open an empty library for writing."""
    with LibraryWriter(tmp_path / "library", lambda _: embedder) as opened:
        yield opened


@pytest.fixture
def insert(writer):
    """Insert segments of a kind, each with a content and a vector."""

    def insert_(vectors, kind="image"):
        db = writer.db
        with db.atomic():
            first = db.execute("SELECT coalesce(max(id), 0) + 1 FROM contents").fetchone()[0]
            ids = range(first, first + len(vectors))
            db.conn.executemany(
                "INSERT INTO contents (id, hash, decoder, segments) VALUES (?, ?, 'picture', 1)",
                [(id_, id_.to_bytes(32, "big")) for id_ in ids],
            )
            db.conn.executemany(
                "INSERT INTO segments (id, content, ordinal, kind) VALUES (?, ?, 0, ?)",
                [(id_, id_, kind) for id_ in ids],
            )
            db.conn.executemany(
                f"INSERT INTO {vectors_table(writer.space_id)} VALUES (?, ?)",
                [(id_, row.astype(np.float16).tobytes()) for id_, row in zip(ids, vectors, strict=True)],
            )
        return list(ids)

    return insert_
