"""From what a person calls a model to an embedder that is ready to embed."""

from indexer.models import hub
from indexer.types import Say
from retrieval.embedders import model_name, registry
from retrieval.embedders.base import Embedder
from retrieval.embedders.model_cache import Choice, Prepared, find, find_source
from retrieval.errors import EmbedderError

RECOMMENDED = "ViT-B-32-256/datacomp_s34b_b86k"  # MIT
_REPO, _FILES = "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", ("open_clip_model.safetensors",)
AUTO = "auto"


def silent(line: str) -> None:
    """Say nothing."""


def ready(
    name: str,
    *,
    arch: str | None = None,
    device: str | None = None,
    fingerprint: str | None = None,
    say: Say = silent,
) -> Embedder:
    """Return the embedder of this name, prepared now if it has not been; raises EmbedderError.

    `fingerprint` is that of the space it must fit, if it is prepared; `device` None is the fastest here.
    """
    if name == AUTO:
        return recommended(device, say)
    source = model_name.parse(name, arch)
    if source.kind == "builtin":
        return registry.load(name)
    known = None if fingerprint is None else find(fingerprint)
    if known is None or not known.current:
        known = find_source(source) or _prepare(source, device, say)
    from retrieval.embedders.open_clip import OpenClip

    choice = known.choice(device or AUTO)
    if choice is None or not _is_there(choice):
        choice = _decide(known, device, say)
    return OpenClip(known, choice.device)


def prepare_model(
    name: str, *, arch: str | None = None, device: str | None = None, say: Say = silent
) -> Embedder:
    """Fetch a model if need be, export its text tower, and choose its precision on this machine.

    Raises EmbedderError, which says what to do where the hub cannot be reached.
    """
    return ready(name, arch=arch, device=device, say=say)


def recommended(device: str | None, say: Say) -> Embedder:
    """Return the recommended open_clip model if it is here or can be fetched, else the built-in one."""
    source = model_name.parse(RECOMMENDED)
    reason = None
    if find_source(source) is None and hub.cached(_REPO, _FILES) is None:
        reason = hub.unreachable(_REPO, _FILES)
    if reason is None:
        try:
            return ready(RECOMMENDED, device=device, say=say)
        except EmbedderError as error:
            reason = str(error)
    say(
        f"Using the built-in model, which is basic: {reason}. Once it can be fetched, "
        f"`clew switch {RECOMMENDED}` makes this library much better."
    )
    return registry.load("builtin")


def _is_there(choice: Choice) -> bool:
    """Say whether the accelerator of a choice is that of this machine."""
    if choice.device == "cpu":
        return True
    from retrieval.embedders.torch_towers import hardware  # heavy: torch

    return hardware(choice.device) == choice.hardware


def _decide(known: Prepared, device: str | None, say: Say) -> Choice:
    from indexer.models.prepare import decide  # heavy: torch

    return decide(known, device, say)


def _prepare(source: model_name.Source, device: str | None, say: Say) -> Prepared:
    from indexer.models.prepare import prepare  # heavy: torch

    return prepare(source, device, say)
