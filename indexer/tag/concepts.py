"""Concepts that a library learns from example images.

The examples are stored, so that the concepts can be trained again in the space of another model.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from indexer.scan.walker import list_files
from indexer.store.location import existing_library
from indexer.store.spaces import active_space, space_embedder
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, ignore_message
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError, QueryError
from retrieval.formatting import printable
from retrieval.media.archives.archive import open_path
from retrieval.media.images.loader import load_image
from retrieval.normalization import nfc
from retrieval.query.input_types import as_examples
from retrieval.query.lexer import NAME_PATTERN
from retrieval.query.names import concept_names, image_vectors, list_concepts, saved_searches
from retrieval.query.relevance_feedback import visual_background
from retrieval.scoring.linear_probe import MIN_AUROC, Probe, fit_probe
from retrieval.system import expand_user
from retrieval.types import VISUAL_KINDS, ConceptInfo, Filters, Space, Vectors
from retrieval.vectors.space_index import SpaceIndex

EXAMPLE_SIZE, JPEG_QUALITY = 512, 90  # pixels of the shorter side and quality of a stored example
MAX_EXAMPLES = 1_000  # more take minutes to train and hardly improve the probe

ExampleInputs = int | str | Path | Iterable[int | str | Path]  # segment ids (also "#12"), files and folders


@dataclass(frozen=True, slots=True)
class ConceptExample:
    """An image that shows a concept (positive) or does not."""

    positive: bool
    digest: bytes
    path: Path
    jpeg: bytes


def teach(
    name: str,
    examples: ExampleInputs = (),
    *,
    against: ExampleInputs = (),
    library: str | Path | None = None,
    replace: bool = False,
    anyway: bool = False,
    embedder: Embedder | None = None,
    notify: Notify = ignore_message,
) -> ConceptInfo:
    """Train a concept, which queries name `@name`, and return how well its examples are separated.

    Args:
        examples: image files, folders that are searched recursively, and ids of images of the library. They
            are added to the examples that the concept has; without any, the concept is trained again.
        against: examples that do not show the concept.
        replace: Delete the examples that the concept has.
        anyway: Keep the concept although its examples cannot be separated from other images.
        notify: Receives a line for each unreadable image in a folder; the image is skipped.

    Raises QueryError, and changes nothing, if an example is invalid or the examples cannot be separated.
    """
    name = validate_name(name)
    with LibraryWriter(existing_library(library)) as writer:
        space = active_space(writer.catalog)
        if name in saved_searches(writer.catalog):
            raise QueryError(f"@{name} is a saved search. Choose another name.")
        known = [] if replace else _stored_examples(writer, name)
        added = [
            *_read_examples(writer, examples, True, notify),
            *_read_examples(writer, against, False, notify),
        ]
        merged = _merge_examples(name, known, added)
        probe = _fit_probe(writer, space, merged, embedder, notify)
        if probe.auroc is not None and probe.auroc < MIN_AUROC and not anyway:
            raise QueryError(_not_separable_message(name, probe.auroc))
        with writer.db.atomic():
            if replace:
                writer.db.execute("DELETE FROM examples WHERE concept = ?", (name,))
            writer.db.execute("DELETE FROM probes WHERE concept = ?", (name,))  # those of other spaces too
            writer.db.execute("INSERT OR IGNORE INTO concepts VALUES (?)", (name,))
            _write_examples(writer, name, merged)
            _write_probe(writer, space, name, probe)
        return next(concept for concept in list_concepts(writer.catalog, space) if concept.name == name)


def forget_concept(name: str, *, library: str | Path | None = None) -> None:
    """Delete a concept and its examples; raises QueryError if it does not exist."""
    name = validate_name(name)
    with LibraryWriter(existing_library(library)) as writer:
        if name not in concept_names(writer.catalog):
            raise QueryError(f"Concept @{name} does not exist. `clew teach` lists the concepts.")
        with writer.db.atomic():
            writer.db.execute("DELETE FROM concepts WHERE name = ?", (name,))


def retrain_concepts(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Train the concepts that a space lacks, from their stored examples.

    A concept that this model cannot separate stays untrained; a query that names it reports that.
    """
    for concept in list_concepts(writer.catalog, space):
        if not concept.fitted:
            with suppress(QueryError), writer.db.atomic():
                probe = _fit_probe(
                    writer, space, _stored_examples(writer, concept.name), embedder, ignore_message
                )
                _write_probe(writer, space, concept.name, probe)


def validate_name(name: str) -> str:
    """Return the name of a concept or saved search without its @. Raises QueryError."""
    name = nfc(name.removeprefix("@"))
    if not NAME_PATTERN.fullmatch(name):
        raise QueryError(f"Invalid name {name!r}. Use letters, digits, - and _.")
    return name


def _read_examples(
    writer: LibraryWriter, inputs: ExampleInputs, positive: bool, notify: Notify
) -> Iterator[ConceptExample]:
    """Yield the examples as small images."""
    for item in as_examples(inputs):
        assert isinstance(item, int | str | Path), "images have no path"
        path = _path_of_segment(writer, item) if isinstance(item, int) else expand_user(item).absolute()
        if not path.is_dir():
            try:
                yield _load_example(path, positive)
            except MediaError as error:
                raise QueryError(f"Cannot read the example {path}: {error}.") from error
            continue
        for image_path in _images_in(path):
            try:
                yield _load_example(image_path, positive)
            except MediaError as error:
                notify(printable(f"skipped {image_path}: {error}"))


def _images_in(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders; raises QueryError if it has none."""
    files = list_files(os.fsencode(folder))
    paths = [folder / os.fsdecode(file.path) for file in files if file.decoder == "picture"]
    if not paths:
        raise QueryError(f"Folder {folder} contains no images.")
    return paths


def _path_of_segment(writer: LibraryWriter, segment: int) -> Path:
    """Return the file of an image segment."""
    hits = writer.catalog.hits([(segment, 1.0)], "", Filters())
    if not hits or writer.catalog.kind_of(segment) not in VISUAL_KINDS:
        raise QueryError(f"#{segment} is not an image of this library.")
    return hits[0].path


def _load_example(path: Path, positive: bool) -> ConceptExample:
    """Read a file as an example; raises MediaError."""
    try:
        with open_path(path) as file:
            data = file.read()
    except OSError as error:
        raise MediaError(error.strerror or str(error)) from error
    picture = load_image(BytesIO(data), min_side=EXAMPLE_SIZE)
    picture.thumbnail((EXAMPLE_SIZE, EXAMPLE_SIZE))
    small = BytesIO()
    picture.save(small, "JPEG", quality=JPEG_QUALITY)
    return ConceptExample(positive, hashlib.sha256(data).digest(), path, small.getvalue())


def _merge_examples(
    name: str, known: Sequence[ConceptExample], added: Sequence[ConceptExample]
) -> list[ConceptExample]:
    """Return all examples of a concept, without duplicates; raises QueryError if they contradict."""
    merged = {example.digest: example for example in known}
    for example in added:
        first = merged.setdefault(example.digest, example)
        if first.positive != example.positive:
            raise QueryError(
                f"{example.path} is an example both of @{name} and against it"
                f"{f' (the same image as {first.path})' * (first.path != example.path)}. Remove one of them, "
                "or start again with --replace."
            )
    if not any(example.positive for example in merged.values()):
        raise QueryError(f"Concept @{name} has no examples. Give images that show it, or a folder of images.")
    if len(merged) > MAX_EXAMPLES:
        raise QueryError(
            f"Too many examples: {len(merged):,}, at most {MAX_EXAMPLES:,}. Use fewer, varied ones."
        )
    return list(merged.values())


def _fit_probe(
    writer: LibraryWriter,
    space: Space,
    examples: Sequence[ConceptExample],
    embedder: Embedder | None,
    notify: Notify,
) -> Probe:
    """Train on the vectors of the examples: from the library if it contains them, else embedded now."""
    known = image_vectors(writer.catalog, space, [example.digest for example in examples])
    others = [example for example in examples if example.digest not in known]
    if others:
        embedder = space_embedder(space, embedder, notify)
        images = [load_image(BytesIO(example.jpeg)) for example in others]
        vectors = embedder.embed_images([embedder.prepare(image) for image in images])
        known |= {example.digest: vector for example, vector in zip(others, vectors, strict=True)}

    def rows(positive: bool) -> Vectors:
        vectors = [known[example.digest] for example in examples if example.positive == positive]
        return np.array(vectors, np.float32).reshape(-1, space.dim)

    return fit_probe(rows(True), rows(False), visual_background(SpaceIndex(writer.catalog, space)))


def _not_separable_message(name: str, auroc: float) -> str:
    return (
        f"The examples of @{name} cannot be separated from other images: their AUROC on held-out examples is "
        f"{auroc:.2f}, at least {MIN_AUROC:.2f} is required (chance is 0.50). Give more examples, or more "
        "similar ones, or use --anyway. Nothing was changed."
    )


def _stored_examples(writer: LibraryWriter, name: str) -> list[ConceptExample]:
    rows = writer.catalog.db.execute(
        "SELECT positive, hash, path, picture FROM examples WHERE concept = ? ORDER BY rowid", (name,)
    )
    return [
        ConceptExample(bool(positive), hash_, Path(os.fsdecode(path)), picture)
        for positive, hash_, path, picture in rows
    ]


def _write_examples(writer: LibraryWriter, name: str, examples: Sequence[ConceptExample]) -> None:
    writer.db.conn.executemany(
        "INSERT OR IGNORE INTO examples (concept, hash, positive, path, picture) VALUES (?, ?, ?, ?, ?)",
        (
            (name, example.digest, example.positive, os.fsencode(example.path), example.jpeg)
            for example in examples
        ),
    )


def _write_probe(writer: LibraryWriter, space: Space, name: str, probe: Probe) -> None:
    """Write the probe of a concept in a space."""
    row = {
        "concept": name,
        "space": space.id,
        "direction": probe.direction.astype(np.float32).tobytes(),
        "center": probe.calibration.center,
        "spread": probe.calibration.spread,
        "auroc": probe.auroc,
    }
    writer.db.table("probes").upsert(row, pk=("concept", "space"))
