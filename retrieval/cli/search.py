"""Doors for those who read: `clew search`, `similar`, `status`, `models`."""

from pathlib import Path
from typing import Any

import click

from retrieval.cli.options import search_options
from retrieval.cli.output import best_match_text, show_hits


@click.command("search")
@click.argument("words", nargs=-1)
@click.option("--image", type=click.Path(path_type=Path), help="Search by this picture, or add it to WORDS.")
@click.option("--allow-url", is_flag=True, help="Fetch pictures that the query names by http or https.")
@click.option("--keyword-only", "by", flag_value="keyword", help="Find only what has the words.")
@click.option("--meaning-only", "by", flag_value="meaning", help="Find by meaning, whatever the words.")
@click.option("--why", is_flag=True, help="Say of each hit what brought it.")
@click.option(
    "--like", multiple=True, metavar="PICTURE", help="More like this: #ID or a file; may be given again."
)
@click.option(
    "--unlike", multiple=True, metavar="PICTURE", help="With --like: less like this; may be given again."
)
@click.option("--all", "every", is_flag=True, help="Show the nearest even where nothing matches well.")
@search_options
def search_command(
    words: tuple[str, ...],
    image: Path | None,
    every: bool,
    by: Any,
    why: bool,
    library: Path,
    shape: str | None,
    **options: Any,
) -> None:
    """Find what fits WORDS, or a picture, best first.

    \b
    2:golden retriever + ./pool.jpg - fruit   add up, weigh, take away
    beach -people "red bicycle"               a sign before one word; a phrase
    #1234 + at night                          found before (its id: --json)
    @rex + beach                              taught before, by `clew teach`
    beach not:people                          drop what surely shows people
    sunset kind:image under:Trips             filters, as the options below

    "-" shifts the meaning away from a thing; "not:" drops the hits that fit it well. Several kinds of media
    come in one list, and what has the very words in its text or its name is lifted. The match says how many
    of several hundred background queries find nothing so good in this library. Exit code 1 when nothing
    matches well.
    """
    from retrieval.library import Library
    from retrieval.query.parser import parse
    from retrieval.search.vector_search import has_good_match

    query = parse(" ".join(words))
    with Library.open(library) as opened:
        hits = opened.search(query, image=image, by=by or "both", why=why, **options)
        if hits and query.is_text_only and not image and not every and not has_good_match(hits):
            said = f"Nothing here matches well: {best_match_text(hits)}. --all shows the nearest anyway."
            show_hits([], shape, opened, empty_message=said)
        show_hits(hits, shape, opened, options["group"])
