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
from indexer.models.checkpoint import CONFIG_FILE, TOKENIZER_PROBES, Checkpoint
from indexer.models.onnx_export import delete_tower, export
from indexer.models.precision import choose_precision, probe_images
from indexer.types import Notify
from retrieval.embedders.model_cache import (
    CHOICES_FILE,
    EXPORTED_IMAGE_TOWERS,
    MANIFEST_FILE,
    TEXT_TOWER_FILE,
    TOKENIZER_FILE,
    ModelManifest,
    PrecisionChoice,
    PreparedModel,
    files_fingerprint,
    find_by_fingerprint,
    machine_key,
    model_folder,
)
from retrieval.embedders.model_name import ModelSource
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.tokenizer import ModelTokenizer, TokenTemplate
from retrieval.errors import EmbedderError

MIN_TEXT_TOWER_COSINE = 0.9999  # least cosine of the exported text tower to torch


def prepare(source: ModelSource, device: str | None, notify: Notify) -> PreparedModel:
    """Prepare a model, or what is missing of it; raises EmbedderError."""
    checkpoint = checkpoints.find_checkpoint(source, notify)
    state = checkpoint.weights.stat(), files_fingerprint(checkpoint.folder) if checkpoint.folder else ""
    tokenizer = checkpoints.load_tokenizer(checkpoint)
    ids = np.asarray(tokenizer(list(TOKENIZER_PROBES)), np.int64)
    parts = checkpoints.fingerprint_parts(checkpoint, tokenizer_export.tokenizer_signature(tokenizer, ids))
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = model_folder(fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        known = find_by_fingerprint(fingerprint)
        frame = (
            known.manifest.frame
            if known
            else tokenizer_export.export_tokenizer(tokenizer, ids, folder / TOKENIZER_FILE)
        )
        _link_weights(checkpoint, folder)
        model = _load_model(checkpoint, folder)
        _check_image_size(checkpoint, model)
        if known is None:
            notify(f"Exporting the text tower of {source.name} ...")
            _, lengths = ModelTokenizer(folder / TOKENIZER_FILE, frame).encode(TOKENIZER_PROBES)
            cut = _export_text_tower(model, ids, lengths, folder)
        else:  # the weights have moved
            cut = known.manifest.cut
        prepared = PreparedModel(
            folder, _build_manifest(checkpoint, model, parts, fingerprint, frame, cut, state)
        )
        if prepared.choice(device or "auto") is None:
            _choose_and_save_precision(prepared, model, device, notify)
        write_atomically(folder / MANIFEST_FILE, json.dumps(asdict(prepared.manifest), indent=1))
    return prepared


def choose_and_save_precision(prepared: PreparedModel, device: str | None, notify: Notify) -> PrecisionChoice:
    """Choose the precision for a device of this machine; None is the fastest."""
    from retrieval.embedders.torch_towers import load_model

    with FileLock(prepared.folder.with_suffix(".lock")):
        return _choose_and_save_precision(prepared, load_model(prepared.folder), device, notify)


def _choose_and_save_precision(
    prepared: PreparedModel, model: Any, device: str | None, notify: Notify
) -> PrecisionChoice:
    """Choose, and keep the exported image towers that some choice names."""
    notify(f"Measuring which precision of {prepared.manifest.name} is the fastest here ...")
    folder = prepared.folder
    with tempfile.TemporaryDirectory(dir=folder, prefix="drafts-") as drafts:
        choice = choose_precision(prepared, model, device, Path(drafts))
        for path in Path(drafts).glob(f"{EXPORTED_IMAGE_TOWERS.get(choice.precision, 'nothing')}*"):
            path.replace(folder / path.name)
    names = {machine_key(choice.device), machine_key(device or "auto")}
    choices = {**prepared.choices(), **dict.fromkeys(names, asdict(choice))}
    write_atomically(folder / CHOICES_FILE, json.dumps(choices, indent=1))
    used = {each["precision"] for each in choices.values()}
    for precision in EXPORTED_IMAGE_TOWERS.keys() - used:
        delete_tower(folder / EXPORTED_IMAGE_TOWERS[precision])
    return choice


def _load_model(checkpoint: Checkpoint, folder: Path) -> Any:
    """Load the model as it will be loaded from now on; raises EmbedderError where the weights do not fit."""
    config = checkpoints.config_with_local_text_model(checkpoint, folder)
    write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=1))
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


def _link_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Link the weights under the names that open_clip looks for."""
    safe = checkpoint.weights.suffix == ".safetensors"
    name = "open_clip_model.safetensors" if safe else "open_clip_pytorch_model.bin"
    for old in {*folder.glob("open_clip_*model.*")} - {folder / name}:
        old.unlink()
    draft = folder / "weights.draft"
    draft.unlink(missing_ok=True)
    draft.symlink_to(checkpoint.weights.resolve())
    draft.replace(folder / name)


def _check_image_size(checkpoint: Checkpoint, model: Any) -> None:
    """Hold what the configuration says of the picture's size to what was built."""
    size = model.visual.image_size
    built = (size, size) if isinstance(size, int) else tuple(size)
    if built != checkpoint.preprocessing.size:
        raise EmbedderError(
            f"{checkpoint.source.name} is built for pictures of {built}, and its configuration says "
            f"{checkpoint.preprocessing.size}; correct its {CONFIG_FILE}."
        )


def _export_text_tower(model: Any, ids: Any, lengths: Any, folder: Path) -> bool:
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
    file, longest = folder / TEXT_TOWER_FILE, ids.shape[1]
    some = [rows[None, :length] for rows, length in zip(ids, lengths, strict=True)]
    if CausalTextTower.is_causal(model) and _export_and_verify(
        CausalTextTower(model).eval(), ids[:2, : longest // 2], file, some, truth, longest
    ):
        return True
    if not _export_and_verify(tower, ids[:2], file, [ids], truth, None):
        delete_tower(file)
    return False


def _export_and_verify(
    tower: Any, example: Any, file: Path, rows: Any, truth: Any, max_length: int | None
) -> bool:
    """Export a tower, and say whether it does what torch does."""
    import torch

    delete_tower(file)
    try:
        export(tower, torch.from_numpy(example), file, max_length=max_length)
        vectors = OnnxTower(file).embed(rows)
    except Exception:  # exporters raise what they like
        return False
    return bool((vectors * truth).sum(axis=1).min() >= MIN_TEXT_TOWER_COSINE)


def _build_manifest(
    checkpoint: Checkpoint,
    model: Any,
    parts: dict[str, str],
    fingerprint: str,
    template: TokenTemplate,
    trim_padding: bool,
    file_state: tuple[os.stat_result, str],
) -> ModelManifest:
    """Describe what was prepared; `state` is that of its files before they were read."""
    from retrieval.embedders.torch_towers import TorchTowers

    stat, beside = file_state
    towers = TorchTowers(model, checkpoint.preprocessing, "float32", "cpu")
    bias = getattr(model, "logit_bias", None)
    return ModelManifest(
        name=checkpoint.source.name,
        arch=checkpoint.arch,
        fingerprint=fingerprint,
        parts=parts,
        dim=towers.embed_images([np.stack(probe_images(checkpoint.preprocessing.size, 1))]).shape[1],
        preprocessing=checkpoint.preprocessing,
        frame=template,
        weights=str(checkpoint.weights),
        size=stat.st_size,
        mtime=stat.st_mtime_ns,
        near=None if checkpoint.folder is None else str(checkpoint.folder),
        beside=beside,
        cut=trim_padding,
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if bias is None else float(bias.detach()),
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
