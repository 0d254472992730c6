"""The command `llm` embeds pictures and texts."""

import json
import os
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.toy_embedder import COLORS

PROJECT = Path(__file__).parents[4] / "pyproject.toml"


@pytest.fixture
def llm(monkeypatch, tmp_path):
    """Return a function that runs `llm` with the plugin that the package names, in a folder of its own."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")  # none of this machine
    from llm.cli import cli
    from llm.plugins import load_plugins, pm

    load_plugins()
    plugin = import_module(tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["llm"]["clew"])
    pm.register(plugin, name="clew")

    def run(*arguments):
        result = CliRunner().invoke(cli, list(map(os.fspath, arguments)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    yield run
    pm.unregister(plugin)


def test_pictures_of_a_folder_are_embedded(llm, folder):
    llm("embed-multi", "photos", "--files", folder, "**/*.png", "--binary", "-m", "clew")
    found = json.loads(llm("similar", "photos", "-i", folder / "green.png", "--binary", "-n", "1"))
    assert found["id"] == "green.png"
    assert found["score"] == pytest.approx(1, abs=1e-4)
    assert json.loads(llm("collections", "list", "--json"))[0]["num_embeddings"] == len(COLORS)


def test_vectors_are_those_of_the_built_in_model(llm):
    from retrieval.embedders.builtin import BuiltinEmbedder

    vector = json.loads(llm("embed", "-m", "clew", "-c", "a dog"))
    assert vector == pytest.approx(BuiltinEmbedder().embed_texts(["a dog"])[0].tolist(), abs=1e-6)


def test_models_are_listed(llm):
    assert "clew" in llm("embed-models", "list")
