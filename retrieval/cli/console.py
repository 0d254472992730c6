"""Write results to stdout and messages to stderr."""

import os
from pathlib import Path

import click


def relative_path(path: str) -> str:
    """Return a path from here, if it is below here."""
    here = str(Path.cwd()) + "/"
    return path.removeprefix(here)


def write(text: str) -> None:
    """Write results to stdout, paths as the bytes they are."""
    click.echo(os.fsencode(text), nl=False)


def note(text: str | None) -> None:
    """Write a note to stderr."""
    if text:
        click.echo(text, err=True)
