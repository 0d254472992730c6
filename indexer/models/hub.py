"""Download models from the Hugging Face hub into its cache.

All downloads share one timeout, one offline rule and one error text. The largest file, the weights, comes
last: if it is in the cache, so are the others.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from indexer.types import Notify
from retrieval.errors import EmbedderError, first_line
from retrieval.formatting import format_bytes

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB_TIMEOUT = 3.0  # seconds to learn that the hub cannot be reached
MIN_REPORTED_BYTES = 1_000_000  # downloads of this size or more are announced


@dataclass(frozen=True, slots=True)
class HubModel:
    """The files of a model in a repository of the hub, and the words of the error without them."""

    title: str  # as errors name it, "model ViT-B-32/openai"
    repo: str
    required: Sequence[Sequence[str]]  # groups of names, of which the first that exists is needed
    command: str  # downloads the files
    optional: Sequence[str] = ()  # patterns, for the root of the repository
    alternative: str = ""  # to a download, in complete sentences

    def error(self, reason: str) -> EmbedderError:
        """Return the error of a model that cannot be used."""
        return EmbedderError(
            f"The {self.title} cannot be used: {reason}. `{self.command}` downloads it if there is a network "
            "and HF_HUB_OFFLINE is not set. Downloads in $HF_HOME/hub (default: ~/.cache/huggingface/hub) "
            f"can also be copied from another machine. {self.alternative}".rstrip()
        )


class HubError(Exception):
    """The reason for which files of the hub cannot be downloaded."""


class HubOffline(HubError):
    """The hub does not answer, or may not be contacted."""


def cached_file(repo: str, names: Sequence[str]) -> Path | None:
    """Return the first of these files that is in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        paths = [try_to_load_from_cache(repo, name) for name in names]
    except HFValidationError:  # not the name of a repository
        return None
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def cached_files(model: HubModel) -> list[Path]:
    """Return the cached file of each required group, or nothing if any is missing."""
    files = [cached_file(model.repo, names) for names in model.required]
    return [file for file in files if file is not None] if None not in files else []


def fetch(model: HubModel, notify: Notify) -> list[Path]:
    """Return the file of each required group, downloaded if any is not cached; raises EmbedderError."""
    return cached_files(model) or download(model, notify)


def download(model: HubModel, notify: Notify) -> list[Path]:
    """Download what is not in the cache, and return the file of each required group; raises EmbedderError.

    An interrupted download is resumed.
    """
    try:
        sizes = list_files(model.repo)
        required = [_first_existing(model.repo, names, sizes) for names in model.required]
        at_root = [name for name in sizes if "/" not in name]
        optional = [name for pattern in model.optional for name in fnmatch.filter(at_root, pattern)]
        names = sorted({*required, *optional}, key=sizes.__getitem__)
        total = sum(sizes[name] for name in names)
        if total >= MIN_REPORTED_BYTES:
            notify(f"Downloading {model.repo} ({format_bytes(total)}) ...")
        paths = {name: _download(model.repo, name) for name in names}
    except HubError as error:
        raise model.error(str(error)) from error
    return [paths[name] for name in required]


def list_files(repo: str) -> dict[str, int]:
    """Return the files of a repository, name -> bytes; raises HubError within HUB_TIMEOUT seconds."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise HubOffline("HF_HUB_OFFLINE is set")
    from huggingface_hub import HfApi  # before the time begins, or a slow disk would look like a silent hub

    answer: Future[dict[str, int]] = Future()
    # A DNS lookup has no timeout of its own, but a daemon thread can be abandoned.
    Thread(target=_request_files, args=(HfApi(), repo, answer), daemon=True).start()
    try:
        return answer.result(HUB_TIMEOUT)
    except TimeoutError as error:
        raise HubOffline(f"{constants.ENDPOINT} does not answer within {HUB_TIMEOUT:.0f} seconds") from error
    except Exception as error:  # of any library that huggingface_hub uses
        raise _hub_error(error) from error


def _request_files(hub: "HfApi", repo: str, answer: "Future[dict[str, int]]") -> None:
    """Set the files of a repository, or the exception that the request raises."""
    try:
        files = hub.model_info(repo, files_metadata=True, timeout=HUB_TIMEOUT).siblings or []
        answer.set_result({file.rfilename: file.size or 0 for file in files})
    except Exception as error:
        answer.set_exception(error)


def _first_existing(repo: str, names: Sequence[str], sizes: Mapping[str, int]) -> str:
    name = next((name for name in names if name in sizes), None)
    if name is None:
        raise HubError(f"{repo} contains no {' or '.join(names)}")
    return name


def _download(repo: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, name, etag_timeout=HUB_TIMEOUT))
    except Exception as error:  # of any library that huggingface_hub uses
        raise _hub_error(error) from error


def _hub_error(error: Exception) -> HubError:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    kind = HubError if isinstance(error, HfHubHTTPError) else HubOffline  # an answer, or none
    return kind(f"{constants.ENDPOINT} reports {first_line(error)}")
