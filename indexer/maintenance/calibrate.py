"""Ask a library the background queries, so that a search can say how unusual a match is."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.scoring.calibration import (
    BACKGROUND_QUERIES_FILE,
    CENTERING,
    HUBNESS_SHIFT,
    MIN_SPREAD,
    QUERY_MEAN_SHIFT,
    TOP_N,
    Calibration,
    QueryMode,
    fit_calibration,
    load_background_queries,
    normalize_rows,
)
from retrieval.types import Kind, Scores, Space, Vectors

MAX_QUERY_IMAGES = 300  # of the library, asked as queries by picture
MIN_QUERY_IMAGES = 8  # pictures; of fewer nothing can be said
MIN_COPY_COSINE = 0.999  # cosine from which on a picture is itself or its copy
MAX_COUNT_RATIO = 1.5  # times as many pictures, of which others are drawn then

CALIBRATION_SETTINGS = (
    HUBNESS_SHIFT,
    QUERY_MEAN_SHIFT,
    TOP_N,
    CENTERING,
    MIN_SPREAD,
    MAX_QUERY_IMAGES,
    MIN_COPY_COSINE,
)  # in a version, so that a change is seen


def calibrate_if_due(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Bring the background queries and their matches up to date, where a tenth of a kind has changed.

    All is written at once, so that no reader holds new queries against old matches.
    """
    catalog = writer.catalog
    counts = {kind: _count_vectors(catalog, space, kind) for kind in catalog.kinds()}
    fresh = _new_queries(catalog, space, embedder, counts.get("image", 0))
    versions = _query_versions(catalog, space) | {way: version for way, (version, _) in fresh.items()}
    rows: list[dict[str, object]] = []
    for kind, count in counts.items():
        due = [way for way in versions if _is_due(catalog, space, way, kind, versions[way], count)]
        if count and due:
            said: dict[str, object] = {"space": space.id, "kind": kind, "count": count}
            for way, found in _fit_calibrations(catalog, space, kind, due, fresh).items():
                rows.append({**said, "query_mode": way, "version": versions[way], **found})
    if not fresh and not rows:
        return
    with writer.db.atomic():
        for way, (version, vectors) in fresh.items():
            bank_of = {"space": space.id, "query_mode": way, "version": version}
            blob = vectors.astype(np.float16).tobytes()
            writer.db.table("backgrounds").upsert({**bank_of, "vectors": blob}, pk=("space", "query_mode"))
        for row in rows:
            writer.db.table("calibrations").upsert(row, pk=("space", "query_mode", "kind"))


def _count_vectors(catalog: Catalog, space: Space, kind: Kind) -> int:
    """Count the vectors of a kind; of a whole space that is quicker to know."""
    return catalog.count_segments(kind) if space.complete else len(catalog.vector_ids(space, kind))


def _query_versions(catalog: Catalog, space: Space) -> dict[QueryMode, str]:
    rows = catalog.db.execute("SELECT query_mode, version FROM backgrounds WHERE space = ?", (space.id,))
    return {row["query_mode"]: row["version"] for row in rows}


def _new_queries(
    catalog: Catalog, space: Space, embedder: Embedder, count: int
) -> dict[QueryMode, tuple[str, Vectors]]:
    """Return those background queries that are new or not as they were, with their version.

    `count` is how many pictures there are. The version says of which bank or how many pictures they are,
    and how they are used.
    """
    known = _query_versions(catalog, space)
    how = hashlib.sha256(
        BACKGROUND_QUERIES_FILE.read_bytes() + repr(CALIBRATION_SETTINGS).encode()
    ).hexdigest()[:12]
    fresh: dict[QueryMode, tuple[str, Vectors]] = {}
    if known.get("words") != how:
        read = [
            text
            for text in load_background_queries()
            if 0 < embedder.count_tokens(text) <= embedder.max_tokens
        ]
        fresh["words"] = how, embedder.embed_texts(read)
    drawn, _, used = known.get("picture", "0").partition(" ")
    if count >= MIN_QUERY_IMAGES and not (
        used == how and int(drawn) / MAX_COUNT_RATIO <= count <= int(drawn) * MAX_COUNT_RATIO
    ):
        ids = catalog.vector_ids(space, "image")
        some = ids[np.linspace(0, len(ids) - 1, min(MAX_QUERY_IMAGES, len(ids)), dtype=np.int64)]
        fresh["picture"] = f"{count} {how}", catalog.vectors_of(space, some)[1]
    if not fresh:
        return fresh
    words = fresh["words"][1] if "words" in fresh else catalog.background_queries(space, "words")
    pictures = fresh["picture"][1] if "picture" in fresh else catalog.background_queries(space, "picture")
    assert words is not None, "it is known or fresh"
    for way, vectors in _composite_queries(words, pictures).items():
        if "words" in fresh or way == "mixed":
            fresh[way] = fresh["picture"][0] if way == "mixed" and "picture" in fresh else how, vectors
    return fresh


def _composite_queries(texts: Vectors, images: Vectors | None) -> dict[QueryMode, Vectors]:
    """Return queries of two things each, as `compose.add` makes them."""
    said = normalize_rows(texts - CENTERING * texts.mean(axis=0))
    others = np.roll(said, 1, axis=0)
    made: dict[QueryMode, Vectors] = {
        "sum": normalize_rows(said + others),
        "difference": normalize_rows(said - others),
    }
    if images is not None:
        seen = normalize_rows(images - CENTERING * images.mean(axis=0))
        made["mixed"] = normalize_rows(said + np.resize(seen, said.shape))
    return made


def _is_due(catalog: Catalog, space: Space, mode: QueryMode, kind: Kind, version: str, count: int) -> bool:
    query = "SELECT version, count FROM calibrations WHERE space = ? AND query_mode = ? AND kind = ?"
    row = catalog.db.execute(query, (space.id, mode, kind)).fetchone()
    return row is None or row["version"] != version or abs(count - row["count"]) * 10 > row["count"]


def _fit_calibrations(
    catalog: Catalog,
    space: Space,
    kind: Kind,
    due: Sequence[QueryMode],
    new_queries: Mapping[QueryMode, tuple[str, Vectors]],
) -> dict[QueryMode, dict[str, float | None]]:
    """Compare background queries with all vectors of a kind, in one pass, and fit how they do."""
    bests = {}
    for way in due:
        queries = new_queries[way][1] if way in new_queries else catalog.background_queries(space, way)
        if queries is not None:
            bests[way] = BestScores(queries)
    for _, vectors in catalog.vectors_after(space, kind, 0):
        for best in bests.values():
            best.update(vectors)
    nothing: dict[str, float | None] = {"center": None, "spread": None}
    return {way: asdict(found) if (found := best.fit()) else nothing for way, best in bests.items()}


class BestScores:
    """The best cosines of some queries, (m, d), and how near what they found is to the mean query."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.mean_query = np.asarray(queries.mean(axis=0), np.float32)
        self.scores: Scores = np.full((len(queries), TOP_N), -np.inf, np.float32)
        self.mean_query_cosines: Scores = np.zeros((len(queries), TOP_N), np.float32)

    def update(self, vectors: Vectors) -> None:
        """Look at some more vectors, (n, d); what is the query itself does not count."""
        scores, common = self.queries @ vectors.T, vectors @ self.mean_query
        scores[scores >= MIN_COPY_COSINE] = -np.inf
        rows = np.flatnonzero(scores.max(axis=1) > self.scores.min(axis=1))
        both = np.concatenate([self.scores[rows], scores[rows]], axis=1)
        shared = np.concatenate(
            [self.mean_query_cosines[rows], np.broadcast_to(common, (len(rows), len(common)))], axis=1
        )
        first = np.argpartition(-both, TOP_N - 1, axis=1)[:, :TOP_N]
        self.scores[rows] = np.take_along_axis(both, first, axis=1)
        self.mean_query_cosines[rows] = np.take_along_axis(shared, first, axis=1)

    def fit(self) -> Calibration | None:
        """Return how these queries are matched at best; None where nothing but themselves is there."""
        there = np.isfinite(self.scores)
        some = there.any(axis=1)
        if not some.any():
            return None
        common = np.where(there, self.mean_query_cosines, 0).sum(axis=1)[some] / there.sum(axis=1)[some]
        usual = HUBNESS_SHIFT * common + QUERY_MEAN_SHIFT * (self.queries @ self.mean_query)[some]
        return fit_calibration(self.scores[some].max(axis=1) - usual)
