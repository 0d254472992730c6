"""clew prepare and clew switch: prepare a model, and change the model of a library."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.models.options import ModelOptions
from retrieval.cli.command import ClewCommand, option_group
from retrieval.cli.console import note, write
from retrieval.cli.hits.formats import as_dict, relative_location
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import collect_options, combine, library_option, milvus_token
from retrieval.formatting import format_bytes, one_line, pluralize, to_json
from retrieval.types import Hit

if TYPE_CHECKING:
    from indexer.operations.switch_model import Comparison, Switched
    from retrieval.embedders.open_clip import OpenClipEmbedder

_model = option_group("Model")
model_options = combine(
    _model("--arch", metavar="NAME", help="Use this architecture for local weights, such as ViT-B-32."),
    _model(
        "--device",
        metavar="NAME",
        show_default="the fastest",
        help="Embed on this device: cpu, cuda, cuda:1 or mps.",
    ),
)


@click.command("prepare", cls=ClewCommand)
@click.argument("model")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@collect_options(ModelOptions)
@interruptible()
def prepare_command(model: str, as_json: bool, options: ModelOptions) -> None:
    """Download MODEL and prepare it for use.

    MODEL is ARCH/WEIGHTS as listed by `clew models`, hf-hub:ORG/REPO, a weights file with --arch, or a folder
    with open_clip_config.json. Its towers are exported, so that neither searches nor `clew index` on a CPU
    load torch, and checked; the fastest accurate precision on this machine is measured. `clew index` prepares
    models by itself.
    """
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.open_clip import OpenClipEmbedder

    embedder = prepare_model(model, arch=options.arch, device=options.device, notify=note)
    if isinstance(embedder, OpenClipEmbedder):
        write(prepared_json(embedder) if as_json else describe_prepared(embedder))
    else:
        write(f"{embedder.name} is part of clew and needs no preparation.\n" if not as_json else "{}\n")


@click.command("switch", cls=ClewCommand)
@click.argument("model")
@model_options
@click.option(
    "--compare",
    multiple=True,
    metavar="WORDS",
    help="Show the hits of both models for WORDS and keep the current model. Repeatable; - reads lines from "
    "stdin.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
@collect_options(ModelOptions)
@interruptible()
def switch_command(
    model: str, compare: tuple[str, ...], as_json: bool, library: Path, options: ModelOptions
) -> None:
    """Change the model of the library to MODEL.

    MODEL is as in `clew prepare`, or auto for the recommended one. All files are embedded again. Searches use
    the old model until the last vector is written, then the new one. Indexing waits until the switch ends.
    Ctrl-C is safe: the same command resumes. The old vectors are kept until `clew forget --space`, so that
    switching back is fast.
    """
    from indexer.operations.switch_model import switch_library

    queries = [line for words in compare for line in (_stdin_lines() if words == "-" else [words])]
    if compare and not queries:
        raise click.UsageError("No queries to compare: stdin has no lines.")
    with quiet_decoders(), ProgressBar() as bar:
        result = switch_library(
            model,
            library=library,
            compare=queries,
            milvus_token=milvus_token(),
            progress=bar.advance,
            notify=note,
            options=options,
        )
    if result.interrupted:
        state = f"still use {result.old}; the same command resumes the switch"
        if result.answers:
            state = f"use {result.new} now; `clew index` does the rest"
        raise KeyboardInterrupt(f"Stopped. Searches {state}.")
    write(switched_json(result) if as_json else describe_switched(result))


def describe_prepared(embedder: "OpenClipEmbedder") -> str:
    """Return the properties of a model and how it runs on this machine."""
    prepared, choice = embedder.prepared, embedder.choice
    recipe = prepared.manifest
    height, width = recipe.preprocessing.size
    text = sum(path.stat().st_size for path in prepared.folder.glob("text.onnx*"))
    lines = [
        recipe.name,
        f"  {recipe.dim} dimensions, {height} x {width} pixels, {recipe.frame.max_tokens} tokens, "
        f"{recipe.fingerprint[:12]}",
        f"  images  {choice}; cosine to float32 at least {choice.cosine:.4f}",
        f"  words   "
        f"{f'{format_bytes(text)}, without torch' if text else 'with torch: the tower cannot be exported'}",
        f"  stored in {prepared.folder}",
    ]
    return "\n".join(lines) + "\n"


def prepared_json(embedder: "OpenClipEmbedder") -> str:
    """Return the properties of a prepared model as one JSON object."""
    recipe = embedder.prepared.manifest
    keys = ("name", "fingerprint", "parts", "dim", "logit_scale", "logit_bias")
    properties = {key: getattr(recipe, key) for key in keys}
    return (
        to_json({**properties, "choice": asdict(embedder.choice), "folder": embedder.prepared.folder}) + "\n"
    )


def describe_switched(result: "Switched") -> str:
    """Return the result of a switch, and the hits of both models for each query."""
    lines = [comparison_table(comparison, result.old, result.new) for comparison in result.comparisons]
    lines.append(
        f"{pluralize(result.embedded, 'segment')} embedded with {result.new} in {result.seconds:.1f} s."
    )
    if result.waiting:
        lines.append(
            f"{pluralize(result.waiting, 'segment')} could not be read, perhaps because a drive is not "
            "available. `clew index` embeds them later."
        )
    if result.answers and result.old == result.new:
        lines.append(f"Searches use {result.new}, as before.")
    elif result.answers:
        lines.append(
            f"Searches use {result.new} now. "
            f"`clew forget --space {quote(result.old)}` deletes the old vectors."
        )
    else:
        lines.append(
            f"Searches still use {result.old}. `clew switch {quote(result.new)}` completes the switch."
        )
    return "\n".join(lines) + "\n"


def comparison_table(comparison: "Comparison", old: str, new: str) -> str:
    """Return the hits of two models side by side, in 80 columns."""
    width = 36

    def cell(text: str, width: int = width) -> str:
        return (text if len(text) <= width else "…" + text[1 - width :]).ljust(width)

    def shown(hits: Sequence[Hit], rank: int) -> str:
        if rank >= len(hits):
            return " " * width
        return f"{hits[rank].score:6.3f} {cell(relative_location(hits[rank]), width - 7)}"

    rows = [
        f"{rank + 1:2}  {shown(comparison.old, rank)}  {shown(comparison.new, rank)}".rstrip()
        for rank in range(max(len(comparison.old), len(comparison.new)))
    ]
    overlap = f"{comparison.common} of {len(rows)} in both (overlap@10 {comparison.overlap:.2f})"
    title = f"{one_line(comparison.query)}: {overlap}"
    return "\n".join([title, f"    {cell(old)}  {cell(new)}".rstrip(), *rows]) + "\n"


def switched_json(result: "Switched") -> str:
    """Return the result of a switch as one JSON object."""
    keys = ("old", "new", "embedded", "waiting", "answers", "seconds")
    answers = [
        {
            "query": comparison.query,
            "overlap@10": comparison.overlap,
            "old": [as_dict(hit) for hit in comparison.old],
            "new": [as_dict(hit) for hit in comparison.new],
        }
        for comparison in result.comparisons
    ]
    return to_json({**{key: getattr(result, key) for key in keys}, "compare": answers}) + "\n"


def _stdin_lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
