"""Choose the fastest precision that is right on this machine, by trying."""

import contextlib
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from indexer.models.checkpoint import TOKENIZER_PROBES
from indexer.models.onnx_export import export, quantize
from retrieval.embedders.base import Pixels
from retrieval.embedders.model_cache import (
    EXPORTED_IMAGE_TOWERS,
    TOKENIZER_FILE,
    PrecisionChoice,
    PreparedModel,
)
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.open_clip import batch_size
from retrieval.embedders.tokenizer import ModelTokenizer
from retrieval.embedders.torch_towers import (
    ImageTower,
    TorchTowers,
    accelerator_name,
    bfloat16_is_fast,
    check_device,
    device_types,
)
from retrieval.errors import EmbedderError
from retrieval.system import cores
from retrieval.types import Vectors

MIN_COSINE = {"float32": 0.9999, "onnx float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.99}
BENCHMARK_ROUNDS = 3
MIN_SPEEDUP = 1.5  # times faster than float32 that another runtime must be

EmbedImages = Callable[[list[Pixels]], Vectors]


class PrecisionCandidate(NamedTuple):
    """A way to embed pictures; one on torch reads PROBES in the same precision."""

    embed_images: EmbedImages
    embed_probe_texts: Callable[[], Vectors] | None = None


def choose_precision(
    prepared: PreparedModel, model: Any, device: str | None, temp_folder: Path
) -> PrecisionChoice:
    """Return the choice for a device, by default the fastest there is; `model` is in float32, on the CPU.

    A precision is right where the cosine of every probe's vector to float32's is at least RIGHT. Image
    towers that were exported to be tried are left in `drafts`. Raises EmbedderError.
    """
    device = check_device(device or device_types()[0])
    looks = prepared.manifest.preprocessing
    pixels = probe_images(looks.size, 16 if device == "cpu" else batch_size(max(looks.size), 256, device))
    plain = _torch_candidate(model, prepared, "float32", device)
    ways = {"float32": plain, **_candidates(model, prepared, device, temp_folder)}
    found = {name: way.embed_images(pixels) for name, way in ways.items()}  # and warm
    if not np.isfinite(found["float32"]).all():
        raise EmbedderError(f"The weights of {prepared.manifest.name} give vectors that are no numbers.")
    cosines = {name: _min_cosine(vectors, found["float32"]) for name, vectors in found.items()}
    for name, way in ways.items():
        if way.embed_probe_texts is not None and plain.embed_probe_texts is not None:
            cosines[name] = min(
                cosines[name], _min_cosine(way.embed_probe_texts(), plain.embed_probe_texts())
            )
    rates = _benchmark({name: way.embed_images for name, way in ways.items()}, pixels)
    worth = {
        name: rate / (MIN_SPEEDUP if name in EXPORTED_IMAGE_TOWERS else 1) for name, rate in rates.items()
    }
    right = [name for name in rates if name == "float32" or cosines[name] >= MIN_COSINE[name]]
    best = max(right, key=worth.__getitem__)
    shown = {name: round(rate, 1) for name, rate in rates.items()}
    return PrecisionChoice(device, best, shown, round(cosines[best], 6), accelerator_name(device) or "")


def probe_images(size: tuple[int, int], count: int) -> list[Pixels]:
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


def _candidates(
    model: Any, prepared: PreparedModel, device: str, temp_folder: Path
) -> dict[str, PrecisionCandidate]:
    """Return the precisions that may be faster than float32 on a device."""
    if device.startswith("cuda"):
        import torch

        with torch.cuda.device(device):
            half = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return {half: _torch_candidate(model, prepared, half, device)}
    if device == "mps":
        return {"float16": _torch_candidate(model, prepared, "float16", device)}
    if bfloat16_is_fast():
        return {"bfloat16": _torch_candidate(model, prepared, "bfloat16", device)}
    return _exported_candidates(model, prepared, temp_folder)


def _torch_candidate(model: Any, prepared: PreparedModel, precision: str, device: str) -> PrecisionCandidate:
    recipe = prepared.manifest
    own = model if (precision, device) == ("float32", "cpu") else copy.deepcopy(model)
    towers = TorchTowers(own, recipe.preprocessing, precision, device, trim_padding=recipe.cut)
    ids, lengths = ModelTokenizer(prepared.folder / TOKENIZER_FILE, recipe.frame).encode(TOKENIZER_PROBES)
    rows = [row[None, :length] if recipe.cut else row[None] for row, length in zip(ids, lengths, strict=True)]
    return PrecisionCandidate(
        lambda pixels: towers.embed_images(_batches(pixels, device)), lambda: towers.embed_texts(rows)
    )


def _exported_candidates(
    model: Any, prepared: PreparedModel, temp_folder: Path
) -> dict[str, PrecisionCandidate]:
    """Export the image tower as float32 and int8; a tower that cannot be is left to torch."""
    import torch

    whole, small = (
        temp_folder / EXPORTED_IMAGE_TOWERS["onnx float32"],
        temp_folder / EXPORTED_IMAGE_TOWERS["int8"],
    )
    tower = ImageTower(model, prepared.manifest.preprocessing).eval()
    example = torch.from_numpy(np.stack(probe_images(prepared.manifest.preprocessing.size, 2)))
    ways: dict[str, PrecisionCandidate] = {}
    with contextlib.suppress(Exception):  # exporters raise what they like, and torch can do the work
        export(tower, example, whole)
        ways["onnx float32"] = _onnx_candidate(whole)
        quantize(whole, small)
        ways["int8"] = _onnx_candidate(small)
    return ways


def _onnx_candidate(file: Path) -> PrecisionCandidate:
    tower = OnnxTower(file)
    return PrecisionCandidate(lambda pixels: tower.embed(_batches(pixels, "cpu")))


def _min_cosine(vectors: Vectors, truth: Vectors) -> float:
    """Return the least cosine of rows; NaN, which is right for nothing, where there is one."""
    return float((vectors * truth).sum(axis=1).min())


def _batches(pixels: list[Pixels], device: str) -> list[Pixels]:
    """Return a batch a core, or one for an accelerator."""
    size = -(-len(pixels) // cores()) if device == "cpu" else len(pixels)
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def _benchmark(candidates: dict[str, EmbedImages], pixels: list[Pixels]) -> dict[str, float]:
    """Return the best rate of each way in ROUNDS turns; one much slower than the best has but one."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(BENCHMARK_ROUNDS):
        best = min((min(each) for each in times.values() if each), default=np.inf)
        for name, way in candidates.items():
            if turn and min(times[name]) > 3 * best:
                continue
            begun = time.perf_counter()
            way(pixels)
            times[name].append(time.perf_counter() - begun)
    return {name: len(pixels) / min(each) for name, each in times.items()}
