"""Prepare a model for this machine: find it, export and check its text tower, choose its precision."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from indexer import checkpoint as checkpoints
from indexer.checkpoint import CONFIG, PROBES, Checkpoint
from indexer.export import discard, export
from indexer.hub import Say
from indexer.precision import choose, probes
from retrieval.embedders.names import Source
from retrieval.embedders.onnx import OnnxTower
from retrieval.embedders.prepared import (
    CHOICES,
    RECIPE,
    TEXT,
    TOKENIZER,
    Choice,
    Prepared,
    Recipe,
    find,
    folder_of,
    here,
)
from retrieval.embedders.tokens import Frame, Tokens
from retrieval.errors import EmbedderError

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

ALIKE = 0.9999  # least cosine of the exported text tower to torch


def prepare(source: Source, device: str | None, say: Say) -> Prepared:
    """Prepare a model, or what is missing of it; raises EmbedderError."""
    checkpoint = checkpoints.find(source, say)
    tokenizer = checkpoints.tokenizer(checkpoint)
    ids = np.asarray(tokenizer(list(PROBES)), np.int64)
    parts = checkpoints.parts(checkpoint, ids.tobytes())
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    folder = folder_of(fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        frame = _write_tokenizer(tokenizer, ids, folder / TOKENIZER)
        _link(checkpoint, folder)
        model = _load(checkpoint, folder)
        _check_size(checkpoint, model)
        known = find(fingerprint)
        if known is None:
            say(f"Exporting the text tower of {source.name} ...")
            _, lengths = Tokens(folder / TOKENIZER, frame).encode(PROBES)
            cut = _export_text(model, ids, lengths, folder)
        else:  # the weights have moved
            cut = known.recipe.cut
        prepared = Prepared(folder, _recipe(checkpoint, model, parts, fingerprint, frame, cut))
        _decide(prepared, model, device, say)
        replace(folder / RECIPE, json.dumps(asdict(prepared.recipe), indent=1))
    return prepared


def decide(prepared: Prepared, device: str | None, say: Say) -> Choice:
    """Return the choice for a device of this machine, made now if it has not been; None is the fastest."""
    choice = prepared.choice(device or "auto")
    if choice is None:
        from retrieval.embedders.towers import load_model

        with FileLock(prepared.folder.with_suffix(".lock")):
            choice = _decide(prepared, load_model(prepared.folder), device, say)
    return choice


def _decide(prepared: Prepared, model: Any, device: str | None, say: Say) -> Choice:
    known = prepared.choice(device or "auto")
    if known is not None:
        return known
    say(f"Measuring which precision of {prepared.recipe.name} is the fastest here ...")
    choice = choose(prepared, model, device)
    names = {here(choice.device), here(device or "auto")}
    choices = {**prepared.choices(), **dict.fromkeys(names, asdict(choice))}
    replace(prepared.folder / CHOICES, json.dumps(choices, indent=1))
    return choice


def _load(checkpoint: Checkpoint, folder: Path) -> Any:
    """Load the model as it will be loaded from now on; raises EmbedderError where the weights do not fit."""
    config = checkpoints.text_settings(checkpoint, folder)
    replace(folder / CONFIG, json.dumps(config, indent=1))
    from retrieval.embedders.towers import load_model

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
    for old in folder.glob("open_clip_*model.*"):
        old.unlink()
    name = "open_clip_model.safetensors" if safe else "open_clip_pytorch_model.bin"
    (folder / name).symlink_to(checkpoint.weights.resolve())


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

    from retrieval.embedders.towers import CausalTextTower, TextTower

    tower = TextTower(model).eval()
    with torch.inference_mode():
        truth = tower(torch.from_numpy(ids)).numpy()
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
    checkpoint: Checkpoint, model: Any, parts: dict[str, str], fingerprint: str, frame: Frame, cut: bool
) -> Recipe:
    from retrieval.embedders.towers import TorchTowers

    stat = checkpoint.weights.stat()
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
        cut=cut,
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if bias is None else float(bias.detach()),
    )


def _write_tokenizer(tokenizer: "SimpleTokenizer | HFTokenizer", ids: Any, file: Path) -> Frame:
    """Write open_clip's tokenizer as a file of `tokenizers`, and hold it to open_clip's on PROBES."""
    from open_clip.tokenizer import SimpleTokenizer

    length = tokenizer.context_length
    if isinstance(tokenizer, SimpleTokenizer):
        frame = _write_simple(tokenizer, length, file)
    else:
        frame = _write_hf(tokenizer, length, file)
    if not np.array_equal(Tokens(file, frame).encode(PROBES)[0], ids):
        raise EmbedderError(
            "Its tokenizer cannot be run without torch as open_clip runs it; please report this model."
        )
    return frame


def _write_simple(tokenizer: "SimpleTokenizer", length: int, file: Path) -> Frame:
    """Write CLIP's own byte-pair encoding."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    if tokenizer.reduction_fn is not None:
        raise EmbedderError("Its tokenizer drops words at random, which no search can use.")
    ranks = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    bpe = models.BPE(vocab=tokenizer.encoder, merges=ranks, end_of_word_suffix="</w>")
    made = Tokenizer(bpe)
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.add_special_tokens(["<start_of_text>", "<end_of_text>"])
    made.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    return Frame(length, clean, (tokenizer.sot_token_id,), (tokenizer.eot_token_id,), pad=0)


def _write_hf(tokenizer: "HFTokenizer", length: int, file: Path) -> Frame:
    """Write a tokenizer of transformers, and find what it puts around a text."""
    inner = tokenizer.tokenizer
    made = inner.backend_tokenizer
    made.no_truncation()
    made.no_padding()
    made.save(str(file))
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    if tokenizer.tokenizer_mode == "clips":
        around = ((inner.bos_token_id,), (inner.eos_token_id,))
        return Frame(length, clean, *around, pad=inner.pad_token_id, tail=inner.cls_token_id)
    bare, whole = (made.encode("dog", add_special_tokens=add).ids for add in (False, True))
    at = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    zero = inner.sep_token_id if tokenizer.strip_sep_token else None
    prefix, suffix = (
        tuple(0 if token == zero else token for token in part)
        for part in (whole[:at], whole[at + len(bare) :])
    )
    return Frame(length, clean, prefix, suffix, pad=inner.pad_token_id, side=inner.padding_side)


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, "utf-8")
    draft.replace(path)
