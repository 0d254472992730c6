"""Build the index files of a space from the catalog.

A file is written under a temporary name, synced and renamed; then the catalog refers to it.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.store.durability.durable_files import sync
from indexer.store.location import sync_commits
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.errors import LibraryDamaged
from retrieval.scoring.ranking import recall, top_k
from retrieval.types import Ids, IndexFile, IndexMethod, Kind, Scores, Space, Vectors
from retrieval.vectors.base import FILE_FORMATS, method_for
from retrieval.vectors.index_files import check_index_file

if TYPE_CHECKING:
    from retrieval.vectors.faiss_index import FaissIndex  # heavy: only to build

_OWN_NAME = re.compile(r"\d+-[a-z]+-.*\.faiss|\.\d+\.tmp")
TUNING_QUERIES, RECALL_AT = 200, 10
TARGET_RECALL = 0.995  # recall@10; the least search effort that reaches it is chosen


def build_if_due(
    writer: LibraryWriter, method: IndexMethod | Literal["auto"] | None = None, space: Space | None = None
) -> Space:
    """Build the indexes of a space, by default the active one, if it is due, and return the space.

    It is due if a tenth of the vectors is unindexed or deleted, or if a file is damaged, of another
    format or of another method. `method` is saved in the library; "auto" chooses by size.
    """
    if method is not None:
        chosen = None if method == "auto" else method
        writer.save_settings(replace(writer.settings(), index_method=chosen))
    catalog = writer.catalog
    space = space or active_space(catalog)
    count, unindexed = catalog.count_vectors(space), catalog.count_unindexed(space)
    deleted = sum(file.count for file in space.indexes) - (count - unindexed)
    configured = catalog.settings().index_method
    is_auto = method == "auto"
    try:
        checked = tuple(check_index_file(writer.folder, file) for file in space.indexes)
    except LibraryDamaged:
        return build_indexes(writer, space, configured)
    if max(unindexed, deleted) * 10 > count or any(
        _has_other_method(file, configured, auto=is_auto) for file in checked
    ):
        return build_indexes(writer, space, configured)
    delete_unused_files(writer)  # that a killed process has left
    if checked != space.indexes:  # copied or restored files
        space = replace(space, indexes=checked)
        writer.spaces.set_indexes(space)
    return space


def build_indexes(writer: LibraryWriter, space: Space, method: IndexMethod | None = None) -> Space:
    """Write new index files, then refer to them in the catalog; a crash in between keeps the old ones.

    A kind whose vectors have not changed keeps its file.
    """
    catalog, folder = writer.catalog, writer.folder / INDEX_FOLDER
    table = vectors_table(space.id)
    last_id = catalog.db.execute(f"SELECT max(segment) FROM {table}").fetchone()[0] or 0
    files = [file for kind in catalog.kinds() if (file := _build_kind(catalog, space, kind, method))]
    sync(folder)
    built = replace(space, indexed_to=int(last_id), indexes=tuple(files))
    writer.spaces.set_indexes(built)
    delete_unused_files(writer)
    return built


def delete_unused_files(writer: LibraryWriter) -> None:
    """Delete old index files and temporary files; those of other programs stay."""
    used = {file.file for space in writer.catalog.spaces() for file in space.indexes}
    unused = [
        path
        for path in (writer.folder / INDEX_FOLDER).iterdir()
        if path.name not in used and _OWN_NAME.fullmatch(path.name) and not path.is_dir()
    ]
    if unused:  # a power failure must not restore a catalog that refers to them
        sync_commits(writer.folder)
    for path in unused:
        path.unlink()


def _has_other_method(file: IndexFile, configured: IndexMethod | None, *, auto: bool) -> bool:
    """Return True if a file has another method than configured, or an older format."""
    method = configured or (method_for(file.count) if auto else file.method)
    return file.method != method or is_outdated(file)


def is_outdated(file: IndexFile) -> bool:
    """Return True if a file does not have the current format; it may be older, unknown or empty."""
    return file.format != FILE_FORMATS[file.method]


def _build_kind(catalog: Catalog, space: Space, kind: Kind, method: IndexMethod | None) -> IndexFile | None:
    """Write the index file of a kind; None if it has no vectors."""
    ids = catalog.vector_ids(space, kind)
    if not len(ids):
        return None
    count, folder, rng = len(ids), catalog.folder / INDEX_FOLDER, np.random.default_rng(0)
    method = method or method_for(count)
    old = next((file for file in space.indexes if file.kind == kind), None)
    is_same = old is not None and (old.count, old.method) == (count, method) and ids[-1] <= space.indexed_to
    if old is not None and is_same and not is_outdated(old):
        with suppress(LibraryDamaged):
            return check_index_file(catalog.folder, old, completely=True)
    from retrieval.vectors.faiss_index import FaissIndex, sample_size  # heavy: only to build

    size = min(count, max(TUNING_QUERIES, sample_size(method, count)))
    _, sample = catalog.vectors_of(space, rng.choice(ids, size, replace=False))
    truth = GroundTruth(_noisy_queries(sample[rng.permutation(size)[:TUNING_QUERIES]], rng))
    index = FaissIndex.build(method, sample, truth.collect(catalog.vectors_after(space, kind, 0)), count)
    effort, tuned_recall = tune_effort(index, truth, catalog, space)
    temporary = folder / f".{os.getpid()}.tmp"
    digest, file_size = save_index(index, temporary)
    name = f"{space.id}-{kind}-{FILE_FORMATS[method]}-{int(ids[-1])}-{digest[:8]}.faiss"
    temporary.replace(folder / name)
    mtime = (folder / name).stat().st_mtime_ns
    return IndexFile(
        kind, method, name, digest, file_size, count, effort, tuned_recall, FILE_FORMATS[method], mtime
    )


class GroundTruth:
    """The exact scores of queries, collected while vectors are added to an index."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.scores: Scores = np.full((len(queries), RECALL_AT), -np.inf, np.float32)

    def collect(self, chunks: Iterator[tuple[Ids, Vectors]]) -> Iterator[tuple[Ids, Vectors]]:
        """Yield the chunks unchanged, and keep the best scores of each query."""
        for ids, vectors in chunks:
            scores = np.concatenate([self.scores, self.queries @ vectors.T], axis=1)
            self.scores, _ = top_k(scores, np.arange(scores.shape[1]), RECALL_AT)
            yield ids, vectors


def tune_effort(
    index: "FaissIndex", ground_truth: GroundTruth, catalog: Catalog, space: Space
) -> tuple[int, float]:
    """Return the least search effort that reaches the target recall, else the greatest, and its recall."""
    for effort in index.search_efforts:
        index.search_effort = effort
        reached = recall(_exact_scores(index, ground_truth.queries, catalog, space), ground_truth.scores)
        if reached >= TARGET_RECALL:
            break
    return effort, reached


def save_index(index: "FaissIndex", path: Path) -> tuple[str, int]:
    """Write and sync an index, and return its SHA-256 and size; raises OSError on a full disk.

    FAISS does not report a full disk, so it writes through a Python file.
    """
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


def _exact_scores(index: "FaissIndex", queries: Vectors, catalog: Catalog, space: Space) -> Scores:
    """Return the exact scores (q, 10) of the results of an index, ranked as in a search."""
    _, results = index.search(queries, min(2 * RECALL_AT + 20, len(index)))
    rows = []
    for query, ids in zip(queries, results, strict=True):
        found_ids, vectors = catalog.vectors_of(space, ids)
        rows.append(top_k(query[None] @ vectors.T, found_ids, RECALL_AT)[0])
    return np.concatenate(rows)


def _noisy_queries(vectors: Vectors, rng: "np.random.Generator") -> Vectors:
    """Return normalized queries near the vectors: each plus noise of norm 0.5."""
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    noisy = vectors + 0.5 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(noisy / np.linalg.norm(noisy, axis=1, keepdims=True), dtype=np.float32)
