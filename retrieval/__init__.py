"""Find media by meaning: open a library and ask it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.errors import ClewError
    from retrieval.library import Library
    from retrieval.media.av.clip import Clip
    from retrieval.system import default_library
    from retrieval.types import (
        Facts,
        Failure,
        Filters,
        Group,
        Hit,
        IndexFile,
        Kind,
        Root,
        Space,
        Status,
        Taught,
    )

__all__ = [
    "ClewError",
    "Clip",
    "Facts",
    "Failure",
    "Filters",
    "Group",
    "Hit",
    "IndexFile",
    "Kind",
    "Library",
    "Root",
    "Space",
    "Status",
    "Taught",
    "default_library",
]

_HOMES = {
    "ClewError": "errors",
    "Clip": "media.av.clip",
    "Library": "library",
    "default_library": "system",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a command loads only what it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"retrieval.{_HOMES.get(name, 'types')}"), name)
