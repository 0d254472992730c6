"""Tests of model names, from the command line and the Python API."""

import json
import shutil
from dataclasses import asdict

import open_clip
import pytest
import torch

from indexer import switch_library, update_library
from indexer.models import resolve
from retrieval import Library
from retrieval.embedders.model_cache import CHOICES_FILE, PrecisionChoice, machine_key
from retrieval.embedders.registry import model_cards
from retrieval.errors import EmbedderError
from tests.support.interpreter import imported_modules
from tests.support.model_checkpoints import (
    make_checkpoint,
)


def test_precision_is_chosen_again_if_the_device_is_missing(own_cache, embedder_of):
    embedder = embedder_of("small-vit")
    choice = PrecisionChoice("cuda", "bfloat16", {}, 1.0, "a card of another machine")
    saved = {machine_key("auto"): asdict(choice)}
    (embedder.prepared.folder / CHOICES_FILE).write_text(json.dumps(saved))
    assert embedder.prepared.choice("auto") == choice
    if not torch.cuda.is_available():
        assert resolve.resolve_embedder(embedder.name).device == "cpu"
        assert embedder.prepared.choice("auto").device == "cpu"


def test_invalid_model_is_an_error_that_helps(tmp_path, checkpoints):
    path = checkpoints("small-vit")
    unprepared = make_checkpoint("small-vit", tmp_path / "unprepared", seed=8)
    for name, arch, message in (
        ("nix", None, "Model 'nix' not found"),
        ("hf-hub:nix", None, "hf-hub:ORG/REPO"),
        ("ViT-B-32/nix", None, "Available: openai"),
        ("ViT-Q-9/openai", None, "no architecture ViT-Q-9"),
        (str(tmp_path / "none.safetensors"), "ViT-B-32", "does not exist"),
        (str(tmp_path), None, "contains no weights"),
        (str(unprepared), None, "--arch ViT-B-32"),
        (str(path), "ViT-L-14", "--arch ViT-L-14/openai"),
        (str(path), "small-resnet", "cannot be loaded as small-resnet"),
    ):
        with pytest.raises(EmbedderError, match=message):
            resolve.resolve_embedder(name, arch=arch)
    with pytest.raises(EmbedderError, match=r"Device cuda:9 not found\. Available: "):
        resolve.resolve_embedder(
            str(make_checkpoint("small-vit", tmp_path, seed=9)), arch="small-vit", device="cuda:9"
        )


def test_error_without_hub_lists_the_alternatives():
    with pytest.raises(EmbedderError, match=r"HF_HUB_OFFLINE.*clew prepare.*hub.*--arch.*builtin"):
        resolve.resolve_embedder("ViT-B-32/openai")
    with pytest.raises(EmbedderError, match="HF_HUB_OFFLINE is set"):
        resolve.resolve_embedder("hf-hub:nobody/nothing")


def test_auto_without_hub_uses_the_builtin_model_with_one_note(folder, place):
    messages = []
    update_library([folder], library=place, notify=messages.append)
    assert messages == ["Using the built-in model (offline). Better: `clew switch auto` when online."]
    with Library.open(place) as library:
        assert library.status().space.name == "builtin"
    update_library([folder], library=place, model="auto", notify=messages.append)
    assert len(messages) == 1  # it was chosen once


def test_switch_to_auto_without_hub_names_the_model_and_the_reason(folder, place):
    update_library([folder], library=place, model="builtin")
    with pytest.raises(EmbedderError, match=rf"model {resolve.RECOMMENDED_MODEL} .*HF_HUB_OFFLINE is set"):
        switch_library("auto", library=place)


def test_recommended_model_is_listed_by_open_clip():
    arch, tag = resolve.RECOMMENDED_MODEL.split("/")
    assert open_clip.get_pretrained_cfg(arch, tag)["hf_hub"] == f"{resolve._RECOMMENDED_REPO}/"


def test_recommended_model_understands_the_languages_of_the_builtin_model():
    cards = {card.name: card for card in model_cards()}
    assert cards[resolve.RECOMMENDED_MODEL].recall_15_lowest > 50
    assert cards["ViT-B-32-256/datacomp_s34b_b86k"].recall_15_lowest < 1  # English only


def test_unprepared_model_is_an_error_with_the_command(own_cache, embedder_of, checkpoints, folder, place):
    path = checkpoints("small-vit")
    update_library([folder], library=place, model=str(path))
    shutil.rmtree(embedder_of("small-vit").prepared.folder)
    with pytest.raises(EmbedderError, match=rf"clew prepare {path}"), Library.open(place) as library:
        library.search("a dog")


def test_prepare_command_describes_the_model(clew, checkpoints):
    path = checkpoints("small-vit")
    done = clew("prepare", path, "--arch", "small-vit")
    assert done.exit_code == 0, done.output
    assert "48 dimensions, 64 x 64 pixels, 75 tokens" in done.stdout
    assert "on cpu" in done.stdout
    assert "without torch" in done.stdout
    known = json.loads(clew("prepare", path, "--json").stdout)
    assert known["choice"]["device"] == "cpu"
    assert set(known["parts"]) == {"architecture", "weights", "preprocessing", "tokenizer"}
    assert str(path) in clew("models", "small").stdout
    assert clew("prepare", "builtin").exit_code == 0
    assert clew("models", "no such model").exit_code == 1


def test_status_shows_the_precision(clew, checkpoints, folder, embedder_of):
    precision_ = embedder_of("small-vit").choice.precision
    assert clew("index", folder, "--model", checkpoints("small-vit")).exit_code == 0
    assert f"{precision_} on cpu" in clew("status").stdout


def test_run_without_new_files_imports_no_heavy_modules(embedder_of, checkpoints, folder, place):
    embedder_of("small-vit")
    update_library([folder], library=place, model=str(checkpoints("small-vit")))
    code = f"from indexer import update_library\nupdate_library(library={str(place)!r})"
    assert not {"torch", "open_clip", "transformers", "faiss", "onnxruntime"} & imported_modules(code)


def test_run_without_new_files_imports_no_decoders(folder, place):
    update_library([folder], library=place, model="builtin")
    code = f"""
import sys
from indexer import update_library
assert update_library(library={str(place)!r}).unchanged
names = (".decoder", ".office", ".message", ".html", ".pdf", ".plain", ".subtitles")
late = [name for name in sys.modules if name.startswith("indexer.decode.") and name.endswith(names)]
assert not late, late
"""
    imported_modules(code)
