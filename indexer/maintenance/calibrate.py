"""Calibrate each kind of a space: the scores of background queries show how unusual a match is."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from indexer.maintenance.noise_queries import noise_queries
from indexer.models.text_vectors import embed_constant_texts
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import EmbedderError
from retrieval.scoring.calibration import (
    BACKGROUND_QUERIES_FILE,
    CENTERING,
    MAX_LAG,
    MAX_NOISE_SHARE,
    MIN_COPY_COSINE,
    MIN_DIFFERENT_VECTORS,
    MIN_SPREAD,
    RIVAL_SHARE,
    RIVAL_WEIGHT,
    TOP_N,
    TOP_SHARE,
    UNFAMILIARITY_PENALTY,
    Calibration,
    QueryMode,
    fit_calibration,
    fit_library,
    load_background_queries,
    mean_standard_score,
    nearest_count,
    normalize_rows,
    rival_levels,
)
from retrieval.types import Kind, Scores, Space, Vectors

MAX_QUERY_IMAGES = 300  # images of the library that are background queries by image
MIN_QUERY_IMAGES = 8  # images; fewer do not give a distribution
MAX_COUNT_RATIO = 1.5  # growth of the library after which other images are sampled

CALIBRATION_SETTINGS = (
    MAX_LAG,
    RIVAL_SHARE,
    RIVAL_WEIGHT,
    TOP_N,
    TOP_SHARE,
    UNFAMILIARITY_PENALTY,
    CENTERING,
    MIN_SPREAD,
    MAX_QUERY_IMAGES,
    MIN_COPY_COSINE,
    MIN_DIFFERENT_VECTORS,
    MAX_NOISE_SHARE,
    *noise_queries()[:3],
)  # part of the version of the queries


def calibrate_if_due(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Update the background queries, and the calibration of each kind that has changed by a tenth.

    Everything is written in one transaction, so that no reader combines new queries with old calibrations.
    """
    catalog = writer.catalog
    counts = {kind: _count_vectors(catalog, space, kind) for kind in catalog.kinds()}
    new_queries = _new_queries(catalog, space, embedder, counts.get("image", 0))
    versions = _query_versions(catalog, space)
    versions |= {mode: version for mode, (version, _) in new_queries.items()}
    rows: list[dict[str, object]] = []
    for kind, count in counts.items():
        due = [mode for mode in versions if _is_due(catalog, space, mode, kind, versions[mode], count)]
        if count and due:
            key: dict[str, object] = {"space": space.id, "kind": kind, "count": count}
            for mode, scores in _best_scores(catalog, space, kind, due, new_queries).items():
                if mode == "noise" and scores is not None:
                    unfamiliarity = [embedder.unfamiliarity(text) for text in noise_queries()]
                    scores = scores - UNFAMILIARITY_PENALTY * np.array(unfamiliarity, np.float32)
                blob = None if scores is None else scores.astype(np.float32).tobytes()
                rows.append({**key, "query_mode": mode, "version": versions[mode], "best_scores": blob})
    if not new_queries and not rows:
        return
    with writer.db.atomic():
        for mode, (version, vectors) in new_queries.items():
            key = {"space": space.id, "query_mode": mode, "version": version}
            blob = vectors.astype(np.float16).tobytes()
            writer.db.table("backgrounds").upsert({**key, "vectors": blob}, pk=("space", "query_mode"))
        for row in rows:
            writer.db.table("calibrations").upsert(row, pk=("space", "query_mode", "kind"))
        if rows:
            _fit_all(writer, space)


def _fit_all(writer: LibraryWriter, space: Space) -> None:
    """Fit the calibrations of all kinds together, within a transaction."""
    scores: dict[QueryMode, dict[Kind, Scores]] = {}
    query = "SELECT query_mode, kind, best_scores FROM calibrations WHERE space = ?"
    existing = set(writer.catalog.kinds())
    for mode, kind, blob in writer.db.conn.execute(query, (space.id,)).fetchall():
        scores.setdefault(mode, {})
        if blob is not None and kind in existing:
            scores[mode][kind] = np.frombuffer(blob, np.float32)
    update = "UPDATE calibrations SET center = ?, spread = ?"
    writer.db.execute("UPDATE calibrations SET center = NULL, spread = NULL WHERE space = ?", (space.id,))
    noise = scores.pop("noise", {})
    for mode, known in scores.items():
        kinds = [kind for kind in known if mode != "words" or kind in noise]
        if not kinds:
            continue
        fitted = [fit_calibration(known[kind][~np.isnan(known[kind])]) for kind in kinds]
        noise_scores = [noise[kind] for kind in kinds] if mode == "words" else []
        for kind, each in zip(
            kinds, fit_library([known[kind] for kind in kinds], fitted, noise_scores), strict=True
        ):
            writer.db.execute(
                f"{update} WHERE space = ? AND query_mode = ? AND kind = ?",
                (each.center, each.spread, space.id, mode, kind),
            )


def _count_vectors(catalog: Catalog, space: Space, kind: Kind) -> int:
    """Count the vectors of a kind; for a complete space, the faster count of segments is the same.

    Except for audio, which has no vector if it has no tags.
    """
    return (
        catalog.count_segments(kind)
        if space.complete and kind != "audio"
        else len(catalog.vector_ids(space, kind))
    )


def _query_versions(catalog: Catalog, space: Space) -> dict[QueryMode, str]:
    rows = catalog.db.execute("SELECT query_mode, version FROM backgrounds WHERE space = ?", (space.id,))
    return {row["query_mode"]: row["version"] for row in rows}


def _new_queries(
    catalog: Catalog, space: Space, embedder: Embedder, count: int
) -> dict[QueryMode, tuple[str, Vectors]]:
    """Return the background queries that are new or outdated, with their version.

    `count` is the number of images. The version contains a hash of the query texts and settings and, for
    queries with images, the number of images they were sampled from.
    """
    known = _query_versions(catalog, space)
    settings_hash = hashlib.sha256(
        BACKGROUND_QUERIES_FILE.read_bytes() + repr(CALIBRATION_SETTINGS).encode()
    ).hexdigest()[:12]
    queries: dict[QueryMode, tuple[str, Vectors]] = {}
    if known.get("words") != settings_hash:
        texts = [
            text
            for text in load_background_queries()
            if 0 < embedder.count_tokens(text) <= embedder.max_tokens
        ]
        queries["words"] = settings_hash, _finite_rows(embedder, embed_constant_texts(embedder, texts))
        noise = embed_constant_texts(embedder, noise_queries())  # a row of each text, similar to nothing
        queries["noise"] = settings_hash, np.nan_to_num(noise, nan=0, posinf=0, neginf=0)
    old_count, _, old_hash = known.get("picture", "0").partition(" ")
    if count >= MIN_QUERY_IMAGES and not (
        old_hash == settings_hash
        and int(old_count) / MAX_COUNT_RATIO <= count <= int(old_count) * MAX_COUNT_RATIO
    ):
        ids = catalog.vector_ids(space, "image")
        sample = ids[np.linspace(0, len(ids) - 1, min(MAX_QUERY_IMAGES, len(ids)), dtype=np.int64)]
        queries["picture"] = f"{count} {settings_hash}", catalog.vectors_of(space, sample)[1]
    if not queries:
        return queries
    text_queries = _queries_of(catalog, space, "words", queries)
    assert text_queries is not None, "they are stored or new"
    image_queries = _queries_of(catalog, space, "picture", queries)
    for mode, vectors in _composite_queries(text_queries, image_queries).items():
        if "words" in queries or mode == "mixed":
            has_new_images = mode == "mixed" and "picture" in queries
            queries[mode] = queries["picture"][0] if has_new_images else settings_hash, vectors
    return queries


def _finite_rows(embedder: Embedder, vectors: Vectors) -> Vectors:
    """Return the rows without NaN and infinite numbers; raises EmbedderError if there are none."""
    finite = vectors[np.isfinite(vectors).all(axis=1)]
    if not len(finite):
        raise EmbedderError(f"The model {embedder.name} gives vectors of NaN only. Use another model.")
    return finite


def _queries_of(
    catalog: Catalog, space: Space, mode: QueryMode, new_queries: Mapping[QueryMode, tuple[str, Vectors]]
) -> Vectors | None:
    """Return the new queries of a mode, else the stored ones."""
    return new_queries[mode][1] if mode in new_queries else catalog.background_queries(space, mode)


def _composite_queries(texts: Vectors, images: Vectors | None) -> dict[QueryMode, Vectors]:
    """Return queries that combine two terms each, as the query encoder does."""
    centered = normalize_rows(texts - CENTERING * texts.mean(axis=0))
    others = np.roll(centered, 1, axis=0)
    queries: dict[QueryMode, Vectors] = {
        "sum": normalize_rows(centered + others),
        "difference": normalize_rows(centered - others),
    }
    if images is not None:
        queries["mixed"] = normalize_rows(centered + np.resize(images, centered.shape))
    return queries


def _is_due(catalog: Catalog, space: Space, mode: QueryMode, kind: Kind, version: str, count: int) -> bool:
    query = "SELECT version, count FROM calibrations WHERE space = ? AND query_mode = ? AND kind = ?"
    row = catalog.db.execute(query, (space.id, mode, kind)).fetchone()
    return row is None or row["version"] != version or abs(count - row["count"]) * 10 > row["count"]


def _best_scores(
    catalog: Catalog,
    space: Space,
    kind: Kind,
    due: Sequence[QueryMode],
    new_queries: Mapping[QueryMode, tuple[str, Vectors]],
) -> dict[QueryMode, Scores | None]:
    """Compare background queries with all vectors of a kind, in one pass; return their best scores.

    None for a mode if the kind has too few different vectors.
    """
    best_scores = {}
    words = _queries_of(catalog, space, "words", new_queries)
    for mode in due:
        queries = _queries_of(catalog, space, mode, new_queries)
        if queries is not None:
            best_scores[mode] = BestScores(queries, words if mode == "noise" else None)
    different = set[bytes]()
    for _, vectors in catalog.vectors_after(space, kind, 0):
        for scores in best_scores.values():
            scores.update(vectors)
        if len(different) < MIN_DIFFERENT_VECTORS:
            different.update(vector.tobytes() for vector in vectors)
    if len(different) < MIN_DIFFERENT_VECTORS:
        return dict.fromkeys(best_scores)
    return {mode: scores.standard_scores() for mode, scores in best_scores.items()}


class BestScores:
    """The best cosines of queries (m, d), and the levels and spreads of the vectors that have them."""

    def __init__(self, queries: Vectors, background: Vectors | None = None) -> None:
        """`background` are the queries that vectors are also compared with, by default `queries`."""
        self.queries = queries
        self.background = queries if background is None else background
        self.count = 0  # of the vectors
        shape = 3, len(queries), TOP_N
        self.best = np.zeros(shape, np.float32)  # cosines, levels and spreads
        self.best[0] = -np.inf
        self.best[2] = 1.0

    def update(self, vectors: Vectors) -> None:
        """Compare the queries with vectors (n, d); copies of the query do not count."""
        self.count += len(vectors)
        cosines = self.queries @ vectors.T
        cosines[cosines >= MIN_COPY_COSINE] = -np.inf
        nearer = np.flatnonzero((cosines > self.best[0].min(axis=1, keepdims=True)).any(axis=0))
        if not len(nearer):
            return
        norms = rival_levels(vectors[nearer] @ self.background.T)
        new = [cosines[:, nearer], *(np.broadcast_to(norm, (len(cosines), len(nearer))) for norm in norms)]
        candidates = np.concatenate([self.best, np.stack(new)], axis=2)
        order = np.argsort(-candidates[0], axis=1, kind="stable")[:, :TOP_N]
        self.best = np.take_along_axis(candidates, order[None], axis=2)

    def standard_scores(self) -> Scores | None:
        """Return the standard score of each query, (m,), NaN if all vectors are its copies.

        None if that is so for all queries.
        """
        cosines, levels, spreads = self.best[:, :, : nearest_count(self.count)]
        if not np.isfinite(cosines).any():
            return None
        return mean_standard_score((cosines - levels) / spreads)

    def fit(self) -> Calibration | None:
        """Return the calibration of the scores; None if all vectors are copies of the queries."""
        scores = self.standard_scores()
        if scores is None:
            return None
        return replace(fit_calibration(scores[~np.isnan(scores)]), nearest=nearest_count(self.count))
