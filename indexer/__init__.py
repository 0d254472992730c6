"""Index folders of media: scan, embed and store, so that `retrieval` can answer."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.evaluation import evaluate
    from indexer.folders import forget, index_folder, update_library, verify_library
    from indexer.golden import evaluate_golden
    from indexer.labels import evaluate_labels
    from indexer.models import prepare_model
    from indexer.report import Report
    from indexer.switch import Comparison, Switched, switch_library
    from indexer.tag import Tagged, remove_labels, tag_library
    from indexer.teaching import forget_concept, teach
    from indexer.watch import watch_library

__all__ = [
    "Comparison",
    "Report",
    "Switched",
    "Tagged",
    "evaluate",
    "evaluate_golden",
    "evaluate_labels",
    "forget",
    "forget_concept",
    "index_folder",
    "prepare_model",
    "remove_labels",
    "switch_library",
    "tag_library",
    "teach",
    "update_library",
    "verify_library",
    "watch_library",
]

_HOMES = {
    "Comparison": "switch",
    "Report": "report",
    "Switched": "switch",
    "Tagged": "tag",
    "evaluate": "evaluation",
    "evaluate_golden": "golden",
    "evaluate_labels": "labels",
    "forget_concept": "teaching",
    "prepare_model": "models",
    "remove_labels": "tag",
    "switch_library": "switch",
    "tag_library": "tag",
    "teach": "teaching",
    "watch_library": "watch",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a search does not load the indexer."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexer.{_HOMES.get(name, 'folders')}"), name)
