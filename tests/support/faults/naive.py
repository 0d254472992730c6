"""Operations in the naive order of writes, which the checks must detect as losses.

Each changes one step of a real operation, in a process that ends with it.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from tests.support.faults import operations


def vectors_in_second_transaction(library: Path, media: Path) -> None:
    """Index, and commit the vectors of a batch after its segments."""
    write, write_segment = LibraryWriter.write, LibraryWriter._write_segment
    deferred: list[tuple[int, bytes]] = []

    def defer(self: LibraryWriter, content: int, ordinal: int, draft: Any, vector: Any, *origin: str) -> int:
        segment = write_segment(self, content, ordinal, draft, vector, *origin)
        table = vectors_table(self.space_id)
        query = f"SELECT segment, vector FROM {table} WHERE segment = ?"
        deferred.extend(self.db.conn.execute(query, (segment,)).fetchall())
        self.db.conn.execute(f"DELETE FROM {table} WHERE segment = ?", (segment,))
        return segment

    def write_twice(self: LibraryWriter, root: int, chunks: Sequence[Any]) -> Any:
        counts = write(self, root, chunks)
        with self.db.atomic():
            self.db.conn.executemany(f"INSERT INTO {vectors_table(self.space_id)} VALUES (?, ?)", deferred)
        deferred.clear()
        return counts

    LibraryWriter._write_segment = defer  # type: ignore[method-assign]
    LibraryWriter.write = write_twice  # type: ignore[method-assign]
    operations.index(library, media)


def index_files_in_place(library: Path, media: Path) -> None:
    """Write index files in place, then their rows; short writes are not noticed."""
    with LibraryWriter(library) as writer:
        space = active_space(writer.catalog)
        files = []
        for file in space.indexes:
            path = library / INDEX_FOLDER / file.file
            data = path.read_bytes() + bytes(8)  # which FAISS ignores
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
            for at in range(0, len(data), 512):
                os.write(descriptor, data[at : at + 512])
            os.close(descriptor)
            files.append(replace(file, digest=sha256(data).hexdigest(), size=len(data)))
        writer.spaces.set_indexes(replace(space, indexes=tuple(files)))


def index_files_not_synced(library: Path, media: Path) -> None:
    """Build, and do not sync the index files."""
    os.fsync = lambda descriptor: None
    operations.build(library, media)


NAIVE_OPERATIONS = {
    function.__name__: function
    for function in (vectors_in_second_transaction, index_files_in_place, index_files_not_synced)
}
