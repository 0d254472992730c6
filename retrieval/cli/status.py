"""clew status: show the contents and settings of a library."""

from importlib.util import find_spec
from pathlib import Path

import click

from retrieval import formatting
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.errors import ModelOutdated
from retrieval.file_systems import RemotePath
from retrieval.types import Failure, IndexFile, Root, RunProgress, Space, Status


@click.command("status", cls=ClewCommand)
@click.option(
    "--errors", is_flag=True, help="List files that could not be read, or only in part, with the reason."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
def status_command(library: Path, errors: bool, as_json: bool) -> None:
    """Show what the library contains and how it was made."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        if errors:
            write(describe_failures(opened.failures(), as_json))
        else:
            status = opened.status()
            write(formatting.to_json(status) + "\n" if as_json else describe_status(status))
            note(opened.damage)
            if opened.is_outdated:
                note(str(ModelOutdated()))


def describe_status(status: Status) -> str:
    """Return the status as lines of a label and its value."""
    segments = formatting.format_segment_counts(status.segments) or "nothing yet"
    rows = [
        ("Library", f"{formatting.printable(str(status.folder))} ({formatting.format_bytes(status.size)})"),
        ("Contents", segments),
    ]
    if status.indexing is not None:
        rows.append(("Indexing", _describe_run(status.indexing)))
    if status.kept:
        deleted = f"{formatting.pluralize(status.kept, 'segment')} of deleted files"
        rows.append(("", f"{deleted}, kept until `clew forget --purge`"))
    for root in status.roots:
        rows += [("Folder", _describe_root(root)), ("", f"last scanned {root.scanned or 'never'}")]
        rows += [("", f"without {', '.join(map(formatting.printable, root.exclude))}")] * bool(root.exclude)
        included = ["hidden files"] * root.hidden + ["files in archives"] * root.archives
        rows += [("", f"with {' and '.join(included)}")] * bool(included)
    if status.space is not None:
        rows += _describe_space(status, status.space)
    rows.append(("Thumbs", _thumbnail_usage(status)))
    rows += [
        ("Unused", f"{name}: {formatting.pluralize(count, 'vector')} (`clew forget --space` deletes them)")
        for name, count in status.spaces.items()
        if status.space is None or name != status.space.name
    ]
    reads = ["text in images (OCR)" + _missing_extra("rapidocr", "ocr")] * status.ocr
    reads += [f"speech, by {status.speech}" + _missing_extra("faster_whisper", "audio")] * bool(status.speech)
    reads += [f"sound events, by {status.sounds}"] * bool(status.sounds)
    if reads:
        rows.append(("Reads", "; ".join(reads)))
    lines = [f"{label:<9}{value}" for label, value in rows]
    if any(root.failed or root.partial for root in status.roots):
        lines.append("`clew status --errors` lists the files that could not be read, or only in part.")
    return "\n".join(lines) + "\n"


def describe_failures(failures: list[Failure], as_json: bool) -> str:
    """Return path and reason of each file, separated by a tab, or a JSON array."""
    if as_json:
        return formatting.to_json(failures) + "\n"
    return "".join(f"{formatting.one_line(str(f.path))}\t{formatting.one_line(f.reason)}\n" for f in failures)


def _describe_run(run: RunProgress) -> str:
    """Return the progress of a run by another process."""
    title = formatting.printable(run.title)
    if not run.total:
        return f"{title}: {formatting.pluralize(run.done, 'file')} found so far"
    counts = f"{title}: {run.done:,} of {run.total:,}"
    if run.seconds_left is None:
        return counts
    return f"{counts}, {formatting.format_timestamp(run.seconds_left).partition('.')[0]} left"


def _describe_root(root: Root) -> str:
    states = [formatting.pluralize(root.present, "file")] * bool(root.present or not root.offline)
    states += [f"{root.offline:,} offline"] * bool(root.offline)
    states += [f"{root.failed:,} could not be read"] * bool(root.failed)
    states += [f"{root.partial:,} read in part"] * bool(root.partial)
    state = "; the folder is not available now" if root.state == "offline" else ""
    if isinstance(root.path, RemotePath):
        state = "; found, but not opened"
    return f"{formatting.printable(str(root.path))}: {', '.join(states)}{state}"


def _describe_space(status: Status, space: Space) -> list[tuple[str, str]]:
    """Return rows on the model that answers queries and its indexes."""
    rows = [("Model", f"{space.name}, {space.dim} dimensions, {space.fingerprint[:12]}")]
    if status.precision:
        rows.append(("", status.precision))
    if not space.complete:
        rows.append(
            ("", "some segments have no vector yet: `clew index` adds them once their files are available")
        )
    for file in space.indexes:
        first, *others = describe_index(file)
        rows += [("Index", first), *(("", line) for line in others)]
    if status.vectors_url is not None:
        rows.append(
            ("Server", f"{formatting.printable(status.vectors_url)}: {_describe_publication(status)}")
        )
    if not space.indexes:
        rows.append(("Index", "none yet; every vector is compared"))
    if status.tail:
        rows.append(("", f"{formatting.pluralize(status.tail, 'newer vector')} compared one by one"))
    return rows


def describe_index(file: IndexFile) -> list[str]:
    """Return lines on an index file: its size and speed, and the recall of an approximate one."""
    size = f"{formatting.pluralize(file.count, 'vector')}, {formatting.format_bytes(file.size)}"
    if file.method == "flat":
        slowest = max((tuning.p50_ms for tuning in file.tunings), default=None)
        time = "" if slowest is None else f", {slowest:.2f} ms a search"
        return [f"{file.kind}: exact, {size}{time}"]
    lines = [f"{file.kind}: {file.method}, {size}, {file.size / max(1, file.count):,.0f} bytes a vector"]
    if not file.tunings:
        lines.append(f"recall@10 {file.recall:.3f} when built; `clew tune` measures words and images")
    for tuning in file.tunings:
        name = "words" if tuning.query_mode == "words" else "images"
        times = f"{tuning.p50_ms:.2f} ms, 95 % within {tuning.p95_ms:.2f} ms"
        lines.append(f"for {name}: recall@10 {tuning.recall:.3f}, {times}")
    return lines


def _describe_publication(status: Status) -> str:
    """Return how many vectors the Milvus server has, and how many changes it lacks."""
    from retrieval.vectors.milvus.published_space import MAX_UNPUBLISHED  # heavy

    published = f"{formatting.pluralize(status.published, 'vector')} published"
    pending = f", {formatting.pluralize(status.unpublished, 'change')} pending (`clew publish` sends them)"
    if status.unpublished > MAX_UNPUBLISHED:
        pending += "; until then searches use the index files"
    return published + pending * bool(status.unpublished)


def _missing_extra(module: str, extra: str) -> str:
    """Return a remark if the extra of an analysis is not installed, else an empty text."""
    return "" if find_spec(module) is not None else f' (not now: pip install "clew-search[{extra}]")'


def _thumbnail_usage(status: Status) -> str:
    """Return the size of the thumbnails and their limit; if it is reached, also how to raise it."""
    if not status.thumbnail_limit:
        return "off (`clew index --thumbnails 2GB` turns them on)"
    limit = formatting.format_bytes(status.thumbnail_limit)
    usage = f"{formatting.format_bytes(status.thumbnails)} of at most {limit}"
    full = "; full, new files get none (`clew index --thumbnails SIZE` raises the limit)"
    return usage + full * status.thumbnails_full
