"""Build the index files of a space from the catalog.

A file is written under a temporary name, synced and renamed; then the catalog refers to it.
"""

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.maintenance.tune_index import IndexTuner, tune_files, tuning_queries, with_tunings
from indexer.store.durability.durable_files import sync
from indexer.store.location import sync_commits
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.errors import LibraryDamaged
from retrieval.types import IndexFile, IndexMethod, Kind, Space
from retrieval.vectors.base import FILE_FORMATS, method_for
from retrieval.vectors.index_files import check_index_file

if TYPE_CHECKING:
    from retrieval.vectors.faiss_index import FaissIndex  # heavy: only to build

_OWN_NAME = re.compile(r"\d+-[a-z]+-.*\.faiss|\.\d+\.tmp")


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
    if any(_lacks_tuning(catalog, space, file) for file in checked):
        return tune_indexes(writer, replace(space, indexes=checked))
    if checked != space.indexes:  # copied or restored files
        space = replace(space, indexes=checked)
        writer.spaces.set_indexes(space)
    return space


def tune_indexes(writer: LibraryWriter, space: Space) -> Space:
    """Tune the index files of a space to the recall that the library has saved, and return the space."""
    tuned = tune_files(writer.catalog, space, writer.settings().target_recall)
    writer.spaces.set_indexes(tuned)
    return tuned


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


def _lacks_tuning(catalog: Catalog, space: Space, file: IndexFile) -> bool:
    """Return True for a file of an earlier version, or one that was built before the calibration."""
    modes = {tuning.query_mode for tuning in file.tunings}
    return "picture" not in modes or (
        "words" not in modes and catalog.background_queries(space, "words") is not None
    )


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

    _, sample = catalog.vectors_of(space, rng.choice(ids, sample_size(method, count), replace=False))
    tuner = IndexTuner(catalog, space, tuning_queries(catalog, space, kind, rng))
    vectors = catalog.vectors_after(space, kind, 0)
    index = FaissIndex.build(method, sample, vectors if method == "flat" else tuner.collect(vectors), count)
    tunings = tuner.tunings(index, catalog.settings().target_recall)
    temporary = folder / f".{os.getpid()}.tmp"
    digest, file_size = save_index(index, temporary)
    name = f"{space.id}-{kind}-{FILE_FORMATS[method]}-{int(ids[-1])}-{digest[:8]}.faiss"
    temporary.replace(folder / name)
    mtime = (folder / name).stat().st_mtime_ns
    file = IndexFile(
        kind, method, name, digest, file_size, count, index.search_effort, 1.0, FILE_FORMATS[method], mtime
    )
    return with_tunings(file, tunings)


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
