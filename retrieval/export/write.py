"""Write the vectors of a library in a format."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias, get_args

from retrieval.catalog.browse.captions import first_captions
from retrieval.catalog.reader import Catalog
from retrieval.errors import LibraryError, LibraryMissing, QueryError
from retrieval.export.batches import vector_batches
from retrieval.types import KINDS, Kind, Space

ExportFormat: TypeAlias = Literal["npy", "parquet", "clip-retrieval"]
CLIP_RETRIEVAL_FOLDERS = frozenset(("img_emb", "metadata"))
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    paths: tuple[Path, ...]
    space: str
    count: int  # vectors


def export_vectors(
    library: Path,
    out: Path,
    *,
    form: str | None = None,
    kinds: Sequence[Kind] = KINDS,
    space: str | None = None,
    force: bool = False,
) -> Exported:
    """Write the vectors of a space, by default the active one, to `out`, which appears when it is complete.

    Without a format, the suffix of `out` decides. Next to a NumPy array, a file with the suffix .jsonl has a
    line for each row. clip-retrieval has only images. Raises QueryError and LibraryError.
    """
    form = form or out.suffix.removeprefix(".").lower()
    if form not in EXPORT_FORMATS:
        raise QueryError(f"{out} is neither .npy nor .parquet. Use one, or --format clip-retrieval.")
    if form == "npy" and out.suffix.lower() == ".jsonl":
        raise QueryError(f"{out} is the name of the rows. Give the array another suffix, such as .npy.")
    targets = [out, out.with_suffix(".jsonl")] if form == "npy" else [out]
    for target in targets:
        _check_target(target, form, force)
    if form == "clip-retrieval" and "image" not in kinds:
        raise QueryError("clip-retrieval has only images. Use another format for other kinds.")
    with closing(Catalog.open(library)) as catalog, _snapshot(catalog):
        found = catalog.space(space)
        if found is None and space is None:
            raise LibraryMissing(library)
        if found is None:
            names = ", ".join(each.name for each in catalog.spaces())
            raise LibraryError(f"Space {space} not found in this library. Its spaces: {names}.")
        return _write(catalog, found, form, kinds, targets)


def _check_target(target: Path, form: str, force: bool) -> None:
    """Raise QueryError if a file or folder must not be replaced: a folder is, only by one of its kind."""
    if not target.exists():
        return
    if target.is_dir():
        names = {path.name for path in target.iterdir()}
        if names - CLIP_RETRIEVAL_FOLDERS or (names and form != "clip-retrieval"):
            raise QueryError(f"{target} is a folder with other files. Use another name.")
        if form != "clip-retrieval":
            raise QueryError(f"{target} is a folder. Use another name.")
        if not names:
            return
    if not force:
        raise QueryError(f"{target} already exists. Use --force to replace it.")


@contextmanager
def _snapshot(catalog: Catalog) -> Iterator[None]:
    """Read one state of the catalog, although an indexer may write."""
    catalog.db.execute("BEGIN")
    try:
        yield
    finally:
        catalog.db.rollback()


def _write(catalog: Catalog, space: Space, form: str, kinds: Sequence[Kind], targets: list[Path]) -> Exported:
    from retrieval.export import clip_retrieval, files

    batches = vector_batches(catalog, space, kinds)
    images = vector_batches(catalog, space, ["image"])
    folder = targets[0].absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".clew-export-", dir=folder) as draft:
            drafts = [Path(draft) / target.name for target in targets]
            if form == "npy":
                count = files.write_numpy(batches, space, drafts[0], drafts[1])
            elif form == "parquet":
                count = files.write_parquet(batches, space, drafts[0])
            else:
                pairs = ((batch, first_captions(catalog, [hit.id for hit in batch.hits])) for batch in images)
                count = clip_retrieval.write_clip_retrieval(pairs, space, drafts[0])
            for written, target in zip(drafts, targets, strict=True):
                for name in CLIP_RETRIEVAL_FOLDERS if target.is_dir() else ():
                    shutil.rmtree(target / name, ignore_errors=True)
                written.replace(target)
    except OSError as error:
        raise QueryError(f"Cannot write {targets[0]}: {error.strerror or error}.") from error
    return Exported(tuple(targets), space.name, count)
