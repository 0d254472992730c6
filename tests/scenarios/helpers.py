"""Images to index, runs with small batches, and names of hits, for several scenarios."""

from indexer.operations.options import DEFAULT_OPTIONS
from indexer.operations.pipeline import update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import no_progress
from retrieval import Library
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
