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
from retrieval.embedders.base import Embedder
from retrieval.embedders.registry import load_embedder
from retrieval.system import cores
from retrieval.types import Vectors

ISA = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # as of most users' CPUs
TINY = {  # an architecture for a smoke run
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
    """Clustered unit vectors with a decaying spectrum, as embeddings have; the same for the same seed."""

    count: int
    dim: int
    seed: int

    def chunks(self, size: int = 50_000) -> Iterator[Vectors]:
        """Yield all vectors, at most `size` at a time."""
        draw = np.random.default_rng([self.seed, 1])
        for at in range(0, self.count, size):
            yield self._points(draw, min(size, self.count - at))

    def queries(self, count: int) -> Vectors:
        """Return vectors of the same kind that are not among `chunks`."""
        return self._points(np.random.default_rng([self.seed, 2]), count)

    def _points(self, draw: np.random.Generator, count: int) -> Vectors:
        spectrum = (1 + np.arange(self.dim, dtype=np.float32)) ** -0.5
        shape = (max(50, self.count // 100), self.dim)
        centres = np.random.default_rng([self.seed, 0]).standard_normal(shape, np.float32)
        points = draw.standard_normal((count, self.dim), np.float32)
        points = (centres[draw.integers(len(centres), size=count)] + 0.7 * points) * spectrum
        return points / np.linalg.norm(points, axis=1, keepdims=True)


def embedder_of(dim: int) -> Embedder:
    """Return the built-in model where it fits, else the name of one that embeds nothing."""
    return (
        load_embedder("builtin")
        if dim == 256
        else SimpleNamespace(name="drawn", fingerprint="0", parts={}, dim=dim)
    )


def make_library(
    folder: Path, cloud: Cloud, kinds: Mapping[str, float], embedder: Embedder | None = None
) -> None:
    """Fill a new library with one segment a file; `kinds` gives each kind's share. It has no index yet."""
    draw = np.random.default_rng([cloud.seed, 3])
    with LibraryWriter(folder, lambda _: embedder or embedder_of(cloud.dim)) as writer:
        root, first = _insert_root(writer), 1
        for chunk in cloud.chunks():
            ids = range(first, first + len(chunk))
            named = draw.choice(list(kinds), size=len(chunk), p=list(kinds.values()))
            with writer.db.atomic():
                _insert(writer, root, ids, named.tolist(), chunk)
            first += len(chunk)


def _insert_root(writer: LibraryWriter) -> int:
    options = '{"exclude": [], "hidden": false, "mount": false}'
    with writer.db.atomic():
        insert = (
            "INSERT INTO roots (path, options, state) VALUES (CAST('/nowhere/drawn' AS BLOB), ?, 'present')"
        )
        return writer.db.conn.execute(insert, (options,)).lastrowid


def _insert(writer: LibraryWriter, root: int, ids: range, kinds: Sequence[str], vectors: Vectors) -> None:
    many = writer.db.conn.executemany
    many(
        "INSERT INTO contents (id, hash, reader, segments) VALUES (?, ?, 'picture', 1)",
        ((id_, id_.to_bytes(32)) for id_ in ids),
    )
    many(
        """INSERT INTO files (root, path, size, mtime, reader, content, time, state)
           VALUES (?, ?, 1, 1, 'picture', ?, '2024-06-01T12:00:00', 'present')""",
        ((root, b"%04d/%08d.jpg" % (id_ // 500, id_), id_) for id_ in ids),
    )
    many(
        "INSERT INTO segments (id, content, ordinal, kind, text) VALUES (?, ?, 0, ?, ?)",
        (
            (i, i, kind, f"passage {i}" if kind == "text" else None)
            for i, kind in zip(ids, kinds, strict=True)
        ),
    )
    halves = vectors.astype(np.float16)
    many(
        f"INSERT INTO {vectors_table(writer.space_id)} VALUES (?, ?)",
        ((id_, half.tobytes()) for id_, half in zip(ids, halves, strict=True)),
    )


def draw_jpegs(count: int, width: int, height: int, seed: int) -> list[bytes]:
    """Draw pictures of soft shapes and some grain, which compress about as photos do."""
    draw, jpegs = np.random.default_rng(seed), []
    for _ in range(count):
        small = Image.fromarray(draw.integers(0, 256, (height // 40, width // 40, 3), np.uint8))
        soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = draw.integers(-8, 9, (height, width, 1), np.int16)
        file = BytesIO()
        Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        jpegs.append(file.getvalue())
    return jpegs


def repeat_files(jpegs: Sequence[bytes], count: int, folder: Path, a_folder: int = 500) -> list[Path]:
    """Write `count` files; a number after each picture's end makes every content a new one."""
    paths = [folder / f"{n // a_folder:04d}" / f"{n:07d}.jpg" for n in range(count)]
    for n, (path, jpeg) in enumerate(zip(paths, islice(cycle(jpegs), count), strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg + n.to_bytes(8))
    return paths


class Took(NamedTuple):
    """Seconds on the wall, and of all cores together, which others on the machine disturb less."""

    wall: float
    cpu: float


def time_of(work: Callable[[], object]) -> Took:
    """Do the work and return its times."""
    wall, cpu = perf_counter(), process_time()
    work()
    return Took(perf_counter() - wall, process_time() - cpu)


class Ran(NamedTuple):
    """The result of a process; `peak` is in MB."""

    took: Took
    peak: float
    out: str


def run(*command: str | Path) -> Ran:
    """Run a process to its end. A tiny launcher starts it, as a process inherits its parent's peak."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCH, *map(str, command)]
    done = subprocess.run(launch, capture_output=True, text=True, check=True)
    *notes, last = done.stderr.splitlines()
    wall, cpu, kilobytes, status = json.loads(last)
    if status:
        raise RuntimeError(f"{command} ended with {status}: {notes}")
    return Ran(Took(wall, cpu), kilobytes * 1024 / 1e6, done.stdout)


def make_checkpoint(arch: str, place: Path) -> Path:
    """Write a file of random weights of an architecture, the same every time."""
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


def alone(work: Callable[..., Any], *given: object, threads: int | None = None) -> Any:
    """Return work(*given) of a fresh process, on a number of threads."""
    before = dict(os.environ)
    os.environ.update({} if threads is None else dict.fromkeys(THREADS, str(threads)))
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(work, *given).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def clew() -> Path:
    """Return the installed command."""
    return Path(sys.executable).with_name("clew")


def resident() -> int:
    """Return the bytes of memory this process holds now, mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def machine() -> str:
    """Name processor, cores and Python, and say how many processes were running of late."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    name = models[0] if models else platform.processor()
    return f"{name}, {cores()} cores (load {os.getloadavg()[0]:.1f}), Python {platform.python_version()}"


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows under their keys, words to the left and numbers to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names] + [[_shown(row.get(name)) for name in names] for row in rows]
    wide = [max(len(line[at]) for line in lines) for at in range(len(names))]
    words = [isinstance(rows[0].get(name), str) for name in names]
    for line in lines:
        cells = [c.ljust(w) if left else c.rjust(w) for c, w, left in zip(line, wide, words, strict=True)]
        print("  ".join(cells).rstrip())
    print()


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.{max(0, 4 - len(str(int(abs(value)))))}f}"
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def emit(name: str, **numbers: object) -> None:
    """Print everything as one line of JSON, the last."""
    print(json.dumps({"bench": name, "machine": machine(), **_rounded(numbers)}))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value
