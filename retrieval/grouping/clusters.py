"""Group files and hits by their attributes, and order each group by quality."""

import os
from collections.abc import Iterable, Sequence

from retrieval.errors import QueryError
from retrieval.grouping.rules import GROUPING_RULES
from retrieval.grouping.similarity import Pairs, SimilarityFunction
from retrieval.types import FILE_GROUP_REASONS, GROUP_REASONS, FileAttributes, Group, GroupReason


def parse_reasons(names: str | Iterable[str]) -> frozenset[GroupReason]:
    """Return validated reasons for grouping files. Raises QueryError."""
    requested = {names} if isinstance(names, str) else set(names)
    if wrong := requested - set(FILE_GROUP_REASONS):
        raise QueryError(f"Invalid reason {min(wrong)!r}. Use {', '.join(FILE_GROUP_REASONS)}.")
    return frozenset(reason for reason in FILE_GROUP_REASONS if reason in requested)


def by_quality(files: Sequence[FileAttributes]) -> list[int]:
    """Return the rows of a group, best quality first.

    The criteria, in order: online, not in an archive, more pixels, sharp, larger file, shorter path. A file
    is sharp if it has at least half the sharpness of the sharpest. Recompression changes sharpness by a
    factor of up to 1.9, while slight blurring halves it.
    """
    pixels = [(file.width or 0) * (file.height or 0) for file in files]
    sharpness = [file.sharpness or 0.0 for file in files]
    min_sharpness = max(s for s, count in zip(sharpness, pixels, strict=True) if count == max(pixels)) / 2
    return sorted(
        range(len(files)),
        key=lambda row: (
            files[row].offline,
            files[row].in_archive,
            -pixels[row],
            sharpness[row] < min_sharpness,
            -files[row].size,
            len(os.fspath(files[row].path)),
        ),
    )


def group_rows(
    files: Sequence[FileAttributes],
    similarity: SimilarityFunction,
    reasons: Iterable[GroupReason] = GROUP_REASONS,
) -> list[list[int]]:
    """Return the groups of rows that are linked by any of the reasons, including single rows.

    Groups are in the order of their first rows, rows ascending. The order of files does not change them.
    """
    return connected_components(
        len(files), (pairs for reason in reasons for pairs in GROUPING_RULES[reason](files, similarity))
    )


def duplicate_groups(
    files: Sequence[FileAttributes], similarity: SimilarityFunction, reasons: Iterable[GroupReason]
) -> list[Group]:
    """Return the groups of two or more files for each reason, largest waste first.

    A file may be in groups of several reasons. A group within one of a surer reason is left out: a raw image
    and its JPEG are a pair, not near-duplicates.
    """
    wanted = frozenset(reasons)
    surer: list[dict[int, int]] = []  # for each reason so far: row -> group number
    groups_found: list[Group] = []
    for reason in GROUP_REASONS:
        if reason not in wanted | {"copy", "pair"}:
            continue
        groups = [rows for rows in group_rows(files, similarity, (reason,)) if len(rows) > 1]
        if reason in wanted:
            new = (rows for rows in groups if not any(_is_within_one_group(known, rows) for known in surer))
            groups_found += [_sorted_group(reason, [files[row] for row in rows]) for rows in new]
        surer.append({row: number for number, rows in enumerate(groups) for row in rows})
    return sorted(groups_found, key=lambda group: (-group.waste, str(group.files[0].path), group.reason))


def _sorted_group(reason: GroupReason, files: Sequence[FileAttributes]) -> Group:
    return Group(reason, tuple(files[row] for row in by_quality(files)))


def _is_within_one_group(known: dict[int, int], rows: Iterable[int]) -> bool:
    numbers = {known.get(row) for row in rows}
    return len(numbers) == 1 and None not in numbers


def connected_components(count: int, pairs: Iterable[Pairs]) -> list[list[int]]:
    """Return the connected components of `count` rows, by union-find."""
    parents = list(range(count))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    for lefts, rights in pairs:
        for left, right in zip(lefts.tolist(), rights.tolist(), strict=True):
            low, high = sorted((find(left), find(right)))
            parents[high] = low
    groups: dict[int, list[int]] = {}
    for row in range(count):
        groups.setdefault(find(row), []).append(row)
    return list(groups.values())
