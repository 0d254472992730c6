"""Name clusters of segments by the words that are frequent in one of them only."""

from collections import Counter
from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray

MAX_NAMES = 12
MIN_POINTS = 5  # in a named cluster
MIN_SHARE = 0.25  # of the described points of a cluster that have its name
MIN_LIFT = 2.5  # times as frequent as in the other clusters
MIN_SECOND = 0.7  # of the score of the first word, for a second one

SourceWords = Sequence[Set[str]]  # of each point, empty if the source does not describe it


def name_clusters(clusters: NDArray[np.int8], sources: Sequence[SourceWords]) -> dict[int, str]:
    """Return cluster -> name of at most 12 clusters, the largest ones with a good name.

    `sources` are sets of words of each point, the best source first; a name is made from one source.
    """
    found: list[tuple[int, int, str]] = []  # points, cluster, name
    taken: set[str] = set()
    sizes = Counter(clusters.tolist())
    tables = [_count_words(clusters, words) for words in sources]
    for cluster, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        names = next((names for table in tables if (names := _best_words(cluster, size, *table))), [])
        fresh = [name for name in names if name.casefold() not in taken]
        if size >= MIN_POINTS and names and fresh and fresh[0] == names[0]:
            taken |= {name.casefold() for name in fresh}
            found.append((size, cluster, ", ".join(fresh)))
    return {cluster: name for _, cluster, name in found[:MAX_NAMES]}


def _count_words(
    clusters: NDArray[np.int8], words: SourceWords
) -> tuple[dict[int, Counter[str]], Counter[int]]:
    """Return how many points of each cluster have each word, and how many have any."""
    counts: dict[int, Counter[str]] = {}
    described: Counter[int] = Counter()
    for cluster, each in zip(clusters.tolist(), words, strict=True):
        if each:
            counts.setdefault(cluster, Counter()).update(each)
            described[cluster] += 1
    return counts, described


def _best_words(
    cluster: int, size: int, counts: dict[int, Counter[str]], described: Counter[int]
) -> list[str]:
    """Return one or two words that distinguish a cluster, most distinctive first, or none."""
    if described[cluster] < max(MIN_POINTS, size // 4):
        return []
    total = Counter[str]()
    for each in counts.values():
        total.update(each)
    others = sum(described.values()) - described[cluster]
    scores: dict[str, float] = {}
    for word, count in counts[cluster].items():
        share = count / described[cluster]
        elsewhere = (total[word] - count + 0.5) / (others + 1)
        if share >= MIN_SHARE and share >= MIN_LIFT * elsewhere:
            scores[word] = share * float(np.log(share / elsewhere))
    ranked = sorted(scores, key=lambda word: (-scores[word], word))
    first = ranked[:1]
    second = [word for word in ranked[1:2] if scores[word] >= MIN_SECOND * scores[first[0]]]
    return first + [word for word in second if not _are_alike(word, first[0])]


def _are_alike(word: str, other: str) -> bool:
    """Return True if words are forms of one another, such as a plural, or one contains the other."""
    return word[:4] == other[:4] or word in other or other in word
