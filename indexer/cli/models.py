"""Doors to models: `clew prepare`, `clew switch`."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from indexer.cli.progress import Bar, quiet_decoders
from retrieval.cli.console import note, shorten, write
from retrieval.cli.hit_formats import as_dict
from retrieval.cli.options import library_option
from retrieval.formatting import dump, one_line, place, size, some

if TYPE_CHECKING:
    from indexer.operations.switch_model import Comparison, Switched
    from retrieval.embedders.open_clip import OpenClip

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
def prepare_command(model: str, as_json: bool, **how: Any) -> None:
    """Fetch MODEL and make it ready: `clew index` does this by itself when it needs to.

    MODEL is ARCH/WEIGHTS as `clew models` lists them, hf-hub:ORG/REPO, a file of weights with --arch, or a
    folder with open_clip_config.json. Its text tower is exported, so that a search need not load torch, and
    checked; the fastest precision that is right on this machine is found by trying.
    """
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.open_clip import OpenClip

    embedder = prepare_model(model, say=note, **how)
    if isinstance(embedder, OpenClip):
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
def switch_command(model: str, compare: tuple[str, ...], as_json: bool, library: Path, **how: Any) -> None:
    """Change the library's model to MODEL.

    Everything is embedded anew beside the old vectors, which answer until the last is done; then the new
    ones do, at once. Searching goes on meanwhile; indexing waits until it is done or stopped. Ctrl-C is
    safe: the same command goes on. The old vectors stay until `clew forget --space`, and switching back to
    them is quick.
    """
    from indexer.operations.switch_model import switch_library

    queries = [line for words in compare for line in (_lines() if words == "-" else [words])]
    if compare and not queries:
        raise click.UsageError("There is no query to compare: --compare - read no lines.")
    with quiet_decoders(), Bar() as bar:
        done = switch_library(model, library=library, compare=queries, progress=bar.advance, say=note, **how)
    if done.interrupted:
        note(f"Stopped; {done.old} goes on answering, and the same command goes on from there.")
        raise SystemExit(130)
    write(switched_json(done) if as_json else describe_switched(done))


def describe_prepared(embedder: "OpenClip") -> str:
    """Return what a model is and how it will run here."""
    prepared, choice = embedder.prepared, embedder.choice
    recipe = prepared.recipe
    height, width = recipe.preprocessing.size
    text = sum(path.stat().st_size for path in prepared.folder.glob("text.onnx*"))
    lines = [
        recipe.name,
        f"  {recipe.dim} dimensions, {height} x {width} pixels, {recipe.frame.room} tokens, "
        f"{recipe.fingerprint[:12]}",
        f"  images  {choice}; cosine to float32 at least {choice.cosine:.4f}",
        f"  words   {f'{size(text)}, without torch' if text else 'with torch: its tower cannot be exported'}",
        f"  kept in {prepared.folder}",
    ]
    return "\n".join(lines) + "\n"


def prepared_json(embedder: "OpenClip") -> str:
    """Return the same as one JSON object."""
    recipe = embedder.prepared.recipe
    keys = ("name", "fingerprint", "parts", "dim", "logit_scale", "logit_bias")
    known = {key: getattr(recipe, key) for key in keys}
    return dump({**known, "choice": asdict(embedder.choice), "folder": embedder.prepared.folder}) + "\n"


def describe_switched(done: "Switched") -> str:
    """Return what a switch did, and both answers to each query."""
    lines = [comparison_table(each, done.old, done.new) for each in done.comparisons]
    lines.append(f"{some(done.embedded, 'segment')} embedded with {done.new} in {done.seconds:.1f} s.")
    if done.waiting:
        lines.append(
            f"{some(done.waiting, 'segment')} could not be read (a drive that is away?); "
            "`clew index` makes up for it."
        )
    if done.answers and done.old == done.new:
        lines.append(f"{done.new} answers, as before.")
    elif done.answers:
        lines.append(
            f"{done.new} answers now; `clew forget --space {quote(done.old)}` deletes the old vectors."
        )
    else:
        lines.append(f"{done.old} goes on answering; `clew switch {quote(done.new)}` lets the other answer.")
    return "\n".join(lines) + "\n"


def comparison_table(found: "Comparison", old: str, new: str) -> str:
    """Return two answers side by side, as wide as a terminal of 80 columns."""
    wide = 36

    def cell(text: str, room: int = wide) -> str:
        return (text if len(text) <= room else "…" + text[1 - room :]).ljust(room)

    def shown(hits: Any, rank: int) -> str:
        if rank >= len(hits):
            return " " * wide
        return f"{hits[rank].score:6.3f} {cell(shorten(place(hits[rank])), wide - 7)}"

    rows = [
        f"{rank + 1:2}  {shown(found.old, rank)}  {shown(found.new, rank)}".rstrip()
        for rank in range(max(len(found.old), len(found.new)))
    ]
    common = len({hit.id for hit in found.old} & {hit.id for hit in found.new})
    head = f"{one_line(found.query)}: {common} of {len(rows)} in both (overlap@10 {found.overlap:.2f})"
    return "\n".join([head, f"    {cell(old)}  {cell(new)}".rstrip(), *rows]) + "\n"


def switched_json(done: "Switched") -> str:
    """Return the same as one JSON object."""
    keys = ("old", "new", "embedded", "waiting", "answers", "seconds")
    answers = [
        {
            "query": each.query,
            "overlap@10": each.overlap,
            "old": [as_dict(hit) for hit in each.old],
            "new": [as_dict(hit) for hit in each.new],
        }
        for each in done.comparisons
    ]
    return dump({**{key: getattr(done, key) for key in keys}, "compare": answers}) + "\n"


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]
