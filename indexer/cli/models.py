"""Doors to models: `clew prepare`, `clew switch`."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.cli.console import note, relative_path, write
from retrieval.cli.hit_formats import as_dict
from retrieval.cli.options import library_option
from retrieval.formatting import format_bytes, format_location, one_line, pluralize, to_json

if TYPE_CHECKING:
    from indexer.operations.switch_model import Comparison, Switched
    from retrieval.embedders.open_clip import OpenClipEmbedder

Command = TypeVar("Command", bound=Callable[..., Any])


def model_options(command: Command) -> Command:
    """Add --arch and --device."""
    arch = click.option("--arch", help="The architecture of a local file of weights, as ViT-B-32.")
    device = click.option(
        "--device", help="Where torch embeds: cpu, cuda, cuda:1, mps. [default: the fastest]"
    )
    return arch(device(command))


@click.command("prepare")
@click.argument("model")
@model_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def prepare_command(model: str, as_json: bool, **options: Any) -> None:
    """Fetch MODEL and make it ready: `clew index` does this by itself when it needs to.

    MODEL is ARCH/WEIGHTS as `clew models` lists them, hf-hub:ORG/REPO, a file of weights with --arch, or a
    folder with open_clip_config.json. Its text tower is exported, so that a search need not load torch, and
    checked; the fastest precision that is right on this machine is found by trying.
    """
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.open_clip import OpenClipEmbedder

    embedder = prepare_model(model, notify=note, **options)
    if isinstance(embedder, OpenClipEmbedder):
        write(prepared_json(embedder) if as_json else describe_prepared(embedder))
    else:
        write(f"{embedder.name} is part of clew and needs no preparing.\n" if not as_json else "{}\n")


@click.command("switch")
@click.argument("model")
@model_options
@click.option(
    "--compare",
    multiple=True,
    metavar="WORDS",
    help="Show what both models answer to WORDS, and do not swap yet; may be given again, - reads lines.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
def switch_command(
    model: str, compare: tuple[str, ...], as_json: bool, library: Path, **options: Any
) -> None:
    """Change the library's model to MODEL.

    Everything is embedded anew beside the old vectors, which answer until the last is done; then the new
    ones do, at once. Searching goes on meanwhile; indexing waits until it is done or stopped. Ctrl-C is
    safe: the same command goes on. The old vectors stay until `clew forget --space`, and switching back to
    them is quick.
    """
    from indexer.operations.switch_model import switch_library

    queries = [line for words in compare for line in (_stdin_lines() if words == "-" else [words])]
    if compare and not queries:
        raise click.UsageError("There is no query to compare: --compare - read no lines.")
    with quiet_decoders(), ProgressBar() as bar:
        done = switch_library(
            model, library=library, compare=queries, progress=bar.advance, notify=note, **options
        )
    if done.interrupted:
        note(f"Stopped; {done.old} goes on answering, and the same command goes on from there.")
        raise SystemExit(130)
    write(switched_json(done) if as_json else describe_switched(done))


def describe_prepared(embedder: "OpenClipEmbedder") -> str:
    """Return what a model is and how it will run here."""
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
        f"{f'{format_bytes(text)}, without torch' if text else 'with torch: its tower cannot be exported'}",
        f"  kept in {prepared.folder}",
    ]
    return "\n".join(lines) + "\n"


def prepared_json(embedder: "OpenClipEmbedder") -> str:
    """Return the same as one JSON object."""
    recipe = embedder.prepared.manifest
    keys = ("name", "fingerprint", "parts", "dim", "logit_scale", "logit_bias")
    known = {key: getattr(recipe, key) for key in keys}
    return to_json({**known, "choice": asdict(embedder.choice), "folder": embedder.prepared.folder}) + "\n"


def describe_switched(result: "Switched") -> str:
    """Return what a switch did, and both answers to each query."""
    lines = [comparison_table(each, result.old, result.new) for each in result.comparisons]
    lines.append(
        f"{pluralize(result.embedded, 'segment')} embedded with {result.new} in {result.seconds:.1f} s."
    )
    if result.waiting:
        lines.append(
            f"{pluralize(result.waiting, 'segment')} could not be read (a drive that is away?); "
            "`clew index` makes up for it."
        )
    if result.answers and result.old == result.new:
        lines.append(f"{result.new} answers, as before.")
    elif result.answers:
        lines.append(
            f"{result.new} answers now; `clew forget --space {quote(result.old)}` deletes the old vectors."
        )
    else:
        lines.append(
            f"{result.old} goes on answering; `clew switch {quote(result.new)}` lets the other answer."
        )
    return "\n".join(lines) + "\n"


def comparison_table(comparison: "Comparison", old: str, new: str) -> str:
    """Return two answers side by side, as wide as a terminal of 80 columns."""
    wide = 36

    def cell(text: str, room: int = wide) -> str:
        return (text if len(text) <= room else "…" + text[1 - room :]).ljust(room)

    def shown(hits: Any, rank: int) -> str:
        if rank >= len(hits):
            return " " * wide
        return f"{hits[rank].score:6.3f} {cell(relative_path(format_location(hits[rank])), wide - 7)}"

    rows = [
        f"{rank + 1:2}  {shown(comparison.old, rank)}  {shown(comparison.new, rank)}".rstrip()
        for rank in range(max(len(comparison.old), len(comparison.new)))
    ]
    common = len({hit.id for hit in comparison.old} & {hit.id for hit in comparison.new})
    head = (
        f"{one_line(comparison.query)}: {common} of {len(rows)} in both (overlap@10 {comparison.overlap:.2f})"
    )
    return "\n".join([head, f"    {cell(old)}  {cell(new)}".rstrip(), *rows]) + "\n"


def switched_json(result: "Switched") -> str:
    """Return the same as one JSON object."""
    keys = ("old", "new", "embedded", "waiting", "answers", "seconds")
    answers = [
        {
            "query": each.query,
            "overlap@10": each.overlap,
            "old": [as_dict(hit) for hit in each.old],
            "new": [as_dict(hit) for hit in each.new],
        }
        for each in result.comparisons
    ]
    return to_json({**{key: getattr(result, key) for key in keys}, "compare": answers}) + "\n"


def _stdin_lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
