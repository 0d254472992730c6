"""Read the two-dimensional map of a space."""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reader import Catalog
from retrieval.types import Ids, Space

SIDE = 10_000  # positions are stored as integers from 0 to this
API_SIDE = 1_000


@dataclass(frozen=True, slots=True)
class MapName:
    """The name of a cluster of points, and its position."""

    text: str
    x: float
    y: float
    count: int  # findable points of the cluster


@dataclass(frozen=True, slots=True)
class LibraryMap:
    """The findable segments of a map; similar ones are near each other."""

    segments: Ids  # ascending
    positions: NDArray[np.float64]  # (n, 2), 0 to 1,000
    names: tuple[MapName, ...]
    is_sampled: bool  # not all segments are points


@dataclass(frozen=True, slots=True)
class StoredMap:
    """The stored map of a space, also with segments that no longer exist."""

    version: str
    mapped_to: int
    laid_out: int
    shares: dict[str, float]
    segments: Ids
    positions: NDArray[np.int16]  # (n, 2), 0 to SIDE
    clusters: NDArray[np.int8]
    names: tuple[tuple[int, str, int, int], ...]  # cluster, text, x, y


def stored_map(catalog: Catalog, space: Space) -> StoredMap | None:
    """Return the stored map of a space, or None before it is built."""
    row = catalog.db.execute("SELECT * FROM maps WHERE space = ?", (space.id,)).fetchone()
    if row is None:
        return None
    return StoredMap(
        **{key: row[key] for key in ("version", "mapped_to", "laid_out")},
        shares=json.loads(row["shares"]),
        segments=np.frombuffer(row["segments"], np.int64),
        positions=np.frombuffer(row["positions"], np.int16).reshape(-1, 2),
        clusters=np.frombuffer(row["clusters"], np.int8),
        names=tuple(map(tuple, json.loads(row["names"]))),
    )


def has_map(catalog: Catalog, space: Space) -> bool:
    """Return True if a space has a map."""
    return catalog.db.execute("SELECT 1 FROM maps WHERE space = ?", (space.id,)).fetchone() is not None


def read_map(catalog: Catalog, space: Space) -> LibraryMap | None:
    """Return the map of a space without segments that cannot be found now, or None before it is built."""
    stored = stored_map(catalog, space)
    if stored is None:
        return None
    shown = np.isin(stored.segments, catalog.findable_ids(stored.segments))
    counts = np.bincount(stored.clusters[shown], minlength=128)
    scale = API_SIDE / SIDE
    return LibraryMap(
        stored.segments[shown],
        stored.positions[shown].astype(np.float64) * scale,
        tuple(
            MapName(text, x * scale, y * scale, int(counts[cluster]))
            for cluster, text, x, y in stored.names
            if counts[cluster]
        ),
        any(share < 1 for share in stored.shares.values()),
    )
