"""Fixtures: folders of drawn images, a toy embedder, an indexed library, the command, and shared data."""

import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from indexer import IndexOptions, index_folder, update_library
from indexer.operations.pipeline import update_folders
from indexer.store.writer import LibraryWriter
from indexer.types import DEFAULT_BATCH_LIMITS, no_progress
from tests.support.files import SHARED_DATA, draw_image
from tests.support.toy_embedder import COLORS, ToyEmbedder

# Only tests that start a hub of their own use the network. Prepared models are written to a temporary folder.
os.environ["HF_HUB_OFFLINE"] = "1"
_cache = tempfile.TemporaryDirectory(prefix="clew-cache-")
os.environ["XDG_CACHE_HOME"] = _cache.name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the time of tests/scenarios/test_fuzz.py."""
    parser.addoption("--fuzz-seconds", type=float, default=0.5, help="time of each fuzzer (default: 0.5)")


@pytest.fixture
def toy() -> ToyEmbedder:
    return ToyEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an image of each color."""
    for color in COLORS:
        draw_image(tmp_path / "pictures" / f"{color}.png", color)
    return tmp_path / "pictures"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the path of the library."""
    return tmp_path / "library"


@pytest.fixture
def index(place, toy):
    """Return a function that updates the toy library with folders and returns the report."""

    def update(*folders, progress=no_progress, **options):
        return update_library(
            folders, library=place, embedder=toy, options=IndexOptions(**options), progress=progress
        )

    return update


@pytest.fixture
def mount_drive(tmp_path, monkeypatch):
    """Return a function that puts a folder on a drive with a type of file system, in the list of mounts."""
    file = tmp_path / "mounts"

    def mount(folder: Path, file_system: str) -> None:
        file.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {os.path.realpath(folder)} {file_system} rw 0 0\n")
        monkeypatch.setattr("retrieval.file_systems.MOUNTS_FILE", file)

    return mount


@pytest.fixture
def index_within(place, toy):
    """Return a function that updates the toy library within limits of decoding and returns the report."""

    def update(decode_limits, *folders, batch_limits=DEFAULT_BATCH_LIMITS, **options):
        with LibraryWriter(place, lambda space: toy, batch_limits, decode_limits) as writer:
            return update_folders(writer, folders, IndexOptions(**options))

    return update


@pytest.fixture
def library(folder, place, toy):
    """Yield an open library of the images in `folder`."""
    with index_folder(folder, library=place, embedder=toy) as opened:
        yield opened


@pytest.fixture
def clew(monkeypatch, tmp_path):
    """Return a function that runs the command in-process, with a library and a working directory."""
    from indexer.cli.main import main

    monkeypatch.setenv("CLEW_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


def _shared_data(name: str) -> Path:
    """Return a folder of the shared data; skip the test if it is missing."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/{name}")
    return folder


@pytest.fixture(scope="session")
def flickr() -> Path:
    return _shared_data("flickr8k/test")


@pytest.fixture(scope="session")
def languages() -> Path:
    return _shared_data("languages")


@pytest.fixture(scope="session")
def mixed() -> Path:
    return _shared_data("mixed")


@pytest.fixture(scope="session")
def camera() -> Path:
    return _shared_data("camera")
