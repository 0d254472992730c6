"""Index folders of media: scan, embed and store, so that `retrieval` can answer."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.evaluation.captions import evaluate
    from indexer.evaluation.classification import evaluate_labels
    from indexer.evaluation.golden_queries import evaluate_golden
    from indexer.models.resolve import prepare_model
    from indexer.operations.forget import forget
    from indexer.operations.index import index_folder, update_library
    from indexer.operations.report import Report
    from indexer.operations.switch_model import Comparison, Switched, switch_library
    from indexer.operations.verify import verify_library
    from indexer.tag.concepts import forget_concept, teach
    from indexer.tag.labels import Tagged, remove_labels, tag_library
    from indexer.watch.watcher import watch_library

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
    "Comparison": "operations.switch_model",
    "Report": "operations.report",
    "Switched": "operations.switch_model",
    "Tagged": "tag.labels",
    "evaluate": "evaluation.captions",
    "evaluate_golden": "evaluation.golden_queries",
    "evaluate_labels": "evaluation.classification",
    "forget": "operations.forget",
    "forget_concept": "tag.concepts",
    "prepare_model": "models.resolve",
    "remove_labels": "tag.labels",
    "switch_library": "operations.switch_model",
    "tag_library": "tag.labels",
    "teach": "tag.concepts",
    "verify_library": "operations.verify",
    "watch_library": "watch.watcher",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a search does not load the indexer."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexer.{_HOMES.get(name, 'operations.index')}"), name)
