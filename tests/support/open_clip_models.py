"""Fixtures of small, prepared open_clip models with random weights, and sample images and texts."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from indexer.models import resolve
from indexer.models.checkpoint import find_checkpoint
from indexer.models.prepare import prepare
from indexer.types import ignore_message
from retrieval.embedders.model_cache import PrecisionChoice, PreparedModel
from retrieval.embedders.model_name import parse_model_name
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.system import model_cache_folder
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


class SmallVit(NamedTuple):
    """The weights of small-vit, and a folder of models with it, as it was prepared."""

    weights: Path
    models: Path


@pytest.fixture(scope="session")
def small_vit(architectures, tmp_path_factory) -> SmallVit:
    """Prepare small-vit once for all processes of pytest-xdist, and copy it to the cache of this one."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    shared = SmallVit(folder / "weights" / "small-vit.safetensors", folder / "models")
    with FileLock(folder / "small-vit.lock"):
        if not shared.models.exists():
            make_checkpoint("small-vit", shared.weights.parent)
            prepared = resolve.resolve_embedder(str(shared.weights), arch="small-vit").prepared
            shutil.copytree(prepared.folder, shared.models / prepared.folder.name, symlinks=True)
        (folder,) = shared.models.iterdir()
    if not (model_cache_folder() / folder.name).exists():
        shutil.copytree(folder, model_cache_folder() / folder.name, symlinks=True)
    return shared


@pytest.fixture
def own_cache(small_vit, tmp_path, monkeypatch) -> None:
    """Use a cache of models with small-vit, which the test may change."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    shutil.copytree(small_vit.models, model_cache_folder(), symlinks=True)


@pytest.fixture(scope="session")
def checkpoints(architectures, small_vit, tmp_path_factory):
    """Return a function that writes the weights of an architecture once and returns their path."""
    folder, paths = tmp_path_factory.mktemp("checkpoints"), {"small-vit": small_vit.weights}

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
