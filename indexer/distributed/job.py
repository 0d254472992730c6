"""The parameters of a run that every worker gets, and its manifest."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from indexer.decode.versions import METADATA_VERSION, TEXT_VERSION, VIDEO_VERSION
from indexer.distributed.items import WorkItem, group_files
from indexer.distributed.shard_file import FORMAT
from indexer.distributed.shard_folder import ShardFolder
from indexer.distributed.sources import Source, SourceFile, list_files
from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.system import clew_version

MANIFEST_FILE = "manifest.json"  # written last: with it, the list of items is complete
ITEMS_FILE = "items.jsonl.zlib"  # a line for each work item


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sources, the model and the items of a run. A run that resumes has the same."""

    sources: tuple[str, ...]
    model: str
    fingerprint: str
    dim: int
    arch: str | None
    thumbnails: bool
    files_per_shard: int
    metadata_version: str = str(METADATA_VERSION)
    video_version: str = VIDEO_VERSION
    text_version: str = TEXT_VERSION
    format: str = FORMAT
    clew: str = ""  # version
    items: int = 0
    files: int = 0  # an archive counts as one
    items_digest: str = ""  # SHA-256 of the list

    @property
    def settings(self) -> "Manifest":
        """Return what must not change when a run resumes."""
        return replace(self, clew="", items=0, files=0, items_digest="")

    @property
    def digest(self) -> str:
        """Return a digest of the settings that decide the vectors, for the names of the shards."""
        versions = (self.metadata_version, self.video_version, self.text_version)
        parts = (self.fingerprint, self.thumbnails, *versions, self.format)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def shard_metadata(self) -> dict[str, bytes]:
        """Return what is written into each shard."""
        fields = {
            "format": self.format,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "clew": self.clew,
            "metadata_version": self.metadata_version,
            "video_version": self.video_version,
            "text_version": self.text_version,
        }
        return {key: value.encode() for key, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs; it is sent to other processes and machines."""

    out: str
    manifest: Manifest
    load: Callable[[], Embedder]
    threads: int | None = None  # that decode; None for one for each core


def new_manifest(
    sources: Sequence[Source], embedder: Embedder, thumbnails: bool, files_per_shard: int
) -> Manifest:
    """Return the manifest of a run before its files are listed."""
    return Manifest(
        tuple(source.name for source in sources),
        embedder.name,
        embedder.fingerprint,
        embedder.dim,
        getattr(embedder, "arch", None),
        thumbnails,
        files_per_shard,
        clew=clew_version(),
    )


def start_or_resume(folder: ShardFolder, sources: Sequence[Source], new: Manifest) -> Manifest:
    """Return the manifest in a folder; if it has none, list the files and write the items and the manifest.

    A run that resumes keeps its list, so that files which were added since belong to another run. Raises
    QueryError if the folder is that of a run with other settings.
    """
    folder.prepare()
    old = read_manifest(folder)
    if old is not None:
        if old.settings != new.settings:
            wanted = asdict(new.settings)
            names = [name for name, value in asdict(old.settings).items() if value != wanted[name]]
            raise QueryError(
                f"{folder.location} has the shards of a run with other settings ({', '.join(names)}). Repeat "
                "that command to resume it, or use another folder."
            )
        return old
    if folder.shard_names():
        raise QueryError(f"{folder.location} has shards, but no {MANIFEST_FILE}. Use another folder.")
    manifest = _write_items(folder, list_files(sources), new)
    with folder.new_file(MANIFEST_FILE) as path:
        path.write_text(json.dumps(asdict(manifest), indent=1) + "\n", "utf-8")
    return manifest


def _write_items(folder: ShardFolder, files: Iterator[SourceFile], manifest: Manifest) -> Manifest:
    digest, compressor, items, count = hashlib.sha256(), zlib.compressobj(), 0, 0
    with folder.new_file(ITEMS_FILE) as path, path.open("wb") as target:
        for item in group_files(files, manifest.files_per_shard):
            line = item.to_json().encode() + b"\n"
            digest.update(line)
            target.write(compressor.compress(line))
            items, count = items + 1, count + len(item.entries)
        target.write(compressor.flush())
        target.flush()
    return replace(manifest, items=items, files=count, items_digest=digest.hexdigest())


def read_manifest(folder: ShardFolder) -> Manifest | None:
    """Return the manifest in a folder, None if it has none. Raises QueryError if it is damaged."""
    if MANIFEST_FILE not in folder.names():
        return None
    try:
        with folder.local_file(MANIFEST_FILE) as path:
            fields = json.loads(path.read_bytes())
        return Manifest(**{"text_version": "0", **fields, "sources": tuple(fields["sources"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise QueryError(f"Cannot read {folder.location}/{MANIFEST_FILE}: {error}.") from error


def read_items(folder: ShardFolder, manifest: Manifest) -> Iterator[WorkItem]:
    """Yield the items of a run. Raises QueryError if their list is damaged."""
    digest, rest = hashlib.sha256(), b""
    try:
        with folder.local_file(ITEMS_FILE) as path, path.open("rb") as file:
            decompressor = zlib.decompressobj()
            while data := file.read(1 << 20):
                *lines, rest = (rest + decompressor.decompress(data)).split(b"\n")
                for line in lines:
                    digest.update(line + b"\n")
                    yield WorkItem.from_json(line)
    except (OSError, zlib.error) as error:
        raise QueryError(f"Cannot read {folder.location}/{ITEMS_FILE}: {error}.") from error
    if rest or digest.hexdigest() != manifest.items_digest:
        raise QueryError(f"{folder.location}/{ITEMS_FILE} is damaged. Use another folder.")
