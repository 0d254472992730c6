"""Public API: import shards, or adopt the vectors of rclip or clip-retrieval."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from indexer.imports.adoption import Adoption
from indexer.imports.base import Imported, VectorSource
from indexer.imports.common_folders import common_folders
from indexer.imports.matching import Matches, match_files
from indexer.imports.model_check import check_model
from indexer.imports.shards import shard_manifest
from indexer.imports.source_path import open_source
from indexer.models import resolve
from indexer.models.options import DEFAULT_MODEL_OPTIONS, ModelOptions
from indexer.operations.index import embedder_factory
from indexer.operations.options import IndexOptions
from indexer.operations.pipeline import IndexRun, embed_always
from indexer.operations.report import Report
from indexer.operations.steps.import_shards import SourceShards, import_shards
from indexer.store.location import absolute_path, as_paths, library_path, missing_folder_error
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.embedders.base import Embedder
from retrieval.errors import EmbedderError, QueryError
from retrieval.file_systems import as_path
from retrieval.formatting import pluralize, printable
from retrieval.system import expand_user
from retrieval.types import Failure, Space


def import_vectors(
    source: str | Path,
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    model: str | None = None,
    options: ModelOptions = DEFAULT_MODEL_OPTIONS,
    embedder: Embedder | None = None,
    milvus_token: str | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Imported:
    """Import the shards of `embed_shards`, or adopt the vectors of rclip or clip-retrieval.

    `source` is a folder or URL of shards, the database of rclip or its folder, or a folder of clip-retrieval;
    it is only read. Shards bring all their files, also of URLs, except for local ones that have changed.

    Of the other programs, only images that exist unchanged in `folders` are indexed; by default, in the
    innermost folders that contain the images. `update_library` indexes the other files. `model` names the
    model that made the vectors; the default is what the source names. A few images are embedded to check
    this. In a library of another model, the vectors become a second space, which `switch_library` completes
    and activates; new images are embedded with the active model, too. If the library has a Milvus server, the
    vectors are published to it with `milvus_token`, or USER:PASSWORD. Importing again continues after an
    interruption. Raises QueryError for a damaged source, EmbedderError, LibraryError, ExtraMissing, and
    ClewError if an object store does not answer. Damaged shards are left out, and named in the result.
    """
    started_at, library_folder = monotonic(), library_path(library)
    location = str(as_path(str(source)))
    manifest = shard_manifest(location)
    if manifest is not None:
        if folders or model:
            raise QueryError("Shards name their folders and their model. Leave out folders and --model.")
        shards = SourceShards(location, manifest, embedder, options, milvus_token)
        return replace(
            import_shards(shards, library_folder, progress, notify),
            seconds=round(monotonic() - started_at, 3),
        )
    named = [absolute_path(path) for path in as_paths(folders)]
    for path in named:
        if not os.path.isdir(path):
            raise missing_folder_error(path)
    with closing(open_source(expand_user(source))) as opened:
        new = embedder or _load_model(opened, model, options, notify)
        matches = match_files(opened, new.dim, named)
        covered = named or _leave_out_shared_folders(matches)
        if not matches.files:
            raise QueryError(_nothing_to_import(opened, new, matches))
        check_model(opened, list(matches.files.values()), new)
        adoption = Adoption(opened, matches.files, new.dim)
        with LibraryWriter(library_folder, _active_embedder(new, options, notify)) as writer:
            run = _ImportRun(writer, adoption, writer.spaces.find_or_create(new), milvus_token)
            result = run.import_folders(covered, progress, notify)
    return replace(
        result,
        program=opened.program,
        folders=_paths(covered),
        changed=_paths(matches.changed),
        missing=_paths(matches.missing),
        outside=_paths(matches.outside),
        refused=tuple(Failure(Path(os.fsdecode(path)), reason) for path, reason in matches.refused),
        unread=len(matches.files) - result.adopted - result.known,
        seconds=round(monotonic() - started_at, 3),
    )


@dataclass(frozen=True, slots=True)
class _ImportRun:
    """The writing part of an import."""

    writer: LibraryWriter
    adoption: Adoption
    space: Space
    milvus_token: str | None

    def import_folders(self, folders: Sequence[bytes], progress: Progress, notify: Notify) -> Imported:
        """Index the images with a stored vector, write the vectors that the space lacks, and publish them."""
        is_active = self.space.id == self.writer.space_id
        before = self._images_with_vector()
        run = IndexRun(
            self.writer,
            IndexOptions(milvus_token=self.milvus_token),
            progress=progress,
            should_read=self.adoption.has_vector,
            stored_vector=self.adoption.vector if is_active else embed_always,
            notify=notify,
        )
        report = run.update([Path(os.fsdecode(folder)) for folder in folders], analyses=False, publish=False)
        report.interrupted = report.interrupted or not self._write_missing()
        if not report.interrupted:
            run.publish()
        _notify_notes(report, notify)
        after = self._images_with_vector()
        return Imported(
            "",
            self.space.name,
            (),
            adopted=len(after - before),
            known=len(after & before),
            active=is_active,
            interrupted=report.interrupted,
        )

    def _images_with_vector(self) -> set[bytes]:
        segments = self.adoption.segments(self.writer, self.space)
        return {segment.file.path for segment in segments if segment.has_vector}

    def _write_missing(self) -> bool:
        """Write the vectors that the space lacks; return False after Ctrl-C."""
        try:
            self.adoption.write_missing(self.writer, self.space)
        except KeyboardInterrupt:
            return False
        return True


def _load_model(source: VectorSource, model: str | None, options: ModelOptions, notify: Notify) -> Embedder:
    """Return the embedder of the model that made the vectors; raises QueryError and EmbedderError."""
    name = model or source.model
    if name is None:
        raise QueryError(
            f"{source.path} does not name the model of its vectors. Name it with --model ARCH/WEIGHTS; the "
            "default model of clip-retrieval, ViT-B/32, is ViT-B-32-quickgelu/openai."
        )
    try:
        return resolve.resolve_embedder(name, arch=options.arch, device=options.device, notify=notify)
    except EmbedderError as error:
        raise EmbedderError(
            f"{error}\nThe vectors of {source.program} are of this model, which also embeds words."
        ) from error


def _active_embedder(
    new: Embedder, options: ModelOptions, notify: Notify
) -> Callable[[Space | None], Embedder]:
    """Return a function that loads the embedder of the active space, that of the vectors if new."""
    load = embedder_factory(None, None, None, options.device, notify)
    return lambda space: new if space is None or space.fingerprint == new.fingerprint else load(space)


def _leave_out_shared_folders(matches: Matches) -> list[bytes]:
    """Return the folders of the matched files; files directly in a shared folder become outside."""
    folders = common_folders(matches.files)
    inside = tuple(folder + b"/" for folder in folders)
    for path in [path for path in matches.files if not path.startswith(inside)]:
        matches.outside.append(path)
        del matches.files[path]
    return folders


def _nothing_to_import(source: VectorSource, embedder: Embedder, matches: Matches) -> str:
    """Return the error of a source without an image that can be adopted."""
    problems = [f"{pluralize(matches.stored, 'image')} of {source.program}, none of which can be imported"]
    if matches.refused:
        path, reason = matches.refused[0]
        problems.append(
            f"{_name(path)}: {reason}. The model is {embedder.name}; if it is another one, use --model"
        )
    if matches.missing:
        problems.append(
            f"{_name(matches.missing[0])} not found. Name the folder of the images, if they moved"
        )
    if matches.changed:
        problems.append(f"{_name(matches.changed[0])} was written after its vector. Use `clew index`")
    if matches.outside:
        problems.append(f"{_name(matches.outside[0])} is in none of the folders. Name its folder")
    return f"{'. '.join(problems)}."


def _notify_notes(report: Report, notify: Notify) -> None:
    for line in report.notes:
        notify(line)


def _paths(paths: Iterable[bytes]) -> tuple[Path, ...]:
    return tuple(Path(os.fsdecode(path)) for path in paths)


def _name(path: bytes) -> str:
    return printable(os.fsdecode(path))
