"""The operations under test, with toy embedders. Each runs in a process of its own."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from indexer import (
    IndexOptions,
    TagOptions,
    forget,
    forget_concept,
    remove_labels,
    switch_library,
    tag_library,
    teach,
    verify_library,
)
from indexer.maintenance.build_index import build_indexes
from indexer.operations.pipeline import update_folders
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.tag.saved_searches import save_search
from indexer.types import BatchLimits
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.query.names import concept_names
from retrieval.types import Space, Vectors
from tests.support.faults.state import Reports
from tests.support.toy_embedder import RotatedToyEmbedder, ToyEmbedder


class OtherToyEmbedder(RotatedToyEmbedder):
    """A second toy model, which reads texts of any length."""

    max_tokens = 8

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.roll(ToyEmbedder.embed_texts(self, texts), 1, axis=1)


EMBEDDERS: dict[str, Callable[[], Embedder]] = {"toy": ToyEmbedder, "other": OtherToyEmbedder}
FOLDERS = ("main", "more")  # of the media, each a root
BATCH = BatchLimits(segments=8)


def embedder_of(space: Space | None) -> Embedder:
    """Return the embedder of a space, and the first one for a new library."""
    return EMBEDDERS["toy" if space is None else space.model]()


def active_embedder(library: Path) -> Embedder:
    """Return the embedder of the active space."""
    with closing(Catalog.open(library)) as catalog:
        return embedder_of(catalog.space())


def _folders_to_forget(library: Path, media: Path) -> list[Path]:
    """Return the second folder, unless an earlier run has forgotten it."""
    folder = media / "more"
    with closing(Catalog.open(library)) as catalog:
        is_known = catalog.db.execute("SELECT 1 FROM roots WHERE path = ?", (bytes(folder),)).fetchone()
    return [folder] if is_known else []


def index(library: Path, media: Path) -> None:
    with LibraryWriter(library, embedder_of, BATCH) as writer:
        update_folders(writer, [media / name for name in FOLDERS], IndexOptions(archives=True))


def build(library: Path, media: Path) -> None:
    """Build all indexes, with the other method."""
    with LibraryWriter(library) as writer:
        space = active_space(writer.catalog)
        is_flat = any(file.method == "flat" for file in space.indexes)
        build_indexes(writer, space, "hnsw" if is_flat else "flat")


def switch(library: Path, media: Path) -> None:
    switch_library("other", library=library, embedder=OtherToyEmbedder())


def switch_back(library: Path, media: Path) -> None:
    switch_library("toy", library=library, embedder=ToyEmbedder())


def tag(library: Path, media: Path) -> None:
    embedder = active_embedder(library)
    tag_library(["red", "blue"], library=library, embedder=embedder)
    tag_library(["green", "white"], library=library, options=TagOptions(one_of=True), embedder=embedder)


def untag(library: Path, media: Path) -> None:
    with closing(Catalog.open(library)) as catalog:
        is_tagged = catalog.db.execute("SELECT 1 FROM labels WHERE name = 'red'").fetchone()
    if is_tagged:  # else an earlier run has removed it
        remove_labels(["red"], library=library)


def learn(library: Path, media: Path) -> None:
    """Learn a concept, and save a search."""
    images = sorted(media.rglob("*.png"))
    teach("ruby", images[:3], library=library, anyway=True, embedder=active_embedder(library))
    save_search("gems", "@ruby red", library=library, replace=True)


def unlearn(library: Path, media: Path) -> None:
    with closing(Catalog.open(library)) as catalog:
        is_known = "ruby" in concept_names(catalog)
    if is_known:
        forget_concept("ruby", library=library)


def forget_folder(library: Path, media: Path) -> None:
    forget(_folders_to_forget(library, media), library=library)


def purge(library: Path, media: Path) -> None:
    """Forget a folder, and delete the contents without a file."""
    forget(_folders_to_forget(library, media), library=library, purge=True)


def drop_space(library: Path, media: Path) -> None:
    with closing(Catalog.open(library)) as catalog:
        active, other = catalog.space(), catalog.space("other")
    name = None if other is None or other == active else "other"
    forget(library=library, space=name)


def repair(library: Path, media: Path) -> None:
    verify_library(library, repair=True, embedder=active_embedder(library))


OPERATIONS: dict[str, Callable[[Path, Path], None]] = {
    function.__name__: function
    for function in (
        index,
        build,
        switch,
        switch_back,
        tag,
        untag,
        learn,
        unlearn,
        forget_folder,
        purge,
        drop_space,
        repair,
    )
}


def run(operation: str, library: str, media: str, reports: str) -> None:
    """Run an operation, and report its commits."""
    Reports(Path(reports)).install()
    OPERATIONS[operation](Path(library), Path(media))


def run_all(library: str, media: str) -> None:
    """Run every operation once, which imports their modules."""
    Reports(Path(library).with_name("reports")).install()
    for operation in OPERATIONS.values():
        operation(Path(library), Path(media))
