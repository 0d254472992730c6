"""clew models: list available models."""

from typing import TYPE_CHECKING

import click

from retrieval import formatting
from retrieval.cli.console import note, write

if TYPE_CHECKING:
    from retrieval.embedders.base import ModelCard


@click.command("models")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models_command(names: tuple[str, ...], as_json: bool) -> None:
    """List the models there are, or those with all of NAMES in theirs.

    The built-in one, what is on this machine, and what open_clip offers. MB is the size of the weights in
    float32; the hub's may be half.
    """
    from retrieval.embedders.registry import model_cards

    found = [card for card in model_cards() if all(name.lower() in card.name.lower() for name in names)]
    write(formatting.to_json(found) + "\n" if as_json else describe_models(found))
    if not found:
        note(f"No model has {' and '.join(names)} in its name.")
        raise SystemExit(1)


def describe_models(cards: "list[ModelCard]") -> str:
    """Return models as a table, and what was measured of those that were."""
    rows = [("model", "dims", "pixels", "MB", "licence", "languages", "state")]
    for card in cards:
        size = "-" if card.megabytes is None else f"{card.megabytes:,.0f}"
        numbers = (str(card.dim), str(card.side), size)
        rows.append((card.name, *numbers, card.licence or "unknown", card.languages, card.state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'>' if 0 < n < 4 else '<'}{width}}" for n, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    for card in cards:
        if card.text_to_image and card.image_to_text:
            lines += [
                f"\n{card.name}, R@1/5/10 on Flickr8k's test photos, in per cent: text to image "
                f"{_format_recalls(card.text_to_image)},\nimage to text "
                f"{_format_recalls(card.image_to_text)}.",
                click.wrap_text(card.limits or "", 78),
            ]
    return "\n".join(lines) + "\n" if cards else ""


def _format_recalls(metrics: dict[str, float]) -> str:
    return " / ".join(f"{metrics[f'recall@{k}']:.1f}" for k in (1, 5, 10))
