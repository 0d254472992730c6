"""clew search: find media by words, images, examples and concepts."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retrieval.cli.command import QueryCommand, option_group
from retrieval.cli.console import note
from retrieval.cli.hits.output import NO_HITS, HitSource, ShowOptions, describe_best_match, show_hits
from retrieval.cli.options import (
    collect_options,
    complete_words,
    filter_options,
    libraries_option,
    milvus_token,
    output_options,
    result_options,
)
from retrieval.query.ast import Query
from retrieval.query.options import SearchOptions
from retrieval.system import is_server_address
from retrieval.types import Hits

if TYPE_CHECKING:
    from retrieval.federation.libraries import Libraries
    from retrieval.library import Library

search_option = option_group("Search")
result_option = option_group("Result")


@click.command("search", cls=QueryCommand)
@click.argument("words", nargs=-1, shell_complete=complete_words)
@search_option(
    "--image",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Search by this image, or add it to WORDS.",
)
@search_option(
    "--like", multiple=True, metavar="FILE|#ID", help="Find images similar to this example. Repeatable."
)
@search_option(
    "--unlike", multiple=True, metavar="FILE|#ID", help="With --like: an example to avoid. Repeatable."
)
@search_option("--keyword-only", "by", flag_value="keyword", help="Return only hits that contain the words.")
@search_option(
    "--meaning-only", "by", flag_value="meaning", help="Rank by meaning only; ignore matching words."
)
@search_option("--allow-url", is_flag=True, help="Download images that the query names by http(s).")
@filter_options
@result_options
@result_option("--all", "show_all", is_flag=True, help="Show the nearest hits even if none matches well.")
@result_option("--why", is_flag=True, help="Explain the score of each hit.")
@output_options
@libraries_option
@collect_options(SearchOptions)
@collect_options(ShowOptions, "show")
def search_command(
    words: tuple[str, ...],
    image: Path | None,
    like: tuple[str, ...],
    unlike: tuple[str, ...],
    kind: tuple[str, ...],
    count: int,
    libraries: tuple[str, ...],
    options: SearchOptions,
    show: ShowOptions,
) -> None:
    """Find media that match WORDS, an image or both, best first.

    \b
    2:golden retriever + ./pool.jpg - fruit   add, weight and subtract terms
    beach -people "red bicycle"               subtract one word; a phrase
    #1234 + at night                          an earlier hit, by its id
    @rex + beach                              a concept or a saved search
    dog date:2021 | cat                       either; filters belong to their side
    beach not:people                          exclude hits that show people
    sunset kind:image under:"My Trips"        filters, as the options below
    kind:video date:2021                      filters alone: the newest files

    Of several arguments, each is one word or phrase, as if it was quoted; one argument is a complete query.
    "-" moves the query away from a term; "not:" removes hits that match it well. All kinds of media are
    ranked in one list: first the hits with all the words in their text or file name, then the others by
    "match", the share of several hundred background queries that find nothing as good in this library. The
    exit code is 1 if nothing matches well.
    """
    from retrieval.cli.serving.socket_client import ask_server
    from retrieval.query.arguments import join_arguments
    from retrieval.query.parser import parse

    query, has_images = parse(join_arguments(words)), bool(image or like or unlike)
    are_several = len(libraries) > 1 or is_server_address(libraries[0])
    if not (are_several or has_images or options.allow_url or show.preview):
        answer = ask_server(Path(libraries[0]), query, kind, count, options)
        if answer is not None:
            show_answer(answer.hits, answer, answer.query, answer.unknown, options, show)
            return
    with open_libraries(libraries) as opened:
        query = opened.parse(query)
        hits = opened.search(
            query, image=image, like=like, unlike=unlike, kind=kind, count=count, options=options
        )
        unknown = opened.unknown_filter_values(query, options, bool(hits))
        if has_images:  # the nearest images are shown even if they match weakly
            show = replace(show, show_all=True)
        show_answer(hits, opened, query, unknown, options, show)


def open_libraries(places: tuple[str, ...]) -> "Library | Libraries":
    """Open the library in a folder, or several libraries and those of servers as one."""
    if len(places) == 1 and not is_server_address(places[0]):
        from retrieval.library import Library  # late: a server has it loaded

        return Library.open(places[0], token=milvus_token())
    from retrieval.federation.libraries import Libraries

    token = os.environ.get("CLEW_TOKEN") or None
    return Libraries.open(places, token, milvus_token=milvus_token())


def show_answer(
    hits: Hits,
    source: HitSource,
    query: Query,
    unknown: Sequence[str],
    options: SearchOptions,
    show: ShowOptions,
) -> None:
    """Show the hits of a query, or that nothing matches well; exit with 1 if nothing is shown."""
    if hits and query.is_text_only and not show.show_all and not hits.have_good_match:
        message = f"Nothing matches well: {describe_best_match(hits)}. To show the nearest hits: --all"
        show_hits(Hits([], hits.note), source, show, empty_message=message)
    message = "\n".join(unknown) or NO_HITS
    show_hits(hits, source, show, group=options.group, words=query.words, empty_message=message)
    if hits and unknown:
        note(message)
