"""clew watch, and clew serve with --watch: index folders and follow their changes."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.params import Duration
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.operations.options import DEFAULT_OPTIONS, IndexOptions
from indexer.watch.options import WatchOptions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import SIGNALS, end_process, interruptible
from retrieval.cli.options import library_option, milvus_token
from retrieval.cli.serving.serve import serve_command as read_only_serve
from retrieval.errors import ClewError, LibraryMissing
from retrieval.formatting import printable, to_json
from retrieval.system import expand_user, is_server_address

if TYPE_CHECKING:
    from indexer.operations.report import Report
    from indexer.watch.change_log import Change


@click.command("watch", cls=ClewCommand)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--every",
    type=Duration(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Scan all folders at this interval, for changes that the system did not report.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per change.")
@library_option
@interruptible()
def watch_command(folders: tuple[Path, ...], every: float, as_json: bool, library: Path) -> None:
    """Index FOLDERS and follow their changes until Ctrl-C.

    Without FOLDERS, all indexed folders are followed. A saved file can be found within two seconds. A file
    that is still being written is read when it is complete. The library is locked only during updates, so
    other commands can run in between.
    """
    if not folders and not (library / CATALOG_FILE).exists():
        raise click.UsageError("Give a folder to watch, as in: clew watch ~/Pictures")

    def show(report: "Report") -> None:
        for line in [str(report), *report.notes]:
            note(line)

    run_watch(
        folders,
        as_json,
        library=library,
        options=IndexOptions(milvus_token=milvus_token()),
        watch_options=WatchOptions(on_initial_scan=show, rescan_seconds=every),
    )


def run_watch(
    folders: Sequence[Path],
    as_json: bool,
    *,
    library: Path,
    model: str | None = None,
    options: IndexOptions = DEFAULT_OPTIONS,
    watch_options: WatchOptions,
) -> None:
    """Watch until a signal: raise KeyboardInterrupt after Ctrl-C, return after SIGTERM."""
    from indexer.watch.watcher import watch_library

    def show(change: "Change") -> None:
        if as_json:
            write(to_json(change) + "\n")
        else:
            note(describe_change(change))

    with interrupt_on_signal() as (stop, received), quiet_decoders(), ProgressBar() as bar:

        def show_initial_scan(report: "Report") -> None:
            bar.stop()
            watch_options.on_initial_scan(report)
            if not report.interrupted:
                note("Watching for changes. Press Ctrl-C to stop.")

        watch_library(
            folders,
            library=library,
            model=model,
            options=options,
            watch_options=replace(
                watch_options, on_initial_scan=show_initial_scan, on_change=show, stop=stop
            ),
            progress=bar.advance,
            notify=note,
        )
    stopped = "Stopped. Indexed files are kept."
    if signal.SIGTERM not in received:
        raise KeyboardInterrupt(stopped)
    note(stopped)


@contextmanager
def interrupt_on_signal() -> Iterator[tuple[Event, set[int]]]:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM and end quietly; yield an event and the signals.

    A second signal of the same number ends the process at once. The event is set first,
    because an interrupt that arrives during a finalizer is lost.
    """
    stop, received = Event(), set[int]()

    def handle(number: int, _: object) -> None:
        if number in received:
            end_process(number)
        received.add(number)
        stop.set()
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop, received
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def describe_change(change: "Change") -> str:
    """Return a change as one line."""
    source = f"{change.was} -> " if change.was else ""
    reason = f": {change.reason}" if change.reason else ""
    return printable(f"{change.change:8} {source}{change.path}{reason}")


def _serve(watch: bool, **arguments: Any) -> None:
    places = arguments["libraries"] if watch else ()
    folders = [expand_user(place) for place in places if not is_server_address(place)]
    if watch and not folders:
        raise click.UsageError("--watch follows the folders of libraries on this machine. Leave it out.")
    with watch_in_threads(folders):
        read_only_serve.callback(**arguments)  # type: ignore[misc]


serve_command = ClewCommand(
    "serve",
    params=[
        *read_only_serve.params,
        click.Option(["--watch"], is_flag=True, help="Also follow the changes of all indexed folders."),
    ],
    callback=_serve,
    help=read_only_serve.help,
)


@contextmanager
def watch_in_threads(libraries: Sequence[Path]) -> Iterator[None]:
    """Follow the changes of the folders of libraries; an error ends only the watch of one, with a note."""
    from indexer.watch.watcher import watch_library

    for library in libraries:
        if not (library / CATALOG_FILE).exists():
            raise LibraryMissing(library)
    stop = Event()

    def run(library: Path) -> None:
        options = WatchOptions(stop=stop, on_change=lambda change: note(describe_change(change)))
        try:
            token = IndexOptions(milvus_token=milvus_token())
            watch_library(library=library, options=token, watch_options=options, notify=note)
        except ClewError as error:
            note(f"Changes of {library} are not followed: {error}")

    threads = [Thread(target=run, args=(library,), name="clew-watch-library") for library in libraries]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
