"""Helpers of the benchmarks: the machine, synthetic vectors, images and libraries, fresh processes."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.embedders import builtin
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import load_embedder
from retrieval.system import cores
from retrieval.types import Vectors
from tests.support.gap_vectors import GapVectors

ISA = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # instructions that most CPUs have
TINY = {  # a small architecture, for --smoke
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LAUNCH = """
import json, os, sys, time
begun = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
took = time.perf_counter() - begun, usage.ru_utime + usage.ru_stime
print(json.dumps([*took, usage.ru_maxrss, status]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Cloud:
    """Clustered unit vectors with a decaying spectrum, similar to embeddings; reproducible by the seed."""

    count: int
    dim: int
    seed: int

    def chunks(self, size: int = 50_000) -> Iterator[Vectors]:
        """Yield all vectors in chunks of at most `size`."""
        rng = np.random.default_rng([self.seed, 1])
        for at in range(0, self.count, size):
            yield self._points(rng, min(size, self.count - at))

    def queries(self, count: int) -> Vectors:
        """Return vectors of the same distribution that are not in `chunks`."""
        return self._points(np.random.default_rng([self.seed, 2]), count)

    def _points(self, rng: np.random.Generator, count: int) -> Vectors:
        spectrum = (1 + np.arange(self.dim, dtype=np.float32)) ** -0.5
        shape = (max(50, self.count // 100), self.dim)
        centers = np.random.default_rng([self.seed, 0]).standard_normal(shape, np.float32)
        points = rng.standard_normal((count, self.dim), np.float32)
        points = (centers[rng.integers(len(centers), size=count)] + 0.7 * points) * spectrum
        return points / np.linalg.norm(points, axis=1, keepdims=True)


@dataclass(frozen=True)
class GapCloud(Cloud):
    """Vectors of images or texts with a gap between them, as in `tests/support/gap_vectors.py`."""

    is_text: bool = False

    def chunks(self, size: int = 50_000, first: int = 0) -> Iterator[Vectors]:
        """Yield all vectors in chunks of at most `size`; those of texts are pairs of those of images.

        The first `first` chunks are left out.
        """
        vectors = self._vectors
        for number, at in enumerate(range(first * size, self.count, size), first):
            yield vectors.pairs(min(size, self.count - at), 10 + number)[self.is_text]

    def queries(self, count: int) -> Vectors:
        """Return vectors of the same distribution that are not in `chunks`."""
        return self._vectors.pairs(count, 2)[self.is_text]

    def background(self, count: int) -> Vectors:
        """Return vectors that are neither in `chunks` nor in `queries`."""
        return self._vectors.pairs(count, 3)[self.is_text]

    @property
    def _vectors(self) -> GapVectors:
        return GapVectors(self.dim, max(50, self.count // 100), self.seed)


def embedder_of(dim: int) -> Embedder:
    """Return the built-in model if it has this dimension, else a name and dimension that cannot embed."""
    return (
        load_embedder("builtin")
        if dim == builtin.DIM
        else SimpleNamespace(name="drawn", fingerprint="0", parts={}, dim=dim)
    )


def make_library(
    folder: Path,
    cloud: Cloud,
    kinds: Mapping[str, float],
    embedder: Embedder | None = None,
    texts: Cloud | None = None,
) -> None:
    """Write a library without indexes, with one segment per file; `kinds` is kind -> share.

    The vectors of the kind "text" are those of `texts`, by default those of `cloud`.
    """
    rng = np.random.default_rng([cloud.seed, 3])
    with LibraryWriter(folder, lambda _: embedder or embedder_of(cloud.dim)) as writer:
        root, first = _insert_root(writer), 1
        for chunk, other in zip(cloud.chunks(), (texts or cloud).chunks(), strict=True):
            ids = range(first, first + len(chunk))
            named = rng.choice(list(kinds), size=len(chunk), p=list(kinds.values()))
            chunk[named == "text"] = other[named == "text"]
            with writer.db.atomic():
                _insert(writer, root, ids, named.tolist(), chunk)
            first += len(chunk)


def save_background(folder: Path, queries: Vectors) -> None:
    """Save background queries by words, which indexes are tuned with."""
    with LibraryWriter(folder) as writer, writer.db.atomic():
        key = {"space": writer.space_id, "query_mode": "words", "version": "drawn"}
        blob = queries.astype(np.float16).tobytes()
        writer.db.table("backgrounds").upsert({**key, "vectors": blob}, pk=("space", "query_mode"))


def _insert_root(writer: LibraryWriter) -> int:
    options = '{"exclude": [], "hidden": false, "mount": false}'
    with writer.db.atomic():
        insert = (
            "INSERT INTO roots (path, options, state) VALUES (CAST('/nowhere/drawn' AS BLOB), ?, 'present')"
        )
        return writer.db.conn.execute(insert, (options,)).lastrowid


def _insert(writer: LibraryWriter, root: int, ids: range, kinds: Sequence[str], vectors: Vectors) -> None:
    execute_many = writer.db.conn.executemany
    execute_many(
        "INSERT INTO contents (id, hash, decoder, segments) VALUES (?, ?, 'picture', 1)",
        ((id_, id_.to_bytes(32)) for id_ in ids),
    )
    execute_many(
        """INSERT INTO files (root, path, size, mtime, decoder, content, time, state)
           VALUES (?, ?, 1, 1, 'picture', ?, '2024-06-01T12:00:00', 'present')""",
        ((root, b"%04d/%08d.jpg" % (id_ // 500, id_), id_) for id_ in ids),
    )
    execute_many(
        "INSERT INTO segments (id, content, ordinal, kind, text) VALUES (?, ?, 0, ?, ?)",
        (
            (i, i, kind, f"passage {i}" if kind == "text" else None)
            for i, kind in zip(ids, kinds, strict=True)
        ),
    )
    halves = vectors.astype(np.float16)
    execute_many(
        f"INSERT INTO {vectors_table(writer.space_id)} VALUES (?, ?)",
        ((id_, half.tobytes()) for id_, half in zip(ids, halves, strict=True)),
    )


def draw_jpegs(count: int, width: int, height: int, seed: int) -> list[bytes]:
    """Draw images of soft shapes with grain, which compress about as well as photos."""
    rng, jpegs = np.random.default_rng(seed), []
    for _ in range(count):
        small = Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), np.uint8))
        soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-8, 9, (height, width, 1), np.int16)
        file = BytesIO()
        Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        jpegs.append(file.getvalue())
    return jpegs


def repeat_files(jpegs: Sequence[bytes], count: int, folder: Path, folder_size: int = 500) -> list[Path]:
    """Write `count` files; a number after the end of each image makes every content unique."""
    paths = [folder / f"{n // folder_size:04d}" / f"{n:07d}.jpg" for n in range(count)]
    for n, (path, jpeg) in enumerate(zip(paths, islice(cycle(jpegs), count), strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg + n.to_bytes(8))
    return paths


class Took(NamedTuple):
    """Wall seconds, and processor seconds of all cores, which other processes disturb less."""

    wall: float
    cpu: float


def time_of(work: Callable[[], object]) -> Took:
    """Run the work; return its times."""
    wall, cpu = perf_counter(), process_time()
    work()
    return Took(perf_counter() - wall, process_time() - cpu)


class Ran(NamedTuple):
    """The result of a process; `peak` is its memory in MB."""

    took: Took
    peak: float
    out: str


def run(*command: str | Path) -> Ran:
    """Run a process. A small launcher starts it, because a process inherits the peak memory of its parent."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCH, *map(str, command)]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    *notes, last = done.stderr.splitlines()
    wall, cpu, kilobytes, status = json.loads(last)
    if status:
        raise RuntimeError(f"{command} ended with {status}: {notes}")
    return Ran(Took(wall, cpu), kilobytes * 1024 / 1e6, done.stdout)


def make_checkpoint(arch: str, place: Path) -> Path:
    """Write a checkpoint of an architecture with random weights, reproducibly."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from retrieval.quiet import quiet

    if arch == "tiny":
        (place / "tiny.json").write_text(json.dumps(TINY))
        open_clip.add_model_config(place / "tiny.json")
    torch.manual_seed(0)
    with quiet():
        weights = open_clip.create_model(arch).state_dict()
    save_file(
        {name: value.contiguous().clone() for name, value in weights.items()}, place / f"{arch}.safetensors"
    )
    return place / f"{arch}.safetensors"


def alone(work: Callable[..., Any], *args: object, threads: int | None = None) -> Any:
    """Return work(*args), run in a new process with a number of threads."""
    before = dict(os.environ)
    os.environ.update({} if threads is None else dict.fromkeys(THREADS, str(threads)))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, *args).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def clew() -> Path:
    """Return the path of the installed command."""
    return Path(sys.executable).with_name("clew")


def resident() -> int:
    """Return the resident memory of this process in bytes, mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def machine() -> str:
    """Return processor, cores, load and Python version."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    name = models[0] if models else platform.processor()
    return f"{name}, {cores()} cores (load {os.getloadavg()[0]:.1f}), Python {platform.python_version()}"


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table with a header; texts are left-aligned, numbers right-aligned."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names] + [[_shown(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(names))]
    is_text = [isinstance(rows[0].get(name), str) for name in names]
    for line in lines:
        cells = [c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, widths, is_text, strict=True)]
        print("  ".join(cells).rstrip())
    print()


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.{max(0, 4 - len(str(int(abs(value)))))}f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def emit(name: str, **numbers: object) -> None:
    """Print all numbers as one line of JSON."""
    print(json.dumps({"bench": name, "machine": machine(), **_rounded(numbers)}))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
