"""The protocol of workers, and the workers of this machine."""

import signal
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Protocol

from indexer.distributed.items import WorkItem
from indexer.distributed.job import Job
from indexer.distributed.shard_folder import FolderUnwritable
from indexer.distributed.worker import ItemResult, ItemWorker
from retrieval.errors import EmbedderError, first_line

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

MAX_FAILED_STARTS = 3  # of workers that end before they are ready, one after the other


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a work item."""

    item: WorkItem
    result: ItemResult | None = None
    error: str | None = None  # of an item that may succeed at another time
    is_dead: bool = False  # its worker has ended
    is_fatal: bool = False  # all other items would fail with the same error


class Pool(Protocol):
    """Workers; each does one item at a time. Dead ones are replaced."""

    @property
    def is_idle(self) -> bool:
        """Return True if a worker waits for an item."""
        ...

    @property
    def is_busy(self) -> bool:
        """Return True if an item is being done."""
        ...

    def submit(self, item: WorkItem) -> None:
        """Give an item to an idle worker."""
        ...

    def wait(self) -> Outcome | None:
        """Wait until an item is done, or until another worker is ready. Raises EmbedderError."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class LocalPool:
    """This process as the only worker, with all cores. An item that ends it ends the run."""

    def __init__(self, job: Job) -> None:
        self._worker = ItemWorker(job)
        self._item: WorkItem | None = None

    @property
    def is_idle(self) -> bool:
        """Return True if no item was submitted."""
        return self._item is None

    @property
    def is_busy(self) -> bool:
        """Return True if an item was submitted."""
        return self._item is not None

    def submit(self, item: WorkItem) -> None:
        """Keep an item until `wait`."""
        self._item = item

    def wait(self) -> Outcome:
        """Do the item."""
        item, self._item = self._item, None
        assert item is not None
        return run_item(self._worker, item)

    def close(self) -> None:
        """Do nothing."""


def run_item(worker: ItemWorker, item: WorkItem) -> Outcome:
    """Return the outcome of an item."""
    try:
        return Outcome(item, worker.run(item))
    except FolderUnwritable as error:
        return Outcome(item, error=str(error), is_fatal=True)
    except Exception as error:  # of a disk, an object store or a model; the scheduler tries again
        return Outcome(item, error=f"{type(error).__name__}: {first_line(error)}")


@dataclass(slots=True)
class _Process:
    """A worker process, its connection and its current item."""

    process: "SpawnProcess"
    connection: Connection
    is_ready: bool = False
    item: WorkItem | None = None


class ProcessPool:
    """Processes of this machine."""

    def __init__(self, job: Job, count: int) -> None:
        self._job, self._failed_starts = job, 0
        self._processes = [self._start() for _ in range(count)]

    def _start(self) -> _Process:
        context = get_context("spawn")
        own, other = context.Pipe()
        process = context.Process(target=_serve, args=(other, self._job), daemon=True)
        process.start()
        other.close()
        return _Process(process, own)

    @property
    def is_idle(self) -> bool:
        """Return True if a process is ready and has no item."""
        return any(each.is_ready and each.item is None for each in self._processes)

    @property
    def is_busy(self) -> bool:
        """Return True if a process has an item."""
        return any(each.item is not None for each in self._processes)

    def submit(self, item: WorkItem) -> None:
        """Send an item to an idle process; if it has just ended, `wait` returns that."""
        process = next(each for each in self._processes if each.is_ready and each.item is None)
        process.item = item
        try:
            process.connection.send(item)
        except OSError:
            process.connection.close()

    def wait(self) -> Outcome | None:
        """Wait for a message or the end of a process; a process that has ended is replaced."""
        for at, process in enumerate(self._processes):
            if process.connection.closed:
                return self._replace(at)
        ready = wait([each.connection for each in self._processes])
        at = next(at for at, each in enumerate(self._processes) if each.connection is ready[0])
        process = self._processes[at]
        try:
            message = process.connection.recv()
        except (EOFError, OSError):
            return self._replace(at)
        if isinstance(message, Outcome):
            process.item = None
            return message
        if message is not None:
            raise EmbedderError(message)
        process.is_ready, self._failed_starts = True, 0
        return None

    def _replace(self, at: int) -> Outcome | None:
        dead = self._processes[at]
        dead.connection.close()
        dead.process.join()
        if not dead.is_ready:
            self._failed_starts += 1
            if self._failed_starts == MAX_FAILED_STARTS:
                raise EmbedderError(
                    f"{MAX_FAILED_STARTS} workers have ended while they loaded the model (exit code "
                    f"{dead.process.exitcode}). The memory may not suffice: use fewer --workers."
                )
        self._processes[at] = self._start()
        return None if dead.item is None else Outcome(dead.item, is_dead=True)

    def close(self) -> None:
        """End the processes at once; a shard that is being written is lost."""
        for each in self._processes:
            each.process.terminate()
        for each in self._processes:
            each.process.join()
            each.connection.close()


def _serve(connection: Connection, job: Job) -> None:
    """Do the items of a connection until it is closed, also by the end of the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    try:
        worker = ItemWorker(job)
    except Exception as error:
        connection.send(f"{first_line(error)}.")
        return
    connection.send(None)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        connection.send(run_item(worker, item))
