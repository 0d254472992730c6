"""Prepare a model for this machine: find it, export and verify its text tower, choose its precision.

The manifest is written last, after all other files are on disk: a folder without one is not a prepared model.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from indexer.models import checkpoint as checkpoints
from indexer.models import tokenizer_export
from indexer.models.checkpoint import CONFIG_FILE, TOKENIZER_PROBES, Checkpoint
from indexer.models.onnx_export import delete_tower, export
from indexer.models.precision import choose_precision
from indexer.models.precision_candidates import probe_images
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
from retrieval.embedders.onnx_tower import OnnxTower
from retrieval.embedders.preprocessing import Preprocessing
from retrieval.embedders.tokenizer import ModelTokenizer
from retrieval.embedders.torch_towers import check_device
from retrieval.errors import EmbedderError

MIN_TEXT_TOWER_COSINE = 0.9999  # of the exported text tower to torch

EXPORT_PREFIXES = "exported-", "drafts-"  # of folders with image towers; the second of earlier versions

# Chooses the precision of a loaded model for a device, and exports image towers to the folder.
PrecisionChooser = Callable[[PreparedModel, Any, str | None, Path], PrecisionChoice]


def prepare(
    checkpoint: Checkpoint, device: str | None, notify: Notify, choose: PrecisionChooser = choose_precision
) -> PreparedModel:
    """Prepare a model, or the parts of it that are missing; raises EmbedderError."""
    if device is not None:
        check_device(device)  # before minutes of work
    # Taken before the files are read, so that a change during the preparation is noticed.
    stat = checkpoint.weights.stat()
    companions = files_fingerprint(checkpoint.folder) if checkpoint.folder else ""
    tokenizer = checkpoints.load_tokenizer(checkpoint, notify)
    ids = np.asarray(tokenizer(list(TOKENIZER_PROBES)), np.int64)
    parts = checkpoints.fingerprint_parts(checkpoint, tokenizer_export.tokenizer_signature(tokenizer, ids))
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = model_folder(fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        known = find_by_fingerprint(fingerprint)
        template = (
            known.manifest.frame
            if known
            else tokenizer_export.export_tokenizer(tokenizer, ids, folder / TOKENIZER_FILE)
        )
        _link_weights(checkpoint, folder)
        model = _load_model(checkpoint, folder, notify)
        _check_image_size(checkpoint, model)
        if known is None:
            notify(f"Exporting the text tower of {checkpoint.source.name} ...")
            _, lengths = ModelTokenizer(folder / TOKENIZER_FILE, template).encode(TOKENIZER_PROBES)
            trims_padding = _export_text_tower(model, ids, lengths, folder)
        else:  # the weights have moved
            trims_padding = known.manifest.cut
        manifest = ModelManifest(
            name=checkpoint.source.name,
            arch=checkpoint.arch,
            fingerprint=fingerprint,
            parts=parts,
            preprocessing=checkpoint.preprocessing,
            frame=template,
            weights=str(checkpoint.weights),
            size=stat.st_size,
            mtime=stat.st_mtime_ns,
            near=None if checkpoint.folder is None else str(checkpoint.folder),
            beside=companions,
            cut=trims_padding,
            dim=_vector_dim(model, checkpoint.preprocessing),
            logit_scale=float(model.logit_scale.detach().exp()),
            logit_bias=_logit_bias(model),
        )
        prepared = PreparedModel(folder, manifest)
        if prepared.choice(device or "auto") is None:
            _choose_and_save_precision(prepared, model, device, notify, choose)
        sync_files(folder)
        write_atomically(folder / MANIFEST_FILE, json.dumps(asdict(manifest), indent=1))
    return prepared


def choose_and_save_precision(
    prepared: PreparedModel,
    device: str | None,
    notify: Notify,
    choose: PrecisionChooser = choose_precision,
) -> PrecisionChoice:
    """Choose the precision for a device of this machine; None chooses the fastest device."""
    from retrieval.embedders.torch_towers import load_model

    with FileLock(prepared.folder.with_suffix(".lock")):
        return _choose_and_save_precision(prepared, load_model(prepared.folder), device, notify, choose)


def _choose_and_save_precision(
    prepared: PreparedModel, model: Any, device: str | None, notify: Notify, choose: PrecisionChooser
) -> PrecisionChoice:
    """Choose a precision, and keep the exported image towers that the choices use."""
    notify(f"Measuring which precision of {prepared.manifest.name} is the fastest here ...")
    folder = prepared.folder
    for prefix in EXPORT_PREFIXES:
        for stale in folder.glob(f"{prefix}*/"):  # of a killed run; the folder is locked
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=EXPORT_PREFIXES[0]) as exported:
        choice = choose(prepared, model, device, Path(exported))
        sync_files(Path(exported))
        for path in Path(exported).glob(f"{EXPORTED_IMAGE_TOWERS.get(choice.precision, 'nothing')}*"):
            path.replace(folder / path.name)
    keys = {machine_key(choice.device), machine_key(device or "auto")}
    choices = {**prepared.choices(), **dict.fromkeys(keys, choice)}
    fields = {key: asdict(choice) for key, choice in choices.items()}
    write_atomically(folder / CHOICES_FILE, json.dumps(fields, indent=1))
    used = {choice.precision for choice in choices.values()}
    for precision in EXPORTED_IMAGE_TOWERS.keys() - used:
        delete_tower(folder / EXPORTED_IMAGE_TOWERS[precision])
    return choice


def _load_model(checkpoint: Checkpoint, folder: Path, notify: Notify) -> Any:
    """Write the configuration and load the model from its folder; raises EmbedderError."""
    config = checkpoints.config_with_local_text_model(checkpoint, folder, notify)
    write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=1))
    from retrieval.embedders.torch_towers import load_model

    try:
        return load_model(folder)
    except Exception as error:  # torch and safetensors raise many types
        lines = str(error).strip().splitlines()
        architecture = f" as {checkpoint.source.arch}" if checkpoint.source.arch else ""
        reason = " ".join(" ".join(lines[:2]).split())[:120] or type(error).__name__
        raise EmbedderError(
            f"The weights {checkpoint.weights} cannot be loaded{architecture}: {reason.rstrip('.')} ... "
            "They must be a state dict of exactly that architecture; name another one with --arch."
        ) from error


def _link_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Link the weights under the name that open_clip looks for."""
    is_safe = checkpoint.weights.suffix == ".safetensors"
    name = "open_clip_model.safetensors" if is_safe else "open_clip_pytorch_model.bin"
    for old in {*folder.glob("open_clip_*model.*")} - {folder / name}:
        old.unlink()
    link = folder / "weights.tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(checkpoint.weights.resolve())
    link.replace(folder / name)


def _check_image_size(checkpoint: Checkpoint, model: Any) -> None:
    """Raise EmbedderError unless the model takes images of the configured size."""
    size = model.visual.image_size
    actual = (size, size) if isinstance(size, int) else tuple(size)
    if actual != checkpoint.preprocessing.size:
        raise EmbedderError(
            f"{checkpoint.source.name} takes images of {actual} pixels, but its configuration says "
            f"{checkpoint.preprocessing.size}. Correct its {CONFIG_FILE}."
        )


def _export_text_tower(model: Any, ids: Any, lengths: Any, folder: Path) -> bool:
    """Export the text tower and compare it with torch; return True if padding may be trimmed from its ids.

    Without an exported tower, torch embeds texts.
    """
    import torch

    from retrieval.embedders.torch_towers import TextTower, trimmable_text_tower

    tower = TextTower(model).eval()
    with torch.inference_mode():
        expected = tower(torch.from_numpy(ids)).numpy()
    if not np.isfinite(expected).all():
        raise EmbedderError(f"The weights in {folder} embed texts as vectors with NaN or infinite values.")
    file, max_length = folder / TEXT_TOWER_FILE, ids.shape[1]
    trimmed = [row[None, :length] for row, length in zip(ids, lengths, strict=True)]
    trimmable = trimmable_text_tower(model)
    if trimmable is not None and _export_and_verify(
        trimmable.eval(), ids[:2, : max_length // 2], file, trimmed, expected, max_length
    ):
        return True
    if not _export_and_verify(tower, ids[:2], file, [ids], expected, None):
        delete_tower(file)
    return False


def _export_and_verify(
    tower: Any, example: Any, file: Path, rows: Any, expected: Any, max_length: int | None
) -> bool:
    """Export a tower, and return True if it embeds `rows` as torch does."""
    import torch

    delete_tower(file)
    try:
        export(tower, torch.from_numpy(example), file, max_length=max_length)
        vectors = OnnxTower(file).embed(rows)
    except Exception:  # exporters raise many types
        return False
    return bool((vectors * expected).sum(axis=1).min() >= MIN_TEXT_TOWER_COSINE)


def _vector_dim(model: Any, preprocessing: Preprocessing) -> int:
    from retrieval.embedders.torch_towers import TorchTowers

    batch = np.stack(probe_images(preprocessing.size, 1))
    vectors = TorchTowers(model, preprocessing, "float32", "cpu").embed_images([batch])
    return int(vectors.shape[1])


def _logit_bias(model: Any) -> float | None:
    bias = getattr(model, "logit_bias", None)
    return None if bias is None else float(bias.detach())


def sync_files(folder: Path) -> None:
    """Flush the files of a folder to disk."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old or the new one: temporary file, fsync, rename."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
