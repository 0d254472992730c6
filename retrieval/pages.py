"""What a library is and which models there are, as pages of text."""

from typing import TYPE_CHECKING

import click

from retrieval import formats
from retrieval.records import Failure, Status

if TYPE_CHECKING:
    from retrieval.embedders import Card


def describe(status: Status) -> str:
    """Return the status as a page of text."""
    space = status.space
    held = formats.count_kinds(status.segments) or "nothing yet"
    lines = [f"Library  {status.folder} ({formats.size(status.size)})", f"Holds    {held}"]
    if status.kept:
        lines.append(
            f"         {formats.some(status.kept, 'segment')} kept of files that are gone "
            "(`clew forget --purge`)"
        )
    for root in status.roots:
        states = [f"{root.present:,} files"] * bool(root.present or not root.offline)
        states += [f"{root.offline:,} offline"] * bool(root.offline)
        states += [f"{root.failed:,} could not be read"] * bool(root.failed)
        away = "; not there now" if root.state == "offline" else ""
        lines.append(f"Folder   {formats.printable(str(root.path))}: {', '.join(states)}{away}")
        lines.append(f"         last scanned {root.scanned or 'never'}")
    if space is not None:
        lines.append(f"Model    {space.name}, {space.dim} dimensions, {space.fingerprint[:12]}")
        if status.precision:
            lines.append(f"         {status.precision}")
        if not space.whole:
            lines.append("         some segments wait for their files to be there (`clew index`)")
        lines += [
            f"Index    {file.kind}: {file.method}, {file.count:,} vectors, {formats.size(file.size)}, "
            f"recall@10 {file.recall:.3f} against exact when built"
            for file in space.indexes
        ]
        if not space.indexes:
            lines.append("Index    none yet; every vector is compared")
        if status.tail:
            lines.append(f"         {formats.some(status.tail, 'newer vector')} compared one by one")
    lines.append(f"Thumbs   {_thumbnails(status)}")
    lines += [
        f"Beside   {name}: {formats.some(count, 'vector')} (`clew forget --space` deletes them)"
        for name, count in status.spaces.items()
        if space is None or name != space.name
    ]
    read = ["text in pictures"] * status.ocr + [f"speech, by {status.speech}"] * bool(status.speech)
    read += [f"sounds, by {status.sounds}"] * bool(status.sounds)
    lines += [f"Reads    {'; '.join(read)}"] * bool(read)
    if any(root.failed for root in status.roots):
        lines.append("`clew status --errors` lists the files that could not be read.")
    return "\n".join(lines) + "\n"


def describe_models(cards: "list[Card]") -> str:
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
                f"{_recalls(card.text_to_image)},\nimage to text {_recalls(card.image_to_text)}.",
                click.wrap_text(card.limits or "", 78),
            ]
    return "\n".join(lines) + "\n" if cards else ""


def describe_failures(failures: list[Failure], as_json: bool) -> str:
    """Return path and reason of each, tabs between."""
    if as_json:
        return formats.dump(failures) + "\n"
    return "".join(f"{formats.one_line(str(f.path))}\t{formats.one_line(f.reason)}\n" for f in failures)


def _thumbnails(status: Status) -> str:
    """Say how much room thumbnails take, and what to do where there is no more."""
    if not status.thumbnail_limit:
        return "off (`clew index --thumbnails 2GB` keeps them)"
    held = f"{formats.size(status.thumbnails)} of {formats.size(status.thumbnail_limit)} at most"
    full = "; full, so what is new gets none (`clew index --thumbnails SIZE`)"
    return held + full * status.thumbnails_full


def _recalls(measured: dict[str, float]) -> str:
    return " / ".join(f"{measured[f'recall@{k}']:.1f}" for k in (1, 5, 10))
