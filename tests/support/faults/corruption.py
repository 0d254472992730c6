"""Damage files of a library: bytes that change, and files that end early.

Damage is detected or harmless if `verify` reports it or the answers are equal. After a repair and a run of
the indexer the answers equal those before. A control without checksums shows that wrong answers are seen.
"""

import os
import random
import resource
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer import verify_library
from indexer.store.durability.log_frames import log_frames
from retrieval import Library
from retrieval.catalog.connection import log_path
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE, PARITY_FILE
from retrieval.errors import ClewError
from tests.support.faults import media
from tests.support.faults.interpose import Action, Fault
from tests.support.faults.operations import OPERATIONS, active_embedder
from tests.support.faults.workplace import Findings, Plan, Tally, Workplace, copy_library

QUERIES = ("red", "blue green", "kind:text yellow", "name:png red")
REDUCED_CASES, FULL_CASES = (60, 20), (1_000, 300)  # changed bytes and truncations
MEMORY_BYTES = 6 << 30
HEADER_BYTES = 200
END_OF_LOG = 3  # pages
Answers = list[list[Any]]


@dataclass(frozen=True, slots=True)
class Damage:
    """A change of one file of a library."""

    file: str  # its path in the library
    at: int  # byte
    value: int | None  # of the bits that change; None cuts the file there
    keeps_time: bool  # the file keeps its mtime, as on a failing disk

    def __str__(self) -> str:
        action = "cut" if self.value is None else f"bits {self.value:02x}"
        return f"{self.file}, {action} at {self.at}{', same time' * self.keeps_time}"

    def apply(self, library: Path) -> None:
        path = library / self.file
        status = path.stat()
        if self.value is None:
            os.truncate(path, self.at)
        else:
            with path.open("r+b") as file:
                byte = os.pread(file.fileno(), 1, self.at)[0]
                os.pwrite(file.fileno(), bytes([byte ^ self.value]), self.at)
        if self.keeps_time:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def corruptions(workplace: Workplace, plan: Plan) -> Tally:
    """Damage copies of a library, one after the other."""
    for name in ("main", "more"):
        media.add_files(workplace.media / name, workplace.random("corruption", name), 30)
    base = workplace.folder / "base"
    workplace.complete("index", base)
    expected = workplace.server.run("corruption:read_answers", library=str(base)).result
    killed = make_killed(workplace)
    before = workplace.server.run("corruption:read_answers", library=str(killed)).result
    tally, kinds = plan.tally(), {"detected": 0, "harmless": 0}
    flips, truncations = FULL_CASES if plan.full or plan.case else REDUCED_CASES
    cases = [(base, expected, damage) for damage in damages(base, workplace, flips, truncations)]
    cases += [(killed, before, damage) for damage in log_damages(killed, workplace, flips // 10)]
    for number, (damaged, answers, damage) in enumerate(cases, 1):
        if not plan.selects(str(damage)):
            continue
        plan.progress(f"{number} of {len(cases)}: {damage}")
        library = copy_library(damaged, workplace.library)
        damage.apply(library)
        arguments = {"library": str(library), "media": str(workplace.media), "before": answers}
        outcome = workplace.server.run("corruption:judge", **arguments, expected=expected)
        result = outcome.result or {"problems": [f"the process died: {outcome.output[-800:]}"]}
        kinds[result.get("kind", "detected")] += 1
        tally.add(str(damage), Findings(lost=len(result["problems"]), problems=result["problems"]))
    tally.notes.append(f"{kinds['detected']} detected, {kinds['harmless']} harmless")
    tally.notes.append(control(workplace, base, expected))
    return tally


def damages(base: Path, workplace: Workplace, flips: int, truncations: int) -> Iterator[Damage]:
    """Yield damages: half of them in any file, half in proportion to the sizes of the files.

    Each depends only on the seed and its number, so that fewer cases are a part of more.
    """
    files = [path for path in sorted(base.rglob("*")) if path.is_file() and path.stat().st_size]
    for kind, count in (("flip", flips), ("cut", truncations)):
        for number in range(count):
            yield _damage(base, files, workplace.random(kind, number), kind == "flip", number % 2 == 0)


def make_killed(workplace: Workplace) -> Path:
    """Return a library that is killed while it is made: its log has most of it."""
    killed, share = workplace.folder / "killed", 0.8
    number = int(share * workplace.interposer.control.count)  # of the last operation
    workplace.run("index", killed, Fault(Action.KILL_BEFORE, number, number))
    return killed


def log_damages(killed: Path, workplace: Workplace, count: int) -> Iterator[Damage]:
    """Yield changed bytes of the log of a killed process, before its last pages.

    If bytes at its end change, or if it ends early, it looks as if the process had been killed before.
    """
    log = log_path(killed / CATALOG_FILE)
    frames = [content for _, content in log_frames(log)]
    for number in range(count):
        random_ = workplace.random("log", number)
        at = random_.randrange(log.stat().st_size - END_OF_LOG * len(frames[0]))
        yield Damage(log.name, at, 1 << random_.randrange(8), keeps_time=False)


def _damage(
    base: Path, files: Sequence[Path], random_: random.Random, is_flip: bool, by_size: bool
) -> Damage:
    path = random_.choices(files, [path.stat().st_size for path in files] if by_size else None)[0]
    size = path.stat().st_size
    is_header = path.suffix == ".faiss" and random_.random() < 0.5
    at = random_.randrange(min(size, HEADER_BYTES) if is_header else size)
    value = 1 << random_.randrange(8) if is_flip else None
    return Damage(str(path.relative_to(base)), at, value, random_.random() < 0.5)


def control(workplace: Workplace, base: Path, expected: Answers) -> str:
    """Change vectors in a library without checksums; raise RuntimeError if no answer is wrong."""
    data = (base / CATALOG_FILE).read_bytes()
    with closing(sqlite3.connect(base / CATALOG_FILE)) as db:
        vectors = [row[0] for row in db.execute("SELECT DISTINCT vector FROM vectors_1 LIMIT 8")]
    wrong = 0
    for vector in vectors:
        library = copy_library(base, workplace.library)
        for at in range(1, len(vector), 2):  # the exponents of float16
            Damage(CATALOG_FILE, data.index(vector) + at, 0x40, keeps_time=False).apply(library)
        for name in (CHECKSUMS_FILE, PARITY_FILE):
            (library / name).unlink()
        arguments = {"library": str(library), "media": str(workplace.media), "before": expected}
        outcome = workplace.server.run("corruption:judge", **arguments, expected=expected)
        wrong += outcome.result is None or bool(outcome.result["problems"])
    if not wrong:
        raise RuntimeError("The control, a library without checksums, has no wrong answer.")
    return f"control without checksums: {wrong} of {len(vectors)} changed vectors give wrong answers"


def read_answers(library: str) -> Answers:
    """Return the hits of the queries, without ids, which a recovered library changes."""
    folder = Path(library)
    with Library.open(folder, embedder=active_embedder(folder)) as opened:
        hits = [hit for words in QUERIES for hit in opened.search(words, count=200)]
        return sorted([str(hit.path), hit.kind, hit.text or "", round(hit.score, 4)] for hit in hits)


def judge(library: str, media: str, before: Answers, expected: Answers) -> dict[str, Any]:
    """Search, verify and repair a damaged library, and return how it was found and what is wrong.

    `before` are the answers before the damage, and `expected` those after a repair and a run of the indexer.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    folder, problems = Path(library), list[str]()
    embedder = active_embedder(Path(media).parent / "base")
    try:
        answers: Answers | None = read_answers(library)
    except ClewError:
        answers = None
    found = verify_library(folder, embedder=embedder)
    is_found = bool(found.errors or found.warnings)
    if not is_found and answers != before:
        problems.append("wrong answers, and verify finds nothing")
    verify_library(folder, repair=True, embedder=embedder)
    OPERATIONS["index"](folder, Path(media))
    problems += [f"after the repair: {error}" for error in verify_library(folder, embedder=embedder).errors]
    if read_answers(library) != expected:
        problems.append("other answers after the repair")
    return {"kind": "detected" if is_found else "harmless", "problems": problems}
