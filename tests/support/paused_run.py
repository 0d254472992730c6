"""Child process that indexes a folder with the toy embedder and waits at the third file for a line."""

import sys
from pathlib import Path
from time import sleep

from indexer import update_library
from indexer.store.lock import WRITE_SECONDS
from tests.support.toy_embedder import ToyEmbedder

PAUSE_AT = 3  # files


def pause(title: str, done: int, total: int, size: int = 0) -> None:
    """Wait until the progress of the next file is written; then write a line, and wait for one."""
    if total and done == PAUSE_AT - 1:
        sleep(1.1 * WRITE_SECONDS)
    elif total and done == PAUSE_AT:
        sys.stdout.write("paused\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    folder, place = map(Path, sys.argv[1:])
    update_library([folder], library=place, embedder=ToyEmbedder(), progress=pause)
