"""Choose the fastest accurate precision on this machine, by measuring."""

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
MIN_SPEEDUP = 1.5  # of another runtime over torch in float32, below which torch is kept

EmbedImages = Callable[[list[Pixels]], Vectors]


class PrecisionCandidate(NamedTuple):
    """A precision to measure; on torch, it also embeds TOKENIZER_PROBES."""

    embed_images: EmbedImages
    embed_probe_texts: Callable[[], Vectors] | None = None


def choose_precision(
    prepared: PreparedModel, model: Any, device: str | None, temp_folder: Path
) -> PrecisionChoice:
    """Return the choice for a device, by default the fastest device; `model` is in float32, on the CPU.

    A precision is accurate if the cosine of each probe's vector to float32's is at least MIN_COSINE. Exported
    image towers are left in `temp_folder`. Raises EmbedderError.
    """
    device = check_device(device or device_types()[0])
    size = prepared.manifest.preprocessing.size
    pixels = probe_images(size, 16 if device == "cpu" else batch_size(max(size), 256, device))
    reference = _torch_candidate(model, prepared, "float32", device)
    candidates = {"float32": reference, **_candidates(model, prepared, device, temp_folder)}
    vectors = {
        name: candidate.embed_images(pixels) for name, candidate in candidates.items()
    }  # warms up, too
    if not np.isfinite(vectors["float32"]).all():
        raise EmbedderError(
            f"The weights of {prepared.manifest.name} embed images as vectors with NaN or infinite values."
        )
    cosines = {name: _min_cosine(rows, vectors["float32"]) for name, rows in vectors.items()}
    for name, candidate in candidates.items():
        if candidate.embed_probe_texts is not None and reference.embed_probe_texts is not None:
            cosine = _min_cosine(candidate.embed_probe_texts(), reference.embed_probe_texts())
            cosines[name] = min(cosines[name], cosine)
    rates = _benchmark({name: candidate.embed_images for name, candidate in candidates.items()}, pixels)
    accurate = [name for name in rates if name == "float32" or cosines[name] >= MIN_COSINE[name]]
    best = max(accurate, key=lambda name: rates[name] / (MIN_SPEEDUP if name in EXPORTED_IMAGE_TOWERS else 1))
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    return PrecisionChoice(device, best, rounded, round(cosines[best], 6), accelerator_name(device) or "")


def probe_images(size: tuple[int, int], count: int) -> list[Pixels]:
    """Draw images (height, width, 3) with coarse and fine structure, the same every time."""
    from PIL import Image

    random, images = np.random.default_rng(0), []
    for number in range(count):
        layers = [
            np.asarray(
                Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize(
                    size[::-1], 3
                ),
                np.float32,
            )
            for cells in (2, 5, 16, 64)
        ]
        weights = random.dirichlet(np.ones(len(layers)) * (0.3 + number % 4))
        mixed = sum(weight * layer for weight, layer in zip(weights, layers, strict=True))
        images.append(np.asarray(mixed, dtype=np.uint8))
    return images


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
    manifest = prepared.manifest
    own_model = model if (precision, device) == ("float32", "cpu") else copy.deepcopy(model)
    towers = TorchTowers(own_model, manifest.preprocessing, precision, device, trim_padding=manifest.cut)
    ids, lengths = ModelTokenizer(prepared.folder / TOKENIZER_FILE, manifest.frame).encode(TOKENIZER_PROBES)
    rows = [
        row[None, :length] if manifest.cut else row[None] for row, length in zip(ids, lengths, strict=True)
    ]
    return PrecisionCandidate(
        lambda pixels: towers.embed_images(_batches(pixels, device)), lambda: towers.embed_texts(rows)
    )


def _exported_candidates(
    model: Any, prepared: PreparedModel, temp_folder: Path
) -> dict[str, PrecisionCandidate]:
    """Export the image tower in float32 and int8; a tower that cannot be exported has no candidates."""
    import torch

    float32, int8 = (temp_folder / EXPORTED_IMAGE_TOWERS[name] for name in ("onnx float32", "int8"))
    tower = ImageTower(model, prepared.manifest.preprocessing).eval()
    example = torch.from_numpy(np.stack(probe_images(prepared.manifest.preprocessing.size, 2)))
    candidates: dict[str, PrecisionCandidate] = {}
    with contextlib.suppress(Exception):  # exporters raise many types, and torch needs no export
        export(tower, example, float32)
        candidates["onnx float32"] = _onnx_candidate(float32)
        quantize(float32, int8)
        candidates["int8"] = _onnx_candidate(int8)
    return candidates


def _onnx_candidate(file: Path) -> PrecisionCandidate:
    tower = OnnxTower(file)
    return PrecisionCandidate(lambda pixels: tower.embed(_batches(pixels, "cpu")))


def _min_cosine(vectors: Vectors, truth: Vectors) -> float:
    """Return the smallest cosine of rows; NaN, which is accurate for no precision, if any is NaN."""
    return float((vectors * truth).sum(axis=1).min())


def _batches(pixels: list[Pixels], device: str) -> list[Pixels]:
    """Return one batch per core, or a single one for an accelerator."""
    size = -(-len(pixels) // cores()) if device == "cpu" else len(pixels)
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]


def _benchmark(candidates: dict[str, EmbedImages], pixels: list[Pixels]) -> dict[str, float]:
    """Return the best images/s of each candidate; one that is much slower than the best has one round."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(BENCHMARK_ROUNDS):
        best = min((min(seconds) for seconds in times.values() if seconds), default=np.inf)
        for name, embed in candidates.items():
            if round_ and min(times[name]) > 3 * best:
                continue
            start = time.perf_counter()
            embed(pixels)
            times[name].append(time.perf_counter() - start)
    return {name: len(pixels) / min(seconds) for name, seconds in times.items()}
