"""Find media by meaning: open a library and ask it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.errors import ClewError
    from retrieval.library import Library
    from retrieval.media.av.clip import Clip
    from retrieval.system import default_library
    from retrieval.types import (
        ConceptInfo,
        Failure,
        FileAttributes,
        Filters,
        Group,
        Hit,
        IndexFile,
        Kind,
        Root,
        Space,
        Status,
    )

__all__ = [
    "ClewError",
    "Clip",
    "ConceptInfo",
    "Failure",
    "FileAttributes",
    "Filters",
    "Group",
    "Hit",
    "IndexFile",
    "Kind",
    "Library",
    "Root",
    "Space",
    "Status",
    "default_library",
]

_SUBMODULES = {
    "ClewError": "errors",
    "Clip": "media.av.clip",
    "Library": "library",
    "default_library": "system",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a command loads only what it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"retrieval.{_SUBMODULES.get(name, 'types')}"), name)
