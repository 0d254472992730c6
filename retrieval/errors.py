"""Errors of clew. A message says what happened, then what to do.

ClewError
├── QueryError              a query or an argument is invalid
│   └── QuerySyntaxError    a query breaks the grammar, at a column
├── MediaError              a file cannot be read
├── EvaluationError         captions, golden queries or labels are invalid
├── ExtraMissing            an optional dependency is not installed
├── EmbedderError           a model is unknown or damaged
│   └── ModelOutdated       the library was made with an earlier built-in model
├── VectorServerError       a Milvus server cannot be used
└── LibraryError            a library cannot be used
    ├── LibraryMissing           the folder has no library
    ├── LibraryBusy              another process writes to it
    ├── LibraryVersionMismatch   another version of clew made it
    ├── LibraryDamaged           an index file is missing or has changed
    └── SpaceMismatch            the model is not the one of the library
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote


class ClewError(Exception):
    """Base class of the errors of clew."""


class QueryError(ClewError):
    """An invalid query or argument."""


class QuerySyntaxError(QueryError):
    """A query that breaks the grammar; `column` counts from 1."""

    def __init__(self, query: str, column: int, problem: str) -> None:
        self.column = column + 1
        begin = max(0, column - 40)
        shown = "".join(c if c.isprintable() else " " for c in query[begin : begin + 72])
        super().__init__(f"Column {column + 1}: {problem}.\n  {shown}\n  {' ' * (column - begin)}^")


class MediaError(ClewError):
    """A file that cannot be read; the message is the reason, without the path."""


class EvaluationError(ClewError):
    """An invalid captions file, golden query or folder of labels."""


class ExtraMissing(ClewError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        self.feature, self.extra = feature, extra
        super().__init__(f'{feature} requires an extra: pip install "clew-search[{extra}]"')

    def __reduce__(self) -> tuple[type["ExtraMissing"], tuple[str, str]]:
        """Return how to restore an error of a subprocess."""
        return type(self), (self.feature, self.extra)


class EmbedderError(ClewError):
    """A model that is unknown or damaged."""


class ModelOutdated(EmbedderError):
    """A version of the built-in model that is no longer part of clew."""

    def __init__(self) -> None:
        super().__init__(
            "This library was indexed with an earlier version of the built-in model, which this version of "
            "clew no longer has, so words are only searched for as keywords. Run `clew switch builtin` to "
            "embed the library with the current version."
        )


class VectorServerError(ClewError):
    """A Milvus server that cannot be used; the vectors of the library are complete without it."""


class LibraryError(ClewError):
    """A library that cannot be used."""


class LibraryMissing(LibraryError):
    """A folder without a library."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"No library at {folder}. Create one with `clew index FOLDER`, or use --library DIR to open "
            "another."
        )


class LibraryBusy(LibraryError):
    """A library that another process writes to."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"The library at {folder} is in use by {holder or 'another process'}. Wait until it ends, or "
            "stop it. Searches work meanwhile."
        )


class LibraryVersionMismatch(LibraryError):
    """A library made by another version of clew."""


class LibraryDamaged(LibraryError):
    """An index file that is missing or has changed since it was written."""


class SpaceMismatch(LibraryError):
    """A model that is not the one of the library, or another version of it."""

    def __init__(self, requested: str, library_space: str, differences: str = "") -> None:
        if requested == library_space == "builtin":
            super().__init__(
                f"The built-in model has changed since this library was created ({differences}). Run `clew "
                "switch builtin` to embed the library with the current version."
            )
        elif requested == library_space:
            super().__init__(
                f"The model {requested} has changed since this library was created ({differences}). "
                f"Run `clew switch {quote(requested)}` to re-embed the library, or restore the original "
                "model files."
            )
        else:
            super().__init__(
                f"This library uses the model {library_space}, not {requested}. Run "
                f"`clew switch {quote(requested)}` to change the model, or leave out --model to use "
                f"{library_space}."
            )


def describe_differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the parts of a fingerprint that differ, with both values."""
    if "version" in new:  # of the built-in model, which had none at first
        return f"version {old.get('version', 1)}, now version {new['version']}"
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    parts = [f"{name} {old.get(name, 'unknown')}, now {new.get(name, 'unknown')}" for name in changed]
    return "; ".join(parts) or "its fingerprint"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message without its final period, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
