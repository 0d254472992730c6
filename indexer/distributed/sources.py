"""List the files of folders, archives and URLs."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from indexer.decode.registry import describes_other_files
from indexer.decode.text.records import TABLE_SUFFIXES
from indexer.distributed.remote import is_url, list_objects, modification_time, open_store, store_errors
from indexer.scan.diff import UnchangedArchive
from indexer.scan.rules import ScanOptions, inclusion_filter
from indexer.scan.sidecars import assign_decoders
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import Archive, ScanIssues, walk
from indexer.store.location import absolute_path, missing_folder_error
from indexer.types import FileEntry, file_times
from retrieval.errors import QueryError
from retrieval.formatting import printable
from retrieval.media.archives.archive import is_archive

ARCHIVE_DECODER = "archive"  # of the entry of an archive, whose files the worker lists


class Source(NamedTuple):
    """A folder or URL, or one archive in it."""

    root: bytes  # absolute path, or URL without a slash at the end
    archive: bytes | None = None  # only this one; path under the root

    @property
    def is_remote(self) -> bool:
        """Return True if the root is a URL."""
        return is_url(os.fsdecode(self.root))

    @property
    def name(self) -> str:
        """Return the path or URL that was given."""
        path = self.root if self.archive is None else self.root + b"/" + self.archive
        return os.fsdecode(path)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source."""

    root: bytes
    entry: FileEntry


def parse_sources(sources: Sequence[str | Path]) -> list[Source]:
    """Return the sources of paths and URLs. Raises LibraryError and QueryError if one does not exist."""
    parsed = dict.fromkeys(_parse_source(str(source)) for source in sources)
    folders = tuple(source.root + b"/" for source in parsed if source.archive is None)
    return [
        source for source in parsed if source.archive is None or not (source.root + b"/").startswith(folders)
    ]


def _parse_source(text: str) -> Source:
    if is_url(text):
        store, path = open_store(text)
        url = os.fsencode(str(store.unstrip_protocol(path)).rstrip("/"))
        if is_archive(url):
            root, _, name = url.rpartition(b"/")
            return Source(root, name)
        return Source(url)
    path_bytes = absolute_path(Path(text.removeprefix("file://")))
    if os.path.isdir(path_bytes):
        return Source(path_bytes)
    if os.path.isfile(path_bytes) and is_archive(path_bytes):
        return Source(os.path.dirname(path_bytes), os.path.basename(path_bytes))
    raise missing_folder_error(path_bytes)


def list_files(sources: Sequence[Source]) -> Iterator[SourceFile]:
    """Yield the files of sources, in the order of the sources and of the bytes of their paths.

    An archive is one file, with the decoder ARCHIVE_DECODER. Raises QueryError for a source without files,
    and StoreError if an object store does not answer.
    """
    for source in sources:
        entries = _remote_entries(source) if source.is_remote else _local_entries(source)
        count = 0
        for entry in entries:
            count += 1
            yield SourceFile(source.root, entry)
        if not count:
            raise QueryError(printable(f"{source.name} has no file that can be read, or does not exist."))


def _local_entries(source: Source) -> Iterator[FileEntry]:
    if source.archive is not None:
        status = os.stat(os.path.join(source.root, source.archive))
        mtime, ctime = file_times(status)
        yield FileEntry(source.archive, status.st_size, mtime, ARCHIVE_DECODER, None, ctime)
        return
    target = ScanTarget(0, source.root, ScanOptions(archives=True))
    for entry in walk(target, ScanIssues(), _as_entry):
        if isinstance(entry, FileEntry):
            yield entry


def _as_entry(archive: Archive) -> Sequence[FileEntry | UnchangedArchive]:
    path, size, mtime, ctime = archive
    return [FileEntry(path, size, mtime, ARCHIVE_DECODER, None, ctime)]


def _remote_entries(source: Source) -> Iterator[FileEntry]:
    """Yield the files of a URL. All names are listed first, because captions are found by name."""
    store, path = open_store(os.fsdecode(source.root))
    if source.archive is not None:
        try:
            with store_errors(f"read {source.name}"):
                info = store.info(f"{path}/{os.fsdecode(source.archive)}")
        except FileNotFoundError:
            return
        size, mtime = int(info.get("size") or 0), modification_time(info)
        yield FileEntry(source.archive, size, mtime, ARCHIVE_DECODER)
        return
    prefix, is_included = os.fsencode(path) + b"/", inclusion_filter(ScanOptions())
    folders: dict[bytes, dict[bytes, tuple[int, int]]] = defaultdict(dict)
    for name, size, mtime in list_objects(store, path):
        relative = name.removeprefix(prefix)
        if relative != name and is_included(relative):
            folder, slash, base = relative.rpartition(b"/")
            folders[folder + slash][base] = (size, mtime)
    yield from sorted(
        entry for folder, files in folders.items() for entry in _remote_folder_entries(folder, files)
    )


def _remote_folder_entries(folder: bytes, files: dict[bytes, tuple[int, int]]) -> Iterator[FileEntry]:
    decoders = assign_decoders(sorted(files))
    for name, times in files.items():
        decoder, sidecar_of = decoders.get(name, ("", None))
        if is_archive(name):
            decoder, sidecar_of = ARCHIVE_DECODER, None
        elif describes_other_files(decoder):  # its images are not looked up: its rows are texts
            suffix = os.path.splitext(name)[1].lower().decode("ascii", "replace")
            decoder = "text" if suffix in TABLE_SUFFIXES else ""
        if decoder:
            yield FileEntry(
                folder + name, *times, decoder, None if sidecar_of is None else folder + sidecar_of
            )
