"""clew show: show everything that a library knows of a file."""

import sys
from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, relative_path, terminal_width, wrap, write
from retrieval.cli.options import library_option
from retrieval.errors import QueryError
from retrieval.formatting import (
    format_bytes,
    format_share,
    format_timestamp,
    one_line,
    pluralize,
    printable,
    to_json,
)
from retrieval.types import FileDetails, SegmentDetails

MAX_SEGMENTS = 20  # that are listed; JSON has all
MAX_TEXT_LENGTH = 200  # characters of a text that are shown; JSON has all
TEXTS = {"ocr": "Text in it", "speech": "Speech", "sounds": "Sounds"}  # origin of segments -> label


@click.command("show", cls=ClewCommand)
@click.argument("file", metavar="FILE|#ID")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with all segments and complete texts.")
@library_option
def show_command(file: str, as_json: bool, library: Path) -> None:
    """Show everything that the library knows of a file.

    FILE is a path, and #ID the id of a hit, as a table of hits shows it:

    \b
    clew show photo.jpg
    clew show "#1234"

    The properties, keywords, captions and texts are those of the file and its sidecars. Searches find the
    file by these texts, by its name and folders, and by its appearance. The exit code is 1 if the file is not
    in the library.
    """
    from retrieval.library import Library

    number = file.removeprefix("#")
    is_id = number.isascii() and number.isdigit() and (number != file or not Path(file).exists())
    with Library.open(library) as opened:
        try:
            details = opened.details(int(number[:18]) if is_id else file)
        except QueryError as error:
            note(str(error))
            raise SystemExit(1) from error
    write(to_json(details) + "\n" if as_json else describe_file(details, terminal_width(sys.stdout)))


def describe_file(details: FileDetails, columns: int | None = None) -> str:
    """Return a line for each property, keyword, caption and segment, wrapped to `columns`."""
    rows = [("File", relative_path(details.path) + " (offline)" * details.offline)]
    rows += [("Error", details.error)] if details.error else []
    rows += [("Assumed", details.assumption)] if details.assumption else []
    rows += [("Taken", details.taken.replace("T", " ") + (details.zone or ""))] if details.taken else []
    rows += [("Modified", details.time.replace("T", " "))] if not details.taken else []
    size = [format_bytes(details.size)]
    size += [f"{details.width} x {details.height}"] if details.width else []
    size += [format_timestamp(details.duration)] if details.duration else []
    rows.append(("Size", ", ".join(size)))
    rows += [("Camera", text)] if (text := ", ".join(filter(None, (details.camera, details.lens)))) else []
    if details.latitude is not None:
        rows.append(("Place", f"{details.latitude:.5f},{details.longitude:.5f}"))
    rows += [("Rating", f"{details.rating} of 5")] if details.rating is not None else []
    rows += [("Keywords", f"{', '.join(details.keywords)} (in the file)")] if details.keywords else []
    labels = ", ".join(f"{label.name} {format_share(label.confidence)}" for label in details.labels)
    rows += [("Labels", f"{labels} (by the model)")] if labels else []
    rows += [("Caption", f"{_cut(item.text)} ({item.source.name})") for item in details.captions]
    rows += [(TEXTS[origin], text) for origin in TEXTS if (text := _joined_texts(details, origin))]
    rows += [("Copy", relative_path(copy)) for copy in details.copies]
    rows.append(("Found by", ", ".join(_searchable(details))))
    rows += [(f"#{segment.id}", _describe_segment(segment)) for segment in details.segments[:MAX_SEGMENTS]]
    if len(details.segments) > MAX_SEGMENTS:
        rest = len(details.segments) - MAX_SEGMENTS
        rows.append(("", f"and {pluralize(rest, 'more segment')[:-1]}s (--json lists them)"))
    indent = max(len(label) for label, _ in rows) + 2
    return "".join(wrap(f"{label:{indent}}{printable(text)}", columns, indent) + "\n" for label, text in rows)


def _joined_texts(details: FileDetails, origin: str) -> str:
    return _cut(" ".join(item.text for item in details.segments if item.origin == origin and item.text))


def _searchable(details: FileDetails) -> list[str]:
    """Return the path whose words find the file, and what else a search compares."""
    found = [str(details.path.relative_to(details.root.parent))]
    found += ["keywords"] * bool(details.keywords)
    found += ["captions"] * bool(details.captions)
    found += ["text"] * any(segment.text for segment in details.segments)
    kinds = {segment.kind for segment in details.segments} & {"image", "video", "page"}
    return [*found, *["appearance"] * bool(kinds)]


def _describe_segment(segment: SegmentDetails) -> str:
    """Return the kind, location and text of a segment."""
    parts: list[str] = [segment.kind]
    if segment.page is not None:
        parts.append(f"p. {segment.page}")
    if segment.start is not None and segment.end is not None:
        is_line = segment.kind == "text" and segment.origin == "file"
        parts.append(_span(segment, is_line))
    if segment.box is not None:
        left, top, width, height = segment.box
        parts.append(f"[{width}x{height}+{left}+{top}]")
    return "  ".join([" ".join(parts), *([_cut(segment.text)] if segment.text else [])])


def _span(segment: SegmentDetails, is_line: bool) -> str:
    """Return the lines or the times from start to end."""
    if is_line:
        return f"lines {segment.start:.0f} to {segment.end:.0f}"
    return f"{format_timestamp(segment.start or 0)} to {format_timestamp(segment.end or 0)}"


def _cut(text: str) -> str:
    line = one_line(" ".join(text.split()))
    return line if len(line) <= MAX_TEXT_LENGTH else line[: MAX_TEXT_LENGTH - 1] + "…"
