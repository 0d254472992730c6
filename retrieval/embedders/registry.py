"""Load an embedder by name; list available models."""

from shlex import quote

from retrieval.embedders.base import Embedder, ModelCard
from retrieval.errors import EmbedderError
from retrieval.types import Space


def load_embedder(name: str, *, fingerprint: str | None = None, device: str = "cpu") -> Embedder:
    """Return the embedder of this name, preferably with this fingerprint.

    Raises EmbedderError if the model is not prepared on this machine: nothing is downloaded here.
    """
    from retrieval.embedders.model_name import parse_model_name

    source = parse_model_name(name)
    if source.kind == "builtin":
        from retrieval.embedders.builtin import BuiltinEmbedder

        return BuiltinEmbedder()
    from retrieval.embedders.model_cache import find_by_fingerprint, find_by_source

    prepared = None if fingerprint is None else find_by_fingerprint(fingerprint)
    prepared = prepared or find_by_source(source)
    if prepared is None:
        raise EmbedderError(
            f"{source.name} is not prepared on this machine. Run `clew prepare {quote(source.name)}` once."
        )
    from retrieval.embedders.open_clip import OpenClipEmbedder

    return OpenClipEmbedder(prepared, device)


def load_space_embedder(space: Space) -> Embedder:
    """Return the embedder of a space; raises EmbedderError as `load_embedder` does.

    The space of an earlier version of the built-in model gets one that can embed nothing.
    """
    if is_outdated(space.model, space.fingerprint):
        from retrieval.embedders.builtin import OutdatedEmbedder

        return OutdatedEmbedder(space)
    return load_embedder(space.model, fingerprint=space.fingerprint)


def is_outdated(name: str, fingerprint: str) -> bool:
    """Return True for an earlier version of the built-in model."""
    if name != "builtin":
        return False
    from retrieval.embedders.builtin import FINGERPRINT

    return fingerprint != FINGERPRINT


def describe_precision(fingerprint: str) -> str | None:
    """Return the precision in which this machine embeds images with a model, or None if none was chosen."""
    from retrieval.embedders.model_cache import find_by_fingerprint

    prepared = find_by_fingerprint(fingerprint)
    if prepared is None:
        return None
    choice = prepared.choice("auto") or prepared.choice("cpu")
    return None if choice is None else str(prepared.choice(choice.device) or choice)


def model_cards() -> list[ModelCard]:
    """Return the card of the built-in model, of those on this machine, and of all others in open_clip."""
    from retrieval.embedders import builtin, model_list

    return [builtin.model_card(), *model_list.model_cards()]
