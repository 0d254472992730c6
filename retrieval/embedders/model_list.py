"""What open_clip offers, and what of it is on this machine: without torch, and without a hub."""

import json
from pathlib import Path
from typing import Any

from retrieval.embedders.base import Card
from retrieval.embedders.model_cache import Prepared, every
from retrieval.embedders.model_name import WEIGHTS

LIST = Path(__file__).with_name("open_clip_models.json")  # written by .ci/update_model_list.py


def cards() -> list[Card]:
    """Describe what is prepared, then what is downloaded, then all else, each in open_clip's order."""
    listed = json.loads(LIST.read_text("utf-8"))["models"]
    prepared = {found.recipe.name: found for found in every()}
    own = [_own(found) for name, found in prepared.items() if name not in {row["name"] for row in listed}]
    known = [_card(row, row["name"] in prepared) for row in listed]
    order = ("prepared", "downloaded", "on the hub")
    return sorted([*own, *known], key=lambda card: order.index(card.state))


def _card(row: dict[str, Any], prepared: bool) -> Card:
    count = row["parameters"]
    return Card(
        name=row["name"],
        dim=row["dim"],
        side=row["side"],
        megabytes=None if count is None else round(4 * count / 1e6),
        licence=row["licence"],
        languages=row["languages"],
        state="prepared" if prepared else "downloaded" if _is_downloaded(row["repo"]) else "on the hub",
    )


def _own(found: Prepared) -> Card:
    """Describe a prepared model that open_clip does not list: of the hub, or a local file."""
    recipe = found.recipe
    return Card(
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
    return folder.is_dir() and any(path.suffix in WEIGHTS for path in folder.glob("*/*"))
