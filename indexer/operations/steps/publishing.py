"""Publish the changes of a run to the Milvus server of the library."""

from indexer.maintenance.publish.outbox import is_publish_due
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, no_progress


def publish_if_due(
    writer: LibraryWriter, token: str | None, notify: Notify, progress: Progress = no_progress
) -> bool:
    """Send the changes to the server, if the library has one; return False if that is interrupted.

    If the server cannot be reached, a message is sent, and the next publish sends the changes.
    """
    if not is_publish_due(writer):
        return True
    from indexer.maintenance.publish.publish import publish_changes  # heavy

    return publish_changes(writer, token, notify, progress)
