"""A door that stays open: `clew watch`, and what `clew index --watch` does after its scan."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.params import Duration
from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import printable, to_json

if TYPE_CHECKING:
    from indexer.operations.report import Report
    from indexer.watch.change_log import Change


@click.command("watch")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--every",
    type=Duration(),
    default="10m",
    show_default=True,
    help="Scan everything so often, for what the system did not tell.",
)
@click.option("--json", "as_json", is_flag=True, help="Each change as one JSON object a line, on stdout.")
@library_option
def watch_command(folders: tuple[Path, ...], every: float, as_json: bool, library: Path) -> None:
    """Index FOLDERS, or all indexed folders, and follow what changes there until Ctrl-C.

    A file that is saved can be found within two seconds; one that is still being written waits until it is
    whole. The library is held only while something is written, so that other commands go on.
    """
    if not folders and not (library / CATALOG_FILE).exists():
        raise click.UsageError("Give the folder to watch, as in: clew watch ~/Pictures")

    def show(report: "Report") -> None:
        for line in [str(report), *report.notes]:
            note(line)

    run_watch(folders, show, as_json, library=library, rescan_seconds=every)


def run_watch(
    folders: Sequence[Path], on_initial_scan: Callable[["Report"], None], as_json: bool, **options: Any
) -> None:
    """Watch until Ctrl-C, which ends with exit code 130, or until told to end, which is 0."""
    from indexer.watch.watcher import watch_library

    stop, asked = Event(), set[int]()

    def end(number: int, _: object) -> None:
        asked.add(number)
        stop.set()  # an interrupt that comes while Python tidies up is lost
        raise KeyboardInterrupt

    def show(change: "Change") -> None:
        if as_json:
            write(to_json(change) + "\n")
        else:
            note(describe_change(change))

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with quiet_decoders(), ProgressBar() as bar:

            def say_begun(report: "Report") -> None:
                bar.stop()
                on_initial_scan(report)
                if not report.interrupted:
                    note("Watching; Ctrl-C ends it.")

            watch_library(
                folders,
                on_change=show,
                on_initial_scan=say_begun,
                progress=bar.advance,
                notify=note,
                stop=stop,
                **options,
            )
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    note("Stopped; what is done is kept.")
    if signal.SIGTERM not in asked:
        raise SystemExit(130)


def describe_change(change: "Change") -> str:
    """Return what became of a file as one line."""
    was = f"{change.was} -> " if change.was else ""
    why = f": {change.reason}" if change.reason else ""
    return printable(f"{change.change:8} {was}{change.path}{why}")
