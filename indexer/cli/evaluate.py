"""The door to measuring: `clew eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.models import model_options
from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import printable

if TYPE_CHECKING:
    from indexer.evaluation.report import EvaluationResult


def parse_minimums(
    ctx: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Return measures and the least they may be; what is not as recall@10=90 is misuse."""
    found = []
    for text in values:
        name, _, least = text.partition("=")
        try:
            found.append((name, float(least)))
        except ValueError:
            raise click.BadParameter(f"{text!r} is not as recall@10=90.", ctx, option) from None
    return found


@click.command("eval")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure how well pictures and texts get the name of their folder in DIR.",
)
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    help="With --labels: what a picture counts beside its captions.  [default: 0.3]",
)
@click.option("--model", help="The model to measure.  [default: builtin; for queries the library's]")
@click.option("--against", metavar="MODEL", help="Compare with this model; for queries, of the library.")
@model_options
@click.option(
    "--at-least",
    callback=parse_minimums,
    multiple=True,
    metavar="MEASURE=VALUE",
    help="Exit with 1 unless it is reached, as recall@10=90; may be given again.",
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw recall@k over k, as .png or .svg.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
def eval_command(
    file: Path | None,
    labels: Path | None,
    model: str | None,
    against: str | None,
    at_least: list[tuple[str, float]],
    picture: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a model on captions or labels you have, or your library on queries.

    FILE is JSON lines, paths relative to it. Captions of pictures:

    \b
      {"image": "photo.jpg", "captions": ["...", ...]}

    or golden queries, which the library at --library answers:

    \b
      {"query": "a dog", "relevant": ["dog.jpg"], "not_relevant": ["cat.jpg"]}

    Of these, "not_relevant", "kind" and "k", how many hits are looked at, may be left out. recall@k is
    the share of queries that find one of what is relevant among k hits, true_recall@k the share of it
    that they find. --against shows what differs for sure: its 95 % interval is over redrawn queries.
    """
    if (file is None) == (labels is None):
        raise click.UsageError("Give a file of captions or queries, or --labels DIR.")
    if labels is None and options["weight"] is not None:
        raise click.UsageError("--weight is for --labels.")
    from indexer.evaluation import plot, report

    if picture is not None:
        plot.check_plot_file(picture)
    with quiet_decoders(), ProgressBar() as bar:
        new = _evaluate(file, labels, model, bar, **options)
        old = None if against is None else _evaluate(file, labels, against, bar, **options | {"arch": None})
    low = _below_minimum(at_least, new)
    write(report.as_json(new, old) if as_json else report.as_table(new, old))
    for failure in new.failures:
        note(f"left out: {printable(str(failure.path))}: {failure.reason}")
    if picture is not None:
        _plot_curves(picture, new, old)
    if low:
        note("\n".join(low))
        raise SystemExit(1)


def _evaluate(
    file: Path | None,
    labels: Path | None,
    model: str | None,
    bar: ProgressBar,
    *,
    library: Path,
    weight: float | None,
    **options: Any,
) -> "EvaluationResult":
    """Measure one model on what was given."""

    def progress(done: int, total: int) -> None:
        bar.advance(model or str(file or labels), done, total)

    if labels is not None:
        from indexer.evaluation.classification import evaluate_labels
        from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT

        share = DEFAULT_IMAGE_WEIGHT if weight is None else weight
        model = model or "builtin"
        return evaluate_labels(labels, model=model, weight=share, progress=progress, notify=note, **options)
    assert file is not None, "it or labels was given"
    from indexer.evaluation.golden_queries import evaluate_golden, has_golden_queries

    if has_golden_queries(file.expanduser()):
        if options["arch"] or options["device"]:
            raise click.UsageError("--arch and --device are not for queries: the library has its model.")
        return evaluate_golden(file, library=library, space=model, progress=progress)
    from indexer.evaluation.captions import evaluate

    return evaluate(file, model=model or "builtin", progress=progress, notify=note, **options)


def _plot_curves(file: Path, new: "EvaluationResult", old: "EvaluationResult | None") -> None:
    from indexer.evaluation import plot, report

    every = [new] if old is None else [new, old]
    panels = {
        report.part_title(part): {one.space: one.measured[part].curve for one in every}
        for part in new.measured
    }
    measure = "accuracy" if "labels" in panels else "recall"
    plot.plot(file, new.headline(), panels, measure)


def _below_minimum(minimums: list[tuple[str, float]], result: "EvaluationResult") -> list[str]:
    """Say which measures are too low, a line each; a bare name asks for it in every direction."""
    known = {
        f"{part}.{name}": value
        for part, measured in result.measured.items()
        for name, value in measured.summary().items()
    }
    low = []
    for name, least in minimums:
        asked = {full: value for full, value in known.items() if name in (full, full.partition(".")[2])}
        if not asked:
            there = ", ".join(dict.fromkeys(full.partition(".")[2] for full in known))
            raise click.UsageError(f"There is no measure {name}; the measures are {there}.")
        shown = {full if len(result.measured) > 1 else name: value for full, value in asked.items()}
        low += [
            f"{full} is {value:g}, less than {least:g}." for full, value in shown.items() if value < least
        ]
    return low
