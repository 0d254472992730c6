"""Write results to stdout and messages to stderr."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from textwrap import fill
from typing import TextIO

import click

from retrieval.file_systems import RemotePath
from retrieval.formatting import printable


def relative_path(path: str | Path) -> str:
    """Return the path relative to the current folder, or the absolute path if that is shorter."""
    if isinstance(path, RemotePath):
        return str(path)
    return min(os.path.relpath(path), str(path), key=len)


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if a stream is a terminal; it is None if the shell closed it, as `>&-` does."""
    return stream is not None and stream.isatty()


def write(text: str) -> None:
    """Write results to stdout; file names keep their bytes, even if those are not UTF-8.

    In a terminal, names are escaped, which may hold escape sequences.
    """
    if is_terminal(sys.stdout):
        text = "".join(c if c in "\n\t\0" else printable(c) for c in text)
    click.echo(os.fsencode(text), nl=False)


def note(text: str | None) -> None:
    """Write a note to stderr, in a terminal wrapped at words."""
    if text:
        lines = map(printable, text.split("\n"))  # a name may hold escape sequences
        click.echo(wrap("\n".join(lines), terminal_width(sys.stderr)), err=True)


def wrap(text: str, width: int | None, indent: int = 0) -> str:
    """Return the text with long lines wrapped at spaces; indented lines and long words stay as they are.

    A line is continued `indent` columns from the left; tabs become spaces.
    """
    if width is None:
        return text
    return "\n".join(
        line
        if len(line) <= width or line[:1].isspace()
        else fill(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
        for line in text.expandtabs().split("\n")
    )


def terminal_width(stream: TextIO | None) -> int | None:
    """Return the columns of the terminal that shows a stream, None if it is not a terminal."""
    if stream is None or not is_terminal(stream):
        return None
    if (columns := os.environ.get("COLUMNS", "")).isdecimal():
        return int(columns)
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or None
    return None
