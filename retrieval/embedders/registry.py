"""Load an embedder by name; list available models."""

from shlex import quote

from retrieval.embedders.base import Card, Embedder
from retrieval.errors import EmbedderError


def load(name: str, *, fingerprint: str | None = None, device: str = "cpu") -> Embedder:
    """Return the embedder of this name, and of this fingerprint if there is such a one.

    Raises EmbedderError where a model is not prepared on this machine: nothing is fetched here.
    """
    from retrieval.embedders.model_name import parse

    source = parse(name)
    if source.kind == "builtin":
        from retrieval.embedders.builtin import Builtin

        return Builtin()
    from retrieval.embedders.model_cache import find, find_source

    found = None if fingerprint is None else find(fingerprint)
    found = found or find_source(source)
    if found is None:
        command = f"clew prepare {quote(source.name)}"
        raise EmbedderError(f"{source.name} is not prepared on this machine: `{command}` does it once.")
    from retrieval.embedders.open_clip import OpenClip

    return OpenClip(found, device)


def precision(fingerprint: str) -> str | None:
    """Say in which precision this machine embeds pictures with a model; None where nothing was chosen."""
    from retrieval.embedders.model_cache import find

    found = find(fingerprint)
    choice = None if found is None else found.choice("auto") or found.choice("cpu")
    return None if found is None or choice is None else str(found.choice(choice.device) or choice)


def cards() -> list[Card]:
    """Describe the built-in model, those on this machine, and all that open_clip lists."""
    from retrieval.embedders import builtin, model_list

    return [builtin.card(), *model_list.cards()]
