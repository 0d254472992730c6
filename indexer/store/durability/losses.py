"""The commits that were lost with a damaged log, recorded until a repair has reported them."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from indexer.store.durability.durable_files import write_durably
from indexer.store.durability.log_frames import log_loss
from indexer.store.durability.page_file import open_page_file
from retrieval.catalog.connection import log_path
from retrieval.catalog.schema import CATALOG_FILE, LOSSES_FILE
from retrieval.formatting import pluralize


@dataclass(frozen=True, slots=True)
class Loss:
    """Lost commits, their pages, and when that was found."""

    time: str  # local, ISO 8601
    commits: int
    pages: int

    def __str__(self) -> str:
        return (
            f"The end of the catalog's log was damaged, found {self.time}. Lost: "
            f"{pluralize(self.commits, 'commit')} ({pluralize(self.pages, 'page')}). `clew index` reads the "
            "files again; repeat what you did last, such as `clew tag` or `clew teach`."
        )


def recorded_losses(folder: Path) -> list[Loss]:
    """Return the recorded losses of a library."""
    try:
        lines = (folder / LOSSES_FILE).read_text("utf-8").splitlines()
        return [Loss(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError):  # none, or damaged
        return []


def find_loss(folder: Path) -> Loss | None:
    """Return the loss in the log of a library whose last process has ended. The library is locked."""
    log = log_path(folder / CATALOG_FILE)
    if not log.exists() or not log.stat().st_size or not (folder / CATALOG_FILE).exists():
        return None
    with open_page_file(folder) as file:
        found = log_loss(log, file)
    now = datetime.now().isoformat(" ", "seconds")
    return None if found is None else Loss(now, found.commits, found.frames)


def record_loss(folder: Path, loss: Loss) -> None:
    """Record a loss, before the log that shows it is used; on a full disk it is reported only now."""
    lines = [json.dumps(asdict(each)) for each in (*recorded_losses(folder), loss)]
    with suppress(OSError):
        write_durably(folder / LOSSES_FILE, "".join(f"{line}\n" for line in lines).encode())


def forget_losses(folder: Path) -> None:
    """Delete the record of losses. Raises OSError."""
    (folder / LOSSES_FILE).unlink(missing_ok=True)
