"""clew models: list available models."""

from typing import TYPE_CHECKING

import click

from retrieval import formatting
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write

if TYPE_CHECKING:
    from retrieval.embedders.base import ModelCard


@click.command("models", cls=ClewCommand)
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON array.")
def models_command(names: tuple[str, ...], as_json: bool) -> None:
    """List available models.

    With NAMES, only models whose names contain all of them are listed. The list has the built-in model,
    models on this machine, and the models of open_clip. MB is the size of the weights in float32; a download
    may be half of it. Recall is the published share of English captions, in percent, whose photo is found
    first in the test set of MS COCO. 15 lang. is the published recall in the 15 languages of the built-in
    model: the mean of recall@1, 5 and 10 on Crossmodal-3600. Lowest is that of the worst of these languages.
    Images/s is measured on this machine when a model is prepared. The exit code is 1 if no model matches.
    """
    from retrieval.embedders.registry import model_cards

    cards = [card for card in model_cards() if all(name.lower() in card.name.lower() for name in names)]
    write(formatting.to_json(cards) + "\n" if as_json else describe_models(cards))
    if not cards:
        note(f"No model name contains {' and '.join(names)}.")
        raise SystemExit(1)


def describe_models(cards: "list[ModelCard]") -> str:
    """Return a table of models, followed by their measured quality if it is known."""
    header = ("model", "dims", "pixels", "MB", "recall", "15 lang.", "lowest", "images/s")
    rows: list[tuple[str, ...]] = [(*header, "license", "languages", "state")]
    for card in cards:
        recalls = [
            "-" if number is None else f"{number:.1f}"
            for number in (card.recall, card.recall_15, card.recall_15_lowest)
        ]
        size, rate = (
            "-" if number is None else f"{number:,.0f}" for number in (card.megabytes, card.images_per_second)
        )
        numbers = (str(card.dim), str(card.side), size, *recalls, rate)
        rows.append((card.name, *numbers, card.licence or "unknown", card.languages, card.state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'>' if 0 < column < len(header) else '<'}{width}}"
            for column, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    for card in cards:
        if card.text_to_image and card.image_to_text:
            lines += [
                f"\n{card.name}, recall@1/5/10 on the Flickr8k test set, in percent: text to image\n"
                f"{_format_recalls(card.text_to_image)}, image to text "
                f"{_format_recalls(card.image_to_text)}.",
                click.wrap_text(card.limits or "", 78),
            ]
    addresses = [address for card in cards for address in (card.recall_source, card.recall_15_source)]
    sources = [address for address in dict.fromkeys(addresses) if address]
    lines += ["\nRecall is published in", *sources] if sources else []
    return "\n".join(lines) + "\n" if cards else ""


def _format_recalls(metrics: dict[str, float]) -> str:
    return " / ".join(f"{metrics[f'recall@{k}']:.1f}" for k in (1, 5, 10))
