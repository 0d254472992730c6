"""Libraries of images without files, whose vectors are given by the test."""

from types import SimpleNamespace

import numpy as np

from retrieval.catalog.schema import vectors_table


def drawn_embedder(dim):
    """Return the name of a model that embeds nothing."""
    return SimpleNamespace(name="drawn", fingerprint="0", parts={}, dim=dim)


def insert_vectors(writer, ids, vectors):
    """Insert images without files. Row n of `vectors` belongs to id n + 1."""
    executemany = writer.db.conn.executemany
    with writer.db.atomic():
        executemany(
            "INSERT INTO contents (id, hash, decoder, segments) VALUES (?, ?, 'picture', 1)",
            ((id_, id_.to_bytes(32, "big")) for id_ in ids),
        )
        executemany(
            "INSERT INTO segments (id, content, ordinal, kind) VALUES (?, ?, 0, 'image')",
            ((id_, id_) for id_ in ids),
        )
        executemany(
            f"INSERT INTO {vectors_table(writer.space_id)} VALUES (?, ?)",
            ((id_, vectors[id_ - 1].astype(np.float16).tobytes()) for id_ in ids),
        )
