"""Folders of drawn pictures, a toy embedder, and where the real data is."""

import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from indexer import IndexOptions, index_folder, update_library
from indexer.types import no_progress
from tests.support.files import SHARED_DATA, draw_image
from tests.support.toy_embedder import COLORS, ToyEmbedder

# No test asks the hub, but those that make one of their own; prepared models go into a folder of the run.
os.environ["HF_HUB_OFFLINE"] = "1"
_cache = tempfile.TemporaryDirectory(prefix="clew-cache-")
os.environ["XDG_CACHE_HOME"] = _cache.name


@pytest.fixture
def toy() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a picture of each colour."""
    for colour in COLORS:
        draw_image(tmp_path / "pictures" / f"{colour}.png", colour)
    return tmp_path / "pictures"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def index(place, toy):
    """Bring the toy library up to date with folders, and return the report."""

    def index_(*folders, progress=no_progress, **options):
        return update_library(
            folders, library=place, embedder=toy, options=IndexOptions(**options), progress=progress
        )

    return index_


@pytest.fixture
def library(folder, place, toy):
    with index_folder(folder, library=place, embedder=toy) as opened:
        yield opened


@pytest.fixture
def clew(monkeypatch, tmp_path):
    """Run the command in-process, with a library and a working folder of its own."""
    from indexer.cli.main import main

    monkeypatch.setenv("CLEW_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


@pytest.fixture(scope="session")
def flickr() -> Path:
    place = SHARED_DATA / "flickr8k" / "test"
    if not place.is_dir():
        pytest.skip("needs ../shared/data/flickr8k")
    return place


@pytest.fixture(scope="session")
def mixed() -> Path:
    place = SHARED_DATA / "mixed"
    if not place.is_dir():
        pytest.skip("needs ../shared/data/mixed")
    return place


@pytest.fixture(scope="session")
def camera() -> Path:
    place = SHARED_DATA / "camera"
    if not place.is_dir():
        pytest.skip("needs ../shared/data/camera")
    return place
