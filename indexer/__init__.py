"""Index folders of media: scan, embed and store, so that `retrieval` can answer."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.evaluation import evaluate
    from indexer.folders import forget, index_folder, update_library, verify_library
    from indexer.pipeline import Report

__all__ = ["Report", "evaluate", "forget", "index_folder", "update_library", "verify_library"]

_HOMES = {"Report": "pipeline", "evaluate": "evaluation"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a search does not load the indexer."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexer.{_HOMES.get(name, 'folders')}"), name)
