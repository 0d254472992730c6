"""Fixtures of small, prepared open_clip models with random weights, and sample images and texts."""

import numpy as np
import pytest
from PIL import Image

from indexer.models import resolve
from retrieval.embedders.model_cache import PrecisionChoice
from retrieval.embedders.open_clip import OpenClipEmbedder
from tests.support.model_checkpoints import make_checkpoint, register_architectures

TEXTS = ["a photo of a dog", "Two RED cars, and a green tree!", "x", "word " * 100, "naïve café 🐶 &amp; 犬"]
SIZES = [(90, 70), (64, 64), (300, 41), (40, 200), (65, 63)]  # of sample images, repeated


def sample_images(count: int = 5) -> list[Image.Image]:
    """Return images of several sizes with reproducible random pixels."""
    random = np.random.default_rng(1)
    return [
        Image.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(SIZES[n % 5], 3)
        for n in range(count)
    ]


@pytest.fixture(scope="session")
def architectures(tmp_path_factory):
    """Register the small architectures."""
    register_architectures(tmp_path_factory.mktemp("architectures"))


@pytest.fixture(scope="session")
def checkpoints(architectures, tmp_path_factory):
    """Return a function that writes the weights of an architecture once and returns their path."""
    folder, paths = tmp_path_factory.mktemp("checkpoints"), {}

    def checkpoint_of(arch):
        if arch not in paths:
            paths[arch] = make_checkpoint(arch, folder / arch)
        return paths[arch]

    return checkpoint_of


@pytest.fixture
def embedder_of(checkpoints):
    """Return a function that returns the embedder of an architecture."""

    def resolve_(arch) -> OpenClipEmbedder:
        return resolve.resolve_embedder(str(checkpoints(arch)), arch=arch)

    return resolve_


@pytest.fixture
def float32_only(architectures, monkeypatch):
    """Choose float32 without a benchmark."""
    choice = PrecisionChoice("cpu", "float32", {}, 1.0)
    monkeypatch.setattr("indexer.models.prepare.choose_precision", lambda *arguments: choice)
