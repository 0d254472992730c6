"""Read again what an older reader has read: what pictures say of themselves, and how they look.

Nothing is embedded.
"""

from collections.abc import Callable, Iterator, Sequence

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.decode.reader import redecode
from indexer.embed.archive_order import in_archive_order
from indexer.prefetch import prefetch
from indexer.store.writer import LibraryWriter
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import MediaProperties

MAX_BATCH_CONTENTS = 200  # contents a transaction
PREFETCH_PER_THREAD = 8  # contents read ahead, a thread


def refresh_metadata(writer: LibraryWriter, progress: Callable[[int, int], None]) -> int:
    """Write what contents say by today's reader, in batches, each committed; returns how many were read.

    Those whose file is not there, or not as it was, wait for a later run.
    """
    contents = writer.contents.outdated_metadata()
    done, batch = 0, list[tuple[int, MediaProperties]]()
    reads = redecode_contents(writer, contents, writer.embedder)
    for number, (content, decoded) in enumerate(reads, start=1):
        if decoded is not None:
            batch.append((content, decoded.properties))
            writer.thumbnails.save_content(content, decoded.drafts)
        if len(batch) >= MAX_BATCH_CONTENTS or number == len(contents):
            writer.contents.update_metadata(batch)
            done += len(batch)
            batch = []
            progress(number, len(contents))
    return done


ContentLocation = tuple[
    int, tuple[bytes, str, bytes] | None
]  # a content, its digest, its reader and a file of it


def redecode_contents(
    writer: LibraryWriter, contents: Sequence[int], embedder: Embedder
) -> Iterator[tuple[int, DecodedFile | None]]:
    """Yield each content as it decodes now, in order; None where its file is not there as it was."""

    contexts = {wanted: DecodeContext(embedder, wanted) for wanted in (False, True)}

    def work(given: tuple[ContentLocation, Opener | None]) -> tuple[int, DecodedFile | None]:
        (content, place), opener = given
        context = contexts[writer.thumbnails.is_accepting]
        return content, None if place is None else redecode(*place, context, opener)

    places = ((content, writer.contents.locate(content)) for content in contents)
    turns = in_archive_order(places, lambda given: None if given[1] is None else given[1][2])
    return prefetch(work, turns, threads=cores(), depth=PREFETCH_PER_THREAD * cores())
