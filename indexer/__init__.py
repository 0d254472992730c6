"""Build and change libraries of media: scan folders, decode and embed files, store vectors.

    from indexer import index_folder

    library = index_folder("~/Pictures")
    hits = library.search("a dog on the beach")

Indexing
    index_folder     index a folder and return the open library
    update_library   index folders, or update all indexed folders
    watch_library    index folders and follow changes until stopped
    IndexOptions     the options of an indexing run
    WatchOptions     the options of watch_library
    Report           the counts and notes of an indexing run
    embed_shards     embed files into Parquet shards, on one machine or a Ray cluster
    ShardOptions     the options of embed_shards
    EmbeddedShards   the result of embed_shards
    import_vectors   import shards, or adopt the vectors of rclip or clip-retrieval
    Imported         the result of import_vectors

Models
    prepare_model    download a model and prepare it for this machine
    ModelOptions     the options of loading a model
    switch_library   embed a library with another model
    Switched         the result of switch_library
    Comparison       the hits of two models for one query

Labels and concepts
    tag_library      tag images with labels
    TagOptions       the options of tag_library
    Tagged           the result of tag_library
    remove_labels    remove labels and their tags
    teach            learn a concept from example images
    forget_concept   delete a concept and its examples

Maintenance
    verify_library   check a library for damage, and repair it
    tune_library     tune the search effort of the indexes to a recall
    publish_library  send the vectors of a library to a Milvus server
    Published        the result of publish_library
    backup_library   copy a library into a file, also while it is in use
    restore_library  restore a library from such a file
    forget           remove folders from a library

Measurement
    evaluate         measure a model on captions
    evaluate_labels  measure a model on folders that are named by their label
    evaluate_golden  measure a library on queries with known answers

Results are searched through `retrieval`; `clew --help` lists the commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.distributed.options import EmbeddedShards, ShardOptions
    from indexer.distributed.run import embed_shards
    from indexer.evaluation.captions import evaluate
    from indexer.evaluation.classification import evaluate_labels
    from indexer.evaluation.golden_queries import evaluate_golden
    from indexer.imports.base import Imported
    from indexer.maintenance.publish.publish import Published
    from indexer.models.options import ModelOptions
    from indexer.models.resolve import prepare_model
    from indexer.operations.backup import backup_library, restore_library
    from indexer.operations.forget import forget
    from indexer.operations.import_vectors import import_vectors
    from indexer.operations.index import index_folder, update_library
    from indexer.operations.options import IndexOptions
    from indexer.operations.publish import publish_library
    from indexer.operations.report import Report
    from indexer.operations.switch_model import Comparison, Switched, switch_library
    from indexer.operations.tune import tune_library
    from indexer.operations.verify import verify_library
    from indexer.tag.concepts import forget_concept, teach
    from indexer.tag.labels import Tagged, remove_labels, tag_library
    from indexer.tag.options import TagOptions
    from indexer.watch.options import WatchOptions
    from indexer.watch.watcher import watch_library

__all__ = [
    "Comparison",
    "EmbeddedShards",
    "Imported",
    "IndexOptions",
    "ModelOptions",
    "Published",
    "Report",
    "ShardOptions",
    "Switched",
    "TagOptions",
    "Tagged",
    "WatchOptions",
    "backup_library",
    "embed_shards",
    "evaluate",
    "evaluate_golden",
    "evaluate_labels",
    "forget",
    "forget_concept",
    "import_vectors",
    "index_folder",
    "prepare_model",
    "publish_library",
    "remove_labels",
    "restore_library",
    "switch_library",
    "tag_library",
    "teach",
    "tune_library",
    "update_library",
    "verify_library",
    "watch_library",
]

_SUBMODULES = {
    "Comparison": "operations.switch_model",
    "EmbeddedShards": "distributed.options",
    "Imported": "imports.base",
    "IndexOptions": "operations.options",
    "ModelOptions": "models.options",
    "Published": "maintenance.publish.publish",
    "Report": "operations.report",
    "ShardOptions": "distributed.options",
    "Switched": "operations.switch_model",
    "TagOptions": "tag.options",
    "Tagged": "tag.labels",
    "WatchOptions": "watch.options",
    "backup_library": "operations.backup",
    "embed_shards": "distributed.run",
    "evaluate": "evaluation.captions",
    "evaluate_golden": "evaluation.golden_queries",
    "evaluate_labels": "evaluation.classification",
    "forget": "operations.forget",
    "forget_concept": "tag.concepts",
    "import_vectors": "operations.import_vectors",
    "prepare_model": "models.resolve",
    "publish_library": "operations.publish",
    "remove_labels": "tag.labels",
    "restore_library": "operations.backup",
    "switch_library": "operations.switch_model",
    "tag_library": "tag.labels",
    "teach": "tag.concepts",
    "tune_library": "operations.tune",
    "verify_library": "operations.verify",
    "watch_library": "watch.watcher",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that a command loads only the modules it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"indexer.{_SUBMODULES.get(name, 'operations.index')}"), name)
