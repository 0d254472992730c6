"""Process that publishes a library in children that kill themselves with SIGKILL at a given step.

    python -m tests.support.publish_process LIBRARY ADDRESS

It reads numbers of steps, one a line, and for each writes "killed", or "done" if the publish ended before.
A step is before or after a call to the server, or after a commit of a batch.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

import milvus_lite.adapter.grpc.server
import pymilvus

from indexer.maintenance.publish.outbox import set_server
from indexer.maintenance.publish.publish import PublishRun
from indexer.store.writer import LibraryWriter
from retrieval.vectors.milvus.server import MilvusServer

IMPORTED = (milvus_lite, pymilvus)  # before the fork, so that a child starts fast
BATCH_ROWS = 8


class DyingServer(MilvusServer):
    """A connection that kills its process at a step."""

    def __init__(self, address: str, last_step: int) -> None:
        super().__init__(address)
        self.steps, self.last_step = count(1), last_step

    def step(self, *progress: object) -> None:
        if next(self.steps) == self.last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self, name: str, *arguments: object, **options: object) -> object:
        self.step()
        result = super().call(name, *arguments, **options)
        self.step()
        return result


def publish(folder: str, address: str, last_step: int) -> None:
    server = DyingServer(address, last_step)
    with LibraryWriter(Path(folder)) as writer:
        set_server(writer, server.address.text)
        PublishRun(writer, server, progress=server.step, batch_rows=BATCH_ROWS).run()


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            publish(*sys.argv[1:], int(line))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write("killed\n" if status == -signal.SIGKILL else f"done {status}\n")
        sys.stdout.flush()
