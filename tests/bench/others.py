"""Loops of other programs that embed images with an open_clip model, for comparison."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from open_clip import get_model_preprocess_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from indexer.prefetch import prefetch
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.torch_towers import load_model
from retrieval.system import cores
from retrieval.types import Vectors


class Files(Dataset):
    """Pictures decoded whole and transformed as open_clip does, for the workers of a DataLoader."""

    def __init__(self, some: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.some, self.transform = some, transform

    def __len__(self) -> int:
        return len(self.some)

    def __getitem__(self, at: int) -> torch.Tensor:
        return self.transform(whole(self.some[at]))


def whole(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path).convert("RGB"))


def loops(model: OpenClipEmbedder, place: Path) -> dict[str, Callable[[Sequence[Path]], Vectors]]:
    """Return open_clip's documented loop, clip-retrieval's way (DataLoader) and rclip's (onnxruntime)."""
    net = load_model(model.prepared.folder)
    transform = image_transform_v2(PreprocessCfg(**get_model_preprocess_cfg(net)), is_train=False)
    exported = onnxruntime.InferenceSession(place / "whole.onnx")

    def embed(batch: torch.Tensor) -> Vectors:
        torch.set_num_threads(cores())
        with torch.inference_mode():
            return torch.nn.functional.normalize(net.encode_image(batch), dim=-1).numpy()

    def plain(some: Sequence[Path]) -> Vectors:
        return np.concatenate([embed(transform(whole(path))[None]) for path in some])

    def loader(some: Sequence[Path]) -> Vectors:
        batches = DataLoader(
            Files(some, transform), batch_size=32, num_workers=cores(), multiprocessing_context="fork"
        )
        return np.concatenate([embed(batch) for batch in batches])

    def rclip(some: Sequence[Path]) -> Vectors:
        """Decode a bounded number ahead in threads, and run float32 in batches of 8."""
        rows = prefetch(lambda path: model.prepare(whole(path)), some, threads=cores(), depth=16)
        batches = iter(lambda: list(islice(rows, 8)), [])
        return np.concatenate([exported.run(None, {"rows": np.stack(batch)})[0] for batch in batches])

    return {"plain loop": plain, "DataLoader": loader, "onnxruntime": rclip}
