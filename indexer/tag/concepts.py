"""Teach a library concepts from examples, which it keeps so that a later model can learn them again."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from indexer.models import resolve
from indexer.models.resolve import ignore_message
from indexer.scan.walker import list_files
from indexer.store.location import existing_library
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.types import Notify
from retrieval.catalog.concepts import concept_names, image_vectors, list_concepts
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError, QueryError, SpaceMismatch, describe_differences
from retrieval.media.archives.archive import open_path
from retrieval.media.images.loader import load_image
from retrieval.query.relevance_feedback import as_examples, visual_background
from retrieval.scoring.linear_probe import MIN_AUROC, VISUAL_KINDS, Probe, fit_probe
from retrieval.types import ConceptInfo, Filters, Space, Vectors
from retrieval.vectors.space_index import SpaceIndex

EXAMPLE_SIZE, JPEG_QUALITY = 512, 90  # of the small JPEG that is kept
MAX_EXAMPLES = 1_000  # examples; many more would take minutes and tell nothing new

ExampleInputs = (
    int | str | Path | Iterable[int | str | Path]
)  # segments by their ids ("#12" too), files and folders


@dataclass(frozen=True, slots=True)
class ConceptExample:
    """A picture that shows a concept, or does not."""

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
    """Teach a concept, which a query names `@name`, and return how well it was learned.

    `examples` show it and those `against` it do not: files, folders with pictures anywhere in them, and
    pictures of the library by their ids. Teaching a name again adds to its examples, or takes their place
    with `replace`; without any, it is learned again. A picture in a folder that cannot be read is left out,
    and `say` told. Raises QueryError, and nothing is changed, where an example is wrong or the examples
    cannot be told apart (`anyway` keeps them all the same).
    """
    name = _validate_name(name)
    with LibraryWriter(existing_library(library)) as writer:
        space = active_space(writer.catalog)
        known = [] if replace else _stored_examples(writer, name)
        given = [
            *_read_examples(writer, examples, True, notify),
            *_read_examples(writer, against, False, notify),
        ]
        every = _merge_examples(name, known, given)
        probe = _fit_probe(writer, space, every, embedder, notify)
        if probe.auroc is not None and probe.auroc < MIN_AUROC and not anyway:
            raise QueryError(_not_separable_message(name, probe.auroc))
        with writer.db.atomic():
            if replace:
                writer.db.execute("DELETE FROM examples WHERE concept = ?", (name,))
            writer.db.execute("DELETE FROM probes WHERE concept = ?", (name,))  # of other spaces too
            writer.db.execute("INSERT OR IGNORE INTO concepts VALUES (?)", (name,))
            _write_examples(writer, name, every)
            _write_probe(writer, space, name, probe)
        return next(each for each in list_concepts(writer.catalog, space) if each.name == name)


def forget_concept(name: str, *, library: str | Path | None = None) -> None:
    """Delete a concept and its examples; raises QueryError where there is none."""
    name = _validate_name(name)
    with LibraryWriter(existing_library(library)) as writer:
        if name not in concept_names(writer.catalog):
            raise QueryError(f"There is no concept @{name}; `clew teach` lists those there are.")
        with writer.db.atomic():
            writer.db.execute("DELETE FROM concepts WHERE name = ?", (name,))


def retrain_concepts(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Learn in a space every concept that it lacks, from the pictures that were kept.

    One that this model cannot tell from everything else stays unlearned, and a query that names it says so.
    """
    for each in list_concepts(writer.catalog, space):
        if not each.fitted:
            with suppress(QueryError), writer.db.atomic():
                probe = _fit_probe(
                    writer, space, _stored_examples(writer, each.name), embedder, ignore_message
                )
                _write_probe(writer, space, each.name, probe)


def _validate_name(name: str) -> str:
    name = name.removeprefix("@")
    if not re.fullmatch(r"[\w-]+", name):
        raise QueryError(f"{name!r} is no name for a concept: letters, digits, - and _ make one.")
    return name


def _read_examples(
    writer: LibraryWriter, inputs: ExampleInputs, positive: bool, notify: Notify
) -> Iterator[ConceptExample]:
    """Yield the examples that were given, each as a small picture."""
    for one in as_examples(inputs):
        assert isinstance(one, int | str | Path), "pictures have no path"
        path = _path_of_segment(writer, one) if isinstance(one, int) else Path(one).expanduser().absolute()
        if not path.is_dir():
            try:
                yield _load_example(path, positive)
            except MediaError as error:
                raise QueryError(f"{path} cannot be an example: {error}.") from error
            continue
        for found in _images_in(path):
            try:
                yield _load_example(found, positive)
            except MediaError as error:
                notify(f"left out: {found}: {error}")


def _images_in(folder: Path) -> list[Path]:
    """Return the pictures anywhere in a folder; raises QueryError where there is none."""
    files = list_files(os.fsencode(folder))
    paths = [folder / os.fsdecode(file.path) for file in files if file.decoder == "picture"]
    if not paths:
        raise QueryError(f"There is no picture in {folder}.")
    return paths


def _path_of_segment(writer: LibraryWriter, segment: int) -> Path:
    """Return the file of a picture of the library."""
    hits = writer.catalog.hits([(segment, 1.0)], "", Filters())
    if not hits or writer.catalog.kind_of(segment) not in VISUAL_KINDS:
        raise QueryError(f"#{segment} is no picture of this library.")
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
    """Return all examples of a concept, each once; raises QueryError where they contradict each other."""
    every = {example.digest: example for example in known}
    for example in added:
        there = every.setdefault(example.digest, example)
        if there.positive != example.positive:
            raise QueryError(
                f"{example.path} is given as an example of @{name} and as one against it"
                f"{f', the first as {there.path}' * (there.path != example.path)}; leave one out, or begin "
                "anew with --replace."
            )
    if not any(example.positive for example in every.values()):
        raise QueryError(f"There is no example of @{name}: give pictures that show it, or a folder of them.")
    if len(every) > MAX_EXAMPLES:
        raise QueryError(
            f"{len(every):,} examples are more than {MAX_EXAMPLES:,}; fewer, well chosen, do as well."
        )
    return list(every.values())


def _fit_probe(
    writer: LibraryWriter,
    space: Space,
    examples: Sequence[ConceptExample],
    embedder: Embedder | None,
    notify: Notify,
) -> Probe:
    """Learn from examples: the library's vectors of those it holds, the kept pictures of the others."""
    known = image_vectors(writer.catalog, space, [example.digest for example in examples])
    others = [example for example in examples if example.digest not in known]
    if others:
        loaded = _load_embedder(space, embedder, notify)
        pictures = [load_image(BytesIO(example.jpeg)) for example in others]
        vectors = loaded.embed_images([loaded.prepare(picture) for picture in pictures])
        known |= {example.digest: vector for example, vector in zip(others, vectors, strict=True)}

    def rows(positive: bool) -> Vectors:
        some = [known[example.digest] for example in examples if example.positive == positive]
        return np.array(some, np.float32).reshape(-1, space.dim)

    return fit_probe(rows(True), rows(False), visual_background(SpaceIndex(writer.catalog, space)))


def _load_embedder(space: Space, embedder: Embedder | None, notify: Notify) -> Embedder:
    found = embedder or resolve.resolve_embedder(space.model, fingerprint=space.fingerprint, notify=notify)
    if found.fingerprint != space.fingerprint:
        raise SpaceMismatch(found.name, space.name, describe_differences(space.parts, found.parts))
    return found


def _not_separable_message(name: str, auroc: float) -> str:
    return (
        f"The examples of @{name} cannot be told apart from other pictures: held out, one scores higher in "
        f"only {auroc:.0%} of pairs; a coin reaches 50 %, and {MIN_AUROC:.0%} are asked for. "
        "Give more examples, or ones that are more alike; --anyway keeps these. Nothing was changed."
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
        ((name, one.digest, one.positive, os.fsencode(one.path), one.jpeg) for one in examples),
    )


def _write_probe(writer: LibraryWriter, space: Space, name: str, probe: Probe) -> None:
    """Write what was learned in a space."""
    row = {
        "concept": name,
        "space": space.id,
        "direction": probe.direction.astype(np.float32).tobytes(),
        "center": probe.calibration.center,
        "spread": probe.calibration.spread,
        "auroc": probe.auroc,
    }
    writer.db.table("probes").upsert(row, pk=("concept", "space"))
