"""Child process that indexes a folder with the toy embedder in small transactions; its parent kills it."""

import sys

from indexer import IndexOptions, update_library
from indexer.embed import batches
from tests.support.toy_embedder import ToyEmbedder

if __name__ == "__main__":
    batches.TARGET_BATCH = 8
    sys.stdout.write("go\n")
    sys.stdout.flush()
    update_library(
        [sys.argv[1]],
        library=sys.argv[2],
        embedder=ToyEmbedder(),
        options=IndexOptions(archives="archives" in sys.argv),
    )
    sys.stdout.write("done\n")
