"""The `clew` command."""

import click

from retrieval.cli.group import ClewGroup

COMMAND_GROUPS = {  # title -> names of commands, in the order of use, and their modules
    "Start": {
        "demo": "indexer.cli.demo",
        "formats": "indexer.cli.formats",
        "index": "indexer.cli.index",
        "watch": "indexer.cli.watch",
        "embed": "indexer.cli.embed",
        "import": "indexer.cli.import_vectors",
    },
    "Search": {
        "search": "retrieval.cli.search",
        "serve": "indexer.cli.watch",
        "mcp": "retrieval.cli.serving.mcp",
        "export": "retrieval.cli.serving.export",
        "similar": "retrieval.cli.similar",
        "show": "retrieval.cli.show",
        "clip": "retrieval.cli.serving.clip",
        "duplicates": "retrieval.cli.duplicates",
    },
    "Organize": {
        "tag": "indexer.cli.organize.tag",
        "teach": "indexer.cli.organize.names",
        "save": "indexer.cli.organize.names",
    },
    "Models": {
        "models": "retrieval.cli.models",
        "prepare": "indexer.cli.models",
        "switch": "indexer.cli.models",
    },
    "Maintain": {
        "status": "retrieval.cli.status",
        "verify": "indexer.cli.maintain.verify",
        "tune": "indexer.cli.maintain.tune",
        "publish": "indexer.cli.maintain.publish",
        "backup": "indexer.cli.maintain.backup",
        "restore": "indexer.cli.maintain.backup",
        "forget": "indexer.cli.maintain.forget",
    },
    "Measure": {
        "eval": "indexer.cli.evaluate",
    },
    "Shell": {
        "completion": "retrieval.cli.group",
    },
}


@click.group(cls=ClewGroup, groups=COMMAND_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Search your photos, videos, documents and audio by their content.

    \b
    clew index ~/Pictures          index a folder; repeat to update
    clew "a dog running on grass"  search; no command needed
    clew search --image photo.jpg --kind text

    `clew COMMAND --help` describes a command and its options.
    """
