"""The marker of all scenarios, and a folder that several of them index."""

from pathlib import Path

import pytest

from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import CountingToyEmbedder


@pytest.fixture
def toy() -> CountingToyEmbedder:
    return CountingToyEmbedder()


SCENARIOS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as a scenario."""
    for item in items:
        if item.path.is_relative_to(SCENARIOS):
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="module")
def busy(tmp_path_factory) -> Path:
    """Return a folder of images, captions and a text that takes many transactions."""
    folder = tmp_path_factory.mktemp("busy")
    for number in range(240):
        draw_image(
            folder / str(number % 5) / f"{number}.png", (number, 255 - number, number // 2), size=(64, 48)
        )
    for number in range(0, 240, 6):
        write_text(folder / str(number % 5) / f"{number}.txt", f"red {number}\ngreen {number}\n")
    write_text(folder / "long.txt", "\n\n".join(f"blue {n}" for n in range(2_500)))
    return folder
