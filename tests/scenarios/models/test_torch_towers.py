"""Tests of the towers on torch and of their precisions."""

import numpy as np
import pytest
import torch

from indexer.models.onnx_export import export, quantize
from indexer.models.precision import MIN_COSINE, probe_images
from indexer.models.resolve import resolve_embedder
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.torch_towers import DTYPES, ImageTower, TorchTowers, load_model
from tests.support.model_checkpoints import (
    load_open_clip,
)
from tests.support.open_clip_models import sample_images


def embed_probe_images(embed, dim):
    return embed([np.stack(probe_images((64, 64), 64)[at : at + 8]) for at in range(0, 64, 8)]).reshape(
        64, dim
    )


@pytest.fixture(scope="module")
def image_towers(small_vit, tmp_path_factory):
    """Return the files of the exported image tower, by precision."""
    prepared = resolve_embedder(str(small_vit.weights), arch="small-vit").prepared
    model, preprocessing = load_model(prepared.folder), prepared.manifest.preprocessing
    folder = tmp_path_factory.mktemp("towers")
    files = {"onnx float32": folder / "whole.onnx", "int8": folder / "small.onnx"}
    example = torch.from_numpy(np.stack(probe_images((64, 64), 2)))
    export(ImageTower(model, preprocessing).eval(), example, files["onnx float32"])
    quantize(files["onnx float32"], files["int8"])
    return files


@pytest.mark.parametrize("kind", ["onnx float32", "int8", "bfloat16", "float16"])
def test_each_precision_ranks_as_float32(kind, embedder_of, image_towers):
    embedder = embedder_of("small-vit")
    preprocessing, model = embedder.prepared.manifest.preprocessing, load_model(embedder.prepared.folder)
    truth = embed_probe_images(TorchTowers(model, preprocessing, "float32", "cpu").embed_images, embedder.dim)
    if kind in DTYPES:
        embed = TorchTowers(load_model(embedder.prepared.folder), preprocessing, kind, "cpu").embed_images
    else:
        embed = OnnxTower(image_towers[kind]).embed
    vectors = embed_probe_images(embed, embedder.dim)
    assert (vectors * truth).sum(axis=1).min() >= MIN_COSINE[kind]
    right, mine = truth[:8] @ truth.T, vectors[:8] @ vectors.T
    tie = 2 * float(np.abs(right - mine).max()) + 1e-6
    assert tie < {"onnx float32": 1e-4, "int8": 0.05}.get(kind, 0.02)
    worst = np.sort(right, axis=1)[:, -10]
    best = np.argsort(-mine, axis=1)[:, :10]
    assert (np.take_along_axis(right, best, axis=1) >= worst[:, None] - tie).all()


def test_pixels_are_normalized_as_by_open_clip(embedder_of):
    embedder = embedder_of("small-vit")
    seen = []

    class Spy(torch.nn.Module):
        def encode_image(self, x):
            seen.append(x)
            return x.flatten(1)

    towers = TorchTowers(Spy(), embedder.prepared.manifest.preprocessing, "float32", "cpu")
    _, transform = load_open_clip(embedder.prepared)
    towers.embed_images([np.stack([embedder.prepare(image) for image in sample_images()])])
    expected = torch.stack([transform(image) for image in sample_images()])
    assert torch.equal(seen[0], expected)
    halved = TorchTowers(Spy(), embedder.prepared.manifest.preprocessing, "bfloat16", "cpu")
    halved.embed_images([np.stack([embedder.prepare(image) for image in sample_images()])])
    assert seen[1].dtype is torch.bfloat16
    torch.testing.assert_close(seen[1].float(), expected, rtol=2**-7, atol=1e-6)
