"""Choose the fastest precision that is right on this machine, by trying."""

import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from indexer.export import discard, export, quantize
from retrieval.embedders import Pixels
from retrieval.embedders.onnx import OnnxTower
from retrieval.embedders.prepared import IMAGE, Choice, Prepared
from retrieval.embedders.towers import ImageTower, TorchTowers, bfloat16_is_fast, devices
from retrieval.errors import EmbedderError
from retrieval.machine import cores
from retrieval.records import Vectors

RIGHT = {"float32": 0.9999, "onnx float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.99}
ROUNDS = 3
WORTH = 1.5  # times faster than float32 that another runtime must be

Way = Callable[[list[Pixels]], Vectors]


def choose(prepared: Prepared, model: Any, device: str | None) -> Choice:
    """Return the choice for a device, by default the fastest there is; `model` is in float32, on the CPU.

    A precision is right where the cosine of every probe's vector to float32's is at least RIGHT; where
    onnxruntime wins on the CPU, its image tower is left in the prepared folder. Raises EmbedderError.
    """
    there = devices()
    device = device or there[0]
    if device.partition(":")[0] not in there:
        raise EmbedderError(f"There is no device {device} here; torch has {', '.join(there)}.")
    looks = prepared.recipe.preprocessing
    pixels = probes(looks.size, 16 if device == "cpu" else 256)
    ways = {"float32": _torch(model, prepared, "float32", device), **_ways(model, prepared, device)}
    vectors = {name: way(pixels) for name, way in ways.items()}  # and warm
    cosines = {name: float((found * vectors["float32"]).sum(axis=1).min()) for name, found in vectors.items()}
    rates = _race(ways, pixels)
    worth = {name: rate / (WORTH if name in ("onnx float32", "int8") else 1) for name, rate in rates.items()}
    best = max((name for name in rates if cosines[name] >= RIGHT[name]), key=worth.__getitem__)
    _keep(prepared.folder, best, device)
    return Choice(
        device, best, {name: round(rate, 1) for name, rate in rates.items()}, round(cosines[best], 6)
    )


def probes(size: tuple[int, int], count: int) -> list[Pixels]:
    """Draw pictures (height, width, 3) with coarse and fine structure, the same every time."""
    from PIL import Image

    draw, pictures = np.random.default_rng(0), []
    for number in range(count):
        layers = [
            np.asarray(
                Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize(
                    size[::-1], 3
                ),
                np.float32,
            )
            for cells in (2, 5, 16, 64)
        ]
        weights = draw.dirichlet(np.ones(len(layers)) * (0.3 + number % 4))
        mixed = sum(weight * layer for weight, layer in zip(weights, layers, strict=True))
        pictures.append(np.asarray(mixed, dtype=np.uint8))
    return pictures


def _ways(model: Any, prepared: Prepared, device: str) -> dict[str, Way]:
    """Return the precisions that may be faster than float32 on a device."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        half = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return {half: _torch(model, prepared, half, device)}
    if kind == "mps":
        return {"float16": _torch(model, prepared, "float16", device)}
    if bfloat16_is_fast():
        return {"bfloat16": _torch(model, prepared, "bfloat16", device)}
    return _exported(model, prepared)


def _torch(model: Any, prepared: Prepared, precision: str, device: str) -> Way:
    towers = TorchTowers(copy.deepcopy(model), prepared.recipe.preprocessing, precision, device)
    return lambda pixels: towers.embed_images(_batches(pixels, device))


def _exported(model: Any, prepared: Prepared) -> dict[str, Way]:
    """Export the image tower as float32 and int8; a tower that cannot be is left to torch."""
    import torch

    whole, small = (prepared.folder / f"{name}.{IMAGE}" for name in ("float32", "int8"))
    tower = ImageTower(model, prepared.recipe.preprocessing).eval()
    example = torch.from_numpy(np.stack(probes(prepared.recipe.preprocessing.size, 2)))
    discard(whole)
    discard(small)  # of a run that was cut short
    ways: dict[str, Way] = {}
    with contextlib.suppress(Exception):  # exporters raise what they like, and torch can do the work
        export(tower, example, whole)
        ways["onnx float32"] = _onnx(whole)
        quantize(whole, small)
        ways["int8"] = _onnx(small)
    return ways


def _onnx(file: Path) -> Way:
    tower = OnnxTower(file)
    return lambda pixels: tower.embed(_batches(pixels, "cpu"))


def _keep(folder: Path, best: str, device: str) -> None:
    """Keep the exported image tower that won, and delete the others."""
    if device != "cpu":
        return
    names = {"onnx float32": "float32", "int8": "int8"}
    discard(folder / IMAGE)
    if best in names:
        import onnx

        won = folder / f"{names[best]}.{IMAGE}"
        model = onnx.load(str(won))
        onnx.save(model, str(folder / IMAGE), save_as_external_data=True, location=f"{IMAGE}.data")
    for name in names.values():
        discard(folder / f"{name}.{IMAGE}")


def _batches(pixels: list[Pixels], device: str) -> list[Pixels]:
    """Return a batch a core, or one for an accelerator."""
    size = -(-len(pixels) // cores()) if device == "cpu" else len(pixels)
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def _race(ways: dict[str, Way], pixels: list[Pixels]) -> dict[str, float]:
    """Return the best rate of each way in ROUNDS turns; one much slower than the best has but one."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS):
        best = min((min(each) for each in times.values() if each), default=np.inf)
        for name, way in ways.items():
            if turn and min(times[name]) > 3 * best:
                continue
            begun = time.perf_counter()
            way(pixels)
            times[name].append(time.perf_counter() - begun)
    return {name: len(pixels) / min(each) for name, each in times.items()}
