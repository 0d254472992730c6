"""From what a person calls a model to an embedder that is ready to embed."""

from indexer.models import hub
from indexer.types import Notify
from retrieval.embedders import model_name, registry
from retrieval.embedders.base import Embedder
from retrieval.embedders.model_cache import (
    PrecisionChoice,
    PreparedModel,
    find_by_fingerprint,
    find_by_source,
)
from retrieval.errors import EmbedderError

RECOMMENDED_MODEL = "ViT-B-32-256/datacomp_s34b_b86k"  # MIT
_RECOMMENDED_REPO, _RECOMMENDED_FILES = (
    "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    ("open_clip_model.safetensors",),
)
AUTO = "auto"


def ignore_message(line: str) -> None:
    """Say nothing."""


def resolve_embedder(
    name: str,
    *,
    arch: str | None = None,
    device: str | None = None,
    fingerprint: str | None = None,
    notify: Notify = ignore_message,
) -> Embedder:
    """Return the embedder of this name, prepared now if it has not been; raises EmbedderError.

    `fingerprint` is that of the space it must fit, if it is prepared; `device` None is the fastest here.
    """
    if name == AUTO:
        return recommended_embedder(device, notify)
    source = model_name.parse_model_name(name, arch)
    if source.kind == "builtin":
        return registry.load_embedder(name)
    known = None if fingerprint is None else find_by_fingerprint(fingerprint)
    if known is None or not known.up_to_date:
        known = find_by_source(source) or _prepare(source, device, notify)
    from retrieval.embedders.open_clip import OpenClipEmbedder

    choice = known.choice(device or AUTO)
    if choice is None or not _is_available(choice):
        choice = _choose_precision(known, device, notify)
    return OpenClipEmbedder(known, choice.device)


def prepare_model(
    name: str, *, arch: str | None = None, device: str | None = None, notify: Notify = ignore_message
) -> Embedder:
    """Fetch a model if need be, export its text tower, and choose its precision on this machine.

    Raises EmbedderError, which says what to do where the hub cannot be reached.
    """
    return resolve_embedder(name, arch=arch, device=device, notify=notify)


def recommended_embedder(device: str | None, notify: Notify) -> Embedder:
    """Return the recommended open_clip model if it is here or can be fetched, else the built-in one."""
    source = model_name.parse_model_name(RECOMMENDED_MODEL)
    reason = None
    if find_by_source(source) is None and hub.cached_file(_RECOMMENDED_REPO, _RECOMMENDED_FILES) is None:
        reason = hub.unreachable_reason(_RECOMMENDED_REPO, _RECOMMENDED_FILES)
    if reason is None:
        try:
            return resolve_embedder(RECOMMENDED_MODEL, device=device, notify=notify)
        except EmbedderError as error:
            reason = str(error)
    notify(
        f"Using the built-in model, which is basic: {reason}. Once it can be fetched, "
        f"`clew switch {RECOMMENDED_MODEL}` makes this library much better."
    )
    return registry.load_embedder("builtin")


def _is_available(choice: PrecisionChoice) -> bool:
    """Say whether the accelerator of a choice is that of this machine."""
    if choice.device == "cpu":
        return True
    from retrieval.embedders.torch_towers import accelerator_name  # heavy: torch

    return accelerator_name(choice.device) == choice.hardware


def _choose_precision(prepared: PreparedModel, device: str | None, notify: Notify) -> PrecisionChoice:
    from indexer.models.prepare import choose_and_save_precision  # heavy: torch

    return choose_and_save_precision(prepared, device, notify)


def _prepare(source: model_name.ModelSource, device: str | None, notify: Notify) -> PreparedModel:
    from indexer.models.prepare import prepare  # heavy: torch

    return prepare(source, device, notify)
