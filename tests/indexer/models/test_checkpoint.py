"""Tests of the configuration of checkpoints."""

import json

import pytest
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from indexer.models.checkpoint import find_checkpoint
from retrieval.embedders.model_name import parse_model_name
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.errors import EmbedderError
from tests.support.model_checkpoints import SMALL_ARCHITECTURES


def test_local_weights_use_quick_gelu_if_all_listed_weights_do():
    from indexer.models.checkpoint import _shared_preprocessing

    messages = []
    assert _shared_preprocessing("RN50", messages.append)["quick_gelu"] is True
    assert not messages
    assert _shared_preprocessing("ViT-B-32", messages.append)["quick_gelu"] is False
    assert "--arch ViT-B-32/openai" in messages[0]


def test_quick_gelu_follows_the_listed_weights():
    """open_clip itself only warns of it (its issue 1068)."""
    from indexer.models.checkpoint import _architecture_config, _merge_configs, _pretrained_config

    openai = _merge_configs(_architecture_config("ViT-B-32"), _pretrained_config("ViT-B-32", "openai"))
    laion = _merge_configs(
        _architecture_config("ViT-B-32"), _pretrained_config("ViT-B-32", "laion2b_s34b_b79k")
    )
    assert openai["model_cfg"]["quick_gelu"] is True
    assert "quick_gelu" not in laion["model_cfg"]


@pytest.mark.parametrize("preprocessing", [None, {}])
def test_missing_preprocessing_settings_are_those_of_open_clip(preprocessing, architectures, tmp_path):
    config = {"model_cfg": SMALL_ARCHITECTURES["small-vit"], "preprocess_cfg": preprocessing}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").touch()
    checkpoint = find_checkpoint(parse_model_name(str(tmp_path)), lambda message: None)
    assert checkpoint.preprocessing == Preprocessing(
        (64, 64), "shortest", "bicubic", OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"model_cfg": null}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": 1}}',
        '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": "squash"}',
    ],
)
def test_invalid_configuration_is_an_error(text, tmp_path):
    (tmp_path / "open_clip_config.json").write_text(text)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(EmbedderError, match=r"open_clip_config\.json is not a configuration"):
        find_checkpoint(parse_model_name(str(tmp_path)), lambda message: None)
