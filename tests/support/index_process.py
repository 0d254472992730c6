"""Child process that indexes a folder with the toy embedder in small transactions; its parent kills it.

It writes "go", then the number of committed files and of all files after each transaction, then "done".
"""

import sys
from pathlib import Path

from indexer import IndexOptions
from indexer.operations.pipeline import update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from tests.support.toy_embedder import ToyEmbedder


class ReportingWriter(LibraryWriter):
    """A writer that reports the files of each transaction."""

    done, total = 0, 0

    def write(self, root, chunks):
        counts = super().write(root, chunks)
        self.done += sum(chunk.is_last for chunk in chunks)
        sys.stdout.write(f"{self.done} {self.total}\n")
        sys.stdout.flush()
        return counts

    def set_total(self, title: str, done: int, total: int, size: int = 0) -> None:
        self.total = total


if __name__ == "__main__":
    folder, place, *flags = sys.argv[1:]
    sys.stdout.write("go\n")
    sys.stdout.flush()
    with ReportingWriter(Path(place), lambda space: ToyEmbedder(), BatchLimits(segments=8)) as writer:
        options = IndexOptions(archives="archives" in flags)
        update_folders(writer, [Path(folder)], options, progress=writer.set_total)
    sys.stdout.write("done\n")
