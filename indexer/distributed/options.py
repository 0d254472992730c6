"""Options and result of embedding files into shards."""

from dataclasses import dataclass

FILES_PER_SHARD = 500


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """Options of `embed_shards`. Those of a run that resumes are the same, except for its workers."""

    workers: int | None = None  # processes, or actors of Ray; None for this process, or one for each node
    ray: str | None = None  # address of a Ray cluster, or "local"
    files_per_shard: int = FILES_PER_SHARD
    thumbnails: bool = True


DEFAULT_SHARD_OPTIONS = ShardOptions()


@dataclass(slots=True)
class EmbeddedShards:
    """The result of `embed_shards`. An archive without files, or that cannot be read, is a failed file."""

    out: str
    model: str
    shards: int = 0  # that this run wrote
    known: int = 0  # shards that an earlier run had written
    files: int = 0  # in the new shards
    segments: int = 0
    failed: int = 0  # files
    seconds: float = 0.0
    interrupted: bool = False
