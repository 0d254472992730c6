"""Decode and embed a work item, and write its shard."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult
from indexer.distributed.items import WorkItem
from indexer.distributed.job import Job, Manifest
from indexer.distributed.remote import copy_to, download, is_url
from indexer.distributed.shard_file import write_shard
from indexer.distributed.shard_folder import ShardFolder
from indexer.embed.archive_order import in_archive_order
from indexer.embed.files import embed_chunks
from indexer.scan.archive_files import ArchiveFiles, list_archive_files
from indexer.scan.rules import ScanOptions
from indexer.scan.walker import Archive
from indexer.store.writer import FileChunk
from indexer.types import FileEntry, file_times
from retrieval.errors import EmbedderError
from retrieval.media.limits import DEFAULT_LIMITS

CALL_INPUTS = 64  # of each call of the embedder


@dataclass(slots=True)
class ItemResult:
    """The counts of a shard."""

    files: int = 0
    segments: int = 0
    failed: int = 0  # files


class ItemWorker:
    """A worker with its embedder: the same on one machine and on a cluster."""

    def __init__(self, job: Job) -> None:
        """Load the embedder. Raises EmbedderError if it is not that of the run."""
        self.job, self.folder = job, ShardFolder(job.out)
        self.embedder = job.load()
        if self.embedder.fingerprint != job.manifest.fingerprint:
            raise EmbedderError(
                f"This machine has another version of the model {job.manifest.model}. Install the same "
                "version of clew and of the model on all machines."
            )
        fix = getattr(self.embedder, "fix_arithmetic", None)  # of embedders that have a choice
        if fix is not None:
            fix()

    def run(self, item: WorkItem) -> ItemResult:
        """Write the shard of an item. A file that cannot be read is a row of it.

        Raises OSError, StoreError if an object store does not answer, and FolderUnwritable.
        """
        return write_item(self.folder, self.job.manifest, item, self._embed(item))

    def _embed(self, item: WorkItem) -> Iterator[FileChunk]:
        manifest, threads = self.job.manifest, self.job.threads
        context = DecodeContext(self.embedder, manifest.thumbnails, call_inputs=CALL_INPUTS)
        if item.archive is None:
            is_remote = is_url(os.fsdecode(item.root))
            turns = (
                (entry, partial(download, _url(item.root, entry)) if is_remote else None)
                for entry in item.entries
            )
            yield from embed_chunks(item.root, turns, context, threads)
            return
        try:
            with _archive_folder(item.root, item.archive) as folder:
                found = _list(folder, item)
                if found.problems and (item.members is None or item.members[0] == 0):
                    yield failed_file(item.archive, "; ".join(found.problems))
                ordered = in_archive_order(
                    found.entries, lambda entry: os.path.join(folder, entry.path), len(found.entries)
                )
                yield from embed_chunks(folder, ordered, context, threads)
        except FileNotFoundError:
            yield failed_file(item.archive, "file not found")
        except PermissionError as error:
            yield failed_file(item.archive, str(error.strerror or error))


def write_item(
    folder: ShardFolder, manifest: Manifest, item: WorkItem, chunks: Iterable[FileChunk]
) -> ItemResult:
    """Write the chunks of an item into its shard. Raises as `ShardFolder.new_file` does."""
    result = ItemResult()

    def count(chunk: FileChunk) -> FileChunk:
        result.files += chunk.is_last
        result.segments += len(chunk.drafts)
        result.failed += chunk.is_last and chunk.read_result.error is not None
        return chunk

    metadata = manifest.shard_metadata
    if item.archive is not None:
        metadata |= {
            "archive": item.archive.path,
            "archive_size": b"%d" % item.archive.size,
            "archive_mtime": b"%d" % item.archive.mtime,
        }
    with folder.new_file(item.shard_name(manifest.digest)) as path:
        write_shard(path, map(count, chunks), item.root, manifest.dim, metadata)
    return result


def give_up(folder: ShardFolder, manifest: Manifest, item: WorkItem, reason: str) -> ItemResult:
    """Write the shard of an item that is one file, which cannot be embedded; raises as `write_item` does."""
    entries = item.entries
    if item.archive is not None:
        entries = tuple(list_members(item)) or item.entries
    return write_item(folder, manifest, item, (failed_file(entry, reason) for entry in entries))


def failed_file(entry: FileEntry, reason: str) -> FileChunk:
    """Return the chunk of a file that cannot be read."""
    return FileChunk(ReadResult(entry, error=reason))


def count_members(item: WorkItem) -> int:
    """Return the number of files of an archive that was not halved yet; 0 for other items. Raises OSError."""
    return len(list_members(item)) if item.archive is not None and item.members is None else 0


def list_members(item: WorkItem) -> list[FileEntry]:
    """Return the files of an archive, or of the part of it that an item is. Raises OSError."""
    assert item.archive is not None
    with _archive_folder(item.root, item.archive) as folder:
        return _list(folder, item).entries


def _list(folder: bytes, item: WorkItem) -> ArchiveFiles:
    """Return the files of the part of an archive that an item is, which can be read in a folder."""
    assert item.archive is not None
    path, size, mtime, _, _, ctime = item.archive
    file = os.path.join(folder, path)
    if folder == item.root:
        status = os.stat(file)
        size, (mtime, ctime) = status.st_size, file_times(status)
    found = list_archive_files(
        file, Archive(path, size, mtime, ctime or 0), ScanOptions(), DEFAULT_LIMITS, set()
    )
    if ctime is None:
        found.entries = [entry._replace(ctime=None) for entry in found.entries]
    if item.members is not None:
        found.entries = found.entries[slice(*item.members)]
    return found


@contextmanager
def _archive_folder(root: bytes, archive: FileEntry) -> Iterator[bytes]:
    """Yield the folder in which an archive has its path: the root, or that of a copy of an object."""
    if not is_url(os.fsdecode(root)):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="clew-") as folder:
        copy = Path(folder, os.fsdecode(archive.path))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy_to(_url(root, archive), copy)
        yield os.fsencode(folder)


def _url(root: bytes, entry: FileEntry) -> str:
    return os.fsdecode(root + b"/" + entry.path)
