"""Run the commands that read a library: python -m retrieval."""

from retrieval.cli.main import main

main(prog_name="python -m retrieval")
