"""Prepared models of open_clip, with their own tokenizer and preprocessing, in the fastest precision."""

from collections.abc import Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from retrieval.embedders.base import InputBatch, Pixels
from retrieval.embedders.model_cache import (
    EXPORTED_IMAGE_TOWERS,
    TEXT_TOWER_FILE,
    TOKENIZER_FILE,
    PrecisionChoice,
    PreparedModel,
)
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.pace import TORCH_LOAD_SECONDS, TorchDecision
from retrieval.embedders.tokenizer import ModelTokenizer
from retrieval.errors import EmbedderError
from retrieval.system import cores, memory_limit
from retrieval.types import Vectors

if TYPE_CHECKING:
    from retrieval.embedders.torch_towers import TorchTowers

MAX_TEXTS_WITHOUT_TORCH = 16  # of a call, if images are embedded on torch
MAX_BATCH = 32


class OpenClipEmbedder:
    """A prepared model on a device, by default the CPU; each tower is loaded on first use.

    Towers exported to ONNX run without torch. A long run loads torch nevertheless if it is much faster.
    """

    def __init__(
        self, prepared: PreparedModel, device: str = "cpu", *, torch_load_seconds: float = TORCH_LOAD_SECONDS
    ) -> None:
        manifest = prepared.manifest
        self.prepared, self.device = prepared, device
        self.name, self.fingerprint = manifest.name, manifest.fingerprint
        self.parts: Mapping[str, str] = manifest.parts
        self.arch = manifest.arch
        self.prepare = manifest.preprocessing.apply
        self.dim, self.max_tokens = manifest.dim, manifest.frame.max_tokens
        self.min_image_side = 2 * max(manifest.preprocessing.size)
        self.choice = prepared.choice(device) or PrecisionChoice(device, "float32", {}, 1.0)
        self._tokenizer = ModelTokenizer(prepared.folder / TOKENIZER_FILE, manifest.frame)
        self.concurrency = 1 if device == "cpu" else 2  # one call copies while another computes
        self._text_tower = OnnxTower(prepared.folder / TEXT_TOWER_FILE)
        self._has_text_tower = self._text_tower.file.is_file()
        self._image_tower = OnnxTower(prepared.folder / EXPORTED_IMAGE_TOWERS.get(self.choice.precision, ""))
        self._exports_images = self.choice.precision in EXPORTED_IMAGE_TOWERS
        self._image_decision = TorchDecision(self.choice.torch_speedup, torch_load_seconds)
        self._text_decision = TorchDecision(self.choice.torch_text_speedup, torch_load_seconds)
        self._load_lock = Lock()
        self._loaded_towers: TorchTowers | None = None

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Embed n images of (height, width, 3): (n, dim)."""
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        size = self._batch_size(len(images))
        batches = [np.stack(images[at : at + size]) for at in range(0, len(images), size)]
        wants_torch = not self._exports_images or (
            self._image_decision.is_due and self.prepared.weights_present
        )
        if wants_torch:
            return self._torch_towers.embed_images(batches)
        return _embed_timed(self._image_tower, batches, self._image_decision)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, dim); raises ValueError if a text has no tokens."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        ids, lengths = self._tokenizer.encode(texts)
        order = np.argsort(lengths, kind="stable")  # similar lengths share a batch
        size = self._batch_size(len(texts))
        row_batches = [order[at : at + size] for at in range(0, len(order), size)]
        trim = self.prepared.manifest.cut
        batches = [ids[rows, : lengths[rows].max()] if trim else ids[rows] for rows in row_batches]
        wants_torch = self.prepared.weights_present and (
            self._text_decision.is_due if self._exports_images else len(texts) > MAX_TEXTS_WITHOUT_TORCH
        )
        vectors = np.empty((len(texts), self.dim), np.float32)
        if wants_torch or not self._has_text_tower:
            vectors[order] = self._torch_towers.embed_texts(batches)
        else:
            vectors[order] = _embed_timed(self._text_tower, batches, self._text_decision)
        return vectors

    def fix_arithmetic(self) -> None:
        """Keep exported towers also in a long run: equal inputs then have equal vectors, bit by bit."""
        self._image_decision = self._text_decision = TorchDecision(1.0)

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        return self._tokenizer.count_tokens(text)

    def knows(self, text: str) -> bool:
        """Return True if the model knows any token of a text."""
        return self._tokenizer.knows(text)

    def unfamiliarity(self, text: str) -> float:
        """Return 0 if the model knows any token: its tokenizer does not tell how rare tokens are."""
        return 0.0 if self.knows(text) else 1.0

    def _batch_size(self, count: int) -> int:
        return batch_size(max(self.prepared.manifest.preprocessing.size), count, self.device)

    @property
    def has_loaded_torch(self) -> bool:
        """Return True if a tower has run on torch."""
        return self._loaded_towers is not None

    @property
    def _torch_towers(self) -> "TorchTowers":
        """Return the towers on torch, loaded once."""
        with self._load_lock:
            if self._loaded_towers is None:
                self._loaded_towers = self._load_towers()
            return self._loaded_towers

    def _load_towers(self) -> "TorchTowers":
        if not self.prepared.weights_present:
            raise EmbedderError(
                f"The weights of {self.name} are missing or have changed: {self.prepared.manifest.weights}. "
                "Restore them, or `clew switch` to another model. Text queries still work."
            )
        from retrieval.embedders.torch_towers import load_towers  # heavy: torch

        precision = self.choice.torch_precision or self.choice.precision
        return load_towers(
            self.prepared, "float32" if precision in EXPORTED_IMAGE_TOWERS else precision, self.device
        )


def _embed_timed(tower: OnnxTower, batches: Sequence[InputBatch], decision: TorchDecision) -> Vectors:
    started = monotonic()
    vectors = tower.embed(batches)
    decision.add(monotonic() - started)
    return vectors


def batch_size(image_side: int, count: int, device: str) -> int:
    """Return the number of rows in a batch if `count` rows are to be embedded.

    On a CPU, all cores get equal shares that fit in memory: a large model takes about 20 MB per image of
    224 pixels.
    """
    size = (224 / image_side) ** 2
    if device != "cpu":
        return max(1, int(256 * size))
    rows_in_memory = int(memory_limit() / 4 / (20e6 / size))
    largest = max(1, min(MAX_BATCH, rows_in_memory // cores(), max(4, 4 * MAX_BATCH // cores())))
    rounds = -(-count // (largest * cores()))  # each core computes one batch per round
    return -(-count // (rounds * cores()))
