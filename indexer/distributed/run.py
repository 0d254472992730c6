"""Run the work items that have no shard yet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic

from indexer.distributed.items import WorkItem
from indexer.distributed.job import Job, Manifest, new_manifest, read_items, start_or_resume
from indexer.distributed.options import DEFAULT_SHARD_OPTIONS, EmbeddedShards, ShardOptions
from indexer.distributed.pool import LocalPool, Pool, ProcessPool
from indexer.distributed.ray_pool import RayPool, import_ray
from indexer.distributed.scheduler import Schedule
from indexer.distributed.shard_file import read_metadata
from indexer.distributed.shard_folder import ShardFolder
from indexer.distributed.sources import parse_sources
from indexer.distributed.worker import ItemResult, count_members, give_up
from indexer.models.options import DEFAULT_MODEL_OPTIONS, ModelOptions
from indexer.models.resolve import AUTO, resolve_embedder
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.export.files import import_pyarrow
from retrieval.system import cores


def embed_shards(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    model: str | None = None,
    embedder: Embedder | None = None,
    options: ShardOptions = DEFAULT_SHARD_OPTIONS,
    model_options: ModelOptions = DEFAULT_MODEL_OPTIONS,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> EmbeddedShards:
    """Embed the files of folders, tar archives and URLs into Parquet shards, which `import_vectors` imports.

    `out` is a folder or a URL, which all workers can write. A run that was killed resumes; its shards are
    equal, byte by byte, to those of a run on one machine. A file that cannot be read is a row of its shard.
    An item that ends its worker twice is halved until the file is found. Raises QueryError, LibraryError,
    EmbedderError, ExtraMissing, and ClewError if an object store does not answer or shards could not be
    written; a folder that is full or may not be written ends the run at once.
    """
    started_at = monotonic()
    import_pyarrow()
    if options.ray is not None:
        import_ray()
    if options.files_per_shard < 1 or (options.workers is not None and options.workers < 1):
        raise QueryError("The number of workers and of files in a shard must be at least 1.")
    parsed = parse_sources([sources] if isinstance(sources, str | Path) else sources)
    folder = ShardFolder(out)
    first = embedder or resolve_embedder(
        model or AUTO, arch=model_options.arch, device=model_options.device, notify=notify
    )
    new = new_manifest(parsed, first, options.thumbnails, options.files_per_shard)
    manifest = start_or_resume(folder, parsed, new)
    load = partial(_load, embedder, first.name, model_options, manifest.fingerprint)
    threads = None if options.workers is None or options.ray else max(1, cores() // options.workers)
    job = Job(folder.location, manifest, load, threads)
    result = EmbeddedShards(folder.location, manifest.model)
    try:
        _run(job, folder, options, result, progress)
    except KeyboardInterrupt:
        result.interrupted = True
    result.seconds = round(monotonic() - started_at, 3)
    return result


def _run(
    job: Job, folder: ShardFolder, options: ShardOptions, result: EmbeddedShards, progress: Progress
) -> None:
    """Do the missing items of a run, and count them in its result."""
    manifest, done = job.manifest, 0

    def advance(item: WorkItem) -> None:
        nonlocal done
        done += 0 if item.is_part else len(item.entries)
        progress(folder.location, done, manifest.files)

    def skip(item: WorkItem) -> None:
        result.known += 1
        advance(item)

    def add(item: WorkItem, counts: ItemResult) -> None:
        result.shards += 1
        result.files += counts.files
        result.segments += counts.segments
        result.failed += counts.failed
        advance(item)

    missing = _missing_items(folder, manifest, skip)
    first = next(missing, None)
    if first is None:
        return
    with closing(_open_pool(job, options)) as pool:
        Schedule(pool, partial(give_up, folder, manifest), add).run(chain([first], missing))
    folder.delete_temporary_files()  # of dead workers


def _missing_items(
    folder: ShardFolder, manifest: Manifest, skip: Callable[[WorkItem], None]
) -> Iterator[WorkItem]:
    """Yield the items, or parts of halved ones, that have no valid shard; call `skip` for the others."""
    names = folder.shard_names()
    if not folder.is_remote:  # an upload is complete or absent; a disk can lose what it had synced
        for name in [name for name in names if not _is_valid(folder, name)]:
            folder.delete(name)
            names.remove(name)
    halved = {stem[:end] for stem in map(_stem, names) for end in _ends_of_wholes(stem)}
    stack = list[WorkItem]()
    known = set(names)
    for item in read_items(folder, manifest):
        stack.append(item)
        while stack:
            part = stack.pop()
            if part.shard_name(manifest.digest) in known:
                skip(part)
            elif part.name in halved and (halves := part.halves(count_members(part))) is not None:
                stack += reversed(halves)
            else:
                yield part


def _stem(shard_name: str) -> str:
    return shard_name.partition("-")[0]


def _ends_of_wholes(stem: str) -> range:
    """Return where the names end of the item, and of its parts, that were halved to get this part."""
    return range(stem.find("."), len(stem)) if "." in stem else range(0)


def _is_valid(folder: ShardFolder, name: str) -> bool:
    try:
        with folder.local_file(name) as path:
            read_metadata(path)
    except QueryError:
        return False
    return True


def _open_pool(job: Job, options: ShardOptions) -> Pool:
    if options.ray is not None:
        return RayPool(job, options.ray, options.workers)
    return LocalPool(job) if options.workers is None else ProcessPool(job, options.workers)


def _load(embedder: Embedder | None, name: str, options: ModelOptions, fingerprint: str) -> Embedder:
    """Return the embedder in a worker: the given one, or that of a name, which is prepared if needed."""
    return embedder or resolve_embedder(
        name, arch=options.arch, device=options.device, fingerprint=fingerprint
    )
