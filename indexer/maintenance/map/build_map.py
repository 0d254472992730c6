"""Build or extend the map of a space when it has new segments.

A few new segments are placed near their nearest neighbors, so that the others stay where they are. If more
than a fifth is new, all are laid out again, starting from the stored positions.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from indexer.maintenance.map.cluster_names import name_clusters
from indexer.maintenance.map.clusters import find_clusters
from indexer.maintenance.map.described_words import read_words, words_of_similar_queries
from indexer.maintenance.map.neighbor_layout import Positions, lay_out, nearest_of, place
from indexer.store.writer import LibraryWriter
from indexer.tag.tag_table import last_segment_id
from retrieval.catalog.browse.library_map import SIDE, StoredMap, stored_map
from retrieval.catalog.hit_rows import IS_FINDABLE, IS_IMAGE_PART
from retrieval.catalog.reader import Catalog
from retrieval.types import KINDS, Ids, Kind, Space, Vectors

MAP_VERSION = "1"
MAX_POINTS = 20_000
MAX_NEW_SHARE = 0.2  # of points that were not laid out
SAMPLE = int(MAX_POINTS * (1 - MAX_NEW_SHARE))  # points of a new layout, if there are more segments
DESCRIBED_POINTS = 200  # of each cluster whose words are read
JITTER = 0.004  # so that placed points do not hide others

# Parts of images and captions are near their images; text that was recognized is part of another segment.
_IS_POINT = f"""NOT ({IS_IMAGE_PART}) AND {IS_FINDABLE} AND (s.kind != 'text' OR s.origin = 'file'
   AND s.caption_target IS NULL
   AND NOT EXISTS (SELECT 1 FROM files c WHERE c.content = s.content AND c.sidecar_of IS NOT NULL))"""


@dataclass(frozen=True, slots=True)
class Points:
    """Segments with their kinds and vectors."""

    segments: Ids  # ascending
    kinds: NDArray[np.str_]
    vectors: Vectors

    def centered(self) -> Vectors:
        """Return the vectors minus the mean of their kind, as kinds lie far apart in a space."""
        centered = self.vectors.copy()
        for kind in np.unique(self.kinds):
            centered[self.kinds == kind] -= centered[self.kinds == kind].mean(axis=0)
        return centered


def build_map_if_due(writer: LibraryWriter, space: Space) -> None:
    """Build the map of a space, or add its new segments."""
    catalog = writer.catalog
    stored, last = stored_map(catalog, space), last_segment_id(catalog, space)
    if stored is not None and stored.version == MAP_VERSION:
        if stored.mapped_to >= last:
            return
        new = _segments_after(catalog, stored.mapped_to, stored.shares)
        new = np.setdiff1d(new, stored.segments)
        count = len(stored.segments) + len(new)
        if count <= MAX_POINTS and stored.laid_out >= (1 - MAX_NEW_SHARE) * count:
            _save(writer, space, _extended(catalog, space, stored, new, last))
            return
    _save(writer, space, _built(catalog, space, stored, last))


def sample_shares(counts: Mapping[Kind, int], size: int) -> dict[Kind, float]:
    """Return the share of each kind in a sample; small kinds are complete, and the others equally many."""
    shares: dict[Kind, float] = {}
    for position, kind in enumerate(sorted(counts, key=lambda kind: counts[kind])):
        equal = size / (len(counts) - position)
        shares[kind] = min(1.0, equal / max(counts[kind], 1))
        size -= int(shares[kind] * counts[kind])
    return shares


def uniform(segments: Ids) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each segment, that looks random. Splitmix64, Steele et al. 2014."""
    with np.errstate(over="ignore"):
        mixed = segments.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64)


def _segments_after(catalog: Catalog, after: int, shares: Mapping[str, float]) -> Ids:
    """Return the segments after this one that belong to the sample."""
    found = [_segments_of(catalog, kind, after) for kind in KINDS]
    chosen = [ids[uniform(ids) < shares.get(kind, 1.0)] for kind, ids in zip(KINDS, found, strict=True)]
    return np.sort(np.concatenate(chosen))


def _segments_of(catalog: Catalog, kind: Kind, after: int = 0) -> Ids:
    # The plus keeps SQLite from scanning all segments of a kind.
    rows = catalog.db.execute(
        f"SELECT s.id FROM segments s WHERE s.id > ? AND +s.kind = ? AND {_IS_POINT}", (after, kind)
    )
    return np.array([row[0] for row in rows], dtype=np.int64)


def _read_points(catalog: Catalog, space: Space, segments: Ids) -> Points:
    """Return those of the given segments that have a vector."""
    ids, vectors = catalog.vectors_of(space, segments.tolist())
    query = "SELECT id, kind FROM segments WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    rows = catalog.db.execute(query, (json.dumps(ids.tolist()),))
    kinds = {row[0]: row[1] for row in rows}
    exist = np.isin(ids, np.fromiter(kinds, dtype=np.int64))
    return Points(ids[exist], np.array([*kinds.values()], dtype=np.str_), vectors[exist])


def _built(catalog: Catalog, space: Space, stored: StoredMap | None, last: int) -> StoredMap:
    """Return a new layout of the segments of a space."""
    found = {kind: _segments_of(catalog, kind) for kind in KINDS}
    counts: dict[Kind, int] = {kind: len(ids) for kind, ids in found.items() if len(ids)}
    size = SAMPLE if sum(counts.values()) > MAX_POINTS else MAX_POINTS
    shares = sample_shares(counts, size)
    chosen = [found[kind][uniform(found[kind]) < share] for kind, share in shares.items()]
    points = _read_points(catalog, space, np.sort(np.concatenate([*chosen, np.empty(0, np.int64)])))
    vectors = points.centered()
    positions = lay_out(vectors, None if stored is None else _known_positions(stored, points.segments))
    clusters = find_clusters(positions)
    names = _named(catalog, space, points.segments, vectors, clusters.labels)
    peaks = _to_integers(clusters.peaks).tolist()
    return StoredMap(
        MAP_VERSION,
        last,
        len(points.segments),
        {str(kind): share for kind, share in shares.items()},
        points.segments,
        _to_integers(positions),
        clusters.labels,
        tuple((cluster, text, *peaks[cluster]) for cluster, text in names.items()),
    )


def _extended(catalog: Catalog, space: Space, stored: StoredMap, new: Ids, last: int) -> StoredMap:
    """Return a map with new segments, each near its nearest neighbors and in the cluster of the nearest."""
    points = _read_points(catalog, space, np.concatenate([stored.segments, new]))
    is_new, vectors = np.isin(points.segments, new), points.centered()
    added, known = points.segments[is_new], np.isin(stored.segments, points.segments)
    if not len(added) or not known.any():
        return replace(stored, mapped_to=last)
    positions = place(vectors[is_new], vectors[~is_new], stored.positions[known] / SIDE)
    nearest = nearest_of(vectors[is_new], vectors[~is_new], 1)[:, 0]
    angle = 2 * np.pi * uniform(added)
    positions = positions + JITTER * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    segments = np.concatenate([stored.segments, added])
    order = np.argsort(segments)
    return StoredMap(
        stored.version,
        last,
        stored.laid_out,
        stored.shares,
        segments[order],
        np.concatenate([stored.positions, _to_integers(positions)])[order],
        np.concatenate([stored.clusters, stored.clusters[known][nearest]])[order],
        stored.names,
    )


def _named(
    catalog: Catalog, space: Space, segments: Ids, vectors: Vectors, clusters: NDArray[np.int8]
) -> dict[int, str]:
    """Return cluster -> name, from the words of some segments of each cluster."""
    order = np.argsort(uniform(segments))
    chosen = np.sort(
        np.concatenate(
            [order[clusters[order] == cluster][:DESCRIBED_POINTS] for cluster in np.unique(clusters)]
            or [np.empty(0, np.int64)]
        )
    )
    sources = read_words(catalog, segments[chosen])
    sources.append(words_of_similar_queries(catalog, space, vectors[chosen]))
    return name_clusters(clusters[chosen], sources)


def _known_positions(stored: StoredMap, segments: Ids) -> Positions:
    """Return the stored positions of segments, NaN for new ones."""
    positions = np.full((len(segments), 2), np.nan)
    _, ours, theirs = np.intersect1d(segments, stored.segments, return_indices=True)
    positions[ours] = stored.positions[theirs] / SIDE
    return positions


def _to_integers(positions: Positions) -> NDArray[np.int16]:
    return np.asarray(np.rint(positions.clip(0, 1) * SIDE), np.int16)


def _save(writer: LibraryWriter, space: Space, built: StoredMap) -> None:
    with writer.db.atomic():
        writer.db.table("maps").upsert(
            {
                "space": space.id,
                **asdict(built),
                "shares": json.dumps(built.shares),
                "segments": built.segments.astype(np.int64).tobytes(),
                "positions": built.positions.tobytes(),
                "clusters": built.clusters.tobytes(),
                "names": json.dumps(built.names),
            },
            pk="space",
        )
