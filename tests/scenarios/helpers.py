"""Images to index, runs with small batches or in another process, and names of hits, for many scenarios."""

import signal
import subprocess
import sys
from pathlib import Path

from indexer.operations.options import DEFAULT_OPTIONS
from indexer.operations.pipeline import update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import no_progress
from retrieval import Library
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image


def draw_images(folder, count):
    """Draw images of different colors, named 0.png, 1.png and so on."""
    for number in range(count):
        draw_image(folder / f"{number}.png", (number, 255 - number, 7))


def index_in_batches(
    batch_limits, folders, place, embedder, *, options=DEFAULT_OPTIONS, progress=no_progress
):
    """Update a library as `update_library` does, with other limits of a batch; return the report."""
    with LibraryWriter(place, lambda space: embedder, batch_limits) as writer:
        return update_folders(writer, folders, options, progress=progress)


def hit_names(place, embedder, words="red", **options):
    """Return the file names of the hits, best first."""
    with Library.open(place, embedder=embedder) as library:
        return [hit.path.name for hit in library.search(words, **options)]


def start_index_process(folder: Path, library: Path, *flags: str) -> subprocess.Popen:
    """Index a folder in another process; return when it starts."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.index_process", str(folder), str(library), *flags],
        cwd=REPOSITORY_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert child.stdout.readline() == "go\n"
    return child


def kill_index_process(child: subprocess.Popen, share: float) -> bool:
    """Kill the process when it has committed a share of its files; return False if it ended before."""
    while share:
        done, _, total = child.stdout.readline().partition(" ")
        if not total or int(done) >= share * int(total):  # without a total, it has nothing left to index
            break
    child.kill()
    child.stdout.close()
    return child.wait() == -signal.SIGKILL
