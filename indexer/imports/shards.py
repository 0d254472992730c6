"""Commit the shards of `clew embed` into a library.

Each batch of a shard is one transaction, and the digest of a shard is stored after its last one: an import
that was killed resumes, and a second one changes nothing.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from indexer.decode.reader import ReadResult
from indexer.decode.versions import METADATA_VERSION, TEXT_VERSION, VIDEO_VERSION
from indexer.distributed.job import Manifest, read_manifest
from indexer.distributed.remote import is_url
from indexer.distributed.shard_file import ShardDamaged, read_metadata, read_shard
from indexer.distributed.shard_folder import ShardFolder
from indexer.embed.batches import MAX_BATCH, embed_batch, iter_batches
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits, FileEntry, Progress, file_times
from retrieval.errors import QueryError, first_line

COMMIT_LIMITS = BatchLimits(segments=MAX_BATCH)


@dataclass(slots=True)
class ShardCounts:
    """The files of imported shards, each in one of the first five, and their shards."""

    added: int = 0  # new, or with other content
    known: int = 0
    changed: list[bytes] = field(default_factory=list)  # written after they were embedded
    missing: list[bytes] = field(default_factory=list)
    failed: list[tuple[bytes, str]] = field(default_factory=list)  # path and reason
    damaged: list[tuple[str, str]] = field(default_factory=list)  # location of a shard, and reason
    segments: int = 0  # new
    shards: int = 0  # in the folder
    new_shards: int = 0


def shard_manifest(location: str) -> Manifest | None:
    """Return the manifest of a folder or URL of shards; None if it has none. Raises QueryError."""
    return read_manifest(ShardFolder(location))


class ShardImport:
    """An import of the shards in a folder or object store."""

    def __init__(self, location: str, manifest: Manifest, writer: LibraryWriter) -> None:
        self.folder, self.manifest, self.writer = ShardFolder(location), manifest, writer
        self.counts = ShardCounts()
        self.roots = dict[bytes, bool]()  # root of a shard -> it can be read here
        self._registered = set[tuple[bytes, bool]]()

    def run(self, progress: Progress, update_indexes: Callable[[int], None]) -> ShardCounts:
        """Commit the shards that are not in the library; damaged ones are left out.

        `update_indexes` is called after each, with the number of new segments. Raises StoreError, and
        QueryError for a shard of another model or version.
        """
        names, first_new = self.folder.shard_names(), self._newest_content() + 1
        for done, name in enumerate(names):
            progress(self.folder.location, done, len(names))
            try:
                self._import_shard(name)
            except ShardDamaged as error:
                self.counts.damaged.append((f"{self.folder.location}/{name}", first_line(error)))
            update_indexes(self.counts.segments)
        progress(self.folder.location, len(names), len(names))
        self._mark_versions(first_new)
        for root in self.writer.roots.all():
            if not self.roots.get(root.root_path, True):
                self.writer.roots.mark_offline(root.root_id)
        return self.counts

    def _import_shard(self, name: str) -> None:
        db, counts = self.writer.db, self.counts
        counts.shards += 1
        with self.folder.local_file(name) as path:
            metadata, digest = read_metadata(path), _digest(path)
            if metadata["fingerprint"].decode() != self.manifest.fingerprint:
                raise QueryError(f"The shard {name} is of another model than {self.manifest.model}.")
            self._register(metadata["root"], "archive" in metadata)
            row = db.execute("SELECT files FROM shards WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                counts.known += row[0]
                return
            left_out = len(counts.missing) + len(counts.changed)
            count = self._commit(path, metadata)
        counts.new_shards += 1
        if len(counts.missing) + len(counts.changed) == left_out:  # else the files may be there the next time
            with db.atomic():
                db.execute("INSERT INTO shards VALUES (?, ?)", (digest, count))

    def _register(self, root: bytes, has_archives: bool) -> None:
        if (root, has_archives) not in self._registered:
            self._registered.add((root, has_archives))
            self.roots[root] = not is_url(os.fsdecode(root)) and os.path.isdir(root)
            with self.writer.db.atomic():
                self.writer.roots.register(root, archives=True if has_archives else None)

    def _commit(self, path: Path, metadata: dict[str, bytes]) -> int:
        """Commit the files of a shard, and return how many it has."""
        counts, count = self.counts, 0
        for root, group in groupby(self._located_files(path, metadata), key=itemgetter(0)):
            for batch in iter_batches((read for _, read in group), COMMIT_LIMITS):
                written = self.writer.write(root, embed_batch(self.writer.embedder, batch))
                count += written.files.total()
                counts.added += written.files["added"] + written.files["updated"]
                counts.known += written.files["unchanged"]
                counts.segments += written.segments.total()
        return count

    def _located_files(self, path: Path, metadata: dict[str, bytes]) -> Iterator[tuple[int, ReadResult]]:
        """Yield the files of a shard, each with its root in the library.

        Files that have changed or are missing are left out, if the folder can be read here.
        """
        shard_root, counts = metadata["root"], self.counts
        roots = [(root.root_path.rstrip(b"/") + b"/", root.root_id) for root in self.writer.roots.all()]
        roots.sort(key=lambda root: -len(root[0]))  # the innermost first
        is_readable = self.roots[shard_root]
        archive_difference = _archive_difference(metadata) if is_readable else None
        for read in read_shard(path):
            entry, full_path = read.entry, os.path.join(shard_root, read.entry.path)
            difference = archive_difference
            if is_readable and difference is None:
                difference = _difference(full_path, entry.size, entry.mtime)
            if difference:
                (counts.missing if difference == "missing" else counts.changed).append(full_path)
                continue
            prefix, root_id = next(root for root in roots if full_path.startswith(root[0]))
            cut = len(prefix) - len(os.path.join(shard_root, b""))  # 0 unless the root is another one
            entry = _under(entry, shard_root, prefix) if cut else entry
            if read.error is not None:
                if self._is_read(root_id, entry):
                    counts.known += 1
                    continue
                counts.failed.append((full_path, read.error))
            yield root_id, replace(read, entry=entry)

    def _is_read(self, root: int, entry: FileEntry) -> bool:
        """Return True if the library has read a file that the worker could not read."""
        query = """SELECT 1 FROM files WHERE root = ? AND path = ? AND size = ? AND mtime = ?
                      AND error IS NULL AND state = 'present'"""
        return self.writer.db.execute(query, (root, *entry[:3])).fetchone() is not None

    def _newest_content(self) -> int:
        return int(self.writer.db.execute("SELECT coalesce(max(id), 0) FROM contents").fetchone()[0])

    def _mark_versions(self, first_new: int) -> None:
        """Mark new contents that another version of clew has decoded; `clew index` reads them again."""
        for analysis, own, theirs in (
            ("metadata", str(METADATA_VERSION), self.manifest.metadata_version),
            ("scenes", VIDEO_VERSION, self.manifest.video_version),
            ("text", TEXT_VERSION, self.manifest.text_version),
        ):
            if own != theirs:
                query = "UPDATE analyses SET version = ? WHERE analysis = ? AND content >= ?"
                with self.writer.db.atomic():
                    self.writer.db.execute(query, (theirs, analysis, first_new))


def _under(entry: FileEntry, old_root: bytes, new_prefix: bytes) -> FileEntry:
    """Return a file with its paths under another root, which contains it."""

    def move(path: bytes) -> bytes:
        return os.path.join(old_root, path)[len(new_prefix) :]

    sidecar_of = None if entry.sidecar_of is None else move(entry.sidecar_of)
    return entry._replace(path=move(entry.path), sidecar_of=sidecar_of)


def _archive_difference(metadata: dict[str, bytes]) -> str | None:
    """Return the difference of the archive of a shard, "" if it is unchanged; None for other shards."""
    if "archive" not in metadata:
        return None
    path = os.path.join(metadata["root"], metadata["archive"])
    return _difference(path, int(metadata["archive_size"]), int(metadata["archive_mtime"]))


def _difference(path: bytes, size: int, mtime: int) -> str:
    """Return "missing" or "changed" for a file with another size or time, else ""."""
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return "" if (status.st_size, file_times(status)[0]) == (size, mtime) else "changed"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
