"""Which files and hits belong together, and which of them leads: what is known of them in, rows out."""

import os
from collections.abc import Iterable, Sequence

from retrieval.errors import QueryError
from retrieval.grouping.rules import GROUPING_RULES
from retrieval.grouping.similarity import Pairs, SimilarityFunction
from retrieval.types import FILE_GROUP_REASONS, GROUP_REASONS, FileAttributes, Group, GroupReason


def parse_reasons(names: str | Iterable[str]) -> frozenset[GroupReason]:
    """Check the reasons by which files are grouped; raises QueryError naming the one that is wrong."""
    given = {names} if isinstance(names, str) else set(names)
    if wrong := given - set(FILE_GROUP_REASONS):
        raise QueryError(
            f"Files are not grouped by {min(wrong)!r}; they are by {', '.join(FILE_GROUP_REASONS)}."
        )
    return frozenset(reason for reason in FILE_GROUP_REASONS if reason in given)


def by_quality(files: Sequence[FileAttributes]) -> list[int]:
    """Return the rows of a group, the best quality first, equals as they come.

    One that is there now, then not in an archive, then more pixels, then sharp, then the larger file, then
    the shorter path. Sharp is what has at least half the sharpness of the sharpest: to compress a picture
    again changes it by up to 1.9 either way, to blur it a little halves it.
    """
    pixels = [(each.width or 0) * (each.height or 0) for each in files]
    sharp = [each.sharpness or 0.0 for each in files]
    enough = max(s for s, count in zip(sharp, pixels, strict=True) if count == max(pixels)) / 2
    return sorted(
        range(len(files)),
        key=lambda row: (
            files[row].offline,
            files[row].in_archive,
            -pixels[row],
            sharp[row] < enough,
            -files[row].size,
            len(os.fspath(files[row].path)),
        ),
    )


def group_rows(
    files: Sequence[FileAttributes],
    similarity: SimilarityFunction,
    reasons: Iterable[GroupReason] = GROUP_REASONS,
) -> list[list[int]]:
    """Return the rows that belong together for any of these reasons, one that stands alone too.

    Groups come in the order of their first rows, rows ascending; what they hold depends on no order.
    """
    return connected_components(
        len(files), (pairs for each in reasons for pairs in GROUPING_RULES[each](files, similarity))
    )


def duplicate_groups(
    files: Sequence[FileAttributes], similarity: SimilarityFunction, reasons: Iterable[GroupReason]
) -> list[Group]:
    """Return the groups of two and more for each of these reasons, those with the most waste first.

    A file may be in groups of several reasons. A group that lies whole within one of a surer reason is
    left to that: a raw picture and its JPEG are a pair, never near-duplicates of which one is waste.
    """
    wanted = frozenset(reasons)
    surer: list[dict[int, int]] = []  # of each reason so far: row -> the number of its group
    found = []
    for reason in GROUP_REASONS:
        if reason not in wanted | {"copy", "pair"}:
            continue
        groups = [rows for rows in group_rows(files, similarity, (reason,)) if len(rows) > 1]
        if reason in wanted:
            new = (rows for rows in groups if not any(_is_within_one_group(known, rows) for known in surer))
            found += [_sorted_group(reason, [files[row] for row in rows]) for rows in new]
        surer.append({row: number for number, rows in enumerate(groups) for row in rows})
    return sorted(found, key=lambda each: (-each.waste, str(each.files[0].path), each.reason))


def _sorted_group(reason: GroupReason, files: Sequence[FileAttributes]) -> Group:
    return Group(reason, tuple(files[row] for row in by_quality(files)))


def _is_within_one_group(known: dict[int, int], rows: Iterable[int]) -> bool:
    numbers = {known.get(row) for row in rows}
    return len(numbers) == 1 and None not in numbers


def connected_components(count: int, pairs: Iterable[Pairs]) -> list[list[int]]:
    """Return the connected components of so many rows, by union-find."""
    parents = list(range(count))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    for one, other in pairs:
        for left, right in zip(one.tolist(), other.tolist(), strict=True):
            low, high = sorted((find(left), find(right)))
            parents[high] = low
    groups: dict[int, list[int]] = {}
    for row in range(count):
        groups.setdefault(find(row), []).append(row)
    return list(groups.values())
