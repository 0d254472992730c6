"""Resolve the name of a model to an embedder, and prepare the model if needed."""

from contextlib import suppress
from typing import TYPE_CHECKING

from indexer.models import hub
from indexer.models.checkpoint import find_checkpoint
from indexer.types import Notify, ignore_message
from retrieval.embedders import model_name, registry
from retrieval.embedders.base import Embedder
from retrieval.embedders.model_cache import (
    PrecisionChoice,
    PreparedModel,
    find_by_fingerprint,
    find_by_source,
)
from retrieval.errors import EmbedderError

if TYPE_CHECKING:
    from retrieval.embedders.open_clip import OpenClipEmbedder

# Chosen so that nobody loses a language of the built-in model: of the candidates in bench_models.py,
# it has the best published recall in the worst of these languages. `clew models` shows it: 59.7 %, where
# ViT-B-32-SigLIP2-256 has 35.3 % and ViT-B-32-256/datacomp_s34b_b86k 0.3 %. In English, ViT-B-32-SigLIP2-256
# finds more, at twice the time for a text. Two cores embed 60 images/s, of the two others 46 and 44; a search
# takes 1.4 s, 1.4 s and 0.4 s, most of it to load a tokenizer of 250,000 tokens. MIT license, 1.5 GB.
RECOMMENDED_MODEL = "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"
_RECOMMENDED_REPO = "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k"
_RECOMMENDED_WEIGHTS = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
AUTO = "auto"


def resolve_embedder(
    name: str,
    *,
    arch: str | None = None,
    device: str | None = None,
    fingerprint: str | None = None,
    notify: Notify = ignore_message,
) -> Embedder:
    """Return the embedder of this name, and prepare it if needed; raises EmbedderError.

    If several versions are prepared, `fingerprint` selects one. Without `device`, the fastest is used.
    """
    if name == AUTO:
        return recommended_embedder(device, notify)
    source = model_name.parse_model_name(name, arch)
    if source.kind == "builtin":
        return registry.load_embedder(name)
    prepared = None if fingerprint is None else find_by_fingerprint(fingerprint)
    if prepared is None or not prepared.up_to_date:
        if prepared is not None and source.arch is None and prepared.manifest.name == source.name:
            source = model_name.parse_model_name(name, prepared.manifest.arch)  # as it was prepared
        prepared = find_by_source(source) or _prepare(source, device, notify)
    from retrieval.embedders.open_clip import OpenClipEmbedder

    choice = prepared.choice(device or AUTO)
    if choice is None or not _is_available(choice):
        choice = _choose_precision(prepared, device, notify)
    return OpenClipEmbedder(prepared, choice.device)


def prepare_model(
    name: str, *, arch: str | None = None, device: str | None = None, notify: Notify = ignore_message
) -> Embedder:
    """Download a model if needed, export its towers, and choose its precision on this machine.

    Raises EmbedderError.
    """
    embedder = resolve_embedder(name, arch=arch, device=device, notify=notify)
    old = _of_older_version(embedder)
    if old is None:
        return embedder
    _choose_precision(old.prepared, old.device, notify)
    return resolve_embedder(name, arch=arch, device=device, notify=notify)


def export_towers_if_due(embedder: Embedder, notify: Notify) -> None:
    """Export the image tower of a model that an older version prepared, if this run has loaded torch.

    Later runs then need no torch. Without space on the disk, or after Ctrl-C, a later run exports it.
    """
    old = _of_older_version(embedder)
    if old is not None and old.has_loaded_torch:
        with suppress(KeyboardInterrupt, OSError, EmbedderError):
            _choose_precision(old.prepared, old.device, notify)


def _of_older_version(embedder: Embedder) -> "OpenClipEmbedder | None":
    """Return an embedder on the CPU whose image tower may not have been exported, else None."""
    from retrieval.embedders.open_clip import OpenClipEmbedder

    if not isinstance(embedder, OpenClipEmbedder) or embedder.device != "cpu":
        return None
    return None if embedder.choice.torch_precision else embedder


def recommended_embedder(device: str | None, notify: Notify) -> Embedder:
    """Return the recommended open_clip model if it is cached or can be downloaded, else the built-in one."""
    source = model_name.parse_model_name(RECOMMENDED_MODEL)
    try:
        if find_by_source(source) is None and not hub.cached_file(_RECOMMENDED_REPO, _RECOMMENDED_WEIGHTS):
            hub.list_files(_RECOMMENDED_REPO)  # fails within seconds, before torch is imported
        return resolve_embedder(RECOMMENDED_MODEL, device=device, notify=notify)
    except (hub.HubError, EmbedderError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, hub.HubError) else error
        reason = "offline" if isinstance(cause, hub.HubOffline) else str(cause).rstrip(".")
    notify(f"Using the built-in model ({reason}). Better: `clew switch {AUTO}` when online.")
    return registry.load_embedder("builtin")


def _is_available(choice: PrecisionChoice) -> bool:
    """Return True if this machine has the accelerator for which the precision was chosen."""
    if choice.device == "cpu":
        return True
    from retrieval.embedders.torch_towers import accelerator_name  # heavy: torch

    return accelerator_name(choice.device) == choice.hardware


def _choose_precision(prepared: PreparedModel, device: str | None, notify: Notify) -> PrecisionChoice:
    from indexer.models.prepare import choose_and_save_precision  # heavy: torch

    return choose_and_save_precision(prepared, device, notify)


def _prepare(source: model_name.ModelSource, device: str | None, notify: Notify) -> PreparedModel:
    checkpoint = find_checkpoint(source, notify)  # its errors need no torch
    from indexer.models.prepare import prepare  # heavy: torch

    return prepare(checkpoint, device, notify)
