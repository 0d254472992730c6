"""Make a space's index file from the catalogue: whole draft, then one moved pointer."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import faiss
import numpy as np

from indexer.writer import Writer
from retrieval.catalog import Catalog
from retrieval.errors import LibraryDamaged
from retrieval.nearest import open_index
from retrieval.rank import recall, top
from retrieval.records import Ids, IndexKind, Scores, Space, Vectors
from retrieval.schema import INDEXES, vectors_table
from retrieval.vectors.faiss_index import KINDS, FaissIndex, kind_for

SAMPLE, QUERIES, NEIGHBOURS = 200_000, 200, 10
ENOUGH = 0.995  # recall@10 that is worth no more effort


def build_if_due(writer: Writer, kind: IndexKind | Literal["auto"] | None = None) -> Space:
    """Build where the tail or what was purged passes a tenth, or the file or its kind is not right.

    A kind that is named is remembered; "auto" goes back to choosing by size.
    """
    if kind is not None:
        writer.remember("index", kind)
    catalog = writer.catalog
    space = current(catalog)
    count, tail = _counts(catalog, space)
    named = next((k for k in KINDS if k == catalog.setting("index")), None)
    dead = space.count - (count - tail)
    usable = _is_usable(catalog, space) and named in (None, space.index_kind)
    if count and (not usable or max(tail, dead) * 10 > count):
        return build(writer, named or kind_for(count))
    return space


def build(writer: Writer, kind: IndexKind) -> Space:
    """Write a new index file, then point the catalogue at it; a crash between keeps the old one."""
    catalog, folder = writer.catalog, writer.folder / INDEXES
    space = current(catalog)
    count, _ = _counts(catalog, space)
    ids = _ids(catalog, space)
    draw = np.random.default_rng(0)
    size = QUERIES if kind == "flat" else SAMPLE  # which learns nothing from it
    _, sample = catalog.vectors_of(space, draw.choice(ids, min(len(ids), size), replace=False))
    truth = Truth(_queries(sample[draw.choice(len(sample), min(len(sample), QUERIES), replace=False)]))
    index = FaissIndex.build(kind, sample, truth.watch(catalog.vectors_after(space, 0)), count)
    effort, right = tune(index, truth, catalog, space)
    draft = folder / f".draft-{os.getpid()}"
    digest, size = save(index, draft)
    name = f"{space.id}-{int(ids[-1])}-{kind}-{digest[:8]}.faiss"
    draft.replace(folder / name)
    _sync(folder)
    done = replace(
        space,
        index_kind=kind,
        file=name,
        digest=digest,
        size=size,
        count=count,
        through=int(ids[-1]),
        effort=effort,
        recall=right,
    )
    writer.set_index(done)
    for old in folder.iterdir():
        if old.name != name and (old.name.startswith((f"{space.id}-", ".draft-"))):
            old.unlink()
    return done


class Truth:
    """The true neighbours of some queries, gathered while the vectors stream by."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.scores: Scores = np.full((len(queries), NEIGHBOURS), -np.inf, np.float32)

    def watch(self, chunks: Iterator[tuple[Ids, Vectors]]) -> Iterator[tuple[Ids, Vectors]]:
        """Pass the chunks on, and keep the best scores of each query."""
        for ids, vectors in chunks:
            both = np.concatenate([self.scores, self.queries @ vectors.T], axis=1)
            self.scores, _ = top(both, np.arange(both.shape[1]), NEIGHBOURS)
            yield ids, vectors


def tune(index: FaissIndex, truth: Truth, catalog: Catalog, space: Space) -> tuple[int, float]:
    """Return the least effort whose recall@10 is enough, or the most there is, and that recall."""
    for effort in KINDS[index.kind].EFFORTS:
        index.effort = effort
        right = recall(_found(index, truth.queries, catalog, space), truth.scores)
        if right >= ENOUGH:
            break
    return effort, right


def save(index: FaissIndex, path: Path) -> tuple[str, int]:
    """Write the index through Python, which sees a full disk, and sync it; returns SHA-256 and size."""
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def write(data: bytes) -> int:
            digest.update(data)
            return file.write(data)

        faiss.write_index(index.faiss, faiss.PyCallbackIOWriter(write))
        file.flush()
        os.fsync(file.fileno())
        return digest.hexdigest(), file.tell()


def current(catalog: Catalog) -> Space:
    """Return the space that answers."""
    space = catalog.space()
    assert space is not None, "a writer has made it"
    return space


def _found(index: FaissIndex, queries: Vectors, catalog: Catalog, space: Space) -> Scores:
    """Return the true scores (q, 10) of what the index finds, as a search would rank it."""
    _, near = index.search(queries, min(2 * NEIGHBOURS + 20, len(index)))
    rows = []
    for query, ids in zip(queries, near, strict=True):
        some, vectors = catalog.vectors_of(space, ids)
        rows.append(top(query[None] @ vectors.T, some, NEIGHBOURS)[0])
    return np.concatenate(rows)


def _queries(some: Vectors) -> Vectors:
    """Return queries as people ask them: half are like what is there, half lie between two things."""
    half = len(some) // 2
    between = some[:half] + some[half : 2 * half]
    return np.concatenate([some[half:], between / np.linalg.norm(between, axis=1, keepdims=True)])


def damage(catalog: Catalog, space: Space) -> str | None:
    """Say what is wrong with the index file, down to one flipped bit; None if it is as it was written."""
    try:
        open_index(catalog.folder, space)
    except LibraryDamaged as error:
        return str(error)
    path = catalog.folder / INDEXES / str(space.file)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == space.digest else f"The index file {path} is not what was written."


def _is_usable(catalog: Catalog, space: Space) -> bool:
    """Say whether there is an index file that is whole."""
    if space.file is None:
        return False
    return damage(catalog, space) is None


def _counts(catalog: Catalog, space: Space) -> tuple[int, int]:
    """Count all vectors, and those the index does not reach."""
    count = catalog.db.execute(f"SELECT count(*) FROM {vectors_table(space.id)}").fetchone()[0]
    return int(count), catalog.tail(space)


def _ids(catalog: Catalog, space: Space) -> Ids:
    rows = catalog.db.execute(f"SELECT segment FROM {vectors_table(space.id)} ORDER BY segment")
    rows.row_factory = None
    return np.fromiter((id_ for (id_,) in rows), dtype=np.int64)


def _sync(folder: Path) -> None:
    """Make a rename last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
