"""Ask a library the background queries, so that a search can say how unusual a match is."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from indexer.writer import Writer
from retrieval.calibrate import BANK, CENTRED, FIRST, GENERIC, SHIFT, Calibration, Way, bank, fit, unit
from retrieval.catalog import Catalog
from retrieval.embedders import Embedder
from retrieval.records import Kind, Scores, Space, Vectors

PICTURES = 300  # of the library, asked as queries by picture
LEAST = 8  # pictures; of fewer nothing can be said
SAME = 0.999  # cosine from which on a picture is itself or its copy
GROWN = 1.5  # times as many pictures, of which others are drawn then


def calibrate_if_due(writer: Writer, space: Space, embedder: Embedder) -> None:
    """Bring the background queries and their matches up to date, where a tenth of a kind has changed."""
    catalog = writer.catalog
    known = {
        row["asked"]: str(row["version"])
        for row in catalog.db.execute("SELECT asked, version FROM backgrounds WHERE space = ?", (space.id,))
    }
    fresh = _fresh_queries(catalog, space, embedder, known)
    with writer.db.atomic():
        for way, (version, vectors) in fresh.items():
            row = {"space": space.id, "asked": way, "version": version}
            writer.db.table("backgrounds").upsert(
                {**row, "vectors": vectors.astype(np.float16).tobytes()}, pk=("space", "asked")
            )
    versions = known | {way: version for way, (version, _) in fresh.items()}
    for kind in catalog.kinds():
        count = catalog.count_segments(kind)
        due = {
            way: version
            for way, version in versions.items()
            if _is_due(catalog, space, way, kind, version, count)
        }
        if count and due:
            _calibrate_kind(writer, space, kind, count, due)


def _fresh_queries(
    catalog: Catalog, space: Space, embedder: Embedder, known: Mapping[str, str]
) -> dict[Way, tuple[str, Vectors]]:
    """Return those background queries that are new or not as they were, with their version."""
    fresh: dict[Way, tuple[str, Vectors]] = {}
    how = f" {SHIFT} {GENERIC} {FIRST} {CENTRED}"
    version = hashlib.sha256(BANK.read_bytes() + how.encode()).hexdigest()[:12]
    if known.get("words") != version:
        read = [text for text in bank() if 0 < embedder.tokens(text) <= embedder.context]
        fresh["words"] = version, embedder.embed_texts(read)
    count = catalog.count_segments("image")
    drawn = int(known.get("picture", 0))
    if count >= LEAST and not drawn / GROWN <= count <= drawn * GROWN:
        ids = catalog.ids_of(space, "image")
        some = ids[np.linspace(0, len(ids) - 1, min(PICTURES, len(ids)), dtype=np.int64)]
        fresh["picture"] = str(count), catalog.vectors_of(space, some)[1]
    if fresh:
        queries = {way: vectors for way, (_, vectors) in fresh.items()}
        words = queries.get("words", catalog.background_queries(space, "words"))
        assert words is not None, "it is known or fresh"
        pictures = queries.get("picture", catalog.background_queries(space, "picture"))
        names = [fresh[way][0] if way in fresh else known.get(way, "") for way in ("words", "picture")]
        made = _made(words, pictures)
        fresh |= {way: (" ".join(names), vectors) for way, vectors in made.items()}
    return fresh


def _made(words: Vectors, pictures: Vectors | None) -> dict[Way, Vectors]:
    """Return queries of two things each, as `compose.add` makes them."""
    said = unit(words - CENTRED * words.mean(axis=0))
    others = np.roll(said, 1, axis=0)
    made: dict[Way, Vectors] = {"sum": unit(said + others), "difference": unit(said - others)}
    if pictures is not None:
        seen = unit(pictures - CENTRED * pictures.mean(axis=0))
        made["mixed"] = unit(said + np.resize(seen, said.shape))
    return made


def _is_due(catalog: Catalog, space: Space, way: str, kind: Kind, version: str, count: int) -> bool:
    query = "SELECT version, count FROM calibrations WHERE space = ? AND asked = ? AND kind = ?"
    row = catalog.db.execute(query, (space.id, way, kind)).fetchone()
    return row is None or row["version"] != version or abs(count - row["count"]) * 10 > row["count"]


def _calibrate_kind(writer: Writer, space: Space, kind: Kind, count: int, due: Mapping[Way, str]) -> None:
    """Compare background queries with all vectors of a kind, in one pass."""
    catalog = writer.catalog
    queries = {way: found for way in due if (found := catalog.background_queries(space, way)) is not None}
    bests = {way: Best(vectors) for way, vectors in queries.items()}
    for _, vectors in catalog.vectors_after(space, kind, 0):
        for best in bests.values():
            best.watch(vectors)
    with writer.db.atomic():
        for way, best in bests.items():
            calibration = best.fit()
            if calibration is not None:
                key = {"space": space.id, "asked": way, "kind": kind}
                said = {"version": due[way], "count": count, **asdict(calibration)}
                writer.db.table("calibrations").upsert(key | said, pk=tuple(key))


class Best:
    """The best cosines of some queries, (m, d), and how near what they found is to the mean query."""

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self.mean = np.asarray(queries.mean(axis=0), np.float32)
        self.scores: Scores = np.full((len(queries), FIRST), -np.inf, np.float32)
        self.commons: Scores = np.zeros((len(queries), FIRST), np.float32)

    def watch(self, vectors: Vectors) -> None:
        """Look at some more vectors, (n, d); what is the query itself does not count."""
        scores, common = self.queries @ vectors.T, vectors @ self.mean
        scores[scores >= SAME] = -np.inf
        rows = np.flatnonzero(scores.max(axis=1) > self.scores.min(axis=1))
        both = np.concatenate([self.scores[rows], scores[rows]], axis=1)
        shared = np.concatenate(
            [self.commons[rows], np.broadcast_to(common, (len(rows), len(common)))], axis=1
        )
        first = np.argsort(-both, axis=1, kind="stable")[:, :FIRST]
        self.scores[rows] = np.take_along_axis(both, first, axis=1)
        self.commons[rows] = np.take_along_axis(shared, first, axis=1)

    def fit(self) -> Calibration | None:
        """Return how these queries are matched at best; None where nothing but themselves is there."""
        there = np.isfinite(self.scores)
        some = there.any(axis=1)
        if not some.any():
            return None
        common = np.where(there, self.commons, 0).sum(axis=1)[some] / there.sum(axis=1)[some]
        usual = SHIFT * common + GENERIC * (self.queries @ self.mean)[some]
        return fit(self.scores[some].max(axis=1) - usual)
