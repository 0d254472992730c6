"""What can go wrong, and what to do about it.

ClewError
├── QueryError        the question cannot be asked as it stands
│   └── QuerySyntax      it breaks the grammar, at a column
├── MediaError        one file cannot be read; the rest go on
├── EvaluationError   what to measure by is not as it should be
├── ExtraMissing      an optional part is not installed
├── EmbedderError     a model is unknown or its files are damaged
└── LibraryError
    ├── LibraryMissing   nothing there
    ├── LibraryBusy      another process writes to it
    ├── LibraryVersion   made by a newer or an older clew
    ├── LibraryDamaged   an index file is not the one that was written
    └── SpaceMismatch    vectors of two spaces would meet
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote


class ClewError(Exception):
    """Say what happened, then what to do."""


class QueryError(ClewError):
    """A question that cannot be asked as it stands."""


class QuerySyntaxError(QueryError):
    """A query that breaks the grammar; `column` counts from 1."""

    def __init__(self, query: str, column: int, problem: str) -> None:
        self.column = column + 1
        begin = max(0, column - 40)
        shown = "".join(c if c.isprintable() else " " for c in query[begin : begin + 72])
        super().__init__(f"At column {column + 1}: {problem}.\n  {shown}\n  {' ' * (column - begin)}^")


class MediaError(ClewError):
    """A file that cannot be read; the message is the reason, without the path."""


class EvaluationError(ClewError):
    """A captions file, golden queries or a folder of labels that is not as it should be."""


class ExtraMissing(ClewError):
    """An optional part that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an extra: pip install "clew-search[{extra}]"')


class EmbedderError(ClewError):
    """A model that is unknown, or whose files are damaged."""


class LibraryError(ClewError):
    """A library that cannot be used as asked."""


class LibraryMissing(LibraryError):
    """There is no library in this folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"There is no library at {folder}. Make one with `clew index FOLDER`, "
            "or name another with --library DIR."
        )


class LibraryBusy(LibraryError):
    """Another process writes to this library."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"The library at {folder} is being written by {holder}. "
            "Wait until it is done, or stop it; searching goes on meanwhile."
        )


class LibraryVersionMismatch(LibraryError):
    """A library made by another version of clew."""


class LibraryDamaged(LibraryError):
    """An index file that is missing or is not the one that was written."""


class SpaceMismatch(LibraryError):
    """A library of one space was given another; `differs` is what tells two versions of a model apart."""

    def __init__(self, requested: str, library_space: str, differences: str = "") -> None:
        if requested == library_space:
            super().__init__(
                f"{requested} is not what it was when this library was made with it: {differences}. "
                f"`clew switch {quote(requested)}` embeds the library anew, or put back what has changed."
            )
        else:
            super().__init__(
                f"This library was made with {library_space}, so {requested} cannot add to it. "
                f"`clew switch {quote(requested)}` changes its model; leave out --model to go on "
                f"with {library_space}."
            )


def describe_differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Say which parts differ, and how."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    lines = [f"{name} {old.get(name, 'unknown')}, now {new.get(name, 'unknown')}" for name in changed]
    return "; ".join(lines) or "its fingerprint"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message without its final period, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
