"""Run the `clew` command: python -m indexer."""

from indexer.cli.main import main

main(prog_name="clew")
