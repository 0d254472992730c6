"""Tests of prepared models: supported and rejected checkpoints, and the contents of a fingerprint."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from indexer import IndexOptions, ModelOptions, switch_library, update_library
from indexer.models import resolve
from indexer.models.prepare import choose_and_save_precision
from indexer.types import ignore_message
from retrieval import Library
from retrieval.embedders.model_cache import find_by_source
from retrieval.embedders.model_name import parse_model_name
from retrieval.errors import EmbedderError, SpaceMismatch
from tests.support.model_checkpoints import (
    SMALL_ARCHITECTURES,
    make_checkpoint,
    make_tokenizer,
)
from tests.support.open_clip_models import prepare_in_float32


@pytest.mark.large
def test_fingerprint_covers_weights_preprocessing_and_tokenizer(tmp_path, architectures):
    config = {
        "model_cfg": SMALL_ARCHITECTURES["small-siglip"],
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }

    def fingerprint(name, *, seed=0, config=config, lower=True):
        path = make_checkpoint("small-siglip", tmp_path / name, seed=seed)
        (tmp_path / name / "open_clip_config.json").write_text(json.dumps(config))
        make_tokenizer(tmp_path / name, lower=lower)
        embedder = resolve.resolve_embedder(str(path.parent))
        return embedder.fingerprint, embedder.parts

    one, parts = fingerprint("one")
    assert fingerprint("the same elsewhere")[0] == one
    for name, how in {
        "weights": {"seed": 1},
        "preprocessing": {"config": {**config, "preprocess_cfg": {"resize_mode": "squash"}}},
        "tokenizer": {"lower": False},
    }.items():
        other, changed = fingerprint(name, **how)
        assert other != one
        assert [key for key in parts if parts[key] != changed[key]] == [name]


@pytest.fixture(scope="module")
def replace_weights(architectures, tmp_path_factory):
    """Return a function that writes weights of small-vit by number, which have been prepared elsewhere.

    They are in float32: an exported image tower would not need the weights.
    """
    files = {}
    for seed in (4, 5):
        files[seed] = make_checkpoint("small-vit", tmp_path_factory.mktemp("weights"), seed=seed)
        prepare_in_float32(files[seed], "small-vit")

    def replace(path, number):
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(files[number], path)
        return path

    return replace


def test_changed_weights_are_refused_until_the_library_is_switched(folder, tmp_path, place, replace_weights):
    path = replace_weights(tmp_path / "weights" / "small-vit.safetensors", 4)
    update_library([folder], library=place, model=str(path), options=IndexOptions(arch="small-vit"))
    replace_weights(path, 5)
    with pytest.raises(SpaceMismatch, match=r"weights SHA-256 \w+, now SHA-256 \w+"):
        update_library([folder], library=place, options=IndexOptions(arch="small-vit"))
    with Library.open(place) as library:
        assert len(library.search("a dog", count=10)) == 7
        with pytest.raises(EmbedderError, match="Text queries still work"):
            library.search(image=folder / "red.png")
    done = switch_library(str(path), library=place, options=ModelOptions(arch="small-vit"))
    assert (done.embedded, done.answers) == (7, True)
    assert "(before " in done.old
    assert done.new == str(path)
    with Library.open(place, space=done.old) as library:
        assert len(library.search("a dog", count=10)) == 7


def test_architecture_of_local_weights_is_remembered(folder, tmp_path, place, replace_weights):
    path = replace_weights(tmp_path / "weights" / "small-vit.safetensors", 4)
    update_library([folder], library=place, model=str(path), options=IndexOptions(arch="small-vit"))
    os.utime(path, (1, 1))  # the same bytes
    assert update_library(library=place).unchanged == 7
    assert find_by_source(parse_model_name(str(path))).manifest.mtime == 10**9
    replace_weights(path, 5)
    with pytest.raises(SpaceMismatch, match=r"weights SHA-256 \w+, now SHA-256 \w+"):
        update_library(library=place)


def test_image_towers_of_a_killed_run_are_removed(own_cache, embedder_of, checkpoints):
    prepared = embedder_of("small-vit").prepared
    folder, choice = prepared.folder, prepared.choice("cpu")
    for name in ("exported-abc", "drafts-abc"):
        (folder / name).mkdir()
        (folder / name / "int8.image.onnx").touch()
    choose_and_save_precision(prepared, None, ignore_message, lambda *arguments: choice)
    assert not [*folder.glob("exported-*"), *folder.glob("drafts-*")]


def test_replaced_space_is_activated_by_its_name(clew, folder, tmp_path, replace_weights):
    path = replace_weights(tmp_path / "weights" / "small-vit.safetensors", 4)
    original = tmp_path / "original"
    shutil.copy2(path, original)
    assert clew("index", folder, "--model", path, "--arch", "small-vit").exit_code == 0
    replace_weights(path, 5)
    replaced = json.loads(clew("switch", path, "--arch", "small-vit", "--json").stdout)["old"]
    assert f"Unused   {replaced}: 7 vectors" in clew("status").stdout
    refused = clew("switch", replaced, "--arch", "small-vit")
    assert refused.exit_code == 2
    assert "has changed" in refused.stderr
    shutil.copy2(original, path)  # with its time, as from a backup
    result = json.loads(clew("switch", replaced, "--arch", "small-vit", "--json").stdout)
    assert (result["old"], result["new"], result["embedded"]) == (str(path), replaced, 0)
    assert f"Model    {replaced}" in clew("status").stdout


def test_switch_command_compares_and_switches(clew, checkpoints, folder):
    path = checkpoints("small-vit")
    assert clew("index", folder, "--model", "builtin").exit_code == 0
    result = clew("switch", path, "--arch", "small-vit", "--compare", "red", "--compare", "a blue thing")
    assert result.exit_code == 0, result.output
    assert "7 of 7 in both (overlap@10 1.00)" in result.stdout
    assert "7 segments embedded" in result.stdout
    assert "still use builtin" in result.stdout
    assert all(len(line) <= 80 or "weights" in line for line in result.stdout.splitlines())
    assert "Model    builtin" in clew("status").stdout
    comparison = json.loads(clew("switch", path, "--compare", "red", "--json").stdout)
    assert (comparison["embedded"], comparison["answers"]) == (0, False)
    assert comparison["compare"][0]["overlap@10"] == 1
    assert len(comparison["compare"][0]["new"]) == 7
    assert "`clew forget --space builtin` deletes" in clew("switch", path).stdout
    assert f"Model    {path}" in clew("status").stdout
    assert "Unused   builtin: 7 vectors" in clew("status").stdout
    assert json.loads(clew("search", "red", "--json").stdout)[0]["space"] == str(path)
    assert clew("forget", "--space", "builtin").stdout == "the vectors of builtin deleted.\n"
    assert "Unused" not in clew("status").stdout
    assert clew("switch", "nix").exit_code == 2


@pytest.mark.large
def test_changed_configuration_is_refused_until_the_library_is_switched(
    folder, tmp_path, place, architectures
):
    make_checkpoint("small-vit", tmp_path / "model", seed=6)
    settings_ = tmp_path / "model" / "open_clip_config.json"
    config = {"model_cfg": SMALL_ARCHITECTURES["small-vit"], "preprocess_cfg": {}}
    settings_.write_text(json.dumps(config))
    update_library([folder], library=place, model=str(tmp_path / "model"))
    settings_.write_text(json.dumps({**config, "preprocess_cfg": {"resize_mode": "squash"}}))
    with pytest.raises(SpaceMismatch, match=r"preprocessing .*shortest.*now .*squash"):
        update_library(library=place)
    heads = {
        **SMALL_ARCHITECTURES["small-vit"],
        "text_cfg": {**SMALL_ARCHITECTURES["small-vit"]["text_cfg"], "heads": 4},
    }
    settings_.write_text(json.dumps({"model_cfg": heads, "preprocess_cfg": {}}))
    with pytest.raises(SpaceMismatch, match="architecture"):
        update_library(library=place)
    assert switch_library(str(tmp_path / "model"), library=place).embedded == 7


@pytest.mark.large
def test_weights_with_nan_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    path = make_checkpoint("small-vit", tmp_path)
    for name in ("visual.proj", "text_projection"):
        save_file({**load_file(path), name: torch.full_like(load_file(path)[name], torch.nan)}, path)
        with pytest.raises(EmbedderError, match="NaN"):
            resolve.resolve_embedder(str(path), arch="small-vit")
        make_checkpoint("small-vit", tmp_path)


def test_pt_file_and_folder_give_the_same_vectors_as_safetensors(tmp_path, checkpoints):
    def embed(path, arch):
        prepare_in_float32(path, arch)
        return resolve.resolve_embedder(str(path), arch=arch).embed_texts(["x"])

    safe = embed(checkpoints("small-vit"), "small-vit")
    pickled = embed(make_checkpoint("small-vit", tmp_path, name="w.pt"), "small-vit")
    np.testing.assert_allclose(safe, pickled, atol=1e-6)
    make_checkpoint("small-vit", tmp_path)
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": SMALL_ARCHITECTURES["small-vit"]})
    )
    np.testing.assert_allclose(safe, embed(tmp_path, None), atol=1e-6)


def test_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        resolve.resolve_embedder(str(tmp_path / "evil.pt"), arch="small-vit")
