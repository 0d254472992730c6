"""Images to index and names of hits, for several scenarios."""

from retrieval import Library
from tests.support.files import draw_image


def draw_images(folder, count):
    """Draw images of different colors, named 0.png, 1.png and so on."""
    for number in range(count):
        draw_image(folder / f"{number}.png", (number, 255 - number, 7))


def hit_names(place, embedder, words="red", **options):
    """Return the file names of the hits, best first."""
    with Library.open(place, embedder=embedder) as library:
        return [hit.path.name for hit in library.search(words, **options)]
