"""The outcome of a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

Outcome: TypeAlias = Literal[
    "read", "part", "rejected", "skipped", "crash", "hang", "memory", "traceback", "unreported"
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TITLES: dict[Outcome, str] = {
    "read": "read",
    "part": "read in part",
    "rejected": "rejected with a reason",
    "skipped": "skipped: unsupported format",
    "crash": "crash",
    "hang": "hang",
    "memory": "memory",
    "traceback": "traceback",
    "unreported": "unreported",
}
BAD_OUTCOMES: frozenset[Outcome] = frozenset(("crash", "hang", "memory", "traceback", "unreported"))


@dataclass(frozen=True, slots=True)
class Sample:
    """A file to index: its name, and its path or its bytes."""

    name: str
    source: Path | bytes

    def write(self, folder: Path) -> Path:
        """Write the file into a folder."""
        path = folder / Path(self.name).name
        path.write_bytes(self.source if isinstance(self.source, bytes) else self.source.read_bytes())
        return path


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a file, and the reason."""

    name: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Return True if the file has taken a process down, or was not reported."""
        return self.outcome in BAD_OUTCOMES


def samples_of(folder: Path) -> Iterator[Sample]:
    """Yield the regular files below a folder, by path."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield Sample(str(path.relative_to(folder)), path)
