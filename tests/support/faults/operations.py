"""The operations under test, with toy embedders. Each runs in a process of its own."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event, Thread, Timer

import numpy as np

from indexer import (
    IndexOptions,
    Report,
    TagOptions,
    WatchOptions,
    backup_library,
    forget,
    forget_concept,
    import_vectors,
    remove_labels,
    restore_library,
    switch_library,
    tag_library,
    teach,
    verify_library,
    watch_library,
)
from indexer.maintenance.build_index import build_indexes
from indexer.operations.pipeline import update_folders
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.tag.saved_searches import save_search
from indexer.types import BatchLimits
from indexer.watch.change_log import Change
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import load_space_embedder
from retrieval.query.names import concept_names
from retrieval.types import Space, Vectors
from tests.support.faults.state import Reports
from tests.support.files import draw_image
from tests.support.toy_embedder import RotatedToyEmbedder, ToyEmbedder


class OtherToyEmbedder(RotatedToyEmbedder):
    """A second toy model, which reads texts of any length."""

    max_tokens = 8

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.roll(ToyEmbedder.embed_texts(self, texts), 1, axis=1)


EMBEDDERS: dict[str, Callable[[], Embedder]] = {"toy": ToyEmbedder, "other": OtherToyEmbedder}
FOLDERS = ("main", "more")  # of the media, each a root
BACKUP = "backup.tar"
MAX_WATCH_SECONDS = 4.0
BATCH = BatchLimits(segments=8)
Operation = Callable[[Path, Path], None]  # on a library and media


def embedder_of(space: Space | None) -> Embedder:
    """Return the embedder of a space, and the first one for a new library."""
    if space is not None and space.model not in EMBEDDERS:
        return load_space_embedder(space)
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


def unpack_old_library(version: str, folder: str) -> None:
    """Unpack the library of a released version with its media."""
    from tests.scenarios.test_old_libraries import unpack

    unpack(version, Path(folder))


def migrate(library: Path, media: Path) -> None:
    """Update the library of a released version with the options that it was made with."""
    from tests.scenarios.test_old_libraries import OldLibrary

    expected = media / "expected.json"
    if expected.exists():
        OldLibrary(library.parent, json.loads(expected.read_text("utf-8"))).update()


def watch(library: Path, media: Path) -> None:
    """Follow changes until a file is added that a thread writes after the first scan."""
    path, stop = media / "main" / "watched.png", Event()
    path.unlink(missing_ok=True)

    def add_file(report: Report) -> None:
        Thread(target=draw_image, args=(path, (1, 200, 3)), daemon=True).start()

    def stop_after(change: Change) -> None:
        if change.path == path and change.change in ("added", "updated"):
            stop.set()

    options = WatchOptions(
        on_initial_scan=add_file,
        on_change=stop_after,
        stop=stop,
        quiet_seconds=0.05,
        recheck_seconds=0.02,
        event_delay_seconds=0.02,
        coalesce_seconds=0.01,
        check_seconds=0.05,
        assume_complete_seconds=0.1,
        error_retry_seconds=0.2,
    )
    timer = Timer(MAX_WATCH_SECONDS, stop.set)  # if the disk stays full
    timer.daemon = True
    timer.start()
    folders = [media / name for name in FOLDERS]
    embedder = active_embedder(library) if (library / CATALOG_FILE).exists() else ToyEmbedder()
    watch_library(folders, library=library, embedder=embedder, watch_options=options)


def backup(library: Path, media: Path) -> None:
    backup_library(library.with_name(BACKUP), library=library, overwrite=True)


def restore(library: Path, media: Path) -> None:
    """Replace a library by the backup among the media."""
    restore_library(media / BACKUP, library=library, replace=True)


def adopt(library: Path, media: Path) -> None:
    """Import the vectors of a database of rclip among the media, which is made if it is missing."""
    from tests.support.stored_vectors import vectors_of, write_rclip  # needs pyarrow

    database = media / "rclip.sqlite"
    if not database.exists():
        write_rclip(database, vectors_of(ToyEmbedder(), sorted(media.rglob("*.png"))))
    import_vectors(database, library=library, embedder=ToyEmbedder())


OPERATIONS: dict[str, Operation] = {
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
        migrate,
        watch,
        backup,
        adopt,
    )
}


def run(operation: str, library: str, media: str, reports: str) -> None:
    """Run an operation, and report its commits."""
    Reports(Path(reports)).install()
    find(operation)(Path(library), Path(media))


def find(operation: str) -> Operation:
    """Return an operation, also one in the naive order."""
    if operation in OPERATIONS:
        return OPERATIONS[operation]
    if operation == "restore":  # needs a backup, so that it is not among the others
        return restore
    from tests.support.faults.naive import NAIVE_OPERATIONS

    return NAIVE_OPERATIONS[operation]


def run_all(library: str, media: str) -> None:
    """Run every operation once, which imports their modules."""
    Reports(Path(library).with_name("reports")).install()
    for operation in OPERATIONS.values():
        operation(Path(library), Path(media))
