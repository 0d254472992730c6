"""Load an embedder by name; list available models."""

from shlex import quote

from retrieval.embedders.base import Embedder, ModelCard
from retrieval.errors import EmbedderError


def load_embedder(name: str, *, fingerprint: str | None = None, device: str = "cpu") -> Embedder:
    """Return the embedder of this name, and of this fingerprint if there is such a one.

    Raises EmbedderError where a model is not prepared on this machine: nothing is fetched here.
    """
    from retrieval.embedders.model_name import parse_model_name

    source = parse_model_name(name)
    if source.kind == "builtin":
        from retrieval.embedders.builtin import BuiltinEmbedder

        return BuiltinEmbedder()
    from retrieval.embedders.model_cache import find_by_fingerprint, find_by_source

    found = None if fingerprint is None else find_by_fingerprint(fingerprint)
    found = found or find_by_source(source)
    if found is None:
        command = f"clew prepare {quote(source.name)}"
        raise EmbedderError(f"{source.name} is not prepared on this machine: `{command}` does it once.")
    from retrieval.embedders.open_clip import OpenClipEmbedder

    return OpenClipEmbedder(found, device)


def describe_precision(fingerprint: str) -> str | None:
    """Say in which precision this machine embeds pictures with a model; None where nothing was chosen."""
    from retrieval.embedders.model_cache import find_by_fingerprint

    found = find_by_fingerprint(fingerprint)
    choice = None if found is None else found.choice("auto") or found.choice("cpu")
    return None if found is None or choice is None else str(found.choice(choice.device) or choice)


def model_cards() -> list[ModelCard]:
    """Describe the built-in model, those on this machine, and all that open_clip lists."""
    from retrieval.embedders import builtin, model_list

    return [builtin.model_card(), *model_list.model_cards()]
