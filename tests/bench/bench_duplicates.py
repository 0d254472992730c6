"""Measure `duplicates` on synthetic libraries and on photos: seconds, recall and precision.

    python tests/bench/bench_duplicates.py --sizes 10000,100000 --photos ../shared/data/flickr8k/test

Of the drawn pictures one in ten is a near-duplicate of another (up to 10 bits off, and as near by its vector
as it must be), one in ten follows another in a burst, one in twenty has a copy; and three in ten are traps,
near another by hash alone, by vector alone, or in time alone. `recall` and `precision` are of pairs in
groups. `near hashes` are all pairs of hashes at most 10 bits apart; `compared` is comparing all with all.
Photos are changed one way at a time: `grouped` is the share that comes into a group with its original,
`wrong` how many pairs of different photos come into one group, beside all the others of the folder.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import faiss
import numpy as np
from common import Cloud, emit, machine, make_library, table, time_of
from PIL import Image, ImageEnhance

from indexer import index_folder
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.grouping.attributes import file_similarity_function, load_file_attributes
from retrieval.grouping.clusters import group_rows
from retrieval.grouping.similarity import MAX_HAMMING_DISTANCE, Hashes, similar_hash_pairs
from retrieval.types import Vectors

REASONS = ("copy", "near-duplicate", "burst")
CHANGES = {
    "half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "a fifth": lambda p: p.resize((p.width // 5, p.height // 5)),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.4),
    "grey": lambda p: p.convert("L"),
    "turned 1 degree": lambda p: p.rotate(1),
    "cut 2 %": lambda p: cut(p, 0.02),
    "cut 5 %": lambda p: cut(p, 0.05),
    "cut 10 %": lambda p: cut(p, 0.10),
    "quality 30": lambda p: p,
}


def cut(picture: Image.Image, share: float) -> Image.Image:
    wide, high = picture.width * share / 2, picture.height * share / 2
    return picture.crop((int(wide), int(high), int(picture.width - wide), int(picture.height - high)))


@dataclass(frozen=True)
class Drawn:
    """Pictures of which the first half are originals; each of the others is like one of them, or a trap.

    The second half has five parts, in this order: near-duplicates, bursts, and traps near by hash, by
    vector, and in time. `chunks`, `dim` and `seed` are what `make_library` asks for.
    """

    vectors: Vectors
    hashes: Hashes
    seconds: Sequence[float]  # when taken, NaN for not known
    dim: int
    seed: int

    def chunks(self) -> Iterator[Vectors]:
        """Yield the vectors, some at a time."""
        yield from np.array_split(self.vectors, max(1, len(self.vectors) // 50_000))


def draw(count: int, dim: int, seed: int) -> Drawn:
    """Draw a number of images, a multiple of ten."""
    dice = np.random.default_rng([seed, 4])
    vectors = np.concatenate(list(Cloud(count, dim, seed).chunks()))
    bits = dice.integers(0, 2, (max(10, count // 1000), 64), np.uint8)  # hashes come in clusters too
    bits = bits[dice.integers(len(bits), size=count)] ^ (dice.random((count, 64)) < 0.25)
    seconds = np.where(np.arange(count) < count // 2, 60.0 * np.arange(count), np.nan)
    parts = np.arange(count).reshape(2, 5, -1)
    for (at, original), part in zip(enumerate(parts[0]), parts[1], strict=True):
        off = 2 * dice.integers(0, MAX_HAMMING_DISTANCE // 2 + 1, len(part))
        if at in (0, 2):
            rank = dice.random((len(part), 64)).argsort(axis=1)
            bits[part] = bits[original] ^ (rank < off[:, None])
        if at in (1, 4):
            seconds[part] = seconds[original] + dice.integers(1, 4, len(part))
        if at in (0, 1, 3):
            least = 0.2 + 0.07 * off if at == 0 else np.full(len(part), 0.9 if at == 3 else 0.6)
            cosine = dice.uniform(least, 1)[:, None].astype(np.float32)
            noise = (
                vectors[part] - (vectors[part] * vectors[original]).sum(1, keepdims=True) * vectors[original]
            )
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            vectors[part] = cosine * vectors[original] + np.sqrt(1 - cosine**2) * noise
    return Drawn(vectors, np.packbits(bits, axis=1).view(np.uint64).ravel(), seconds.tolist(), dim, seed)


def make(folder: Path, drawn: Drawn) -> dict[str, set[frozenset[str]]]:
    """Make a library of the drawn pictures and some copies; return the planted pairs by reason."""
    make_library(folder, drawn, {"image": 1.0})
    count = len(drawn.hashes)
    when = np.datetime64("2020-01-01T00:00:00")
    rows = [
        (looks.tobytes(), None if np.isnan(second) else str(when + np.timedelta64(int(second), "s")), at + 1)
        for at, (looks, second) in enumerate(zip(drawn.hashes, drawn.seconds, strict=True))
    ]
    with LibraryWriter(folder) as writer, writer.db.atomic():
        many = writer.db.conn.executemany
        many(
            """UPDATE contents SET perceptual_hash = ?, taken = ?, camera = 'X', width = 9, height = 9
                WHERE id = ?""",
            rows,
        )
        twice = range(2 * count // 10 + 1, 2 * count // 10 + 1 + count // 20)  # of the originals of a trap
        many(
            """INSERT INTO files (root, path, size, mtime, reader, content, time, state)
               SELECT root, CAST('copy/' || CAST(path AS TEXT) AS BLOB), size, mtime, reader, content, time,
                      state FROM files WHERE content = ?""",
            ((id_,) for id_ in twice),
        )
        many("UPDATE roots SET path = CAST(? AS BLOB)", [(str(folder / "files"),)])
    place = f"{folder / 'files'}/"
    parts = np.arange(1, count + 1).reshape(2, 5, -1)
    path = [f"{place}{id_ // 500:04d}/{id_:08d}.jpg" for id_ in range(count + 1)]
    for name in [*path[1:], *(path[id_].replace(place, f"{place}copy/") for id_ in twice)]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")  # one byte and one nanosecond after 1970, as the catalogue says
        os.utime(name, ns=(1, 1))
    pairs = {
        reason: {frozenset((path[a], path[b])) for a, b in zip(parts[0][at], parts[1][at], strict=True)}
        for at, reason in enumerate(("near-duplicate", "burst"))
    }
    return {
        **pairs,
        "copy": {frozenset((path[id_], path[id_].replace(place, f"{place}copy/"))) for id_ in twice},
    }


def measure(count: int, dim: int, seed: int, place: Path) -> dict[str, object]:
    """Return how long it takes at this size, and how right it is."""
    drawn = draw(count, dim, seed)
    planted = make(place / str(count), drawn)
    groups = []
    with Library.open(place / str(count)) as library:
        took = time_of(lambda: groups.extend(library.duplicates(by=REASONS)))
    row: dict[str, object] = {"pictures": count, "seconds": took.wall, "cpu s": took.cpu}
    for reason, truth in planted.items():
        found = {
            frozenset(pair)
            for each in groups
            if each.reason == reason
            for pair in combinations([str(file.path) for file in each.files], 2)
        }
        row[f"{reason} recall"] = len(found & truth) / len(truth)
        row["precision"] = len(found & truth) / len(found)
        row[f"{reason} precision"] = row.pop("precision")
    return row


def compare(count: int, dim: int, seed: int) -> dict[str, object]:
    """Return the seconds of finding near hashes by buckets, and by comparing all with all."""
    hashes = np.unique(draw(count, dim, seed).hashes)
    found: list[int] = []
    ours = time_of(lambda: found.append(sum(len(one) for one, _ in similar_hash_pairs(hashes))))
    index = faiss.IndexBinaryFlat(64)
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index.add(codes)
    limits: list[int] = []
    plain = time_of(lambda: limits.append(int(index.range_search(codes, MAX_HAMMING_DISTANCE + 1)[0][-1])))
    if found != [(limits[0] - len(hashes)) // 2]:
        raise AssertionError(
            f"{found[0]} pairs by buckets, {(limits[0] - len(hashes)) // 2} by comparing all"
        )
    return {"near hashes": len(hashes), "pairs": found[0], "s": ours.wall, "compared s": plain.wall}


def look(photos: Path, take: int, place: Path) -> list[dict[str, object]]:
    """Return for each change what becomes of `take` photos, beside all of the folder."""
    originals = sorted(path for path in photos.iterdir() if path.suffix == ".jpg")
    changed = place / "changed"
    for name, change in CHANGES.items():
        (changed / name).mkdir(parents=True)
        for path in originals[:: max(1, len(originals) // take)][:take]:
            with Image.open(path) as picture:
                change(picture.convert("RGB")).save(
                    changed / name / path.name, quality=30 if "quality" in name else 90
                )
    index_folder(photos, library=place / "library", model="builtin").close()
    index_folder(changed, library=place / "library").close()
    catalog = Catalog.open(place / "library")
    every = [facts for facts in load_file_attributes(catalog) if facts.path.suffix == ".jpg"]
    rows = []
    for name in CHANGES:
        facts = [each for each in every if each.path.parent == photos or each.path.parent.name == name]
        likeness = file_similarity_function(catalog, catalog.space(), facts)
        groups = [
            [facts[row].path for row in rows] for rows in group_rows(facts, likeness, ["near-duplicate"])
        ]
        pairs = [pair for paths in groups for pair in combinations(paths, 2)]
        grouped = sum(one.name == other.name for one, other in pairs)
        made = sum(each.path.parent.name == name for each in facts)
        rows.append(
            {"change": name, "photos": made, "grouped": grouped / made, "wrong": len(pairs) - grouped}
        )
    catalog.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000", help="pictures of the drawn libraries")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs to change and find again")
    parser.add_argument("--take", type=int, default=200, help="photos to change")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.sizes, given.dim, given.take = "1000,3000", 64, 5
    sizes = [int(size) // 20 * 20 for size in given.sizes.split(",")]
    print(f"{machine()}\nsizes {sizes}, {given.dim} dimensions, seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as place:
        rows = [measure(size, given.dim, given.seed, Path(place)) for size in sizes]
        table(rows)
        hashes = [compare(size, given.dim, given.seed) for size in sizes]
        table(hashes)
        photos = look(Path(os.path.abspath(given.photos)), given.take, Path(place)) if given.photos else []
        if photos:
            table(photos)
    emit("duplicates", seed=given.seed, dim=given.dim, libraries=rows, hashes=hashes, photos=photos)


if __name__ == "__main__":
    main()
