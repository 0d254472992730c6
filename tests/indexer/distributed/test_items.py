"""Work items: their files, their names, and their halves."""

from indexer.distributed import items
from indexer.distributed.items import WorkItem, group_files
from indexer.distributed.sources import ARCHIVE_DECODER, SourceFile
from indexer.types import FileEntry

ARCHIVE = FileEntry(b"a.tar", 9, 9, ARCHIVE_DECODER, None, 9)


def file(name, root=b"/a", size=1):
    decoder = ARCHIVE_DECODER if name.endswith(".tar") else "picture"
    return SourceFile(root, FileEntry(name.encode(), size, 5, decoder, None, 6))


def names(found):
    return [(item.root, [entry.path.decode() for entry in item.entries]) for item in found]


def test_item_has_files_of_one_root_up_to_the_limit_and_an_archive_is_alone():
    files = [file("1"), file("2"), file("3"), file("a.tar"), file("4"), file("5", root=b"/b")]
    found = list(group_files(files, 2))
    assert names(found) == [
        (b"/a", ["1", "2"]),
        (b"/a", ["3"]),
        (b"/a", ["a.tar"]),
        (b"/a", ["4"]),
        (b"/b", ["5"]),
    ]
    assert [item.name for item in found] == [f"{number:08}" for number in range(5)]
    assert [item.archive is not None for item in found] == [False, False, True, False, False]


def test_item_ends_before_it_has_too_many_bytes():
    half = items.MAX_ITEM_BYTES // 2
    found = group_files([file("1", size=half), file("2", size=half), file("3"), file("4", size=3 * half)], 9)
    assert names(found) == [(b"/a", ["1", "2"]), (b"/a", ["3"]), (b"/a", ["4"])]


def test_item_is_the_same_after_json_with_any_bytes_in_names():
    entry = FileEntry(b"caf\xe9/\xff.png", 1, -5, "caption", b"\xe9.png", None)
    item = WorkItem("00000007.01", b"/m\xe9dia", (entry,), (3, 9))
    assert WorkItem.from_json(item.to_json()) == item
    assert item.shard_name("x") != item.shard_name("y")
    assert item.shard_name("x").startswith("00000007.01-")


def test_halves_have_all_files_down_to_single_ones():
    (item,) = group_files([file(str(number)) for number in range(5)], 9)
    pending, single = [item], []
    while pending:
        part = pending.pop(0)
        halves = part.halves(0)
        if halves is None:
            single.append(part)
        pending += halves or ()
    assert sorted(entry.path for part in single for entry in part.entries) == [b"0", b"1", b"2", b"3", b"4"]
    assert len({part.name for part in single}) == 5
    assert all(part.is_part for part in single)


def test_halves_of_an_archive_are_ranges_of_its_members():
    item = WorkItem("00000000", b"/a", (ARCHIVE,))
    first, second = item.halves(5)
    assert (first.name, first.members, second.name, second.members) == (
        *("00000000.0", (0, 2)),
        *("00000000.1", (2, 5)),
    )
    assert second.halves(0)[1].members == (3, 5)
    assert WorkItem("00000000", b"/a", (ARCHIVE,), (4, 5)).halves(0) is None
    assert item.halves(0) is None
