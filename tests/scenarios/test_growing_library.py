"""A process that is killed while it writes and merges index files leaves a library with exact answers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.index_plan import FileSizes
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.space_index import SpaceIndex
from tests.support.gap_vectors import GapVectors
from tests.support.vector_library import drawn_embedder, insert_vectors

DIM, COUNT = 16, 1_500
GAP = GapVectors(DIM, clusters=20)
IMAGES = GAP.pairs(COUNT, seed=1)[0].astype(np.float16).astype(np.float32)
SIZES = FileSizes(max_unindexed=15, merge_ratio=2, min_file=20, max_small_file=200)
STEPS = ("save_index", "Path.replace", "sync", "Spaces.set_indexes", "Path.unlink")


class RepeatedImages:
    """The vectors of images, repeated without an end."""

    def __getitem__(self, at):
        return IMAGES[at % COUNT]


def grow_until_killed(folder, step):
    """Add and delete vectors and write index files; kill this process at a step of writing a later file."""
    remaining = step

    def count(frame, event, _):
        nonlocal remaining
        if event == "call" and frame.f_code.co_qualname in STEPS:
            remaining -= 1
            if not remaining:
                os.kill(os.getpid(), signal.SIGKILL)

    with LibraryWriter(Path(folder), lambda _: drawn_embedder(DIM)) as writer:
        while True:
            last = writer.catalog.last_vector(active_space(writer.catalog))
            insert_vectors(writer, range(last + 1, last + 31), RepeatedImages())
            with writer.db.atomic():
                for table, column in ((vectors_table(writer.space_id), "segment"), ("segments", "id")):
                    writer.db.execute(f"DELETE FROM {table} WHERE {column} = ?", (last // 2,))
            sys.setprofile(count if last >= 300 else None)
            build_if_due(writer, sizes=SIZES)


@pytest.mark.parametrize("step", range(1, 9))
def test_killed_writer_leaves_a_library_that_answers_as_exact_search(tmp_path, step):
    folder = tmp_path / "library"
    code = f"import sys\nfrom {__name__} import grow_until_killed\ngrow_until_killed(sys.argv[1], {step})"
    assert subprocess.run([sys.executable, "-c", code, folder]).returncode == -signal.SIGKILL
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        space = active_space(writer.catalog)
        ids = writer.catalog.vector_ids(space, "image")
        exact, index = ExactIndex(ids, IMAGES[(ids - 1) % COUNT]), SpaceIndex(writer.catalog, space)
        assert (index.damage, len(index.indexes["image"]) > 1) == (None, True)
        for query in GAP.pairs(3, seed=2)[1]:
            _, found = index.search(query[None], "image", 10)
            np.testing.assert_array_equal(found, exact.search(query[None], 10)[1][0])
        files = {file.file for file in build_if_due(writer, sizes=SIZES).indexes}
        assert {path.name for path in (folder / INDEX_FOLDER).iterdir()} == files
