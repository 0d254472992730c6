"""Measure `duplicates` on synthetic libraries and on photos: seconds, recall and precision.

    python tests/bench/bench_duplicates.py --sizes 10000,100000 --photos ../shared/data/flickr8k/test
    python tests/bench/bench_duplicates.py --sizes "" --documents 1000

Of the synthetic images, one in ten is a near-duplicate of another (up to 10 bits of the hash differ, with
the least cosine that is still similar), one in ten follows another in a burst, and one in twenty has a copy.
Three in ten are similar to another only in hash, in vector, or in time, and must not be grouped. Each file is
a small picture of random colors; that of a near-duplicate is darker than that of its original.
`recall` and `precision` count pairs in groups. `near hashes` are all pairs of hashes at most 10 bits apart,
compared with an exhaustive search.
Drawn documents (receipts, chats, screenshots and so on, no two with the same text) and photos:
`wrong groups` of different ones. Then they are changed one way at a time: `found` is the share that comes
into a group with its original.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
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
from retrieval.grouping.attributes import compare_files, load_file_attributes
from retrieval.grouping.clusters import group_rows
from retrieval.grouping.similarity import MAX_HAMMING_DISTANCE, Hashes, similar_hash_pairs
from retrieval.types import FileAttributes, Vectors
from tests.support.drawn_documents import draw_document

REASONS = ("copy", "near-duplicate", "burst")
CHANGES = {
    "half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "a fifth": lambda p: p.resize((p.width // 5, p.height // 5)),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.4),
    "gray": lambda p: p.convert("L"),
    "turned 1 degree": lambda p: p.rotate(1),
    "cut 2 %": lambda p: cut(p, 0.02),
    "cut 5 %": lambda p: cut(p, 0.05),
    "cut 10 %": lambda p: cut(p, 0.10),
    "quality 30": lambda p: p,
}


def cut(image: Image.Image, share: float) -> Image.Image:
    wide, high = image.width * share / 2, image.height * share / 2
    return image.crop((int(wide), int(high), int(image.width - wide), int(image.height - high)))


@dataclass(frozen=True)
class SyntheticImages:
    """Synthetic images: the first half are originals, each of the second half is similar to one of them.

    The second half has five parts: near-duplicates, bursts, and images that are similar only in hash, only
    in vector, and only in time. `chunks`, `dim` and `seed` are the interface of `make_library`.
    """

    vectors: Vectors
    hashes: Hashes
    seconds: Sequence[float]  # capture time, NaN if unknown
    dim: int
    seed: int

    def chunks(self) -> Iterator[Vectors]:
        """Yield the vectors in chunks of about 50,000."""
        yield from np.array_split(self.vectors, max(1, len(self.vectors) // 50_000))


def synthetic_images(count: int, dim: int, seed: int) -> SyntheticImages:
    """Return synthetic images; `count` is a multiple of ten."""
    rng = np.random.default_rng([seed, 4])
    vectors = np.concatenate(list(Cloud(count, dim, seed).chunks()))
    bits = rng.integers(0, 2, (max(10, count // 1000), 64), np.uint8)  # hashes are clustered, as vectors are
    bits = bits[rng.integers(len(bits), size=count)] ^ (rng.random((count, 64)) < 0.25)
    seconds = np.where(np.arange(count) < count // 2, 60.0 * np.arange(count), np.nan)
    parts = np.arange(count).reshape(2, 5, -1)
    for (at, original), part in zip(enumerate(parts[0]), parts[1], strict=True):
        off = 2 * rng.integers(0, MAX_HAMMING_DISTANCE // 2 + 1, len(part))
        if at in (0, 2):
            rank = rng.random((len(part), 64)).argsort(axis=1)
            bits[part] = bits[original] ^ (rank < off[:, None])
        if at in (1, 4):
            seconds[part] = seconds[original] + rng.integers(1, 4, len(part))
        if at in (0, 1, 3):
            min_cosine = 0.2 + 0.07 * off if at == 0 else np.full(len(part), 0.9 if at == 3 else 0.6)
            cosine = rng.uniform(min_cosine, 1)[:, None].astype(np.float32)
            noise = (
                vectors[part] - (vectors[part] * vectors[original]).sum(1, keepdims=True) * vectors[original]
            )
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            vectors[part] = cosine * vectors[original] + np.sqrt(1 - cosine**2) * noise
    return SyntheticImages(
        vectors, np.packbits(bits, axis=1).view(np.uint64).ravel(), seconds.tolist(), dim, seed
    )


def make(folder: Path, images: SyntheticImages) -> dict[str, set[frozenset[str]]]:
    """Write a library of the images and copies of some; return reason -> expected pairs."""
    make_library(folder, images, {"image": 1.0})
    count = len(images.hashes)
    when = np.datetime64("2020-01-01T00:00:00")
    rows = [
        (hash_.tobytes(), None if np.isnan(second) else str(when + np.timedelta64(int(second), "s")), at + 1)
        for at, (hash_, second) in enumerate(zip(images.hashes, images.seconds, strict=True))
    ]
    with LibraryWriter(folder) as writer, writer.db.atomic():
        execute_many = writer.db.conn.executemany
        execute_many(
            """UPDATE contents SET perceptual_hash = ?, taken = ?, camera = 'X', width = 9, height = 9
                WHERE id = ?""",
            rows,
        )
        copied = range(2 * count // 10 + 1, 2 * count // 10 + 1 + count // 20)  # have no near-duplicates
        execute_many(
            """INSERT INTO files (root, path, size, mtime, decoder, content, time, state)
               SELECT root, CAST('copy/' || CAST(path AS TEXT) AS BLOB), size, mtime, decoder, content, time,
                      state FROM files WHERE content = ?""",
            ((id_,) for id_ in copied),
        )
        execute_many("UPDATE roots SET path = CAST(? AS BLOB)", [(str(folder / "files"),)])
    pictures = draw_pictures(count, images.seed)
    with LibraryWriter(folder) as writer, writer.db.atomic():
        writer.db.conn.executemany(
            "UPDATE files SET size = ? WHERE content = ?",
            ((len(picture), id_) for id_, picture in enumerate(pictures, 1)),
        )
    place = f"{folder / 'files'}/"
    parts = np.arange(1, count + 1).reshape(2, 5, -1)
    path = [f"{place}{id_ // 500:04d}/{id_:08d}.jpg" for id_ in range(count + 1)]
    copies = [(path[id_].replace(place, f"{place}copy/"), pictures[id_ - 1]) for id_ in copied]
    for name, picture in [*zip(path[1:], pictures, strict=True), *copies]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(picture)  # size and time as in the catalog
        os.utime(name, ns=(1, 1))
    pairs = {
        reason: {frozenset((path[a], path[b])) for a, b in zip(parts[0][at], parts[1][at], strict=True)}
        for at, reason in enumerate(("near-duplicate", "burst"))
    }
    return {
        **pairs,
        "copy": {frozenset((path[id_], path[id_].replace(place, f"{place}copy/"))) for id_ in copied},
    }


def draw_pictures(count: int, seed: int) -> list[bytes]:
    """Return a small picture for each image; those of near-duplicates are similar to their originals'."""
    rng = np.random.default_rng([seed, 5])
    drawn = [Image.fromarray(rng.integers(20, 236, (12, 16, 3), np.uint8)) for _ in range(count)]
    originals, changed = (part[0] for part in np.arange(count).reshape(2, 5, -1))
    for original, near in zip(originals, changed, strict=True):
        drawn[near] = ImageEnhance.Brightness(drawn[original]).enhance(0.9)
    pictures = []
    for picture in drawn:
        file = BytesIO()
        picture.resize((64, 48), Image.Resampling.BICUBIC).save(file, "PNG", compress_level=1)
        pictures.append(file.getvalue())
    return pictures


def measure(count: int, dim: int, seed: int, place: Path) -> dict[str, object]:
    """Return the time, recall and precision at this size."""
    images = synthetic_images(count, dim, seed)
    expected = make(place / str(count), images)
    groups = []
    with Library.open(place / str(count)) as library:
        took = time_of(lambda: groups.extend(library.duplicates(by=REASONS)))
    row: dict[str, object] = {"images": count, "seconds": took.wall, "cpu s": took.cpu}
    for reason, truth in expected.items():
        found = {
            frozenset(pair)
            for group in groups
            if group.reason == reason
            for pair in combinations([str(file.path) for file in group.files], 2)
        }
        row[f"{reason} recall"] = len(found & truth) / len(truth)
        row[f"{reason} precision"] = len(found & truth) / len(found) if found else None
    return row


def compare(count: int, dim: int, seed: int) -> dict[str, object]:
    """Return the seconds of finding near hashes by buckets, and by an exhaustive search."""
    hashes = np.unique(synthetic_images(count, dim, seed).hashes)
    found: list[int] = []
    ours = time_of(lambda: found.append(sum(len(rows) for rows, _ in similar_hash_pairs(hashes))))
    index = faiss.IndexBinaryFlat(64)
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index.add(codes)
    limits: list[int] = []
    plain = time_of(lambda: limits.append(int(index.range_search(codes, MAX_HAMMING_DISTANCE + 1)[0][-1])))
    if found != [(limits[0] - len(hashes)) // 2]:
        raise AssertionError(
            f"{found[0]} pairs by buckets, {(limits[0] - len(hashes)) // 2} by the exhaustive search"
        )
    return {"near hashes": len(hashes), "pairs": found[0], "s": ours.wall, "exhaustive s": plain.wall}


def group_changed_images(images: Path, take: int, place: Path) -> list[dict[str, object]]:
    """Return how many of all the different images are wrongly grouped, then what becomes of changed ones."""
    originals = sorted(path for path in images.iterdir() if path.suffix in (".jpg", ".png"))
    changed = place / "changed"
    some = originals[:: max(1, len(originals) // take)][:take]
    for name, change in CHANGES.items():
        (changed / name).mkdir(parents=True)
        for path in some:
            with Image.open(path) as image:
                change(image.convert("RGB")).save(
                    (changed / name / path.stem).with_suffix(".jpg"), quality=30 if "quality" in name else 90
                )
    index_folder(images, library=place / "library", model="builtin").close()
    index_folder(changed, library=place / "library").close()
    with closing(Catalog.open(place / "library")) as catalog:
        every = [facts for facts in load_file_attributes(catalog) if facts.path.suffix in (".jpg", ".png")]
        groups: list[list[Path]] = []
        took = time_of(lambda: groups.extend(group(catalog, [f for f in every if f.path.parent == images])))
        wrong = [paths for paths in groups if len(paths) > 1]
        rows: list[dict[str, object]] = [
            {"change": "none", "images": len(originals), "wrong groups": len(wrong), "s": took.wall}
        ]
        for name in CHANGES:
            facts = [each for each in every if each.path in some or each.path.parent.name == name]
            groups, right, other = [], 0, 0
            took = time_of(lambda facts=facts, groups=groups: groups.extend(group(catalog, facts)))
            for pair in (pair for paths in groups for pair in combinations(paths, 2)):
                right += pair[0].stem == pair[1].stem
                other += pair[0].stem != pair[1].stem
            rows.append(
                {"change": name, "images": take, "found": right / take, "wrong pairs": other, "s": took.wall}
            )
    return rows


def group(catalog: Catalog, facts: Sequence[FileAttributes]) -> list[list[Path]]:
    """Return the near-duplicate groups of these files."""
    comparison = compare_files(catalog, catalog.space(), facts)
    return [[facts[row].path for row in rows] for rows in group_rows(facts, comparison, ["near-duplicate"])]


def draw_documents(folder: Path, count: int, seed: int) -> Path:
    """Draw documents of a few templates, no two with the same text."""
    folder.mkdir(parents=True)
    for number in range(count):
        draw_document(number, seed).save(folder / f"{number:05d}.png")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000", help="images of the synthetic libraries")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs to change")
    parser.add_argument("--take", type=int, default=200, help="photos to change")
    parser.add_argument("--documents", type=int, default=1_000, help="documents to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.dim, args.take, args.documents = "1000,3000", 64, 7, 14
    sizes = [int(size) // 20 * 20 for size in args.sizes.split(",") if size]
    print(f"{machine()}\nsizes {sizes}, {args.dim} dimensions, seed {args.seed}\n")
    with tempfile.TemporaryDirectory() as place:
        rows = [measure(size, args.dim, args.seed, Path(place)) for size in sizes]
        hashes = [compare(size, args.dim, args.seed) for size in sizes]
        if sizes:
            table(rows)
            table(hashes)
        drawn = draw_documents(Path(place) / "documents" / "drawn", args.documents, args.seed)
        documents = group_changed_images(drawn, min(args.take, args.documents), drawn.parent)
        table(documents)
        folder = Path(place) / "photos"
        photos = (
            group_changed_images(Path(os.path.abspath(args.photos)), args.take, folder) if args.photos else []
        )
        if photos:
            table(photos)
    numbers = {"libraries": rows, "hashes": hashes, "documents": documents, "photos": photos}
    emit("duplicates", seed=args.seed, dim=args.dim, **numbers)


if __name__ == "__main__":
    main()
