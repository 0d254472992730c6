"""The door to concepts: `clew teach`."""

from collections.abc import Sequence
from pathlib import Path

import click

from indexer.cli.progress import quiet_decoders
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import pluralize, to_json
from retrieval.types import ConceptInfo


@click.command("teach")
@click.argument("name", required=False)
@click.argument("examples", nargs=-1)
@click.option(
    "--not", "against", multiple=True, metavar="PICTURE", help="What it is not; may be given again."
)
@click.option("--replace", is_flag=True, help="Begin anew, without the examples given before.")
@click.option("--anyway", is_flag=True, help="Keep examples that cannot be told apart.")
@click.option("--forget", metavar="NAME", help="Delete a concept and its examples.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
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
    """Teach the concept @NAME from EXAMPLES, or list the concepts there are.

    \b
    clew teach rex photos/of/rex --not photos/of/other/dogs
    clew "@rex + beach"

    Examples are pictures, folders of them, and pictures of the library by their ids ("#12", from --json);
    they need not be in the library, which keeps a small copy of each. Five do; ten or twenty are better.
    Teaching a name again adds examples.
    """
    if forget is not None:
        from indexer.tag.concepts import forget_concept

        if name is not None:
            raise click.UsageError("--forget takes the one name; give nothing beside it.")
        forget_concept(forget, library=library)
        write(f"@{forget.removeprefix('@')} forgotten.\n")
    elif name is not None:
        from indexer.tag.concepts import teach

        with quiet_decoders():
            done = teach(
                name, examples, against=against, library=library, replace=replace, anyway=anyway, notify=note
            )
        write(to_json(done) + "\n" if as_json else describe_concepts([done]))
    elif against or replace or anyway:
        raise click.UsageError("Give a name and examples, as in: clew teach rex photos/of/rex")
    else:
        from retrieval.library import Library

        with Library.open(library) as opened:
            every = opened.concepts()
        write(to_json(every) + "\n" if as_json else describe_concepts(every))
        if not every:
            note("No concept yet. Teach one, as in: clew teach rex photos/of/rex")


def describe_concepts(concepts: Sequence[ConceptInfo]) -> str:
    """Return a line for each concept: its examples, and how well they are told apart."""
    wide = max((len(each.name) for each in concepts), default=0) + 1
    return "".join(f"{'@' + each.name:{wide}}  {_describe_examples(each)}\n" for each in concepts)


def _describe_examples(concept: ConceptInfo) -> str:
    counted = pluralize(concept.positives, "example") + f" and {concept.negatives:,} against it" * bool(
        concept.negatives
    )
    if not concept.fitted:
        return f"{counted}; not learned with this model yet (`clew teach {concept.name}`)"
    if concept.auroc is None:
        return f"{counted}; too few to say how well they are told apart"
    return f"{counted}; held out, above other pictures in {concept.auroc:.0%} of pairs"
