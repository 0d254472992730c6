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
    """Images decoded at full size and transformed by open_clip, for the workers of a DataLoader."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> torch.Tensor:
        return self.transform(decode_full(self.paths[at]))


def decode_full(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path).convert("RGB"))


def loops(model: OpenClipEmbedder, place: Path) -> dict[str, Callable[[Sequence[Path]], Vectors]]:
    """Return the loops of open_clip's README, clip-retrieval (DataLoader) and rclip (onnxruntime)."""
    net = load_model(model.prepared.folder)
    transform = image_transform_v2(PreprocessCfg(**get_model_preprocess_cfg(net)), is_train=False)
    exported = onnxruntime.InferenceSession(place / "image_tower.onnx")

    def embed(batch: torch.Tensor) -> Vectors:
        torch.set_num_threads(cores())
        with torch.inference_mode():
            return torch.nn.functional.normalize(net.encode_image(batch), dim=-1).numpy()

    def plain(paths: Sequence[Path]) -> Vectors:
        return np.concatenate([embed(transform(decode_full(path))[None]) for path in paths])

    def loader(paths: Sequence[Path]) -> Vectors:
        batches = DataLoader(
            Files(paths, transform), batch_size=32, num_workers=cores(), multiprocessing_context="fork"
        )
        return np.concatenate([embed(batch) for batch in batches])

    def rclip(paths: Sequence[Path]) -> Vectors:
        """Decode up to 16 files ahead in threads, and run float32 in batches of 8."""
        rows = prefetch(lambda path: model.prepare(decode_full(path)), paths, threads=cores(), depth=16)
        batches = iter(lambda: list(islice(rows, 8)), [])
        return np.concatenate([exported.run(None, {"rows": np.stack(batch)})[0] for batch in batches])

    return {"plain loop": plain, "DataLoader": loader, "onnxruntime": rclip}
