"""Choose the fastest precision that is right on this machine, by trying."""

import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from indexer.models.checkpoint import PROBES
from indexer.models.onnx_export import export, quantize
from retrieval.embedders.base import Pixels
from retrieval.embedders.model_cache import EXPORTED, TOKENIZER, Choice, Prepared
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.open_clip import batch_size
from retrieval.embedders.tokenizer import Tokens
from retrieval.embedders.torch_towers import (
    ImageTower,
    TorchTowers,
    bfloat16_is_fast,
    check_device,
    devices,
    hardware,
)
from retrieval.errors import EmbedderError
from retrieval.system import cores
from retrieval.types import Vectors

RIGHT = {"float32": 0.9999, "onnx float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.99}
ROUNDS = 3
WORTH = 1.5  # times faster than float32 that another runtime must be

Images = Callable[[list[Pixels]], Vectors]


class Way(NamedTuple):
    """A way to embed pictures; one on torch reads PROBES in the same precision."""

    images: Images
    texts: Callable[[], Vectors] | None = None


def choose(prepared: Prepared, model: Any, device: str | None, drafts: Path) -> Choice:
    """Return the choice for a device, by default the fastest there is; `model` is in float32, on the CPU.

    A precision is right where the cosine of every probe's vector to float32's is at least RIGHT. Image
    towers that were exported to be tried are left in `drafts`. Raises EmbedderError.
    """
    device = check_device(device or devices()[0])
    looks = prepared.recipe.preprocessing
    pixels = probes(looks.size, 16 if device == "cpu" else batch_size(max(looks.size), 256, device))
    plain = _torch(model, prepared, "float32", device)
    ways = {"float32": plain, **_ways(model, prepared, device, drafts)}
    found = {name: way.images(pixels) for name, way in ways.items()}  # and warm
    if not np.isfinite(found["float32"]).all():
        raise EmbedderError(f"The weights of {prepared.recipe.name} give vectors that are no numbers.")
    cosines = {name: _least(vectors, found["float32"]) for name, vectors in found.items()}
    for name, way in ways.items():
        if way.texts is not None and plain.texts is not None:
            cosines[name] = min(cosines[name], _least(way.texts(), plain.texts()))
    rates = _race({name: way.images for name, way in ways.items()}, pixels)
    worth = {name: rate / (WORTH if name in EXPORTED else 1) for name, rate in rates.items()}
    right = [name for name in rates if name == "float32" or cosines[name] >= RIGHT[name]]
    best = max(right, key=worth.__getitem__)
    shown = {name: round(rate, 1) for name, rate in rates.items()}
    return Choice(device, best, shown, round(cosines[best], 6), hardware(device) or "")


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


def _ways(model: Any, prepared: Prepared, device: str, drafts: Path) -> dict[str, Way]:
    """Return the precisions that may be faster than float32 on a device."""
    if device.startswith("cuda"):
        import torch

        with torch.cuda.device(device):
            half = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return {half: _torch(model, prepared, half, device)}
    if device == "mps":
        return {"float16": _torch(model, prepared, "float16", device)}
    if bfloat16_is_fast():
        return {"bfloat16": _torch(model, prepared, "bfloat16", device)}
    return _exported(model, prepared, drafts)


def _torch(model: Any, prepared: Prepared, precision: str, device: str) -> Way:
    recipe = prepared.recipe
    own = model if (precision, device) == ("float32", "cpu") else copy.deepcopy(model)
    towers = TorchTowers(own, recipe.preprocessing, precision, device, cut=recipe.cut)
    ids, lengths = Tokens(prepared.folder / TOKENIZER, recipe.frame).encode(PROBES)
    rows = [row[None, :length] if recipe.cut else row[None] for row, length in zip(ids, lengths, strict=True)]
    return Way(lambda pixels: towers.embed_images(_batches(pixels, device)), lambda: towers.embed_texts(rows))


def _exported(model: Any, prepared: Prepared, drafts: Path) -> dict[str, Way]:
    """Export the image tower as float32 and int8; a tower that cannot be is left to torch."""
    import torch

    whole, small = drafts / EXPORTED["onnx float32"], drafts / EXPORTED["int8"]
    tower = ImageTower(model, prepared.recipe.preprocessing).eval()
    example = torch.from_numpy(np.stack(probes(prepared.recipe.preprocessing.size, 2)))
    ways: dict[str, Way] = {}
    with contextlib.suppress(Exception):  # exporters raise what they like, and torch can do the work
        export(tower, example, whole)
        ways["onnx float32"] = _onnx(whole)
        quantize(whole, small)
        ways["int8"] = _onnx(small)
    return ways


def _onnx(file: Path) -> Way:
    tower = OnnxTower(file)
    return Way(lambda pixels: tower.embed(_batches(pixels, "cpu")))


def _least(vectors: Vectors, truth: Vectors) -> float:
    """Return the least cosine of rows; NaN, which is right for nothing, where there is one."""
    return float((vectors * truth).sum(axis=1).min())


def _batches(pixels: list[Pixels], device: str) -> list[Pixels]:
    """Return a batch a core, or one for an accelerator."""
    size = -(-len(pixels) // cores()) if device == "cpu" else len(pixels)
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def _race(ways: dict[str, Images], pixels: list[Pixels]) -> dict[str, float]:
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
