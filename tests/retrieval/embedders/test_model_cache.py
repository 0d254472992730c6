"""Tests of the files of prepared models."""

import json
from dataclasses import asdict

import pytest

from retrieval.embedders.model_cache import (
    CHOICES_FILE,
    MANIFEST_FILE,
    ModelManifest,
    PrecisionChoice,
    PreparedModel,
    find_by_fingerprint,
    machine_key,
    model_folder,
    prepared_models,
)
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.tokenizer import TokenTemplate

INVALID_JSON = ["", "[]", "null", "3", '{"unknown": 1}', "{", "\udc80"]
MANIFEST = ModelManifest(
    name="small", arch=None, fingerprint="f" * 64, parts={}, dim=2,
    preprocessing=Preprocessing((8, 8), "shortest", "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    frame=TokenTemplate(8, "lower", (1,), (2,), 0), weights="/nowhere", size=0, mtime=0, near=None,
    beside="", cut=False, logit_scale=1.0, logit_bias=None,
)  # fmt: skip


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = model_folder(MANIFEST.fingerprint)
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(json.dumps(asdict(MANIFEST)))
    return PreparedModel(folder, MANIFEST)


def test_manifest_is_read_as_it_was_written(prepared):
    assert find_by_fingerprint(MANIFEST.fingerprint) == prepared
    assert [*prepared_models()] == [prepared]


@pytest.mark.parametrize("text", INVALID_JSON)
def test_manifest_of_another_version_is_ignored(text, prepared):
    (prepared.folder / MANIFEST_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert find_by_fingerprint(MANIFEST.fingerprint) is None


def test_manifest_with_unknown_or_missing_fields_is_ignored(prepared):
    fields = asdict(MANIFEST)
    for changed in (
        {**fields, "new": 1},
        {**fields, "frame": []},
        {k: fields[k] for k in fields if k != "dim"},
    ):
        (prepared.folder / MANIFEST_FILE).write_text(json.dumps(changed))
        assert find_by_fingerprint(MANIFEST.fingerprint) is None


@pytest.mark.parametrize("text", INVALID_JSON)
def test_choices_of_another_version_are_ignored(text, prepared):
    (prepared.folder / CHOICES_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert prepared.choices() == {}
    assert prepared.choice("cpu") is None


def test_choice_with_unknown_fields_is_ignored_and_others_are_kept(prepared):
    choice = PrecisionChoice("cpu", "float32", {"float32": 1.5}, 1.0)
    choices = {
        machine_key("cpu"): asdict(choice),
        machine_key("cuda"): {**asdict(choice), "new": 1},
        machine_key("mps"): ["float32"],
    }
    (prepared.folder / CHOICES_FILE).write_text(json.dumps(choices))
    assert prepared.choices() == {machine_key("cpu"): choice}
    assert (prepared.choice("cpu"), prepared.choice("cuda")) == (choice, None)


def test_choice_of_a_missing_image_tower_is_ignored(prepared):
    choice = PrecisionChoice("cpu", "int8", {}, 1.0)
    (prepared.folder / CHOICES_FILE).write_text(json.dumps({machine_key("cpu"): asdict(choice)}))
    assert prepared.choice("cpu") is None
    (prepared.folder / "int8.image.onnx").touch()
    assert prepared.choice("cpu") == choice
