"""Choose the fastest accurate precision of a model on this machine, by measuring."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from indexer.models.precision_candidates import PrecisionCandidate, precision_candidates, probe_images
from retrieval.embedders.base import Pixels
from retrieval.embedders.model_cache import EXPORTED_IMAGE_TOWERS, PrecisionChoice, PreparedModel
from retrieval.embedders.open_clip import batch_size
from retrieval.embedders.torch_towers import accelerator_name, bfloat16_is_fast, check_device, device_types
from retrieval.errors import EmbedderError
from retrieval.types import Vectors

# The least cosine of a vector to that of float32.
MIN_COSINE = {"float32": 0.9999, "onnx float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.99}
BENCHMARK_ROUNDS = 3
MAX_SLOWDOWN = 3.0  # of a candidate to the fastest, above which it is not measured again
CPU_PROBES, ACCELERATOR_PROBES = 16, 256  # images; an accelerator takes one batch

Candidates = Mapping[str, PrecisionCandidate]  # by the name of the precision
Benchmark = Callable[[Candidates, list[Pixels]], dict[str, float]]  # images/s, by the name of the precision


def measure_rates(candidates: Candidates, images: list[Pixels]) -> dict[str, float]:
    """Return the images/s of each candidate in its fastest round."""
    seconds = dict.fromkeys(candidates, np.inf)
    for _ in range(BENCHMARK_ROUNDS):
        fastest = min(seconds.values())
        for name, candidate in candidates.items():
            if seconds[name] > MAX_SLOWDOWN * fastest:
                continue
            started_at = time.perf_counter()
            candidate.embed_images(images)
            seconds[name] = min(seconds[name], time.perf_counter() - started_at)
    return {name: len(images) / seconds[name] for name in candidates}


def choose_precision(
    prepared: PreparedModel,
    model: Any,
    device: str | None,
    temp_folder: Path,
    *,
    is_bfloat16_fast: Callable[[], bool] = bfloat16_is_fast,
    benchmark: Benchmark = measure_rates,
) -> PrecisionChoice:
    """Return the precision for a device, by default the fastest device; `model` is in float32, on the CPU.

    On a CPU, it is that of an exported image tower, which needs no torch, unless none is accurate. Exported
    image towers are left in `temp_folder`. Raises EmbedderError.
    """
    device = check_device(device or device_types()[0])
    size = prepared.manifest.preprocessing.size
    count = CPU_PROBES if device == "cpu" else batch_size(max(size), ACCELERATOR_PROBES, device)
    images = probe_images(size, count)
    candidates = precision_candidates(prepared, model, device, temp_folder, is_bfloat16_fast)
    cosines = min_cosines(candidates, images)  # also warms up
    if np.isnan(cosines["float32"]):
        raise EmbedderError(
            f"The weights of {prepared.manifest.name} embed images or texts as vectors with "
            "NaN or infinite values."
        )
    rates = benchmark(candidates, images)
    on_torch, exported = fastest_accurate(rates, cosines)
    best = exported or on_torch
    rounded = {name: round(rate, 1) for name, rate in rates.items()}
    hardware = accelerator_name(device) or ""
    return PrecisionChoice(device, best, rounded, round(cosines[best], 6), hardware, on_torch)


def fastest_accurate(rates: Mapping[str, float], cosines: Mapping[str, float]) -> tuple[str, str | None]:
    """Return the precisions of the highest rates among those with MIN_COSINE: on torch, and exported.

    The first is float32 if no other is accurate, and the second None.
    """
    accurate = [name for name in rates if name == "float32" or cosines[name] >= MIN_COSINE[name]]
    exported = [name for name in accurate if name in EXPORTED_IMAGE_TOWERS]
    on_torch = [name for name in accurate if name not in EXPORTED_IMAGE_TOWERS]
    return max(on_torch, key=rates.__getitem__), max(exported, key=rates.__getitem__, default=None)


def min_cosines(candidates: Candidates, images: list[Pixels]) -> dict[str, float]:
    """Return the smallest cosine of each candidate's image and text vectors to those of float32.

    It is NaN, which is accurate for no precision, if a vector has a NaN or infinite value.
    """
    image_vectors = {name: candidate.embed_images(images) for name, candidate in candidates.items()}
    text_vectors = {
        name: candidate.embed_probe_texts()
        for name, candidate in candidates.items()
        if candidate.embed_probe_texts is not None
    }
    cosines = {name: _min_cosine(rows, image_vectors["float32"]) for name, rows in image_vectors.items()}
    for name, rows in text_vectors.items():
        text_cosine = _min_cosine(rows, text_vectors["float32"])
        cosines[name] = float(np.minimum(cosines[name], text_cosine))  # NaN if either is
    return cosines


def _min_cosine(vectors: Vectors, expected: Vectors) -> float:
    """Return the smallest cosine of rows of unit vectors, (n, d) each; NaN if a value is NaN or infinite."""
    if not (np.isfinite(vectors).all() and np.isfinite(expected).all()):
        return np.nan
    return float((vectors * expected).sum(axis=1).min())
