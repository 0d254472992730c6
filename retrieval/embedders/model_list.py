"""What open_clip offers, and what of it is on this machine: without torch, and without a hub."""

import json
from pathlib import Path
from typing import Any

from retrieval.embedders.base import ModelCard
from retrieval.embedders.model_cache import PreparedModel, prepared_models
from retrieval.embedders.model_name import WEIGHTS_SUFFIXES

MODEL_LIST_FILE = Path(__file__).with_name("open_clip_models.json")  # written by .ci/update_model_list.py


def model_cards() -> list[ModelCard]:
    """Describe what is prepared, then what is downloaded, then all else, each in open_clip's order."""
    listed = json.loads(MODEL_LIST_FILE.read_text("utf-8"))["models"]
    prepared = {found.manifest.name: found for found in prepared_models()}
    own = [
        _prepared_card(found)
        for name, found in prepared.items()
        if name not in {row["name"] for row in listed}
    ]
    known = [_listed_card(row, row["name"] in prepared) for row in listed]
    order = ("prepared", "downloaded", "on the hub")
    return sorted([*own, *known], key=lambda card: order.index(card.state))


def _listed_card(row: dict[str, Any], prepared: bool) -> ModelCard:
    count = row["parameters"]
    return ModelCard(
        name=row["name"],
        dim=row["dim"],
        side=row["side"],
        megabytes=None if count is None else round(4 * count / 1e6),
        licence=row["licence"],
        languages=row["languages"],
        state="prepared" if prepared else "downloaded" if _is_downloaded(row["repo"]) else "on the hub",
    )


def _prepared_card(prepared: PreparedModel) -> ModelCard:
    """Describe a prepared model that open_clip does not list: of the hub, or a local file."""
    recipe = prepared.manifest
    return ModelCard(
        name=recipe.name,
        dim=recipe.dim,
        side=max(recipe.preprocessing.size),
        megabytes=round(recipe.size / 1e6),
        licence=None,
        languages="unknown",
        state="prepared",
    )


def _is_downloaded(repo: str) -> bool:
    """Say whether the hub's cache holds weights of a repository."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    return folder.is_dir() and any(path.suffix in WEIGHTS_SUFFIXES for path in folder.glob("*/*"))
