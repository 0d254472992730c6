"""Build the index files of a space from the catalog.

A file is written under a temporary name, synced and renamed; then the catalog refers to it.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.maintenance.index_plan import DEFAULT_SIZES, FileSizes, IndexPlanner, IndexRange
from indexer.maintenance.tune_index import TIMED_QUERIES, IndexTuner, tune_files, with_tunings
from indexer.store.durability.durable_files import sync
from indexer.store.location import sync_commits
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER
from retrieval.types import IndexFile, IndexMethod, Kind, Space
from retrieval.vectors.base import FILE_FORMATS
from retrieval.vectors.index_files import check_index_file

if TYPE_CHECKING:
    from retrieval.vectors.faiss_index import FaissIndex  # heavy: only to build

REBUILD_AFTER_VECTORS = 50_000  # new vectors after which a long run updates the indexes before its end
_OWN_NAME = re.compile(r"\d+-[a-z]+-.*\.faiss|\.\d+\.tmp")


def build_if_due(
    writer: LibraryWriter,
    method: IndexMethod | Literal["auto"] | None = None,
    space: Space | None = None,
    *,
    completely: bool = False,
    sizes: FileSizes = DEFAULT_SIZES,
) -> Space:
    """Write the index files of a space that are due, by default of the active one, and return the space.

    New vectors get a file if they are many, or a tenth. A file is written again if a tenth of it was deleted,
    or if it is damaged, of another format or of another method. `method` is saved in the library; "auto"
    chooses by size. With `completely`, the checksum of every file is computed.
    """
    if method is not None:
        chosen = None if method == "auto" else method
        writer.save_settings(replace(writer.settings(), index_method=chosen))
    catalog = writer.catalog
    space = space or active_space(catalog)
    configured, is_auto = catalog.settings().index_method, method == "auto"
    planner = IndexPlanner(catalog, space, configured, is_auto, completely, sizes)
    indexed_to, ranges = planner.plan()
    kept = {each.file for each in ranges}
    if indexed_to != space.indexed_to or kept != set(space.indexes):
        return _write_files(writer, planner, indexed_to, ranges)
    delete_unused_files(writer)  # that a killed process has left
    checked = tuple(check_index_file(writer.folder, file) for file in space.indexes)
    if any(_lacks_tuning(catalog, space, file) for file in checked):
        return tune_indexes(writer, replace(space, indexes=checked))
    if checked != space.indexes:  # copied or restored files
        space = replace(space, indexes=checked)
        writer.spaces.set_indexes(space)
    return space


@dataclass(slots=True)
class PeriodicBuild:
    """Writes the index files that are due during a long run, so that readers compare few vectors."""

    writer: LibraryWriter
    method: IndexMethod | Literal["auto"] | None = None
    built_at: int = 0  # segments at the last build

    def update(self, segments: int) -> None:
        """Build if the run has written many segments since the last build; `segments` counts all of it."""
        if segments - self.built_at > REBUILD_AFTER_VECTORS:
            build_if_due(self.writer, self.method)
            self.built_at = segments


def tune_indexes(writer: LibraryWriter, space: Space) -> Space:
    """Tune the index files of a space to the recall that the library has saved, and return the space."""
    tuned = tune_files(writer.catalog, space, writer.settings().target_recall)
    writer.spaces.set_indexes(tuned)
    return tuned


def build_indexes(writer: LibraryWriter, space: Space, method: IndexMethod | None = None) -> Space:
    """Write one file of each kind, whose vectors or method have changed."""
    catalog, last = writer.catalog, writer.catalog.last_vector(space)
    planner = IndexPlanner(catalog, space, method, completely=True)
    ranges = [
        IndexRange(kind, 0, last, count, planner.complete_file(kind, count))
        for kind in catalog.kinds()
        if (count := catalog.count_vectors_between(space, kind, 0, last))
    ]
    return _write_files(writer, planner, last, ranges)


def _write_files(
    writer: LibraryWriter, planner: IndexPlanner, indexed_to: int, ranges: Sequence[IndexRange]
) -> Space:
    """Write the files of ranges that have none, then refer to them; a crash in between keeps the old ones."""
    totals = Counter[Kind]()
    for each in ranges:
        totals[each.kind] += each.count
    files = [
        each.file or _write_file(planner, each, planner.method_of(each.count, totals[each.kind]))
        for each in ranges
    ]
    sync(writer.folder / INDEX_FOLDER)
    built = replace(planner.space, indexed_to=indexed_to, indexes=tuple(filter(None, files)))
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


def _write_file(planner: IndexPlanner, covered: IndexRange, method: IndexMethod) -> IndexFile | None:
    """Write and sync the index file of a range under its final name; None if it has no vectors."""
    from retrieval.vectors.faiss_index import FaissIndex, sample_size  # heavy: only to build

    catalog, space, kind = planner.catalog, planner.space, covered.kind
    ids, rng = catalog.vector_ids(space, kind, covered.after, covered.to), np.random.default_rng(0)
    if not len(ids):
        return None
    size = min(len(ids), max(TIMED_QUERIES, sample_size(method, len(ids))))
    _, sample = catalog.vectors_of(space, rng.choice(ids, size, replace=False))
    tuner = IndexTuner(catalog, space, kind, method, sample)
    vectors = catalog.vectors_after(space, kind, covered.after, to=covered.to)
    index = FaissIndex.build(method, sample, tuner.collect(vectors), len(ids))
    tunings = tuner.tunings(index, catalog.settings().target_recall)
    folder = catalog.folder / INDEX_FOLDER
    temporary, format_ = folder / f".{os.getpid()}.tmp", FILE_FORMATS[method]
    digest, file_size = save_index(index, temporary)
    name = f"{space.id}-{kind}-{format_}-{int(ids[-1])}-{digest[:8]}.faiss"
    temporary.replace(folder / name)
    mtime = (folder / name).stat().st_mtime_ns
    effort, bounds = index.search_effort, (covered.after, covered.to)
    file = IndexFile(kind, method, name, digest, file_size, len(ids), effort, 1.0, format_, mtime, *bounds)
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
