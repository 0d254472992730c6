"""clew eval: measure a model or a library."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.cli.models import model_options
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.models.options import ModelOptions
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.options import collect_options, library_option, milvus_token
from retrieval.formatting import printable
from retrieval.system import expand_user

if TYPE_CHECKING:
    from indexer.evaluation.report import EvaluationResult


def parse_minimums(
    ctx: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Return pairs of a measure and its minimum; raises BadParameter."""
    minimums = []
    for text in values:
        name, _, minimum = text.partition("=")
        try:
            minimums.append((name, float(minimum)))
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is not a minimum. Use MEASURE=VALUE, such as recall@10=90.", ctx, option
            ) from None
    return minimums


@click.command("eval", cls=ClewCommand)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure how well images and texts are assigned to the names of their folders in DIR.",
)
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    show_default="0.3",
    help="With --labels: weight images by this share against their captions.",
)
@click.option(
    "--model",
    metavar="NAME",
    show_default="builtin; for queries that of the library",
    help="Measure this model.",
)
@click.option("--against", metavar="MODEL", help="Compare with this model; for queries, one of the library.")
@model_options
@click.option(
    "--at-least",
    callback=parse_minimums,
    multiple=True,
    metavar="MEASURE=VALUE",
    help="Exit with 1 if a measure is lower, such as recall@10=90. Repeatable.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Plot recall@k over k, as .png or .svg.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
@collect_options(ModelOptions)
def eval_command(
    file: Path | None,
    labels: Path | None,
    model: str | None,
    against: str | None,
    at_least: list[tuple[str, float]],
    plot_file: Path | None,
    as_json: bool,
    weight: float | None,
    library: Path,
    options: ModelOptions,
) -> None:
    """Measure a model on captions or labels, or a library.

    FILE is JSON lines with paths relative to it. Captions of images:

    \b
      {"image": "photo.jpg", "captions": ["...", ...]}

    or golden queries, which the library answers:

    \b
      {"query": "a dog", "relevant": ["dog.jpg"], "not_relevant": ["cat.jpg"]}

    "not_relevant", "kind" and "k" (the number of hits) are optional. recall@k is the share of queries with a
    relevant hit among the first k, true_recall@k the share of relevant items among the first k. --against
    adds differences with 95% intervals, by bootstrap over the queries.
    """
    if (file is None) == (labels is None):
        raise click.UsageError("Give a file of captions or queries, or --labels DIR.")
    if labels is None and weight is not None:
        raise click.UsageError("--weight requires --labels.")
    from indexer.evaluation import plot, report

    if plot_file is not None:
        plot.check_plot_file(plot_file)
    with quiet_decoders(), ProgressBar() as bar:

        def measure(model: str | None, options: ModelOptions) -> "EvaluationResult":
            progress = partial(bar.advance, model or str(file or labels))
            if labels is not None:
                return _evaluate_labels(labels, model, weight, options, progress)
            assert file is not None, "FILE or --labels is given"
            return _evaluate_file(file, model, library, options, progress)

        new = measure(model, options)
        old = None if against is None else measure(against, replace(options, arch=None))
    too_low = _below_minimum(at_least, new)
    write(report.as_json(new, old) if as_json else report.as_table(new, old))
    for failure in new.failures:
        note(f"Skipped: {printable(str(failure.path))}: {failure.reason}")
    if plot_file is not None:
        _plot_curves(plot_file, new, old)
    if too_low:
        note("\n".join(too_low))
        raise SystemExit(1)


def _evaluate_labels(
    folder: Path,
    model: str | None,
    weight: float | None,
    options: ModelOptions,
    progress: Callable[[int, int], None],
) -> "EvaluationResult":
    """Measure a model on folders that are named by their label."""
    from indexer.evaluation.classification import evaluate_labels
    from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT

    share = DEFAULT_IMAGE_WEIGHT if weight is None else weight
    return evaluate_labels(
        folder, model=model or "builtin", weight=share, options=options, progress=progress, notify=note
    )


def _evaluate_file(
    file: Path,
    model: str | None,
    library: Path,
    options: ModelOptions,
    progress: Callable[[int, int], None],
) -> "EvaluationResult":
    """Measure a model on captions, or a library on golden queries."""
    from indexer.evaluation.golden_queries import evaluate_golden, has_golden_queries

    if has_golden_queries(expand_user(file)):
        if options.arch or options.device:
            raise click.UsageError("--arch and --device do not apply to queries: the library has its model.")
        return evaluate_golden(
            file, library=library, space=model, milvus_token=milvus_token(), progress=progress
        )
    from indexer.evaluation.captions import evaluate

    return evaluate(file, model=model or "builtin", options=options, progress=progress, notify=note)


def _plot_curves(file: Path, new: "EvaluationResult", old: "EvaluationResult | None") -> None:
    from indexer.evaluation import plot, report

    results = [new] if old is None else [new, old]
    panels = {
        report.part_title(part): {result.space: result.measured[part].curve for result in results}
        for part in new.measured
    }
    measure = "accuracy" if "labels" in panels else "recall"
    plot.plot(file, new.headline(), panels, measure)


def _below_minimum(minimums: list[tuple[str, float]], result: "EvaluationResult") -> list[str]:
    """Return a line for each measure below its minimum; a name without a direction means every direction."""
    measures = {
        f"{part}.{name}": value
        for part, measured in result.measured.items()
        for name, value in measured.summary().items()
    }
    lines = []
    for name, minimum in minimums:
        named = {full: value for full, value in measures.items() if name in (full, full.partition(".")[2])}
        if not named:
            known = ", ".join(dict.fromkeys(full.partition(".")[2] for full in measures))
            raise click.UsageError(f"Unknown measure {name!r}. Use one of: {known}.")
        shown = {full if len(result.measured) > 1 else name: value for full, value in named.items()}
        lines += [
            f"{full} is {value:g}, less than {minimum:g}." for full, value in shown.items() if value < minimum
        ]
    return lines
