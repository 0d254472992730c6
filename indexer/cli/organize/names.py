"""clew teach and clew save: concepts and saved searches, which queries name @NAME."""

from collections.abc import Sequence
from pathlib import Path

import click

from indexer.cli.progress import quiet_decoders
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import library_option
from retrieval.formatting import format_share, pluralize, printable, to_json
from retrieval.types import ConceptInfo


@click.command("teach", cls=ClewCommand)
@click.argument("name", required=False)
@click.argument("examples", nargs=-1)
@click.option("--not", "against", multiple=True, metavar="EXAMPLE", help="Add a counterexample. Repeatable.")
@click.option("--replace", is_flag=True, help="Discard the earlier examples.")
@click.option("--anyway", is_flag=True, help="Keep examples that the model cannot distinguish.")
@click.option("--forget", metavar="NAME", help="Delete a concept and its examples.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
@interruptible()
def teach_command(
    name: str | None,
    examples: tuple[str, ...],
    against: tuple[str, ...],
    replace: bool,
    anyway: bool,
    forget: str | None,
    as_json: bool,
    library: Path,
) -> None:
    """Teach the concept @NAME from EXAMPLES, or list the concepts.

    \b
    clew teach rex photos/of/rex --not photos/of/other/dogs
    clew "@rex + beach"

    EXAMPLES are image files, folders of them, or ids of images in the library ("#12"). A small
    copy of each is saved in the library. Five examples are enough; ten to twenty are better. Repeating a
    name adds examples.
    """
    if forget is not None:
        from indexer.tag.concepts import forget_concept

        if name is not None:
            raise click.UsageError("--forget takes one NAME and no other arguments.")
        forget_concept(forget, library=library)
        name = forget.removeprefix("@")
        write(to_json({"forgotten": name}) + "\n" if as_json else f"@{name} forgotten.\n")
    elif name is not None:
        from indexer.tag.concepts import teach

        with quiet_decoders():
            concept = teach(
                name, examples, against=against, library=library, replace=replace, anyway=anyway, notify=note
            )
        write(to_json(concept) + "\n" if as_json else describe_concepts([concept]))
    elif against or replace or anyway:
        raise click.UsageError("Give a name and examples, as in: clew teach rex photos/of/rex")
    else:
        from retrieval.library import Library

        with Library.open(library) as opened:
            concepts = opened.concepts()
        write(to_json(concepts) + "\n" if as_json else describe_concepts(concepts))
        if not concepts:
            note("No concepts yet. Teach one, as in: clew teach rex photos/of/rex")


def describe_concepts(concepts: Sequence[ConceptInfo]) -> str:
    """Return a line for each concept: name, number of examples, and held-out quality."""
    width = max((len(concept.name) for concept in concepts), default=0) + 1
    return "".join(f"{'@' + concept.name:{width}}  {_describe_examples(concept)}\n" for concept in concepts)


def _describe_examples(concept: ConceptInfo) -> str:
    examples = pluralize(concept.positives, "example")
    if concept.negatives:
        examples += f", {pluralize(concept.negatives, 'counterexample')}"
    if not concept.fitted:
        return f"{examples}; not fitted to this model yet (`clew teach {concept.name}`)"
    if concept.auroc is None:
        return f"{examples}; too few to measure the quality"
    return f"{examples}; held-out examples rank above other images in {format_share(concept.auroc)} of pairs"


@click.command("save", cls=ClewCommand)
@click.argument("name", required=False)
@click.argument("words", nargs=-1, metavar="[QUERY]")
@click.option("--replace", is_flag=True, help="Overwrite the query that has this name.")
@click.option("--rename", metavar="NEW", help="Give the saved search NAME another name.")
@click.option("--delete", is_flag=True, help="Delete the saved search NAME.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
@interruptible()
def save_command(
    name: str | None,
    words: tuple[str, ...],
    replace: bool,
    rename: str | None,
    delete: bool,
    as_json: bool,
    library: Path,
) -> None:
    """Save QUERY as @NAME, or list the saved searches.

    \b
    clew save beach "beach sunset date:2019.."
    clew "@beach + dog"
    clew save beach --rename coast
    clew save coast --delete

    A saved search can be used wherever a concept can. Its filters apply too.
    """
    if name is None:
        if words or replace or rename or delete:
            raise click.UsageError('Give a name and a query, as in: clew save beach "beach date:2021"')
        _list_searches(library, as_json)
        return
    if bool(words) + bool(rename) + delete != 1:
        raise click.UsageError("Give one of QUERY, --rename NEW and --delete.")
    from indexer.tag.saved_searches import delete_search, rename_search, save_search
    from retrieval.query.arguments import join_arguments

    shown = f"@{name.removeprefix('@')}"
    if rename:
        rename_search(name, rename, library=library)
        note(f"{shown} is now @{rename.removeprefix('@')}.")
        changed = {"name": rename.removeprefix("@"), "renamed": shown[1:]}
    elif delete:
        delete_search(name, library=library)
        note(f"{shown} deleted.")
        changed = {"deleted": shown[1:]}
    else:
        query = save_search(name, join_arguments(words), library=library, replace=replace)
        note(f"Saved {printable(query)} as {shown}.")
        changed = {"name": shown[1:], "query": query}
    if as_json:
        write(to_json(changed) + "\n")


def _list_searches(library: Path, as_json: bool) -> None:
    from retrieval.library import Library

    with Library.open(library) as opened:
        saved = opened.saved_searches()
    if as_json:
        write(to_json([{"name": name, "query": query} for name, query in saved.items()]) + "\n")
        return
    width = max((len(name) for name in saved), default=0) + 1
    write("".join(f"{'@' + name:{width}}  {printable(query)}\n" for name, query in saved.items()))
    if not saved:
        note('No saved searches yet. Save one, as in: clew save beach "beach sunset date:2019.."')
