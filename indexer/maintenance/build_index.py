"""Make a space's index files from the catalogue: whole drafts, then one moved pointer."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.scoring.ranking import recall, top_k
from retrieval.types import Ids, IndexFile, IndexMethod, Kind, Scores, Space, Vectors
from retrieval.vectors.base import FILE_FORMATS, method_for

if TYPE_CHECKING:
    from retrieval.vectors.faiss_index import FaissIndex  # heavy: only to build

TUNING_QUERIES, RECALL_AT = 200, 10
TARGET_RECALL = 0.995  # recall@10 that is worth no more effort


def build_if_due(
    writer: LibraryWriter, method: IndexMethod | Literal["auto"] | None = None, space: Space | None = None
) -> Space:
    """Build where the tail or what was purged passes a tenth, or a file or its method is not right.

    `space` is by default the one that answers. A method that is named is remembered; "auto" goes back to
    choosing by size.
    """
    if method is not None:
        chosen = None if method == "auto" else method
        writer.save_settings(replace(writer.settings(), index_method=chosen))
    catalog = writer.catalog
    space = space or active_space(catalog)
    count, tail = catalog.count_vectors(space), catalog.count_unindexed(space)
    dead = sum(file.count for file in space.indexes) - (count - tail)
    wanted = catalog.settings().index_method
    wrong = any(_needs_rebuild(catalog, file, wanted, auto=method == "auto") for file in space.indexes)
    if wrong or max(tail, dead) * 10 > count:
        return build_indexes(writer, space, wanted)
    return space


def build_indexes(writer: LibraryWriter, space: Space, method: IndexMethod | None = None) -> Space:
    """Write new index files, then point the catalogue at them; a crash between keeps the old ones.

    A kind whose vectors are those of its file keeps it.
    """
    catalog, folder = writer.catalog, writer.folder / INDEX_FOLDER
    table = vectors_table(space.id)
    through = catalog.db.execute(f"SELECT max(segment) FROM {table}").fetchone()[0] or 0
    files = [file for kind in catalog.kinds() if (file := _build_kind(catalog, space, kind, method))]
    _fsync_folder(folder)
    done = replace(space, indexed_to=int(through), indexes=tuple(files))
    writer.spaces.set_indexes(done)
    kept = {file.file for each in catalog.spaces() for file in each.indexes}
    for old in folder.iterdir():
        if old.name not in kept:  # drafts, and what other spaces left behind, too
            old.unlink()
    return done


def _needs_rebuild(catalog: Catalog, file: IndexFile, configured: IndexMethod | None, *, auto: bool) -> bool:
    """Say whether a file is old, damaged, or of another method than wanted (`again`: than its size asks)."""
    right = configured or (method_for(file.count) if auto else file.method)
    return file.method != right or is_outdated(file) or index_damage(catalog, file) is not None


def is_outdated(file: IndexFile) -> bool:
    """Say whether an older clew built it, which answers, but not as fast."""
    return file.format != FILE_FORMATS[file.method]


def _build_kind(catalog: Catalog, space: Space, kind: Kind, method: IndexMethod | None) -> IndexFile | None:
    """Write the index file of one kind, whole; None where it has no vectors."""
    ids = catalog.vector_ids(space, kind)
    if not len(ids):
        return None
    count, folder, draw = len(ids), catalog.folder / INDEX_FOLDER, np.random.default_rng(0)
    method = method or method_for(count)
    old = next((file for file in space.indexes if file.kind == kind), None)
    same = old is not None and (old.count, old.method) == (count, method) and ids[-1] <= space.indexed_to
    if old is not None and same and not is_outdated(old) and index_damage(catalog, old) is None:
        return old
    from retrieval.vectors.faiss_index import FaissIndex, sample_size  # heavy: only to build

    drawn = min(count, max(TUNING_QUERIES, sample_size(method, count)))
    _, sample = catalog.vectors_of(space, draw.choice(ids, drawn, replace=False))
    truth = GroundTruth(_noisy_queries(sample[draw.permutation(drawn)[:TUNING_QUERIES]], draw))
    index = FaissIndex.build(method, sample, truth.collect(catalog.vectors_after(space, kind, 0)), count)
    effort, right = tune_effort(index, truth, catalog, space)
    draft = folder / f".draft-{os.getpid()}"
    digest, size = save_index(index, draft)
    name = f"{space.id}-{kind}-{FILE_FORMATS[method]}-{int(ids[-1])}-{digest[:8]}.faiss"
    draft.replace(folder / name)
    return IndexFile(kind, method, name, digest, size, count, effort, right, FILE_FORMATS[method])


class GroundTruth:
    """The true neighbours of some queries, gathered while the vectors stream by."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.scores: Scores = np.full((len(queries), RECALL_AT), -np.inf, np.float32)

    def collect(self, chunks: Iterator[tuple[Ids, Vectors]]) -> Iterator[tuple[Ids, Vectors]]:
        """Pass the chunks on, and keep the best scores of each query."""
        for ids, vectors in chunks:
            both = np.concatenate([self.scores, self.queries @ vectors.T], axis=1)
            self.scores, _ = top_k(both, np.arange(both.shape[1]), RECALL_AT)
            yield ids, vectors


def tune_effort(
    index: "FaissIndex", ground_truth: GroundTruth, catalog: Catalog, space: Space
) -> tuple[int, float]:
    """Return the least effort whose recall@10 is enough, or the most there is, and that recall."""
    for effort in index.search_efforts:
        index.search_effort = effort
        right = recall(_found_scores(index, ground_truth.queries, catalog, space), ground_truth.scores)
        if right >= TARGET_RECALL:
            break
    return effort, right


def save_index(index: "FaissIndex", path: Path) -> tuple[str, int]:
    """Write the index through Python, which sees a full disk, and sync it; returns SHA-256 and size."""
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def write(data: bytes) -> int:
            digest.update(data)
            return file.write(data)

        import faiss

        faiss.write_index(index.faiss_index, faiss.PyCallbackIOWriter(write))
        file.flush()
        os.fsync(file.fileno())
        return digest.hexdigest(), file.tell()


def _found_scores(index: "FaissIndex", queries: Vectors, catalog: Catalog, space: Space) -> Scores:
    """Return the true scores (q, 10) of what the index finds, as a search would rank it."""
    _, near = index.search(queries, min(2 * RECALL_AT + 20, len(index)))
    rows = []
    for query, ids in zip(queries, near, strict=True):
        some, vectors = catalog.vectors_of(space, ids)
        rows.append(top_k(query[None] @ vectors.T, some, RECALL_AT)[0])
    return np.concatenate(rows)


def _noisy_queries(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    """Return queries that are near what is there but none of it: 0.5 of noise to 1 of each vector."""
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    near = vectors + 0.5 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True), dtype=np.float32)


def index_damage(catalog: Catalog, file: IndexFile) -> str | None:
    """Say what is wrong with an index file, down to one flipped bit; None if it is as it was written."""
    path = catalog.folder / INDEX_FOLDER / file.file
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return f"The index file {path} cannot be read: {error.strerror}."
    return None if digest == file.digest else f"The index file {path} is not what was written."


def _fsync_folder(folder: Path) -> None:
    """Make a rename last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
