"""The towers of an open_clip model on torch: the fastest precision of a device, all cores busy."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import nn
from torch.nn.functional import normalize

from retrieval.embedders.base import InputBatch
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
        """Scale, normalise and embed; pixels stay where they are in memory, which is channels_last.

        In float32 that is to the bit what open_clip does; what is rounded afterwards is done in one pass.
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
    """The same of a tower in which no token sees a later one: ids may be cut where the longest text ends.

    open_clip's `encode_text` with the positions and the mask cut to the ids, so that short texts cost less.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = getattr(model, "text", model)

    @staticmethod
    def is_causal(model: Any) -> bool:
        """Say whether a model's text tower is one of these."""
        text = getattr(model, "text", model)
        pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
        whole = getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False)
        return getattr(text, "attn_mask", None) is not None and pool == "argmax" and not whole

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


class TorchTowers:
    """Both towers of a model in one precision on one device.

    On a CPU each core runs batches of its own, so that no core waits for another. On CUDA every call has a
    stream of its own and copies from pinned memory, so that of two calls one copies while the other computes.
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
        self.text_tower = (CausalTextTower(model) if trim_padding else TextTower(model)).eval()

    def embed_images(self, batches: Sequence[InputBatch]) -> Vectors:
        """Embed batches of pictures, each (n, height, width, 3), in order: (sum of n, d)."""
        return self._embed(self.image_tower, batches)

    def embed_texts(self, batches: Sequence[InputBatch]) -> Vectors:
        """Embed batches of token ids, each (n, length), in order: (sum of n, d)."""
        return self._embed(self.text_tower, batches)

    def _embed(self, tower: nn.Module, batches: Sequence[InputBatch]) -> Vectors:
        if self.device.type != "cpu":
            return self._embed_on_device(tower, batches)
        if len(batches) == 1:
            return run_tower(tower, batches[0], cores())
        with ThreadPoolExecutor(cores()) as lanes:
            return np.concatenate(list(lanes.map(lambda rows: run_tower(tower, rows, 1), batches)))

    def _embed_on_device(self, tower: nn.Module, batches: Sequence[InputBatch]) -> Vectors:
        """Queue every batch on the device before the first answer is fetched."""
        cuda = self.device.type == "cuda"
        done = []
        with torch.inference_mode(), self._cuda_stream() if cuda else contextlib.nullcontext():
            for batch in batches:
                rows = torch.from_numpy(batch)
                rows = rows.pin_memory() if cuda else rows
                done.append(tower(rows.to(self.device, non_blocking=cuda)))
            return np.asarray(torch.cat(done).cpu().numpy(), np.float32)

    @contextlib.contextmanager
    def _cuda_stream(self) -> Iterator[None]:
        """Work on a stream of this call, after what made the weights."""
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.default_stream(self.device))
        with torch.cuda.stream(stream):
            yield


def run_tower(tower: nn.Module, rows: InputBatch, threads: int) -> Vectors:
    """Run one batch on so many threads of the CPU; torch keeps the number a thread."""
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return np.asarray(tower(torch.from_numpy(rows)).numpy(), np.float32)


def load_model(folder: Path) -> Any:
    """Load the model of a prepared folder, in float32, ready to embed."""
    with quiet():
        return open_clip.create_model(f"local-dir:{folder}", device="cpu", weights_only=True).eval()


def check_device(device: str) -> str:
    """Return a device as torch spells it; raises EmbedderError where it is not there."""
    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = None
    there = device_types()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked is None or asked.type not in there or (asked.type == "cuda" and (asked.index or 0) >= count):
        raise EmbedderError(f"There is no device {device} here; torch has {', '.join(there)}.")
    return str(asked) if asked.type == "cuda" else asked.type


def accelerator_name(device: str) -> str | None:
    """Name the accelerator behind a device; None where it is not there."""
    try:
        asked = check_device(device)
    except EmbedderError:
        return None
    return torch.cuda.get_device_name(asked) if asked.startswith("cuda") else ""


def device_types() -> list[str]:
    """Return the kinds of devices that torch has here, the fastest first."""
    accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(name for name, there in accelerators.items() if there), "cpu"]


def bfloat16_is_fast() -> bool:
    """Say whether this CPU multiplies bfloat16 faster than float32, by doing it (some 10 ms).

    What the processor claims is not enough: a library may be told to leave its units alone.
    """
    took = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            left, right = torch.ones(256, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
            times = []
            for _ in range(4):
                begun = time.perf_counter()
                left @ right
                times.append(time.perf_counter() - begun)
            took[dtype] = min(times)
    return took[torch.bfloat16] < took[torch.float32]
