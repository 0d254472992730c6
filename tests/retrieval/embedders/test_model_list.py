"""Tests of the list of models."""

import json
import subprocess
import sys

import open_clip
import pytest

from retrieval.cli.models import describe_models
from retrieval.embedders import registry
from retrieval.embedders.model_cache import prepared_models
from tests.support.catalog import REPOSITORY_ROOT


def test_model_list_is_that_of_open_clip():
    from retrieval.embedders.model_list import MODEL_LIST_FILE

    listed = json.loads(MODEL_LIST_FILE.read_text())
    names = {row["name"]: row for row in listed["models"]}
    if listed["open_clip"] == open_clip.__version__:
        assert list(names) == ["/".join(pair) for pair in open_clip.list_pretrained()]
    assert names["ViT-B-32/openai"]["dim"] == 512
    assert names["RN50/openai"]["parameters"] == 102007137
    cards = {card.name: card for card in registry.model_cards()}
    assert cards["builtin"].state == "in clew"
    assert cards["ViT-B-16-SigLIP2/webli"].languages == "109 languages"
    for arch, tag, recall, source in (
        ("ViT-B-32-256", "datacomp_s34b_b86k", 39.9, "open_clip"),
        ("ViT-B-16-SigLIP2", "webli", 52.1, "big_vision"),
    ):
        assert cards[f"{arch}/{tag}"].recall == recall
        assert source in cards[f"{arch}/{tag}"].recall_source
    for name, recall, lowest, source in (
        ("ViT-B-32-256/datacomp_s34b_b86k", 22.9, 0.3, "open_clip"),
        ("ViT-B-32-SigLIP2-256/webli", 69.8, 35.3, "immich"),
        ("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", 72.9, 59.7, "open_clip"),
    ):
        card = cards[name]
        assert (card.recall_15, card.recall_15_lowest) == (recall, lowest)
        assert source in card.recall_15_source
    for prepared in prepared_models():
        assert cards[prepared.manifest.name].state == "prepared"


def test_model_with_a_text_tower_of_the_hub_has_a_size():
    cards = {card.name: card for card in registry.model_cards()}
    assert cards["xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"].megabytes == 1464


def test_models_show_recall_and_its_sources():
    names = "ViT-B-32-256/datacomp_s34b_b86k", "ViT-B-32-SigLIP2-256/webli"
    cards = [card for card in registry.model_cards() if card.name in names]
    rows = describe_models(cards).splitlines()
    assert rows[0].split()[4:9] == ["recall", "15", "lang.", "lowest", "images/s"]
    assert {row.split()[0]: row.split()[4:7] for row in rows[1:3]} == {
        names[0]: ["39.9", "22.9", "0.3"],
        names[1]: ["47.2", "69.8", "35.3"],
    }
    assert set(rows[5:]) == {
        *(card.recall_source for card in cards),
        *(card.recall_15_source for card in cards),
    }


@pytest.mark.large
def test_update_model_list_describes_a_model():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from update_model_list import describe; print(describe('RN50', 'openai')['repo'])",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY_ROOT / ".ci",
    )
    assert done.stdout.strip() == "timm/resnet50_clip.openai"
