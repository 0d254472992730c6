"""Group files and hits by their attributes."""

from collections.abc import Iterable, Sequence

from retrieval.errors import QueryError
from retrieval.grouping.pairs import Pairs, concatenate_pairs, connected_components
from retrieval.grouping.quality import by_quality
from retrieval.grouping.rules import GROUPING_RULES
from retrieval.grouping.similarity import FileComparison
from retrieval.types import FILE_GROUP_REASONS, GROUP_REASONS, FileAttributes, Group, GroupReason


def parse_reasons(names: str | Iterable[str]) -> frozenset[GroupReason]:
    """Return validated reasons for grouping files. Raises QueryError."""
    requested = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    if wrong := [name for name in requested if not isinstance(name, str) or name not in FILE_GROUP_REASONS]:
        raise QueryError(f"Invalid reason {wrong[0]!r}. Use {', '.join(FILE_GROUP_REASONS)}.")
    return frozenset(reason for reason in FILE_GROUP_REASONS if reason in requested)


def group_rows(
    files: Sequence[FileAttributes],
    comparison: FileComparison,
    reasons: Iterable[GroupReason] = GROUP_REASONS,
) -> list[list[int]]:
    """Return the groups of rows that are linked by any of the reasons, including single rows.

    Groups are in the order of their first rows, rows ascending. The order of files does not change them.
    """
    return connected_components(
        len(files), (pairs for reason in reasons for pairs in GROUPING_RULES[reason](files, comparison))
    )


def duplicate_groups(
    files: Sequence[FileAttributes], comparison: FileComparison, reasons: Iterable[GroupReason]
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
        pairs = list(GROUPING_RULES[reason](files, comparison))
        groups = [rows for rows in connected_components(len(files), pairs) if len(rows) > 1]
        if reason in wanted:
            new = (rows for rows in groups if not any(_is_within_one_group(known, rows) for known in surer))
            leaders = _star_centers(pairs) if reason == "near-duplicate" else frozenset()
            groups_found += [_sorted_group(reason, files, rows, leaders) for rows in new]
        surer.append({row: number for number, rows in enumerate(groups) for row in rows})
    return sorted(groups_found, key=lambda group: (-group.waste, str(group.files[0].path), group.reason))


def _star_centers(pairs: Iterable[Pairs]) -> frozenset[int]:
    """Return the rows to which the others of their group are linked."""
    one, other = concatenate_pairs(pairs)
    return frozenset(one.tolist()) - frozenset(other.tolist())


def _sorted_group(
    reason: GroupReason, files: Sequence[FileAttributes], rows: Sequence[int], leaders: frozenset[int]
) -> Group:
    """Return a group, its leader first if it has one, then by quality."""
    ordered = [rows[at] for at in by_quality([files[row] for row in rows])]
    return Group(reason, tuple(files[row] for row in sorted(ordered, key=lambda row: row not in leaders)))


def _is_within_one_group(known: dict[int, int], rows: Iterable[int]) -> bool:
    numbers = {known.get(row) for row in rows}
    return len(numbers) == 1 and None not in numbers
