"""Read JSON lines that were written by hand; errors name the line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.errors import EvaluationError, MediaError
from retrieval.media.regular_file import open_regular_file
from retrieval.normalization import without_surrogates


def read_objects(path: Path, expected: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and object of each line that is not blank; raises EvaluationError."""
    try:
        with open_regular_file(os.fspath(path)) as file:
            lines = file.read().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError, MediaError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluationError(f"{path} cannot be read: {reason}.") from error
    empty = True
    for number, line in enumerate(lines, 1):
        if line.strip():
            empty = False
            yield number, _parse_object(line, f"{path}, line {number}: expected {expected}.")
    if empty:
        raise EvaluationError(f"{path} is empty. Each line must be {expected}.")


def parse_texts(value: object, message: str) -> tuple[str, ...]:
    """Return a list of texts as a tuple, with unpaired surrogates replaced; raises EvaluationError."""
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise EvaluationError(message)
    return tuple(without_surrogates(text) for text in value)


def parse_paths(value: object, message: str) -> tuple[str, ...]:
    """Return a list of paths as a tuple; raises EvaluationError if a file system cannot contain one."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise EvaluationError(message)
    try:
        is_valid = b"\0" not in b"".join(map(os.fsencode, value))
    except UnicodeEncodeError:
        is_valid = False
    if not is_valid:
        raise EvaluationError(message)
    return tuple(value)


def _parse_object(line: str, message: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(message) from error
    if not isinstance(row, dict):
        raise EvaluationError(message)
    return row
