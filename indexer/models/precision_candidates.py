"""Precisions of a model that may be the fastest on a device, and images to measure them."""

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from indexer.models.checkpoint import TOKENIZER_PROBES
from indexer.models.onnx_export import export, quantize
from retrieval.embedders.base import Pixels
from retrieval.embedders.model_cache import EXPORTED_IMAGE_TOWERS, TOKENIZER_FILE, PreparedModel
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.tokenizer import ModelTokenizer
from retrieval.embedders.torch_towers import ImageTower, TorchTowers, bfloat16_is_fast
from retrieval.system import cores
from retrieval.types import Vectors


class PrecisionCandidate(NamedTuple):
    """A model in one precision."""

    embed_images: Callable[[list[Pixels]], Vectors]  # n images -> (n, d)
    embed_probe_texts: Callable[[], Vectors] | None = None  # of TOKENIZER_PROBES; None without a text tower


def precision_candidates(
    prepared: PreparedModel,
    model: Any,
    device: str,
    temp_folder: Path,
    is_bfloat16_fast: Callable[[], bool] = bfloat16_is_fast,
) -> dict[str, PrecisionCandidate]:
    """Return float32 and the precisions that may be faster on a device, by name.

    On a CPU, these are the image towers that are exported to `temp_folder`, and bfloat16 if it is fast.
    """

    def on_torch(*precisions: str) -> dict[str, PrecisionCandidate]:
        return {precision: _torch_candidate(prepared, model, precision, device) for precision in precisions}

    if device.startswith("cuda"):
        import torch

        with torch.cuda.device(device):
            has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return on_torch("float32", "bfloat16" if has_bfloat16 else "float16")
    if device == "mps":
        return on_torch("float32", "float16")
    precisions = ("float32", "bfloat16") if is_bfloat16_fast() else ("float32",)
    return {**on_torch(*precisions), **_exported_candidates(prepared, model, temp_folder)}


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


def _torch_candidate(prepared: PreparedModel, model: Any, precision: str, device: str) -> PrecisionCandidate:
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
    prepared: PreparedModel, model: Any, temp_folder: Path
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


def _batches(pixels: list[Pixels], device: str) -> list[Pixels]:
    """Return one batch per core, or a single one for an accelerator."""
    size = -(-len(pixels) // cores()) if device == "cpu" else len(pixels)
    return [np.stack(pixels[at : at + size]) for at in range(0, len(pixels), size)]
