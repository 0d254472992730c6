"""Prepare a model for this machine: find it, export and check its text tower, choose its precision."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from indexer.models import checkpoint as checkpoints
from indexer.models import tokenizer_export
from indexer.models.checkpoint import CONFIG, PROBES, Checkpoint
from indexer.models.onnx_export import discard, export
from indexer.models.precision import choose, probes
from indexer.types import Say
from retrieval.embedders.model_cache import (
    CHOICES,
    EXPORTED,
    RECIPE,
    TEXT,
    TOKENIZER,
    Choice,
    Prepared,
    Recipe,
    find,
    folder_of,
    here,
    stamp,
)
from retrieval.embedders.model_name import Source
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.tokenizer import Frame, Tokens
from retrieval.errors import EmbedderError

ALIKE = 0.9999  # least cosine of the exported text tower to torch


def prepare(source: Source, device: str | None, say: Say) -> Prepared:
    """Prepare a model, or what is missing of it; raises EmbedderError."""
    checkpoint = checkpoints.find(source, say)
    state = checkpoint.weights.stat(), stamp(checkpoint.near) if checkpoint.near else ""
    tokenizer = checkpoints.tokenizer(checkpoint)
    ids = np.asarray(tokenizer(list(PROBES)), np.int64)
    parts = checkpoints.parts(checkpoint, tokenizer_export.signature(tokenizer, ids))
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = folder_of(fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        known = find(fingerprint)
        frame = known.recipe.frame if known else tokenizer_export.write(tokenizer, ids, folder / TOKENIZER)
        _link(checkpoint, folder)
        model = _load(checkpoint, folder)
        _check_size(checkpoint, model)
        if known is None:
            say(f"Exporting the text tower of {source.name} ...")
            _, lengths = Tokens(folder / TOKENIZER, frame).encode(PROBES)
            cut = _export_text(model, ids, lengths, folder)
        else:  # the weights have moved
            cut = known.recipe.cut
        prepared = Prepared(folder, _recipe(checkpoint, model, parts, fingerprint, frame, cut, state))
        if prepared.choice(device or "auto") is None:
            _decide(prepared, model, device, say)
        replace(folder / RECIPE, json.dumps(asdict(prepared.recipe), indent=1))
    return prepared


def decide(prepared: Prepared, device: str | None, say: Say) -> Choice:
    """Choose the precision for a device of this machine; None is the fastest."""
    from retrieval.embedders.torch_towers import load_model

    with FileLock(prepared.folder.with_suffix(".lock")):
        return _decide(prepared, load_model(prepared.folder), device, say)


def _decide(prepared: Prepared, model: Any, device: str | None, say: Say) -> Choice:
    """Choose, and keep the exported image towers that some choice names."""
    say(f"Measuring which precision of {prepared.recipe.name} is the fastest here ...")
    folder = prepared.folder
    with tempfile.TemporaryDirectory(dir=folder, prefix="drafts-") as drafts:
        choice = choose(prepared, model, device, Path(drafts))
        for path in Path(drafts).glob(f"{EXPORTED.get(choice.precision, 'nothing')}*"):
            path.replace(folder / path.name)
    names = {here(choice.device), here(device or "auto")}
    choices = {**prepared.choices(), **dict.fromkeys(names, asdict(choice))}
    replace(folder / CHOICES, json.dumps(choices, indent=1))
    used = {each["precision"] for each in choices.values()}
    for precision in EXPORTED.keys() - used:
        discard(folder / EXPORTED[precision])
    return choice


def _load(checkpoint: Checkpoint, folder: Path) -> Any:
    """Load the model as it will be loaded from now on; raises EmbedderError where the weights do not fit."""
    config = checkpoints.text_settings(checkpoint, folder)
    replace(folder / CONFIG, json.dumps(config, indent=1))
    from retrieval.embedders.torch_towers import load_model

    try:
        return load_model(folder)
    except Exception as error:  # torch and safetensors raise what they like
        lines = str(error).strip().splitlines()
        fits = f" as {checkpoint.source.arch}" if checkpoint.source.arch else ""
        reason = " ".join(" ".join(lines[:2]).split())[:120] or type(error).__name__
        raise EmbedderError(
            f"The weights {checkpoint.weights} cannot be loaded{fits}: {reason.rstrip('.')} ... "
            "They must be a state dict of exactly that architecture: --arch names it."
        ) from error


def _link(checkpoint: Checkpoint, folder: Path) -> None:
    """Link the weights under the names that open_clip looks for."""
    safe = checkpoint.weights.suffix == ".safetensors"
    name = "open_clip_model.safetensors" if safe else "open_clip_pytorch_model.bin"
    for old in {*folder.glob("open_clip_*model.*")} - {folder / name}:
        old.unlink()
    draft = folder / "weights.draft"
    draft.unlink(missing_ok=True)
    draft.symlink_to(checkpoint.weights.resolve())
    draft.replace(folder / name)


def _check_size(checkpoint: Checkpoint, model: Any) -> None:
    """Hold what the configuration says of the picture's size to what was built."""
    size = model.visual.image_size
    built = (size, size) if isinstance(size, int) else tuple(size)
    if built != checkpoint.looks.size:
        raise EmbedderError(
            f"{checkpoint.source.name} is built for pictures of {built}, and its configuration says "
            f"{checkpoint.looks.size}; correct its {CONFIG}."
        )


def _export_text(model: Any, ids: Any, lengths: Any, folder: Path) -> bool:
    """Export the text tower and hold it to torch; says whether its ids may be cut.

    One that cannot be exported is left to torch.
    """
    import torch

    from retrieval.embedders.torch_towers import CausalTextTower, TextTower

    tower = TextTower(model).eval()
    with torch.inference_mode():
        truth = tower(torch.from_numpy(ids)).numpy()
    if not np.isfinite(truth).all():
        raise EmbedderError(f"The weights in {folder} give vectors of words that are no numbers.")
    file, longest = folder / TEXT, ids.shape[1]
    some = [rows[None, :length] for rows, length in zip(ids, lengths, strict=True)]
    if CausalTextTower.fits(model) and _exports(
        CausalTextTower(model).eval(), ids[:2, : longest // 2], file, some, truth, longest
    ):
        return True
    if not _exports(tower, ids[:2], file, [ids], truth, None):
        discard(file)
    return False


def _exports(tower: Any, example: Any, file: Path, rows: Any, truth: Any, longest: int | None) -> bool:
    """Export a tower, and say whether it does what torch does."""
    import torch

    discard(file)
    try:
        export(tower, torch.from_numpy(example), file, longest=longest)
        vectors = OnnxTower(file).embed(rows)
    except Exception:  # exporters raise what they like
        return False
    return bool((vectors * truth).sum(axis=1).min() >= ALIKE)


def _recipe(
    checkpoint: Checkpoint,
    model: Any,
    parts: dict[str, str],
    fingerprint: str,
    frame: Frame,
    cut: bool,
    state: tuple[os.stat_result, str],
) -> Recipe:
    """Describe what was prepared; `state` is that of its files before they were read."""
    from retrieval.embedders.torch_towers import TorchTowers

    stat, beside = state
    towers = TorchTowers(model, checkpoint.looks, "float32", "cpu")
    bias = getattr(model, "logit_bias", None)
    return Recipe(
        name=checkpoint.source.name,
        arch=checkpoint.arch,
        fingerprint=fingerprint,
        parts=parts,
        dim=towers.embed_images([np.stack(probes(checkpoint.looks.size, 1))]).shape[1],
        preprocessing=checkpoint.looks,
        frame=frame,
        weights=str(checkpoint.weights),
        size=stat.st_size,
        mtime=stat.st_mtime_ns,
        near=None if checkpoint.near is None else str(checkpoint.near),
        beside=beside,
        cut=cut,
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if bias is None else float(bias.detach()),
    )


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
