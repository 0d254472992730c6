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


def report(folder: str, done: int, total: int) -> None:
    sys.stdout.write(f"{done} {total}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    folder, place, *flags = sys.argv[1:]
    sys.stdout.write("go\n")
    sys.stdout.flush()
    with LibraryWriter(Path(place), lambda space: ToyEmbedder(), BatchLimits(segments=8)) as writer:
        update_folders(writer, [Path(folder)], IndexOptions(archives="archives" in flags), progress=report)
    sys.stdout.write("done\n")
