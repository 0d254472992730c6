"""Notes of an indexing run on network drives, exclude patterns, partly read files and links."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from indexer.operations.report import Report
from indexer.scan.pattern_paths import resolve_pattern
from indexer.scan.targets import ScanTarget, subpath_of
from indexer.store.writer import LibraryWriter
from retrieval.file_systems import network_file_system
from retrieval.formatting import pluralize, printable

MAX_REPORTED_FILES = 10  # partly read files that are named


def network_drive_notes(library: Path) -> Iterator[str]:
    """Yield a note if a library is on a network drive."""
    file_system = network_file_system(library)
    if file_system is not None:
        yield (
            f"The library is on a network drive ({file_system}). Run commands that write "
            "on one machine at a time: SQLite cannot coordinate several. Searches read a private copy of the "
            "catalog; a library on a local disk is faster (--library)."
        )


def unused_pattern_notes(
    patterns: Sequence[str] | None, targets: Sequence[ScanTarget], used: Collection[str]
) -> Iterator[str]:
    """Yield a note for each pattern that has excluded nothing."""
    for pattern in filter(None, patterns or ()):
        if not any(resolve_pattern(pattern, target.root_path) in used for target in targets):
            yield printable(f"--exclude '{pattern}' matches nothing that would be indexed otherwise.")


def partial_file_notes(report: Report, writer: LibraryWriter) -> Iterator[str]:
    """Yield notes on files that were read in part, then on assumptions of decoders.

    Of each at most MAX_REPORTED_FILES are named, and the others counted.
    """
    waiting = [
        f"{os.fsdecode(path)}: {missing:,} of {pluralize(named, 'named image')} "
        f"{'is' if missing == 1 else 'are'} missing; the captions are kept until the files exist."
        for path, missing, named in writer.captions.missing_images()
    ]
    notes = [*report.partly, *waiting]
    yield from map(printable, notes[:MAX_REPORTED_FILES])
    if len(notes) > MAX_REPORTED_FILES:
        more = len(notes) - MAX_REPORTED_FILES
        yield f"{more:,} more files were read only in part; `clew status --errors` lists them."
    yield from map(printable, report.assumed[:MAX_REPORTED_FILES])
    if len(report.assumed) > MAX_REPORTED_FILES:
        more = len(report.assumed) - MAX_REPORTED_FILES
        yield f"Of {pluralize(more, 'more file')} the encoding was detected; `clew show FILE` names it."


def other_link_note(target: ScanTarget) -> str:
    """Return a note on a target in a link that is not followed."""
    folder, real_path = os.fsdecode(target.folder), os.fsdecode(os.path.realpath(target.folder))
    return printable(f"{folder} is a link to {real_path}, which is indexed at another path.")


def own_root_notes(known: Sequence[bytes], targets: Sequence[ScanTarget]) -> Iterator[str]:
    """Yield a note on each new root in a known root."""
    for target in targets:
        outer = next((path for path in reversed(known) if subpath_of(target.root_path, path)), None)
        if target.root_path not in known and outer is not None:
            folder = os.fsdecode(target.root_path)
            yield f"{folder} has its own options now, and is no longer indexed with {os.fsdecode(outer)}."
