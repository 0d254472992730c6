"""Bring a library up to date with its folders: scan, read ahead, embed, write, build."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Literal

from indexer.decode.images.thumbnail import thumbnails_wanted
from indexer.decode.reader import Read, read
from indexer.embed.archive_order import in_turn
from indexer.embed.batches import batches, embed
from indexer.enrich.runner import read_later
from indexer.enrich.settings import NO_WISH, Wish, remember
from indexer.enrich.tiles import add_tiles
from indexer.maintenance.backfill_vectors import fill
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.maintenance.refresh_metadata import reread
from indexer.operations.report import Report
from indexer.prefetch import ahead
from indexer.scan.diff import Changes, compare
from indexer.scan.targets import Place
from indexer.scan.walker import Walked, walk
from indexer.store.archives import Archives
from indexer.store.location import absolute
from indexer.store.spaces import current
from indexer.store.writer import Writer, Wrote
from indexer.tag.tag_table import tag_if_due
from indexer.types import Found, Progress, silent
from retrieval.errors import LibraryError
from retrieval.formatting import printable, some
from retrieval.media.archives.archive import Opener, archive_of
from retrieval.system import cores
from retrieval.types import Method, Space

MANY, SHARE = 50, 0.2  # more missing files than both of these is a drive, not a decision
AHEAD = 16  # pictures decoded ahead, a thread
TILES = "tiles"  # the setting that says whether pictures get some
SHOWN = 10  # files read in part that are named
GROWN = 50_000  # new vectors after which a long run builds an index before its end

Ready = Callable[[bytes, Found], bool]  # the root, a file that is new: whether to read it now


def at_once(top: bytes, found: Found) -> bool:
    """Read every file."""
    return True


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its writer, how it was asked for, and what it has done so far."""

    writer: Writer
    index: Method | Literal["auto"] | None
    confirm_gone: bool
    retry: bool
    progress: Progress
    ready: Ready = at_once
    report: Report = field(default_factory=Report)
    archives: dict[bytes, Archives] = field(default_factory=dict)  # by the folder they are in

    def scan(self, places: Collection[Place]) -> None:
        """Look at places, read what is new in them, and give every known file its state."""
        roots, since = self.writer.roots, self.writer.roots.last_file()
        looked = [(place, found) for place in places if (found := self.look(place)) is not None]
        for place, changes in looked:
            self.fill(place, changes.fresh)
        missed = [old.id for _, changes in looked for old in changes.missing]
        roots.miss(missed, {place.root for place, _ in looked})
        for place, changes in looked:
            self.settle(place, changes, since)
        self.report.notes += _left_out(self.report.partly, self.writer)

    def complete(self, wish: Wish = NO_WISH) -> None:
        """Do what follows from new segments, and what older runs have left."""
        self.make_up()
        self.finish()
        before = self.report.segments
        self.look_over(wish)
        if self.report.segments > before:
            self.finish()

    def look(self, place: Place) -> Changes | None:
        """Compare a place with the catalogue; None where it is not there, and nothing of it is forgotten."""
        if place.is_away:
            self.report.offline += self.writer.roots.lose(place.root)
            self.report.notes.append(
                f"{os.fsdecode(place.folder)} is not there; its files are kept as offline until it is back."
            )
            return None
        walked, known = Walked(), partial(self.writer.roots.known, place)
        archives = self.archives[place.folder] = Archives(self.writer.db, place, self.retry)
        found: Iterator[Found] = iter(())
        if os.path.isdir(place.folder):  # else it was deleted while its root is there
            inside = archives.inside if place.deep else None
            found = walk(
                place.top, place.options, walked, place.below, place.apart, inside, place.deep, place.heads
            )
        changes = compare(found, known(), walked.unread, self.retry, known)
        archives.count(changes)
        changes.fresh = [found for found in changes.fresh if self.ready(place.top, found)]
        self.report.skipped += walked.skipped
        return changes

    def fill(self, place: Place, fresh: Sequence[Found]) -> None:
        """Read, embed and write what is new; what is cut short has lost at most the batch in hand."""
        done, built, begun = 0, _indexed(current(self.writer.catalog)), self.report.segments
        reads = batches(self._read(place.top, fresh))
        # A batch is embedded while the one before is written and the next are read.
        embedder = self.writer.embedder
        turns = embedder.at_once
        for batch in ahead(partial(embed, embedder), reads, threads=turns, depth=turns + 1):
            self._count(self.writer.write(place.root, batch))
            done += sum(portion.last for portion in batch)
            self.progress(os.fsdecode(place.top), done, len(fresh))
            if self.report.segments - begun > max(GROWN, built):
                built, begun = _indexed(build_if_due(self.writer, self.index)), self.report.segments

    def make_up(self) -> None:
        """Read and embed what was left while its files were away, or while this clew was older."""
        again = reread(self.writer, partial(self.progress, "read again"))
        if again:
            self.report.notes.append(f"{some(again, 'file')} read again for what older versions left out.")
        space = current(self.writer.catalog)
        if not space.whole:
            done, waiting = fill(self.writer, space, self.writer.embedder, lambda done, total: None)
            self.writer.spaces.set_whole(space, not waiting)
            self.report.segments += done
        if self.writer.catalog.setting(TILES) == "on":
            tiles, pictures = add_tiles(self.writer, partial(self.progress, "tiles"))
            self.report.segments += tiles
            if tiles:
                note = (
                    f"{some(tiles, 'tile')} of {some(pictures, 'picture')} added, for small things in them."
                )
                self.report.notes.append(note)

    def look_over(self, wish: Wish) -> None:
        """Read what takes long: text in pictures, speech, and sounds."""
        found = read_later(self.writer, wish, self.progress, new_sounds=self.report.kinds["audio"])
        self.report.kinds += found.kinds
        self.report.segments += found.kinds.total()
        self.report.lacking += found.lacking
        self.report.notes += found.notes

    def finish(self) -> None:
        """Build, calibrate and tag what is due."""
        space = build_if_due(self.writer, self.index)
        calibrate_if_due(self.writer, space, self.writer.embedder)
        tag_if_due(self.writer, space, self.writer.embedder)

    def _read(self, top: bytes, fresh: Sequence[Found]) -> Iterator[Read]:
        """Read files in threads, a little ahead."""
        embedder, is_known = self.writer.embedder, self.writer.is_known

        def work(turn: tuple[Found, Opener | None]) -> Read | None:
            found, opener = turn
            with thumbnails_wanted(self.writer.thumbnails.wanted):
                return read(top, found, embedder, is_known, opener)

        threads = cores()
        turns = in_turn(fresh, lambda found: os.path.join(top, found.path), len(fresh))
        reads = ahead(work, turns, threads=threads, depth=AHEAD * threads, weigh=_weigh)
        for one in reads:
            if one is not None:
                if one.lacks is not None:
                    self.report.lacking[one.lacks] += 1
                if one.decoded.note is not None:
                    self.report.partly.append(f"{os.fsdecode(one.found.path)}: {one.decoded.note}.")
                yield one

    def _count(self, wrote: Wrote) -> None:
        """Add what was written to the report."""
        self.report.added += wrote.files["added"]
        self.report.updated += wrote.files["updated"]
        self.report.failed += wrote.files["failed"]
        self.report.segments += wrote.segments.total()
        self.report.kinds += wrote.segments

    def settle(self, place: Place, changes: Changes, since: int) -> None:
        """Give every known file its state, now that the new files of all places are hashed."""
        report, roots, folder = self.report, self.writer.roots, os.fsdecode(place.folder)
        report.unchanged += changes.unchanged
        roots.set_state(changes.back, "present")
        report.failed += changes.failed
        missing, moved = roots.settle_moved(changes.missing, since)
        report.moved += moved
        report.added -= moved
        report.gone += len(changes.missing) - len(missing) - moved  # another copy of it is there
        out = {old.id for old in missing if _is_left_out(os.path.join(place.top, old.path))}
        report.gone += roots.set_state(sorted(out), "gone")  # left out now, by a pattern or a name
        lost = [old for old in missing if old.id not in out]
        known = changes.known
        if len(lost) > MANY and (place.below or not place.deep):
            known = roots.count(place.root)
        brake = len(lost) > max(MANY, SHARE * known)
        held = [old.id for old in lost if (brake or old.state == "offline") and not self.confirm_gone]
        kept = set(held)
        roots.set_state(held, "offline")
        report.gone += roots.set_state([old.id for old in lost if old.id not in kept], "gone")
        report.offline += len(held) + len(changes.unread)
        if held:
            report.notes.append(
                f"{len(held):,} of {known:,} files of {os.fsdecode(place.top)} are not there, which looks "
                "like a drive that is away, so they are kept as offline. If they are really deleted: "
                "`clew index --confirm-gone`."
            )
        if changes.unread:
            report.notes.append(
                f"Some of {folder} cannot be looked at; "
                f"{len(changes.unread):,} files there stay as they were."
            )
        self.archives[place.folder].settle()
        roots.scanned(place.root)


def _is_left_out(path: bytes) -> bool:
    """Say whether a file that was not found is there, or the archive is that it was in."""
    return os.path.lexists(path) or archive_of(path) is not None


def _left_out(partly: Sequence[str], writer: Writer) -> Iterator[str]:
    """Say what of this run's files was left out, of many the first few."""
    waiting = [
        f"{os.fsdecode(path)}: {some(missing, 'picture')} of the {named:,} it names "
        f"{'is' if missing == 1 else 'are'} not there; the captions wait for them."
        for path, missing, named in writer.captions.missing()
    ]
    every = [*partly, *waiting]
    yield from map(printable, every[:SHOWN])
    if len(every) > SHOWN:
        yield f"{len(every) - SHOWN:,} more files are read in part only."


def _indexed(space: Space) -> int:
    """Count the vectors that the indexes hold."""
    return sum(file.count for file in space.indexes)


def _weigh(read: Read | None) -> int:
    """Weigh a file by its segments, so that a few long texts fill the look-ahead as many pictures do."""
    return 1 if read is None else 1 + len(read.decoded.drafts) // 100


def update(
    writer: Writer,
    folders: Sequence[Path],
    *,
    exclude: Sequence[str] | None = None,
    hidden: bool | None = None,
    archives: bool | None = None,
    index: Method | Literal["auto"] | None = None,
    confirm_gone: bool = False,
    retry: bool = False,
    tiles: bool | None = None,
    wish: Wish = NO_WISH,
    progress: Progress = silent,
    ready: Ready = at_once,
) -> Report:
    """Bring these folders up to date, or all that the library has, and build its index if it is due."""
    begun = monotonic()
    if tiles is not None:
        with writer.db.atomic():
            writer.spaces.remember(TILES, "on" if tiles else "off")
    run, roots = Run(writer, index, confirm_gone, retry, progress, ready), writer.roots
    known = roots.paths()
    given = [absolute(folder) for folder in folders]
    for folder in given:
        if folder not in known and not os.path.isdir(folder):
            raise LibraryError(f"There is no folder {os.fsdecode(folder)}.")
    above = tuple(path.rstrip(b"/") + b"/" for path in given)
    inside = [path for path in known if not given or path.startswith(above)]
    with writer.db.atomic():
        remember(writer, wish)
        places = {path: roots.place(path, exclude, hidden, archives) for path in given}
        places |= {path: roots.place(path) for path in inside if path not in places}
    # A part of what is given too is done with it.
    places = {path: place for path, place in places.items() if not (place.below and path.startswith(above))}
    try:
        run.scan(places.values())
        run.complete(wish)
        run.report.notes += filter(None, [writer.thumbnails.note])
    except KeyboardInterrupt:  # what is committed stays, and the next run goes on from there
        run.report.interrupted = True
    run.report.seconds = round(monotonic() - begun, 3)
    return run.report
