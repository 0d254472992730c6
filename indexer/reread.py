"""Read again what an older reader has read: what pictures say of themselves. Nothing is embedded."""

from collections.abc import Callable, Iterator

from indexer.ahead import ahead
from indexer.members import in_turn
from indexer.read import read_again
from indexer.writer import Writer
from retrieval.archives import Opener
from retrieval.machine import cores
from retrieval.records import Details

BATCH = 200  # contents a transaction
AHEAD = 8  # contents read ahead, a thread


def reread(writer: Writer, progress: Callable[[int, int], None]) -> int:
    """Write what contents say by today's reader, in batches, each committed; returns how many were read.

    Those whose file is not there, or not as it was, wait for a later run.
    """
    contents = writer.contents.outdated()
    done, batch = 0, list[tuple[int, Details]]()
    for number, (content, details) in enumerate(_read(writer, contents), start=1):
        if details is not None:
            batch.append((content, details))
        if len(batch) >= BATCH or number == len(contents):
            writer.contents.rewrite(batch)
            done += len(batch)
            batch = []
            progress(number, len(contents))
    return done


Place = tuple[int, tuple[bytes, str, bytes] | None]  # a content, its digest, its reader and a file of it


def _read(writer: Writer, contents: list[int]) -> Iterator[tuple[int, Details | None]]:
    def work(given: tuple[Place, Opener | None]) -> tuple[int, Details | None]:
        (content, place), opener = given
        decoded = None if place is None else read_again(*place, writer.embedder, opener)
        return content, None if decoded is None else decoded.details

    places = ((content, writer.contents.place(content)) for content in contents)
    turns = in_turn(places, lambda given: None if given[1] is None else given[1][2])
    return ahead(work, turns, threads=cores(), depth=AHEAD * cores())
