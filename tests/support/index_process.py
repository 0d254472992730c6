"""Child process that indexes a folder with the toy embedder in small transactions; its parent kills it."""

import sys
from pathlib import Path

from indexer import IndexOptions
from indexer.operations.pipeline import update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from tests.support.toy_embedder import ToyEmbedder

if __name__ == "__main__":
    folder, place, *flags = sys.argv[1:]
    sys.stdout.write("go\n")
    sys.stdout.flush()
    with LibraryWriter(Path(place), lambda space: ToyEmbedder(), BatchLimits(segments=8)) as writer:
        update_folders(writer, [Path(folder)], IndexOptions(archives="archives" in flags))
    sys.stdout.write("done\n")
