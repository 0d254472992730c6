"""The towers of an open_clip model on torch, in a precision and on a device."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from torch import nn
from torch.nn.functional import normalize

from retrieval.embedders.base import InputBatch
from retrieval.embedders.model_cache import PreparedModel
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.errors import EmbedderError
from retrieval.quiet import quiet
from retrieval.system import cores
from retrieval.types import Vectors

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ImageTower(nn.Module):
    """Pixels (n, height, width, 3), uint8, to unit vectors (n, d), float32."""

    mean: torch.Tensor
    std: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, model: nn.Module, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))
        self.register_buffer("offset", -self.mean / self.std, persistent=False)
        self.register_buffer("scale", 1 / (255 * self.std), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale, normalize and embed pixels, without a copy: their memory layout is channels_last.

        In float32, the result equals open_clip's bit by bit. Other precisions round anyway: one pass.
        """
        x = pixels.permute(0, 3, 1, 2).to(torch.float32)
        if self.dtype is torch.float32:
            x = x.div_(255).sub_(self.mean).div_(self.std)
        else:
            x = torch.addcmul(self.offset, x, self.scale)
        return normalize(self.model.encode_image(x.to(self.dtype)).float(), dim=-1)  # type: ignore[operator]


class TextTower(nn.Module):
    """Token ids (n, context) to unit vectors (n, d), float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embed."""
        return normalize(self.model.encode_text(ids).float(), dim=-1)  # type: ignore[operator]


class CausalTextTower(nn.Module):
    """Text tower in which no token attends to a later one, so that padding can be trimmed.

    Equals open_clip's `encode_text` with positions and mask trimmed to the ids, which makes short texts fast.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = getattr(model, "text", model)

    @staticmethod
    def is_causal(model: Any) -> bool:
        """Return True if the text tower of a model is of this kind."""
        text = getattr(model, "text", model)
        pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
        needs_padding = getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False)
        return getattr(text, "attn_mask", None) is not None and pool == "argmax" and not needs_padding

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embed (n, length) ids."""
        text, length = self.text, ids.shape[1]
        x = text.token_embedding(ids) + text.positional_embedding[:length]
        x = text.ln_final(text.transformer(x, attn_mask=text.attn_mask[:length, :length]))
        x = x[torch.arange(x.shape[0], device=x.device), ids.argmax(dim=-1)]
        projection = text.text_projection
        if projection is not None:
            x = projection(x) if isinstance(projection, nn.Linear) else x @ projection
        return normalize(x.float(), dim=-1)


def trimmable_text_tower(model: Any) -> nn.Module | None:
    """Return a text tower from whose ids padding may be trimmed, or None.

    Encoders of transformers mask padding, so that its length does not change the result.
    """
    if CausalTextTower.is_causal(model):
        return CausalTextTower(model)
    return TextTower(model) if isinstance(getattr(model, "text", None), HFTextEncoder) else None


class TorchTowers:
    """Both towers of a model in one precision on one device.

    On a CPU, each core computes its own batches, so that none waits for another. On CUDA, each call has its
    own stream and copies from pinned memory, so that one call copies while another computes.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        precision: str,
        device: str,
        *,
        trim_padding: bool = False,
    ) -> None:
        dtype = DTYPES[precision]
        model = model.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)
        self.device = torch.device(device)
        self.image_tower = ImageTower(model, preprocessing, dtype).to(device).eval()
        trimmable = trimmable_text_tower(model) if trim_padding else None
        self.text_tower = (TextTower(model) if trimmable is None else trimmable).eval()

    def embed_images(self, batches: Sequence[InputBatch]) -> Vectors:
        """Embed batches of images, each (n, height, width, 3), in order: (sum of n, d)."""
        return self._embed(self.image_tower, batches)

    def embed_texts(self, batches: Sequence[InputBatch]) -> Vectors:
        """Embed batches of token ids, each (n, length), in order: (sum of n, d)."""
        return self._embed(self.text_tower, batches)

    def _embed(self, tower: nn.Module, batches: Sequence[InputBatch]) -> Vectors:
        if self.device.type != "cpu":
            return self._embed_on_device(tower, batches)
        if len(batches) == 1:
            return run_tower(tower, batches[0], cores())
        with ThreadPoolExecutor(cores()) as threads:
            return np.concatenate(list(threads.map(lambda rows: run_tower(tower, rows, 1), batches)))

    def _embed_on_device(self, tower: nn.Module, batches: Sequence[InputBatch]) -> Vectors:
        """Queue all batches on the device before reading the first result."""
        cuda = self.device.type == "cuda"
        outputs = []
        with torch.inference_mode(), self._cuda_stream() if cuda else contextlib.nullcontext():
            for batch in batches:
                rows = torch.from_numpy(batch)
                rows = rows.pin_memory() if cuda else rows
                outputs.append(tower(rows.to(self.device, non_blocking=cuda)))
            return np.asarray(torch.cat(outputs).cpu().numpy(), np.float32)

    @contextlib.contextmanager
    def _cuda_stream(self) -> Iterator[None]:
        """Use a stream of this call, which starts after the weights are complete."""
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.default_stream(self.device))
        with torch.cuda.stream(stream):
            yield


def run_tower(tower: nn.Module, rows: InputBatch, threads: int) -> Vectors:
    """Compute one batch with a number of CPU threads, which torch stores per calling thread."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return np.asarray(tower(torch.from_numpy(rows)).numpy(), np.float32)


def load_model(folder: Path) -> Any:
    """Load the model of a prepared folder, in float32, on the CPU."""
    with quiet():
        return open_clip.create_model(f"local-dir:{folder}", device="cpu", weights_only=True).eval()


def check_device(device: str) -> str:
    """Return a device in torch's spelling; raises EmbedderError if it does not exist."""
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    available = device_types()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (
        parsed is None
        or parsed.type not in available
        or (parsed.type == "cuda" and (parsed.index or 0) >= count)
    ):
        raise EmbedderError(f"Device {device} not found. Available: {', '.join(available)}.")
    return str(parsed) if parsed.type == "cuda" else parsed.type


def accelerator_name(device: str) -> str | None:
    """Return the name of a device's accelerator, empty for a CPU, or None if the device does not exist."""
    try:
        checked = check_device(device)
    except EmbedderError:
        return None
    return torch.cuda.get_device_name(checked) if checked.startswith("cuda") else ""


def device_types() -> list[str]:
    """Return the available types of devices, the fastest first."""
    accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(name for name, is_available in accelerators.items() if is_available), "cpu"]


def bfloat16_is_fast() -> bool:
    """Return True if this CPU multiplies bfloat16 matrices faster than float32, measured in about 10 ms.

    The flags of the processor are not enough: a library may be configured not to use its units.
    """
    seconds = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            left, right = torch.ones(256, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
            times = []
            for _ in range(4):
                start = time.perf_counter()
                left @ right
                times.append(time.perf_counter() - start)
            seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def load_towers(
    prepared: PreparedModel,
    precision: str,
    device: str,
    is_bfloat16_fast: Callable[[], bool] = bfloat16_is_fast,
) -> TorchTowers:
    """Load the towers of a prepared model; raises EmbedderError.

    On a CPU, float32 replaces bfloat16 unless it is fast in this process: a library may be configured not to
    use the units of the processor.
    """
    if device == "cpu" and precision == "bfloat16" and not is_bfloat16_fast():
        precision = "float32"
    checked, manifest = check_device(device), prepared.manifest
    model = load_model(prepared.folder)
    return TorchTowers(model, manifest.preprocessing, precision, checked, trim_padding=manifest.cut)
