"""Fixtures of small, prepared open_clip models with random weights, and sample images and texts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.models import resolve
from indexer.models.checkpoint import find_checkpoint
from indexer.models.prepare import prepare
from indexer.types import ignore_message
from retrieval.embedders.model_cache import PrecisionChoice, PreparedModel
from retrieval.embedders.model_name import parse_model_name
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


def prepare_in_float32(path: Path, arch: str | None) -> PreparedModel:
    """Prepare a model without a benchmark, so that all devices use float32 on the CPU."""
    choice = PrecisionChoice("cpu", "float32", {}, 1.0, torch_precision="float32")
    source = parse_model_name(str(path), arch)
    checkpoint = find_checkpoint(source, ignore_message)
    return prepare(checkpoint, None, ignore_message, choose=lambda *arguments: choice)
