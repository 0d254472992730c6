"""Mutated copies of files: changed, removed, repeated and foreign bytes."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from indexer.decode.registry import DECODER_BY_SUFFIX
from tests.support.corpus.verdict import Sample

MAX_SOURCE_BYTES = 4_000_000  # of a file that is mutated
HEAD_BYTES = 512  # in which most formats declare sizes and counts
EXTREMES = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\1")
Mutation = Callable[[random.Random, bytearray, bytes], bytearray]


def flip_bytes(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Replace some bytes."""
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def flip_head(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Replace some bytes at the beginning."""
    for _ in range(rng.choice((1, 4, 16))):
        data[rng.randrange(min(len(data), HEAD_BYTES))] = rng.randrange(256)
    return data


def set_extreme(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Overwrite some bytes with the least or greatest numbers."""
    for _ in range(rng.choice((1, 3))):
        value, at = rng.choice(EXTREMES), rng.randrange(len(data))
        at = at if rng.random() < 0.5 else at % HEAD_BYTES
        data[at : at + len(value)] = value
    return data


def truncate(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Remove the end."""
    return data[: rng.randrange(len(data))]


def remove(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Remove bytes from the middle."""
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 7, 100, len(data) // 4))]
    return data


def repeat(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Repeat a part."""
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((4, 64, 1_000))]
    data[start:start] = part * rng.choice((1, 2, 20))
    return data


def splice(rng: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Continue with the rest of another file, or insert a part of it."""
    start, of_other = rng.randrange(len(data)), rng.randrange(max(1, len(other)))
    if rng.random() < 0.5:
        return data[:start] + other[of_other:]
    data[start:start] = other[of_other : of_other + 2_000]
    return data


MUTATIONS: tuple[Mutation, ...] = (flip_bytes, flip_head, set_extreme, truncate, remove, repeat, splice)


def mutants(sources: Sequence[Sample], count: int, seed: int) -> Iterator[Sample]:
    """Yield mutated copies of files; equal arguments give equal copies."""
    usable = [sample for sample in sources if 0 < len(content(sample)) <= MAX_SOURCE_BYTES]
    for number in range(count):
        rng = random.Random(repr((seed, number)))
        source, other = usable[number % len(usable)], content(rng.choice(usable))
        data, names = bytearray(content(source)), []
        for mutation in rng.choices(MUTATIONS, k=rng.choice((1, 1, 1, 2, 3))):
            if data:
                data = mutation(rng, data, other)
                names.append(mutation.__name__)
        yield Sample(f"{number:05}-{'-'.join(names)}-{readable_name(source.name)}", bytes(data))


def content(sample: Sample) -> bytes:
    """Return the bytes of a sample."""
    return sample.source if isinstance(sample.source, bytes) else sample.source.read_bytes()


def readable_name(name: str) -> str:
    """Return the end of a file name, with the suffix of an image if clew reads none with this suffix."""
    short = Path(name).name[-120:]
    return short if Path(short).suffix.lower() in DECODER_BY_SUFFIX else f"{short}.jpg"
