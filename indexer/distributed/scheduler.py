"""Give items to workers; retry, split and give up those that end their worker."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from indexer.distributed.items import WorkItem
from indexer.distributed.pool import Outcome, Pool
from indexer.distributed.worker import ItemResult, count_members
from retrieval.errors import ClewError

MAX_DEATHS = 2  # of workers by an item, which is then halved
MAX_ATTEMPTS = 3  # of an item that raises an error
DEADLY_REASON = "it ends the worker process"

GiveUp = Callable[[WorkItem, str], ItemResult]  # writes the shard of an item that is one file


@dataclass(slots=True)
class Schedule:
    """The items that wait, and how often each has failed."""

    pool: Pool
    give_up: GiveUp
    done: Callable[[WorkItem, ItemResult], None]
    deaths: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    again: deque[WorkItem] = field(default_factory=deque)
    failed: dict[str, str] = field(default_factory=dict)  # item -> last error

    def run(self, items: Iterable[WorkItem]) -> None:
        """Do all items. Raises ClewError at the end if an item has failed too often, at once if all would."""
        rest = iter(items)
        while True:
            while self.pool.is_idle and (item := self._next(rest)) is not None:
                self.pool.submit(item)
            if self.pool.is_busy:
                outcome = self.pool.wait()
                if outcome is not None:
                    self._handle(outcome)
            elif self.pool.is_idle:  # nothing was left to submit
                break
            else:
                self.pool.wait()  # for the first worker
        if self.failed:
            name, error = next(iter(self.failed.items()))
            raise ClewError(
                f"{len(self.failed)} shards could not be written; {name}: {error}. The others are complete, "
                "and the same command resumes."
            )

    def _next(self, rest: Iterator[WorkItem]) -> WorkItem | None:
        return self.again.popleft() if self.again else next(rest, None)

    def _handle(self, outcome: Outcome) -> None:
        item = outcome.item
        if outcome.result is not None:
            self.done(item, outcome.result)
        elif outcome.is_dead:
            self.deaths[item.name] += 1
            if self.deaths[item.name] < MAX_DEATHS:
                self.again.append(item)
            else:
                self._split(item)
        elif outcome.is_fatal:
            raise ClewError(outcome.error)
        else:
            self.errors[item.name] += 1
            if self.errors[item.name] < MAX_ATTEMPTS:
                self.again.append(item)
            else:
                self.failed[item.name] = outcome.error or "unknown error"

    def _split(self, item: WorkItem) -> None:
        """Halve an item, until the file that ends the worker is alone and is given up."""
        halves = item.halves(count_members(item))
        if halves is None:
            self.done(item, self.give_up(item, DEADLY_REASON))
        else:
            self.again.extend(halves)
