"""Evaluate the search of a library with golden queries: queries with the paths that they should find."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.jsonl import parse_paths, parse_texts, read_objects
from indexer.evaluation.measurement import MAX_CURVE_K, Measurement, query_metrics, round_metric
from indexer.evaluation.report import format_metric
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import roots
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError, QueryError
from retrieval.library import Library
from retrieval.query.filters import build_filters
from retrieval.scoring.metrics import Flags, Ranking, hit_rate_at
from retrieval.system import expand_user
from retrieval.types import Failure, Hit

EXPECTED_FORMAT = '{"query": "a dog", "relevant": ["dog.jpg", ...]}'
EXPECTED_FORMATS = f'{EXPECTED_FORMAT}, or captions: {{"image": "photo.jpg", "captions": ["...", ...]}}'
DEFAULT_K = 100  # hits per query


@dataclass(frozen=True, slots=True)
class GoldenQuery:
    """A query, the paths that it should find, and those that it should not."""

    line: int  # in its file
    query: str
    relevant: tuple[str, ...]
    not_relevant: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    k: int = DEFAULT_K


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """The result of one query."""

    golden_query: GoldenQuery
    metrics: Mapping[str, float | None]
    missing: tuple[str, ...]  # paths that are not in the library; they count as not found
    wrong: Mapping[str, int]  # paths that should not be found -> rank


@dataclass(frozen=True, slots=True)
class GoldenEvaluation:
    """Metrics of a library that answers golden queries: their means, and each answer."""

    mean: dict[str, float]
    answers: tuple[GoldenAnswer, ...]
    space: str
    failures: tuple[Failure, ...] = ()  # always empty: missing paths belong to their answer
    measured: Mapping[str, Measurement] = field(default_factory=dict)

    def headline(self) -> str:
        """Return a line about the queries and the space."""
        return (
            f"{len(self.answers):,} golden {'query' if len(self.answers) == 1 else 'queries'}, {self.space}"
        )

    def details(self) -> list[str]:
        """Return a line per query: the rank of its first relevant hit, and its metrics."""
        columns = {"median_rank": "first", "true_recall@10": "recall@10", "precision@10": "P@10", "map": "AP"}
        lines = ["", "".join(f"{title:>10}" for title in columns.values()) + "   query"]
        for answer in self.answers:
            row = "".join(f"{format_metric(name, answer.metrics[name]):>10}" for name in columns)
            lines.append(f"{row}   {answer.golden_query.query}")
            lines += [f"{'':43}wrong at {rank}: {name}" for name, rank in answer.wrong.items()]
            lines += [f"{'':43}not in the library: {name}" for name in answer.missing]
        return [*lines, ""]

    def json_fields(self) -> dict[str, object]:
        """Return the fields of the JSON output."""
        answers = [
            {
                "query": answer.golden_query.query,
                "line": answer.golden_query.line,
                "first": answer.metrics["median_rank"],
                **{name: value for name, value in answer.metrics.items() if name != "median_rank"},
                "missing": answer.missing,
                "wrong": answer.wrong,
            }
            for answer in self.answers
        ]
        return {"mean": self.mean, "space": self.space, "queries": answers}


def evaluate_golden(
    queries: str | Path,
    *,
    library: str | Path | None = None,
    space: str | None = None,
    embedder: Embedder | None = None,
    milvus_token: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> GoldenEvaluation:
    """Run golden queries in a library, and measure the hits.

    The file is JSON lines of {"query": words, "relevant": [paths]}, optionally with "not_relevant" (paths
    that should not be found), "kind", and "k", the number of hits (default: 100). Paths are relative to the
    file or to a root of the library. `space` selects a space other than the active one, and
    `milvus_token`, or USER:PASSWORD, is that of the Milvus server of the library. Raises EvaluationError and
    LibraryError.
    """
    file = expand_user(queries)
    golden_queries = read_golden_queries(file)
    with Library.open(library, space=space, embedder=embedder, token=milvus_token) as opened:
        with closing(Catalog.open(opened.folder)) as catalog:
            resolve = ContentResolver(catalog, file.absolute().parent)
            judged = []
            for done, golden in enumerate(golden_queries, 1):
                judged.append(_run_query(opened, resolve, golden, file))
                progress(done, len(golden_queries))
        return _measure(golden_queries, judged, opened.embedder.name)


def has_golden_queries(path: Path) -> bool:
    """Return True if a file contains golden queries, False if captions; raises EvaluationError."""
    number, row = next(read_objects(path, EXPECTED_FORMATS))
    if not row.keys() & {"query", "image"}:
        raise EvaluationError(f"{path}, line {number}: expected {EXPECTED_FORMATS}.")
    return "query" in row


def read_golden_queries(path: Path) -> list[GoldenQuery]:
    """Read golden queries; raises EvaluationError naming the line."""
    return [
        _parse_golden_query(row, number, f"{path}, line {number}:")
        for number, row in read_objects(path, EXPECTED_FORMAT)
    ]


def _parse_golden_query(row: Mapping[str, object], line: int, location: str) -> GoldenQuery:
    """Validate one line; raises EvaluationError."""
    if unknown := row.keys() - {"query", "relevant", "not_relevant", "kind", "k"}:
        raise EvaluationError(f"{location} unknown key {sorted(unknown)[0]!r}. Expected {EXPECTED_FORMAT}.")
    (query,) = parse_texts([row.get("query")], f"{location} expected {EXPECTED_FORMAT}.")
    relevant = parse_paths(row.get("relevant"), f"{location} relevant must be a list of paths.")
    if not relevant:
        raise EvaluationError(f"{location} relevant must name at least one path.")
    unwanted = parse_paths(row.get("not_relevant", []), f"{location} not_relevant must be a list of paths.")
    kind = row.get("kind", [])
    kinds = parse_paths(
        [kind] if isinstance(kind, str) else kind, f"{location} kind must be a name or a list of names."
    )
    k = row.get("k", DEFAULT_K)
    if not isinstance(k, int) or k < 1:
        raise EvaluationError(f"{location} k must be a number of hits, 1 or more.")
    try:
        build_filters(kinds)
    except QueryError as error:
        raise EvaluationError(f"{location} {error}") from error
    return GoldenQuery(line, query, tuple(dict.fromkeys(relevant)), unwanted, kinds, k)


class ContentResolver:
    """Maps a path to its content in the library, so that any copy of the file counts."""

    def __init__(self, catalog: Catalog, base_folder: Path) -> None:
        self.catalog = catalog
        self.folders = [base_folder, *(root.path for root in roots(catalog))]

    def __call__(self, name: str) -> int | None:
        """Return the content at a path relative to the file of queries or to a root, or None."""
        paths = (os.path.abspath(folder / os.path.expanduser(name)) for folder in self.folders)
        contents = (self.catalog.content_at(Path(path)) for path in paths)
        return next((content for content in contents if content is not None), None)


@dataclass(frozen=True, slots=True)
class JudgedHits:
    """The hits of a query, one per content, and which of them are relevant."""

    rank_scores: list[float]  # fall along the list, equal for ties
    relevant: list[bool]
    not_relevant: list[bool]
    relevant_count: int
    missing: tuple[str, ...]
    not_relevant_ranks: Mapping[str, int]


def _run_query(library: Library, resolve: ContentResolver, golden: GoldenQuery, file: Path) -> JudgedHits:
    """Search for one query, and judge its hits."""
    try:
        hits = library.search(golden.query, kind=golden.kind, count=golden.k)
    except QueryError as error:
        raise EvaluationError(f"{file}, line {golden.line}: {error}") from error
    contents = {name: resolve(name) for name in (*golden.relevant, *golden.not_relevant)}
    relevant, unwanted = (
        {content for name in names if (content := contents[name]) is not None}
        for names in (golden.relevant, golden.not_relevant)
    )
    ranked = dict[object, float]()  # further passages of the same file do not count
    for hit, score in zip(hits, _rank_scores(hits), strict=True):
        ranked.setdefault(resolve.catalog.content_at(hit.path) or hit.path, score)
    missing = tuple(name for name, content in contents.items() if content is None)
    ranks = {content: rank for rank, content in enumerate(ranked, 1)}
    return JudgedHits(
        rank_scores=list(ranked.values()),
        relevant=[content in relevant for content in ranked],
        not_relevant=[content in unwanted for content in ranked],
        relevant_count=len(relevant) + sum(contents[name] is None for name in golden.relevant),
        missing=missing,
        not_relevant_ranks={
            name: ranks[contents[name]] for name in golden.not_relevant if contents[name] in ranks
        },
    )


def _rank_scores(hits: Sequence[Hit]) -> Iterator[float]:
    """Yield scores that fall along the list, equal for neighbors of equal score, kind and confidence."""
    score, last = 0.0, None
    for hit in hits:
        score -= (hit.score, hit.kind, hit.confidence) != last
        last = (hit.score, hit.kind, hit.confidence)
        yield score


def _measure(queries: Sequence[GoldenQuery], judged: Sequence[JudgedHits], space: str) -> GoldenEvaluation:
    depth = max(1, *(len(hits.rank_scores) for hits in judged))
    scores = np.full((len(judged), depth), -np.inf, np.float32)
    relevant, wrong = np.zeros((len(judged), depth), bool), np.zeros((len(judged), depth), bool)
    for row, hits in enumerate(judged):
        size = len(hits.rank_scores)
        scores[row, :size] = hits.rank_scores
        relevant[row, :size] = hits.relevant
        wrong[row, :size] = hits.not_relevant
    ranking = Ranking.from_scores(scores, relevant, np.array([hits.relevant_count for hits in judged]))
    per_query = {**query_metrics(ranking), "clean@10": _clean_at_10(scores, wrong, queries)}
    curve = 100 * np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1).mean(axis=0)
    lines = np.array([golden.line for golden in queries])
    measured = Measurement(per_query, curve, lines, lines)
    answers = tuple(
        GoldenAnswer(
            golden,
            {name: _finite_or_none(name, values[row]) for name, values in per_query.items()},
            hits.missing,
            hits.not_relevant_ranks,
        )
        for row, (golden, hits) in enumerate(zip(queries, judged, strict=True))
    )
    return GoldenEvaluation(measured.summary(), answers, space, measured={"golden": measured})


def _clean_at_10(
    scores: NDArray[np.float32], not_relevant: Flags, queries: Sequence[GoldenQuery]
) -> NDArray[np.float64]:
    """Return 1 if none of the first ten hits is wrong, else 0; NaN for queries without `not_relevant`."""
    clean = 1 - hit_rate_at(Ranking.from_scores(scores, not_relevant), 10)
    return np.where([bool(golden.not_relevant) for golden in queries], clean, np.nan)


def _finite_or_none(name: str, value: float) -> float | None:
    return round_metric(name, value) if np.isfinite(value) else None
