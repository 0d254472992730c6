"""What a library is and which models there are, as pages of text."""

from pathlib import Path

import click

from retrieval import formatting
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.types import Failure, Status


def describe_status(status: Status) -> str:
    """Return the status as a page of text."""
    space = status.space
    held = formatting.format_segment_counts(status.segments) or "nothing yet"
    lines = [f"Library  {status.folder} ({formatting.format_bytes(status.size)})", f"Holds    {held}"]
    if status.kept:
        lines.append(
            f"         {formatting.pluralize(status.kept, 'segment')} kept of files that are gone "
            "(`clew forget --purge`)"
        )
    for root in status.roots:
        states = [f"{root.present:,} files"] * bool(root.present or not root.offline)
        states += [f"{root.offline:,} offline"] * bool(root.offline)
        states += [f"{root.failed:,} could not be read"] * bool(root.failed)
        away = "; not there now" if root.state == "offline" else ""
        lines.append(f"Folder   {formatting.printable(str(root.path))}: {', '.join(states)}{away}")
        lines.append(f"         last scanned {root.scanned or 'never'}")
    if space is not None:
        lines.append(f"Model    {space.name}, {space.dim} dimensions, {space.fingerprint[:12]}")
        if status.precision:
            lines.append(f"         {status.precision}")
        if not space.complete:
            lines.append("         some segments wait for their files to be there (`clew index`)")
        lines += [
            f"Index    {file.kind}: {file.method}, {file.count:,} vectors, "
            f"{formatting.format_bytes(file.size)}, "
            f"recall@10 {file.recall:.3f} against exact when built"
            for file in space.indexes
        ]
        if not space.indexes:
            lines.append("Index    none yet; every vector is compared")
        if status.tail:
            lines.append(f"         {formatting.pluralize(status.tail, 'newer vector')} compared one by one")
    lines.append(f"Thumbs   {_thumbnail_usage(status)}")
    lines += [
        f"Beside   {name}: {formatting.pluralize(count, 'vector')} (`clew forget --space` deletes them)"
        for name, count in status.spaces.items()
        if space is None or name != space.name
    ]
    read = ["text in pictures"] * status.ocr + [f"speech, by {status.speech}"] * bool(status.speech)
    read += [f"sounds, by {status.sounds}"] * bool(status.sounds)
    lines += [f"Reads    {'; '.join(read)}"] * bool(read)
    if any(root.failed for root in status.roots):
        lines.append("`clew status --errors` lists the files that could not be read.")
    return "\n".join(lines) + "\n"


def describe_failures(failures: list[Failure], as_json: bool) -> str:
    """Return path and reason of each, tabs between."""
    if as_json:
        return formatting.to_json(failures) + "\n"
    return "".join(f"{formatting.one_line(str(f.path))}\t{formatting.one_line(f.reason)}\n" for f in failures)


def _thumbnail_usage(status: Status) -> str:
    """Say how much room thumbnails take, and what to do where there is no more."""
    if not status.thumbnail_limit:
        return "off (`clew index --thumbnails 2GB` keeps them)"
    limit = formatting.format_bytes(status.thumbnail_limit)
    held = f"{formatting.format_bytes(status.thumbnails)} of {limit} at most"
    full = "; full, so what is new gets none (`clew index --thumbnails SIZE`)"
    return held + full * status.thumbnails_full


@click.command("status")
@click.option("--errors", is_flag=True, help="List the files that could not be read, and why.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
def status_command(library: Path, errors: bool, as_json: bool) -> None:
    """Show what the library holds and how it was made."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        if errors:
            write(describe_failures(opened.failures(), as_json))
        else:
            status = opened.status()
            write(formatting.to_json(status) + "\n" if as_json else describe_status(status))
            note(opened.damage)
