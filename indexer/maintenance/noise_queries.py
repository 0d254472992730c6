"""Queries without meaning, which nothing should match: random letters, neighboring keys and syllables."""

import random
import string
from functools import cache

QUERY_COUNT = 160
SEED = 11
KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprst" for vowel in "aeiou"]


@cache
def noise_queries() -> tuple[str, ...]:
    """Return the queries, the same in every run."""
    rng = random.Random(SEED)
    return tuple(_noise(rng, number % 4) for number in range(QUERY_COUNT))


def _noise(rng: random.Random, form: int) -> str:
    if form == 0:
        return " ".join(_letters(rng, 3, 9) for _ in range(rng.randint(1, 4)))
    if form == 1:
        return " ".join(
            row[start : start + rng.randint(3, 6)]
            for row, start in ((rng.choice(KEY_ROWS), rng.randint(0, 3)) for _ in range(rng.randint(1, 3)))
        )
    if form == 2:
        return " ".join(
            "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 4))
        )
    return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(5, 14)))


def _letters(rng: random.Random, least: int, most: int) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(least, most)))
