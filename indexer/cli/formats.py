"""clew formats: list the file formats that clew reads."""

from dataclasses import asdict
from textwrap import fill, wrap

import click

from indexer.decode.registry import FILE_FORMATS, SIDECAR_FORMAT, Extra, FileFormat
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import write
from retrieval.formatting import to_json
from retrieval.media.archives.archive import ARCHIVE_SUFFIXES

COLUMN_WIDTHS = (5, 27, 25, 17)  # 80 columns with the gaps


@click.command("formats", cls=ClewCommand)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
def formats_command(as_json: bool) -> None:
    """List the file formats that clew reads.

    Some formats need an extra, which the last column names. A file with a wrong suffix is recognized by its
    content. Files of other formats are counted and skipped.
    """
    formats = (*FILE_FORMATS, SIDECAR_FORMAT)
    if as_json:
        write(to_json([as_dict(file_format) for file_format in formats]) + "\n")
        return
    rows = [("kind", "suffixes", "found by", "extra")]
    rows += [
        (entry.kind, " ".join(entry.suffixes), entry.found_by, describe_extra(entry.extra))
        for entry in formats
    ]
    write("".join(map(format_row, rows)))
    write("\n" + fill(f"In archives, by --archives: {' '.join(ARCHIVE_SUFFIXES)}", 80) + "\n")
    missing = {entry.extra.name for entry in formats if entry.extra and not entry.extra.installed}
    if missing:
        write(f'Install missing extras:\n  pip install "clew-search[{",".join(sorted(missing))}]"\n')


def as_dict(file_format: FileFormat) -> dict[str, object]:
    """Return the public keys of a format; `extra` is None or has a name, a command and `installed`."""
    extra = file_format.extra
    keys = {key: value for key, value in asdict(file_format).items() if key not in ("extra", "decoder")}
    return {
        **keys,
        "extra": extra
        and {"name": extra.name, "install": install_command(extra), "installed": extra.installed},
    }


def install_command(extra: Extra) -> str:
    """Return the shell command that installs an extra."""
    return f'pip install "clew-search[{extra.name}]"'


def describe_extra(extra: Extra | None) -> str:
    """Return the name of an extra and its state."""
    return "" if extra is None else f"{extra.name} ({'installed' if extra.installed else 'not installed'})"


def format_row(cells: tuple[str, ...]) -> str:
    """Return a row of the table; long cells continue on the next lines."""
    columns = [wrap(cell, width) for cell, width in zip(cells, COLUMN_WIDTHS, strict=True)]
    lines = []
    for line in range(max(map(len, columns))):
        parts = [column[line] if line < len(column) else "" for column in columns]
        padded = [f"{part:{width}}" for part, width in zip(parts, COLUMN_WIDTHS, strict=True)]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)
