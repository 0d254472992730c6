"""Write results to stdout and messages to stderr."""

import os
from pathlib import Path

import click


def relative_path(path: str | Path) -> str:
    """Return the path relative to the current folder, or the absolute path if that is shorter."""
    return min(os.path.relpath(path), str(path), key=len)


def write(text: str) -> None:
    """Write results to stdout; file names keep their bytes, even if those are not UTF-8."""
    click.echo(os.fsencode(text), nl=False)


def note(text: str | None) -> None:
    """Write a note to stderr."""
    if text:
        click.echo(text, err=True)
