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
from indexer.models.resolve import silent
from indexer.scan.rules import Options
from indexer.scan.walker import Walked, walk
from indexer.store.location import existing
from indexer.store.spaces import current
from indexer.store.writer import Writer
from indexer.types import Say
from retrieval.catalog.concepts import names, picture_vectors, taught
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError, QueryError, SpaceMismatch, differences
from retrieval.media.archives.archive import open_place
from retrieval.media.images.loader import open_picture
from retrieval.query.relevance_feedback import background, several
from retrieval.scoring.linear_probe import SEEN, TOLD_APART, Probe, fit
from retrieval.types import Filters, Space, Taught, Vectors
from retrieval.vectors.space_index import Nearest

SIDE, QUALITY = 512, 90  # of the small JPEG that is kept
MOST = 1_000  # examples; many more would take minutes and tell nothing new

Given = int | str | Path | Iterable[int | str | Path]  # segments by their ids ("#12" too), files and folders


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that shows a concept, or does not."""

    positive: bool
    hash: bytes
    path: Path
    picture: bytes


def teach(
    name: str,
    examples: Given = (),
    *,
    against: Given = (),
    library: str | Path | None = None,
    replace: bool = False,
    anyway: bool = False,
    embedder: Embedder | None = None,
    say: Say = silent,
) -> Taught:
    """Teach a concept, which a query names `@name`, and return how well it was learned.

    `examples` show it and those `against` it do not: files, folders with pictures anywhere in them, and
    pictures of the library by their ids. Teaching a name again adds to its examples, or takes their place
    with `replace`; without any, it is learned again. A picture in a folder that cannot be read is left out,
    and `say` told. Raises QueryError, and nothing is changed, where an example is wrong or the examples
    cannot be told apart (`anyway` keeps them all the same).
    """
    name = _checked(name)
    with Writer(existing(library)) as writer:
        space = current(writer.catalog)
        known = [] if replace else _stored(writer, name)
        given = [*_read(writer, examples, True, say), *_read(writer, against, False, say)]
        every = _together(name, known, given)
        probe = _fit(writer, space, every, embedder, say)
        if probe.auroc is not None and probe.auroc < TOLD_APART and not anyway:
            raise QueryError(_not_told_apart(name, probe.auroc))
        with writer.db.atomic():
            if replace:
                writer.db.execute("DELETE FROM examples WHERE concept = ?", (name,))
            writer.db.execute("DELETE FROM probes WHERE concept = ?", (name,))  # of other spaces too
            writer.db.execute("INSERT OR IGNORE INTO concepts VALUES (?)", (name,))
            _write_examples(writer, name, every)
            _write_probe(writer, space, name, probe)
        return next(each for each in taught(writer.catalog, space) if each.name == name)


def forget_concept(name: str, *, library: str | Path | None = None) -> None:
    """Delete a concept and its examples; raises QueryError where there is none."""
    name = _checked(name)
    with Writer(existing(library)) as writer:
        if name not in names(writer.catalog):
            raise QueryError(f"There is no concept @{name}; `clew teach` lists those there are.")
        with writer.db.atomic():
            writer.db.execute("DELETE FROM concepts WHERE name = ?", (name,))


def refit(writer: Writer, space: Space, embedder: Embedder) -> None:
    """Learn in a space every concept that it lacks, from the pictures that were kept.

    One that this model cannot tell from everything else stays unlearned, and a query that names it says so.
    """
    for each in taught(writer.catalog, space):
        if not each.fitted:
            with suppress(QueryError), writer.db.atomic():
                probe = _fit(writer, space, _stored(writer, each.name), embedder, silent)
                _write_probe(writer, space, each.name, probe)


def _checked(name: str) -> str:
    name = name.removeprefix("@")
    if not re.fullmatch(r"[\w-]+", name):
        raise QueryError(f"{name!r} is no name for a concept: letters, digits, - and _ make one.")
    return name


def _read(writer: Writer, given: Given, positive: bool, say: Say) -> Iterator[Example]:
    """Yield the examples that were given, each as a small picture."""
    for one in several(given):
        assert isinstance(one, int | str | Path), "pictures have no path"
        path = _place(writer, one) if isinstance(one, int) else Path(one).expanduser().absolute()
        if not path.is_dir():
            try:
                yield _example(path, positive)
            except MediaError as error:
                raise QueryError(f"{path} cannot be an example: {error}.") from error
            continue
        for found in _pictures(path):
            try:
                yield _example(found, positive)
            except MediaError as error:
                say(f"left out: {found}: {error}")


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures anywhere in a folder; raises QueryError where there is none."""
    found = walk(os.fsencode(folder), Options(), Walked())
    paths = [folder / os.fsdecode(each.path) for each in found if each.reader == "picture"]
    if not paths:
        raise QueryError(f"There is no picture in {folder}.")
    return paths


def _place(writer: Writer, segment: int) -> Path:
    """Return the file of a picture of the library."""
    hits = writer.catalog.hits([(segment, 1.0)], "", Filters())
    if not hits or writer.catalog.kind_of(segment) not in SEEN:
        raise QueryError(f"#{segment} is no picture of this library.")
    return hits[0].path


def _example(path: Path, positive: bool) -> Example:
    """Read a file as an example; raises MediaError."""
    try:
        with open_place(path) as file:
            data = file.read()
    except OSError as error:
        raise MediaError(error.strerror or str(error)) from error
    picture = open_picture(BytesIO(data), near=SIDE)
    picture.thumbnail((SIDE, SIDE))
    small = BytesIO()
    picture.save(small, "JPEG", quality=QUALITY)
    return Example(positive, hashlib.sha256(data).digest(), path, small.getvalue())


def _together(name: str, known: Sequence[Example], given: Sequence[Example]) -> list[Example]:
    """Return all examples of a concept, each once; raises QueryError where they contradict each other."""
    every = {example.hash: example for example in known}
    for example in given:
        there = every.setdefault(example.hash, example)
        if there.positive != example.positive:
            raise QueryError(
                f"{example.path} is given as an example of @{name} and as one against it"
                f"{f', the first as {there.path}' * (there.path != example.path)}; leave one out, or begin "
                "anew with --replace."
            )
    if not any(example.positive for example in every.values()):
        raise QueryError(f"There is no example of @{name}: give pictures that show it, or a folder of them.")
    if len(every) > MOST:
        raise QueryError(f"{len(every):,} examples are more than {MOST:,}; fewer, well chosen, do as well.")
    return list(every.values())


def _fit(
    writer: Writer, space: Space, examples: Sequence[Example], embedder: Embedder | None, say: Say
) -> Probe:
    """Learn from examples: the library's vectors of those it holds, the kept pictures of the others."""
    known = picture_vectors(writer.catalog, space, [example.hash for example in examples])
    others = [example for example in examples if example.hash not in known]
    if others:
        loaded = _embedder(space, embedder, say)
        pictures = [open_picture(BytesIO(example.picture)) for example in others]
        vectors = loaded.embed_images([loaded.prepare(picture) for picture in pictures])
        known |= {example.hash: vector for example, vector in zip(others, vectors, strict=True)}

    def rows(positive: bool) -> Vectors:
        some = [known[example.hash] for example in examples if example.positive == positive]
        return np.array(some, np.float32).reshape(-1, space.dim)

    return fit(rows(True), rows(False), background(Nearest(writer.catalog, space)))


def _embedder(space: Space, embedder: Embedder | None, say: Say) -> Embedder:
    found = embedder or resolve.ready(space.name, fingerprint=space.fingerprint, say=say)
    if found.fingerprint != space.fingerprint:
        raise SpaceMismatch(found.name, space.name, differences(space.parts, found.parts))
    return found


def _not_told_apart(name: str, auroc: float) -> str:
    return (
        f"The examples of @{name} cannot be told apart from other pictures: held out, one scores higher in "
        f"only {auroc:.0%} of pairs; a coin reaches 50 %, and {TOLD_APART:.0%} are asked for. "
        "Give more examples, or ones that are more alike; --anyway keeps these. Nothing was changed."
    )


def _stored(writer: Writer, name: str) -> list[Example]:
    rows = writer.catalog.db.execute(
        "SELECT positive, hash, path, picture FROM examples WHERE concept = ? ORDER BY rowid", (name,)
    )
    return [
        Example(bool(positive), hash_, Path(os.fsdecode(path)), picture)
        for positive, hash_, path, picture in rows
    ]


def _write_examples(writer: Writer, name: str, examples: Sequence[Example]) -> None:
    writer.db.conn.executemany(
        "INSERT OR IGNORE INTO examples (concept, hash, positive, path, picture) VALUES (?, ?, ?, ?, ?)",
        ((name, one.hash, one.positive, os.fsencode(one.path), one.picture) for one in examples),
    )


def _write_probe(writer: Writer, space: Space, name: str, probe: Probe) -> None:
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
