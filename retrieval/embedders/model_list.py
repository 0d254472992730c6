"""List the models of open_clip and their state on this machine, without torch and without the hub."""

import json
from pathlib import Path
from typing import Any

from retrieval.embedders.base import ModelCard
from retrieval.embedders.model_cache import PreparedModel, prepared_models
from retrieval.embedders.model_name import WEIGHTS_SUFFIXES

MODEL_LIST_FILE = Path(__file__).with_name("open_clip_models.json")  # written by .ci/update_model_list.py


def model_cards() -> list[ModelCard]:
    """Return a card of each model: prepared, then downloaded, then others, each in open_clip's order."""
    model_list = json.loads(MODEL_LIST_FILE.read_text("utf-8"))
    listed, sources = model_list["models"], model_list["recall_sources"]
    prepared = {model.manifest.name: model for model in prepared_models()}
    unlisted = [
        _prepared_card(model)
        for name, model in prepared.items()
        if name not in {row["name"] for row in listed}
    ]
    known = [_listed_card(row, sources, prepared.get(row["name"])) for row in listed]
    order = ("prepared", "downloaded", "on the hub")
    return sorted([*unlisted, *known], key=lambda card: order.index(card.state))


def _listed_card(row: dict[str, Any], sources: dict[str, str], prepared: PreparedModel | None) -> ModelCard:
    count = row["parameters"]
    return ModelCard(
        name=row["name"],
        dim=row["dim"],
        side=row["side"],
        megabytes=None if count is None else round(4 * count / 1e6),
        licence=row["licence"],
        languages=row["languages"],
        state="prepared" if prepared else "downloaded" if _is_downloaded(row["repo"]) else "on the hub",
        recall=row["recall"],
        recall_source=sources.get(row["recall_source"]),
        recall_15=row["recall_15"],
        recall_15_lowest=row["recall_15_lowest"],
        recall_15_source=sources.get(row["recall_15_source"]),
        images_per_second=None if prepared is None else _images_per_second(prepared),
    )


def _prepared_card(prepared: PreparedModel) -> ModelCard:
    """Return the card of a prepared model that open_clip does not list: from the hub, or a local file."""
    manifest = prepared.manifest
    return ModelCard(
        name=manifest.name,
        dim=manifest.dim,
        side=max(manifest.preprocessing.size),
        megabytes=round(manifest.size / 1e6),
        licence=None,
        languages="unknown",
        state="prepared",
        images_per_second=_images_per_second(prepared),
    )


def _images_per_second(prepared: PreparedModel) -> float | None:
    """Return the rate that was measured on this machine, or None."""
    choice = prepared.choice("auto") or prepared.choice("cpu")
    return None if choice is None else choice.rates.get(choice.precision)


def _is_downloaded(repo: str) -> bool:
    """Return True if the cache of the hub contains weights of a repository."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    return folder.is_dir() and any(path.suffix in WEIGHTS_SUFFIXES for path in folder.glob("*/*"))
