"""Workers on a Ray cluster."""

import socket
from contextlib import nullcontext
from typing import Any

from indexer.distributed.items import WorkItem
from indexer.distributed.job import Job
from indexer.distributed.pool import Outcome, run_item
from indexer.distributed.worker import ItemWorker
from retrieval.errors import ClewError, EmbedderError, ExtraMissing, first_line
from retrieval.system import cores

LOCAL = "local"  # instead of an address, also for Ray: a cluster of this machine, for this run
CONNECT_SECONDS = 10.0
START_SECONDS = 120.0  # until the first worker is ready
OBJECT_STORE_BYTES = 100 << 20  # only items and counts are sent


def import_ray() -> Any:
    """Return the module ray; raises ExtraMissing."""
    try:
        import ray
    except ImportError as error:
        raise ExtraMissing("A Ray cluster", "ray") from error
    return ray


def check_address(address: str) -> None:
    """Raise ClewError if no process listens at HOST:PORT, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClewError(f"Invalid Ray address {address!r}. Use HOST:PORT, such as 10.0.0.1:6379, or local.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClewError(f"Cannot use the Ray cluster {address}: {first_line(error)}.") from error


class RayWorker:
    """An actor that does items; its errors are outcomes, so that only the end of its process is an error."""

    def __init__(self, job: Job) -> None:
        self._worker = ItemWorker(job)

    def ready(self) -> None:
        """Return when the model is loaded."""

    def run(self, item: WorkItem) -> Outcome:
        """Return what came of an item."""
        return run_item(self._worker, item)


class RayCluster:
    """A connection to a cluster, or a cluster of this machine that ends with it."""

    def __init__(self, address: str, cpus: int) -> None:
        """Connect to an address; LOCAL starts a cluster on the loopback interface. Raises ClewError.

        If this process is connected already, that connection is used and kept.
        """
        self.ray, self._is_own = import_ray(), False
        if self.ray.is_initialized():
            return
        if address != LOCAL:
            check_address(address)
        quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
        local = {
            "address": LOCAL,  # else Ray connects to a cluster that runs on this machine
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
        try:
            with _LoopbackOnly() if address == LOCAL else nullcontext():
                self.ray.init(**(local if address == LOCAL else {"address": address}), **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ClewError(
                f"Cannot use the Ray cluster {address}: {first_line(error)}. If it was started with a token, "
                "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN."
            ) from error
        self._is_own = True

    def close(self) -> None:
        """End the connection, unless it was there before, and a cluster that was started for it."""
        if self._is_own:
            self.ray.shutdown()


class RayPool:
    """Actors that need one CPU each, spread over the nodes. By default one for each node, with all its cores.

    Actors that find no free CPU wait, and the others do all items. Ray schedules nothing else, so that actors
    may take every CPU.
    """

    def __init__(self, job: Job, address: str, count: int | None) -> None:
        """Start actors on the cluster at an address. Raises ExtraMissing and ClewError."""
        self._job, self._cluster = job, RayCluster(address, max(count or 1, cores()))
        self._ray = self._cluster.ray
        nodes = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        actor_options = {"num_cpus": 1, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self._actor_class = self._ray.remote(**actor_options)(RayWorker)
        self._idle: list[Any] = []  # actors
        self._pending: dict[Any, tuple[Any, WorkItem | None]] = {}  # reference -> actor and its item
        for _ in range(count or max(1, len(nodes))):
            self._start()

    def _start(self) -> None:
        actor = self._actor_class.remote(self._job)
        self._pending[actor.ready.remote()] = (actor, None)

    @property
    def is_idle(self) -> bool:
        """Return True if an actor is ready and has no item."""
        return bool(self._idle)

    @property
    def is_busy(self) -> bool:
        """Return True if an actor has an item."""
        return any(item is not None for _, item in self._pending.values())

    def submit(self, item: WorkItem) -> None:
        """Send an item to an idle actor."""
        actor = self._idle.pop()
        self._pending[actor.run.remote(item)] = (actor, item)

    def wait(self) -> Outcome | None:
        """Wait for an actor; one that has died is replaced."""
        timeout = None if self.is_busy else START_SECONDS
        done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        if not done:
            raise ClewError(
                f"No worker was ready after {START_SECONDS:.0f} s: no CPU of the Ray cluster is free, or the "
                "model loads slowly. The same command resumes."
            )
        actor, item = self._pending.pop(done[0])
        try:
            outcome: Outcome | None = self._ray.get(done[0])
        except self._ray.exceptions.RayTaskError as error:
            raise EmbedderError(f"{first_line(error.cause or error)}.") from error
        except self._ray.exceptions.RayActorError as error:
            if isinstance(getattr(error, "cause", None), Exception) or item is None:
                raise EmbedderError(f"A worker cannot start: {_last_line(error)}.") from error
            self._start()
            return Outcome(item, is_dead=True)
        self._idle.append(actor)
        return outcome

    def close(self) -> None:
        """End the actors, and the connection if it was made for them."""
        for actor in [*self._idle, *(actor for actor, _ in self._pending.values())]:
            self._ray.kill(actor)
        self._cluster.close()


class _LoopbackOnly:
    """Makes Ray bind the loopback interface: it replaces 127.0.0.1 by the address of the machine.

    Ray has this as the default of macOS and Windows, which it reads when it is imported.
    """

    def __enter__(self) -> None:
        from ray._private import ray_constants

        self._constants, self._previous = ray_constants, ray_constants.ENABLE_RAY_CLUSTER
        ray_constants.ENABLE_RAY_CLUSTER = False

    def __exit__(self, *error: object) -> None:
        self._constants.ENABLE_RAY_CLUSTER = self._previous


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[-1] if lines else type(error).__name__).strip().rstrip(".")
