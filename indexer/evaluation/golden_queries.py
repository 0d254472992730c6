"""Measure a library by golden queries: what a person wants to find, asked of the library's own search."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.jsonl import names, rows, texts
from indexer.evaluation.measurement import CURVE, Measured, digits, measures
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import roots
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError, QueryError
from retrieval.library import Library
from retrieval.query.filters import filters
from retrieval.scoring.metrics import Flags, Ranking, hit_at
from retrieval.types import Failure, Hit

EXPECTED = '{"query": "a dog", "relevant": ["dog.jpg", ...]}'
EITHER = f'{EXPECTED}, or captions: {{"image": "photo.jpg", "captions": ["...", ...]}}'
DEPTH = 100  # hits asked for


@dataclass(frozen=True, slots=True)
class Golden:
    """A query and what it should find, and should not; `line` is where it stands in its file."""

    line: int
    query: str
    relevant: tuple[str, ...]
    not_relevant: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    k: int = DEPTH


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query found.

    `measures` are its own. `missing` are the paths that the library does not have; they count as not found.
    `wrong` are those that should not be among its hits, with their ranks.
    """

    golden: Golden
    measures: Mapping[str, float | None]
    missing: tuple[str, ...]
    wrong: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class GoldenEvaluation:
    """How well a library answers golden queries: the means, and each answer."""

    mean: dict[str, float]
    answers: tuple[Answer, ...]
    space: str
    failures: tuple[Failure, ...] = ()  # a path that is missing is one of its answer
    measured: Mapping[str, Measured] = field(default_factory=dict)

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
            row = "".join(f"{_cell(name, answer.measures[name]):>10}" for name in columns)
            lines.append(f"{row}   {answer.golden.query}")
            lines += [f"{'':43}wrong at {rank}: {name}" for name, rank in answer.wrong.items()]
            lines += [f"{'':43}not in the library: {name}" for name in answer.missing]
        return [*lines, ""]

    def facts(self) -> dict[str, object]:
        """Return the keys of its JSON."""
        answers = [
            {
                "query": answer.golden.query,
                "line": answer.golden.line,
                "first": answer.measures["median_rank"],
                **{name: value for name, value in answer.measures.items() if name != "median_rank"},
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
    every = read_golden(place)
    with Library.open(library, space=space, embedder=embedder) as opened:
        with closing(Catalog.open(opened.folder)) as catalog:
            resolve = Resolver(catalog, place.absolute().parent)
            found = []
            for done, golden in enumerate(every, 1):
                found.append(_ask(opened, resolve, golden, place))
                progress(done, len(every))
        return _measured(every, found, opened.embedder.name)


def is_golden(path: Path) -> bool:
    """Say whether a file is of golden queries rather than of captions; raises EvaluationError."""
    number, row = next(rows(path, EITHER))
    if not row.keys() & {"query", "image"}:
        raise EvaluationError(f"{path}, line {number}: expected {EITHER}.")
    return "query" in row


def read_golden(path: Path) -> list[Golden]:
    """Read golden queries; raises EvaluationError naming the line."""
    return [_golden(row, number, f"{path}, line {number}:") for number, row in rows(path, EXPECTED)]


def _golden(row: Mapping[str, object], line: int, where: str) -> Golden:
    """Check one line."""
    if unknown := row.keys() - {"query", "relevant", "not_relevant", "kind", "k"}:
        raise EvaluationError(f"{where} there is no key {sorted(unknown)[0]!r} in {EXPECTED}.")
    (query,) = texts([row.get("query")], f"{where} expected {EXPECTED}.")
    relevant = names(row.get("relevant"), f"{where} relevant must be a list of paths.")
    if not relevant:
        raise EvaluationError(f"{where} relevant must name at least one path.")
    unwanted = names(row.get("not_relevant", []), f"{where} not_relevant must be a list of paths.")
    kind = row.get("kind", [])
    kinds = names(
        [kind] if isinstance(kind, str) else kind, f"{where} kind must be a name or a list of them."
    )
    k = row.get("k", DEPTH)
    if not isinstance(k, int) or k < 1:
        raise EvaluationError(f"{where} k must be a number of hits, 1 or more.")
    try:
        filters(kinds)
    except QueryError as error:
        raise EvaluationError(f"{where} {error}") from error
    return Golden(line, query, tuple(dict.fromkeys(relevant)), unwanted, kinds, k)


class Resolver:
    """What a path means in a library: a content, so that a copy of the file is as good."""

    def __init__(self, catalog: Catalog, beside: Path) -> None:
        self.catalog = catalog
        self.folders = [beside, *(root.path for root in roots(catalog))]

    def __call__(self, name: str) -> int | None:
        """Return the content of a path relative to the file of queries or to a root, None without one."""
        places = (os.path.abspath(folder / os.path.expanduser(name)) for folder in self.folders)
        contents = (self.catalog.content_at(Path(place)) for place in places)
        return next((content for content in contents if content is not None), None)


@dataclass(frozen=True, slots=True)
class Found:
    """One list of hits: which of them stand equal, are relevant, are wrong."""

    levels: list[float]
    relevant: list[bool]
    wrong: list[bool]
    wanted: int
    missing: tuple[str, ...]
    offenders: Mapping[str, int]


def _ask(library: Library, resolve: Resolver, golden: Golden, file: Path) -> Found:
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
    for hit, level in zip(hits, _levels(hits), strict=True):
        ranked.setdefault(resolve.catalog.content_at(hit.path) or hit.path, level)
    missing = tuple(name for name, place in places.items() if place is None)
    ranks = {place: rank for rank, place in enumerate(ranked, 1)}
    return Found(
        levels=list(ranked.values()),
        relevant=[place in relevant for place in ranked],
        wrong=[place in unwanted for place in ranked],
        wanted=len(relevant) + sum(places[name] is None for name in golden.relevant),
        missing=missing,
        offenders={name: ranks[places[name]] for name in golden.not_relevant if places[name] in ranks},
    )


def _levels(hits: Sequence[Hit]) -> Iterator[float]:
    """Yield scores that fall with the list, equal where two neighbours' scores and kinds are."""
    level, last = 0.0, None
    for hit in hits:
        level -= (hit.score, hit.kind, hit.confidence) != last
        last = (hit.score, hit.kind, hit.confidence)
        yield level


def _measured(every: Sequence[Golden], found: Sequence[Found], space: str) -> GoldenEvaluation:
    depth = max(1, *(len(one.levels) for one in found))
    scores = np.full((len(found), depth), -np.inf, np.float32)
    relevant, wrong = np.zeros((len(found), depth), bool), np.zeros((len(found), depth), bool)
    for row, one in enumerate(found):
        size = len(one.levels)
        scores[row, :size], relevant[row, :size], wrong[row, :size] = one.levels, one.relevant, one.wrong
    ranking = Ranking.of(scores, relevant, np.array([one.wanted for one in found]))
    each = {**measures(ranking), "clean@10": _clean(scores, wrong, every)}
    curve = 100 * np.cumsum(ranking.first[:, :CURVE], axis=1).mean(axis=0)
    lines = np.array([golden.line for golden in every])
    measured = Measured(each, curve, lines, lines)
    answers = tuple(
        Answer(golden, {name: _number(name, each[name][row]) for name in each}, one.missing, one.offenders)
        for row, (golden, one) in enumerate(zip(every, found, strict=True))
    )
    return GoldenEvaluation(measured.summary(), answers, space, measured={"golden": measured})


def _clean(scores: NDArray[np.float32], wrong: Flags, every: Sequence[Golden]) -> NDArray[np.float64]:
    """Return 1 where none of the first ten is wrong, else 0; NaN where nothing would be."""
    clean = 1 - hit_at(Ranking.of(scores, wrong), 10)
    return np.where([bool(golden.not_relevant) for golden in every], clean, np.nan)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if name == "median_rank" else f"{value:.1f}" if "recall" in name else f"{value:.3f}"


def _number(name: str, value: float) -> float | None:
    return digits(name, value) if np.isfinite(value) else None
