"""Pairs of linked rows, and the groups that they form."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]
Pairs: TypeAlias = tuple[Rows, Rows]  # the rows of each pair, both (n,)


def row_array(rows: Iterable[int]) -> Rows:
    """Return rows as an array."""
    return np.fromiter(rows, np.int64)


def pairs_from_links(links: Iterable[tuple[int, int]]) -> Pairs:
    """Return links as pairs."""
    both = np.array([*links], np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def equal_key_pairs(keys: Iterable[object]) -> Pairs:
    """Link each row to the first with the same key; None is not a key."""
    first: dict[object, int] = {}
    links = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None]
    return pairs_from_links((one, other) for one, other in links if one != other)


def concatenate_pairs(pairs: Iterable[Pairs]) -> Pairs:
    """Return all pairs in two arrays."""
    every = [(row_array(()), row_array(())), *pairs]
    return np.concatenate([one for one, _ in every]), np.concatenate([other for _, other in every])


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
