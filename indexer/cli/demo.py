"""clew demo: create and search a small library of photos."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.hits import output
from retrieval.cli.interrupts import interruptible
from retrieval.errors import ExtraMissing, SpaceMismatch
from retrieval.formatting import format_segment_counts

DEMO_QUERIES = (("a cat", "image"), ("a rocket at night", "image"), ("an orange flower", "image"))

PHOTOS = {  # name in the demo -> (package, file, caption written for it)
    "astronaut.png": ("skimage", "data/astronaut.png", "a smiling woman astronaut in an orange suit"),
    "bricks.png": ("skimage", "data/brick.png", "a wall of bricks"),
    "cameraman.png": ("skimage", "data/camera.png", "a man in a black coat behind a camera on a tripod"),
    "cat.png": ("skimage", "data/chelsea.png", "the face of a tabby cat looking to the side"),
    "coffee.png": ("skimage", "data/coffee.png", "a cup of coffee with a spoon on a wooden table"),
    "coins.png": ("skimage", "data/coins.png", "old Greek coins laid out in rows"),
    "flower.jpg": ("sklearn", "datasets/images/flower.jpg", "an orange dahlia in bloom"),
    "grass.png": ("skimage", "data/grass.png", "a field of grass"),
    "moon.png": ("skimage", "data/moon.png", "the surface of the moon with its craters"),
    "motorcycle.png": ("skimage", "data/motorcycle_left.png", "a motorcycle parked in a garage"),
    "rocket.jpg": ("skimage", "data/rocket.jpg", "a rocket on its launch pad at night"),
    "stars.jpg": ("skimage", "data/hubble_deep_field.jpg", "thousands of galaxies in deep space"),
    "temple.jpg": ("sklearn", "datasets/images/china.jpg", "a Chinese temple with a curved roof"),
    "writing.png": ("skimage", "data/page.png", "a printed page of a textbook"),
}


def make_photos(folder: str | Path) -> Path:
    """Copy the photos into the folder, each with a caption file; raises ExtraMissing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (package, file, caption) in PHOTOS.items():
        spec = find_spec(package)  # importing the package would take a second
        if spec is None or spec.origin is None:
            raise ExtraMissing("The demo", "demo")
        shutil.copyfile(Path(spec.origin).parent / file, folder / name)
        (folder / name).with_suffix(".txt").write_text(caption + "\n", "utf-8")
    return folder


@click.command("demo", cls=ClewCommand)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("clew-demo"),
    show_default=True,
    help="Create the photos and the library in this folder.",
)
@interruptible()
def demo_command(folder: Path) -> None:
    """Create a small library of photos with captions and search it.

    The photos come from scikit-image and scikit-learn, which the extra `demo` installs:

    \b
    pip install "clew-search[demo]"
    """
    from indexer.operations.index import index_folder
    from indexer.operations.switch_model import switch_library
    from retrieval.library import Library

    if folder.exists():
        note(f"{folder} exists already. Its demo is updated.")
    photos = make_photos(folder / "photos")
    write(f"$ clew index {photos} --library {folder / 'library'}\n")
    try:
        library = index_folder(photos, library=folder / "library", model="builtin")
    except SpaceMismatch:
        with Library.open(folder / "library") as old:
            if not old.is_outdated:
                raise
        switch_library("builtin", library=folder / "library")
        library = index_folder(photos, library=folder / "library", model="builtin")
    with library:
        write(format_segment_counts(library.status().segments) + "\n")
        for words, kind in DEMO_QUERIES:
            write(f'\n$ clew "{words}" --kind {kind} -k 3 --library {folder / "library"}\n')
            output.show_hits(library.search(words, kind=kind, count=3), library)
        write(
            f"\n$ clew search --image {photos / 'cat.png'} --kind text -k 3 --library {folder / 'library'}\n"
        )
        output.show_hits(library.search(image=photos / "cat.png", kind="text", count=3), library)
    write(f"\nThe photos and the library are in {folder.absolute()}; delete this folder to remove them.\n")
    write(f'Search for your own words: clew "..." --library {folder / "library"}\n')
    write("Index your own folder:     clew index ~/Pictures\n")
