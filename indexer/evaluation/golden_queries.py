"""Measure a library by golden queries: what a person wants to find, asked of the library's own search."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.jsonl import parse_paths, parse_texts, read_objects
from indexer.evaluation.measurement import MAX_CURVE_K, Measurement, query_metrics, round_metric
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import roots
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError, QueryError
from retrieval.library import Library
from retrieval.query.filters import build_filters
from retrieval.scoring.metrics import Flags, Ranking, hit_rate_at
from retrieval.types import Failure, Hit

EXPECTED_FORMAT = '{"query": "a dog", "relevant": ["dog.jpg", ...]}'
EXPECTED_FORMATS = f'{EXPECTED_FORMAT}, or captions: {{"image": "photo.jpg", "captions": ["...", ...]}}'
DEFAULT_K = 100  # hits asked for


@dataclass(frozen=True, slots=True)
class GoldenQuery:
    """A query and what it should find, and should not; `line` is where it stands in its file."""

    line: int
    query: str
    relevant: tuple[str, ...]
    not_relevant: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    k: int = DEFAULT_K


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """What one query found.

    `measures` are its own. `missing` are the paths that the library does not have; they count as not found.
    `wrong` are those that should not be among its hits, with their ranks.
    """

    golden_query: GoldenQuery
    metrics: Mapping[str, float | None]
    missing: tuple[str, ...]
    wrong: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class GoldenEvaluation:
    """How well a library answers golden queries: the means, and each answer."""

    mean: dict[str, float]
    answers: tuple[GoldenAnswer, ...]
    space: str
    failures: tuple[Failure, ...] = ()  # a path that is missing is one of its answer
    measured: Mapping[str, Measurement] = field(default_factory=dict)

    def headline(self) -> str:
        """Say in a line what was measured."""
        return (
            f"{len(self.answers):,} golden {'query' if len(self.answers) == 1 else 'queries'}, {self.space}"
        )

    def details(self) -> list[str]:
        """Return a line a query: where its first relevant hit stands, and its measures."""
        columns = {"median_rank": "first", "true_recall@10": "recall@10", "precision@10": "P@10", "map": "AP"}
        lines = ["", "".join(f"{title:>10}" for title in columns.values()) + "   query"]
        for answer in self.answers:
            row = "".join(f"{_format_cell(name, answer.metrics[name]):>10}" for name in columns)
            lines.append(f"{row}   {answer.golden_query.query}")
            lines += [f"{'':43}wrong at {rank}: {name}" for name, rank in answer.wrong.items()]
            lines += [f"{'':43}not in the library: {name}" for name in answer.missing]
        return [*lines, ""]

    def json_fields(self) -> dict[str, object]:
        """Return the keys of its JSON."""
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> GoldenEvaluation:
    """Ask a library golden queries, and measure its answers.

    The file is JSON lines of {"query": words, "relevant": [paths]}, and if wanted "not_relevant" (paths that
    should not be found), "kind", and "k", how many hits are looked at (default: 100). Paths are relative to
    the file, or to a folder of the library. `space` names another than the one that answers. Raises
    EvaluationError, LibraryError.
    """
    place = Path(queries).expanduser()
    every = read_golden_queries(place)
    with Library.open(library, space=space, embedder=embedder) as opened:
        with closing(Catalog.open(opened.folder)) as catalog:
            resolve = ContentResolver(catalog, place.absolute().parent)
            found = []
            for done, golden in enumerate(every, 1):
                found.append(_run_query(opened, resolve, golden, place))
                progress(done, len(every))
        return _measure(every, found, opened.embedder.name)


def has_golden_queries(path: Path) -> bool:
    """Say whether a file is of golden queries rather than of captions; raises EvaluationError."""
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
    """Check one line."""
    if unknown := row.keys() - {"query", "relevant", "not_relevant", "kind", "k"}:
        raise EvaluationError(f"{location} there is no key {sorted(unknown)[0]!r} in {EXPECTED_FORMAT}.")
    (query,) = parse_texts([row.get("query")], f"{location} expected {EXPECTED_FORMAT}.")
    relevant = parse_paths(row.get("relevant"), f"{location} relevant must be a list of paths.")
    if not relevant:
        raise EvaluationError(f"{location} relevant must name at least one path.")
    unwanted = parse_paths(row.get("not_relevant", []), f"{location} not_relevant must be a list of paths.")
    kind = row.get("kind", [])
    kinds = parse_paths(
        [kind] if isinstance(kind, str) else kind, f"{location} kind must be a name or a list of them."
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
    """What a path means in a library: a content, so that a copy of the file is as good."""

    def __init__(self, catalog: Catalog, base_folder: Path) -> None:
        self.catalog = catalog
        self.folders = [base_folder, *(root.path for root in roots(catalog))]

    def __call__(self, name: str) -> int | None:
        """Return the content of a path relative to the file of queries or to a root, None without one."""
        places = (os.path.abspath(folder / os.path.expanduser(name)) for folder in self.folders)
        contents = (self.catalog.content_at(Path(place)) for place in places)
        return next((content for content in contents if content is not None), None)


@dataclass(frozen=True, slots=True)
class JudgedHits:
    """One list of hits: which of them stand equal, are relevant, are wrong."""

    rank_scores: list[float]
    relevant: list[bool]
    not_relevant: list[bool]
    relevant_count: int
    missing: tuple[str, ...]
    not_relevant_ranks: Mapping[str, int]


def _run_query(library: Library, resolve: ContentResolver, golden: GoldenQuery, file: Path) -> JudgedHits:
    """Search for one query, and say of each hit what it is."""
    try:
        hits = library.search(golden.query, kind=golden.kind, count=golden.k)
    except QueryError as error:
        raise EvaluationError(f"{file}, line {golden.line}: {error}") from error
    places = {name: resolve(name) for name in (*golden.relevant, *golden.not_relevant)}
    relevant, unwanted = (
        {place for name in some if (place := places[name]) is not None}
        for some in (golden.relevant, golden.not_relevant)
    )
    ranked = dict[object, float]()  # a passage after another of its file is no new answer
    for hit, level in zip(hits, _rank_scores(hits), strict=True):
        ranked.setdefault(resolve.catalog.content_at(hit.path) or hit.path, level)
    missing = tuple(name for name, place in places.items() if place is None)
    ranks = {place: rank for rank, place in enumerate(ranked, 1)}
    return JudgedHits(
        rank_scores=list(ranked.values()),
        relevant=[place in relevant for place in ranked],
        not_relevant=[place in unwanted for place in ranked],
        relevant_count=len(relevant) + sum(places[name] is None for name in golden.relevant),
        missing=missing,
        not_relevant_ranks={
            name: ranks[places[name]] for name in golden.not_relevant if places[name] in ranks
        },
    )


def _rank_scores(hits: Sequence[Hit]) -> Iterator[float]:
    """Yield scores that fall with the list, equal where two neighbours' scores and kinds are."""
    level, last = 0.0, None
    for hit in hits:
        level -= (hit.score, hit.kind, hit.confidence) != last
        last = (hit.score, hit.kind, hit.confidence)
        yield level


def _measure(queries: Sequence[GoldenQuery], judged: Sequence[JudgedHits], space: str) -> GoldenEvaluation:
    depth = max(1, *(len(one.rank_scores) for one in judged))
    scores = np.full((len(judged), depth), -np.inf, np.float32)
    relevant, wrong = np.zeros((len(judged), depth), bool), np.zeros((len(judged), depth), bool)
    for row, one in enumerate(judged):
        size = len(one.rank_scores)
        scores[row, :size], relevant[row, :size], wrong[row, :size] = (
            one.rank_scores,
            one.relevant,
            one.not_relevant,
        )
    ranking = Ranking.from_scores(scores, relevant, np.array([one.relevant_count for one in judged]))
    each = {**query_metrics(ranking), "clean@10": _clean_at_10(scores, wrong, queries)}
    curve = 100 * np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1).mean(axis=0)
    lines = np.array([golden.line for golden in queries])
    measured = Measurement(each, curve, lines, lines)
    answers = tuple(
        GoldenAnswer(
            golden,
            {name: _finite_or_none(name, each[name][row]) for name in each},
            one.missing,
            one.not_relevant_ranks,
        )
        for row, (golden, one) in enumerate(zip(queries, judged, strict=True))
    )
    return GoldenEvaluation(measured.summary(), answers, space, measured={"golden": measured})


def _clean_at_10(
    scores: NDArray[np.float32], not_relevant: Flags, queries: Sequence[GoldenQuery]
) -> NDArray[np.float64]:
    """Return 1 where none of the first ten is wrong, else 0; NaN where nothing would be."""
    clean = 1 - hit_rate_at(Ranking.from_scores(scores, not_relevant), 10)
    return np.where([bool(golden.not_relevant) for golden in queries], clean, np.nan)


def _format_cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if name == "median_rank" else f"{value:.1f}" if "recall" in name else f"{value:.3f}"


def _finite_or_none(name: str, value: float) -> float | None:
    return round_metric(name, value) if np.isfinite(value) else None
