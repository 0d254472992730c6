"""Plan which index files of a kind are kept, written and merged.

A file is immutable and covers a range of segment ids. New vectors get a file of their own. It is merged with
the file before it, unless that one is more than `merge_ratio` times as large, so that adding few vectors to
many costs little and the files of a kind stay few: log-structured merge trees (O'Neil et al., Acta
Informatica 1996) with size-tiered merging. A file with too many deleted vectors is written again alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.catalog.reader import Catalog
from retrieval.errors import LibraryDamaged
from retrieval.types import IndexFile, IndexMethod, Kind, Space
from retrieval.vectors.base import FILE_FORMATS, method_for
from retrieval.vectors.index_files import check_index_file

MAX_DELETED_SHARE = 0.1  # of the vectors that remain; a file with more is written again


@dataclass(frozen=True, slots=True)
class FileSizes:
    """The numbers of vectors from which files are written, merged and approximate."""

    max_unindexed: int = 10_000  # that every reader loads; more get an index file
    merge_ratio: int = 2  # a file at most so many times as large as the new vectors is merged with them
    min_file: int = 10_000  # a file with no more is always merged, which takes less than a second
    max_small_file: int = 20_000  # of an exact file beside approximate ones: 1 ms a query of 512 dimensions


DEFAULT_SIZES = FileSizes()


@dataclass(frozen=True, slots=True)
class IndexRange:
    """The segments of a kind that one file covers: those after `after`, up to `to`."""

    kind: Kind
    after: int
    to: int
    count: int  # vectors
    file: IndexFile | None = None  # that covers them already


@dataclass(frozen=True, slots=True)
class IndexPlanner:
    """The state of a space, from which the index files of each kind are planned.

    `configured` is the method that the library has saved. With `is_auto`, files of other methods are written
    again with the method for their size. With `completely`, the checksum of every file is computed.
    """

    catalog: Catalog
    space: Space
    configured: IndexMethod | None = None
    is_auto: bool = False
    completely: bool = False
    sizes: FileSizes = DEFAULT_SIZES

    def plan(self) -> tuple[int, list[IndexRange]]:
        """Return the last segment that files will cover, and the ranges of the files of all kinds."""
        catalog, space = self.catalog, self.space
        count, unindexed = catalog.count_vectors(space), catalog.count_unindexed(space)
        is_due = unindexed > self.sizes.max_unindexed or unindexed * 10 > count
        indexed_to = catalog.last_vector(space) if is_due else space.indexed_to
        has_deleted = sum(file.count for file in space.indexes) != count - unindexed
        kinds = dict.fromkeys([*catalog.kinds(), *(file.kind for file in space.indexes)])
        ranges = [each for kind in kinds for each in self._plan_kind(kind, indexed_to, has_deleted)]
        return indexed_to, ranges

    def complete_file(self, kind: Kind, count: int) -> IndexFile | None:
        """Return the file that covers all `count` vectors of a kind, None if it must be written."""
        files = [file for file in self.space.indexes if file.kind == kind]
        last = self.catalog.last_vector(self.space)
        if len(files) != 1 or files[0].count != count or files[0].indexed_to > self.space.indexed_to:
            return None
        (file,) = files
        known = IndexRange(kind, file.indexed_after, file.indexed_to, count, file)
        has_newer = self._range(kind, file.indexed_to, last).count > 0
        has_method = file.method == self.method_of(count, count)
        return file if has_method and not has_newer and self._is_usable(known, count) else None

    def method_of(self, count: int, total: int) -> IndexMethod:
        """Return the method for a file with `count` of the `total` vectors of its kind."""
        method = self.configured or method_for(count, total)
        return "flat" if self._is_small(count, total) else method

    def _plan_kind(self, kind: Kind, indexed_to: int, has_deleted: bool) -> list[IndexRange]:
        known = list(self._known_ranges(kind, indexed_to, has_deleted))
        new = self._range(kind, max(self.space.indexed_to, 0), indexed_to)
        total = sum(each.count for each in known) + new.count
        kept = [
            each
            if each.file and self._is_usable(each, total)
            else IndexRange(kind, each.after, each.to, each.count)
            for each in known
        ]
        return merged(kept, new, self.sizes)

    def _known_ranges(self, kind: Kind, indexed_to: int, has_deleted: bool) -> Iterator[IndexRange]:
        """Yield the ranges of the present files, with a file if it can be kept.

        A file that covers segments after those that are indexed lacks vectors that were inserted later.
        """
        for file in sorted(self.space.indexes, key=lambda file: file.indexed_after):
            if file.kind != kind:
                continue
            if file.indexed_to > self.space.indexed_to:
                if indexed_to == self.space.indexed_to:  # compared one by one until the next build
                    yield IndexRange(kind, file.indexed_after, file.indexed_to, file.count, file)
                elif file.indexed_after < self.space.indexed_to:
                    yield self._range(kind, file.indexed_after, self.space.indexed_to)
                continue
            alive = (
                self._range(kind, file.indexed_after, file.indexed_to).count if has_deleted else file.count
            )
            is_kept = file.count - alive <= MAX_DELETED_SHARE * alive
            yield IndexRange(kind, file.indexed_after, file.indexed_to, alive, file if is_kept else None)

    def _range(self, kind: Kind, after: int, to: int) -> IndexRange:
        count = self.catalog.count_vectors_between(self.space, kind, after, to) if to > after else 0
        return IndexRange(kind, after, to, count)

    def _is_usable(self, known: IndexRange, total: int) -> bool:
        """Return True if a file is intact, and has the current format and the method for its size."""
        file = known.file
        assert file is not None
        try:
            check_index_file(self.catalog.folder, file, completely=self.completely)
        except LibraryDamaged:
            return False
        is_free = self.configured is None and not self.is_auto and file.method != "flat"
        method = file.method if is_free else self.configured or method_for(file.count, total)
        allowed = {method, "flat"} if self._is_small(file.count, total) else {method}
        return file.method in allowed and not is_outdated(file)

    def _is_small(self, count: int, total: int) -> bool:
        return count <= self.sizes.max_small_file and 2 * count < total


def merged(
    known: Sequence[IndexRange], new: IndexRange, sizes: FileSizes = DEFAULT_SIZES
) -> list[IndexRange]:
    """Return ranges in which new vectors are merged with those before that are not much more."""
    ranges = list(known)
    while new.count and ranges and ranges[-1].count <= max(sizes.merge_ratio * new.count, sizes.min_file):
        before = ranges.pop()
        new = IndexRange(new.kind, before.after, new.to, before.count + new.count)
    return [each for each in (*ranges, new) if each.count]


def is_outdated(file: IndexFile) -> bool:
    """Return True if a file does not have the current format; it may be older, unknown or empty."""
    return file.format != FILE_FORMATS[file.method]
