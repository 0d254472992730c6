"""Group the files of sources into work items, in an order that does not depend on the run."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from indexer.distributed.sources import ARCHIVE_DECODER, SourceFile
from indexer.scan.entry_list import pack_entry, unpack_entry
from indexer.types import FileEntry

MAX_ITEM_BYTES = 1 << 30  # of files; a larger file is an item of its own
DIGEST_LETTERS = 16  # of the name of a shard


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Files that are embedded into one shard: some files of a root, or an archive or a part of it."""

    name: str  # its number, and a digit for each time that it was halved
    root: bytes
    entries: tuple[FileEntry, ...]
    members: tuple[int, int] | None = None  # first and end of the files of the archive, by path

    @property
    def archive(self) -> FileEntry | None:
        """Return the archive, if the item is one."""
        return self.entries[0] if self.entries[0].decoder == ARCHIVE_DECODER else None

    @property
    def is_part(self) -> bool:
        """Return True for a part of an item that was halved."""
        return "." in self.name

    def to_json(self) -> str:
        """Return the item as a line of JSON."""
        fields = [self.name, self.root.decode("latin-1"), [*map(pack_entry, self.entries)], self.members]
        return json.dumps(fields, separators=(",", ":"))

    @staticmethod
    def from_json(line: str | bytes) -> "WorkItem":
        """Return the item of a line that `to_json` has made."""
        name, root, entries, members = json.loads(line)
        return WorkItem(
            name,
            root.encode("latin-1"),
            tuple(map(unpack_entry, entries)),
            None if members is None else (members[0], members[1]),
        )

    def shard_name(self, settings_digest: str) -> str:
        """Return the file name of its shard, from its number, its files and the settings of the run."""
        digest = hashlib.sha256(f"{settings_digest} {self.to_json()}".encode()).hexdigest()
        return f"{self.name}-{digest[:DIGEST_LETTERS]}.parquet"

    def halves(self, member_count: int) -> "tuple[WorkItem, WorkItem] | None":
        """Return the halves of an item; None for a single file.

        `member_count` is the number of files of an archive, which is not used for other items.
        """
        if self.archive is None:
            middle = len(self.entries) // 2
            first, second = self.entries[:middle], self.entries[middle:]
            parts = replace(self, entries=first), replace(self, entries=second)
        else:
            start, end = self.members or (0, member_count)
            middle = (start + end) // 2
            parts = replace(self, members=(start, middle)), replace(self, members=(middle, end))
            if end - start < 2:
                return None
        if middle == 0:
            return None
        mark = "" if self.is_part else "."
        return replace(parts[0], name=f"{self.name}{mark}0"), replace(parts[1], name=f"{self.name}{mark}1")


def group_files(files: Iterable[SourceFile], max_files: int) -> Iterator[WorkItem]:
    """Yield items of at most `max_files` files of one root; an archive is an item of its own."""
    number, size, held = 0, 0, list[SourceFile]()
    for file in files:
        is_archive = file.entry.decoder == ARCHIVE_DECODER
        is_full = len(held) == max_files or size + file.entry.size > MAX_ITEM_BYTES
        if held and (is_archive or is_full or held[0].root != file.root):
            yield _item(number, held)
            number, size, held = number + 1, 0, []
        held.append(file)
        size += file.entry.size
        if is_archive:
            yield _item(number, held)
            number, size, held = number + 1, 0, []
    if held:
        yield _item(number, held)


def _item(number: int, files: list[SourceFile]) -> WorkItem:
    return WorkItem(f"{number:08}", files[0].root, tuple(file.entry for file in files))
