"""Files of the Hugging Face hub: from its cache, else fetched, else a word on what to do without it."""

from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from shlex import quote
from threading import Thread

from indexer.types import Notify
from retrieval.errors import EmbedderError
from retrieval.formatting import format_bytes

HUB_TIMEOUT = 3.0  # seconds to learn that the hub is not there


def cached_file(repo: str, names: Sequence[str]) -> Path | None:
    """Return the first of these files that the hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repo, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def unreachable_reason(repo: str, names: Sequence[str]) -> str | None:
    """Say why none of these files can be fetched, within PATIENCE; None if one can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    answer: Queue[str | None] = Queue()
    # Looking a name up knows no time limit of its own; nobody waits for a daemon.
    Thread(target=lambda: answer.put(_unavailable_reason(repo, names)), daemon=True).start()
    try:
        return answer.get(timeout=HUB_TIMEOUT)
    except Empty:
        return f"{constants.ENDPOINT} does not answer within {HUB_TIMEOUT:.0f} seconds"


def fetch(repo: str, names: Sequence[str], model: str, notify: Notify) -> Path:
    """Return the first of these files that is cached or can be fetched; raises EmbedderError."""
    found = cached_file(repo, names)
    if found is not None:
        return found
    reason = unreachable_reason(repo, names)
    if reason is not None:
        raise unavailable_error(model, reason)
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        try:
            length = get_hf_file_metadata(hf_hub_url(repo, name), timeout=HUB_TIMEOUT).size or 0
            if length > 1e6:
                notify(f"Downloading {repo}/{name}, {format_bytes(length)} ...")
            return Path(hf_hub_download(repo, name))
        except EntryNotFoundError:
            continue
        except Exception as error:  # of whichever library speaks to the hub
            raise unavailable_error(model, _hub_error_reason(error)) from error
    raise unavailable_error(model, f"{repo} holds none of {', '.join(names)}")


def unavailable_error(model: str, reason: str) -> EmbedderError:
    """Return the error of a model whose files cannot be had."""
    command = f"clew prepare {quote(model)}"
    return EmbedderError(
        f"The files of {model} are not in the hub's cache and cannot be fetched: {reason}. "
        f"Where there is a network (and HF_HUB_OFFLINE is not set), `{command}` fetches them into "
        "$HF_HOME/hub, by default ~/.cache/huggingface/hub, which can be copied here. Or name a file you "
        "have: --model weights.safetensors --arch ViT-B-32. The model `builtin` needs no file."
    )


def _unavailable_reason(repo: str, names: Sequence[str]) -> str | None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    reason = None
    for name in names:
        try:
            get_hf_file_metadata(hf_hub_url(repo, name), timeout=HUB_TIMEOUT)
        except EntryNotFoundError:
            reason = f"{repo} holds none of {', '.join(names)}"
        except Exception as error:  # of whichever library speaks to the hub
            return _hub_error_reason(error)
        else:
            return None
    return reason


def _hub_error_reason(error: Exception) -> str:
    from huggingface_hub import constants

    lines = str(error).strip().splitlines()
    return f"{constants.ENDPOINT} says {lines[0] if lines else type(error).__name__}".rstrip(".")
