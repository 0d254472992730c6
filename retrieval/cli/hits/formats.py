"""Format hits as JSON, JSON Lines, CSV, TSV or paths."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from retrieval.cli.console import relative_path
from retrieval.formatting import format_share, location_suffix, one_line, printable, to_json
from retrieval.types import Hit

HIT_KEYS = ("id", "score", "confidence", "kind", "path", "text", "start", "end", "page", "box", "space")


def as_dict(hit: Hit, group: bool = False) -> dict[str, object]:
    """Return the public keys of a hit, None if absent.

    With `group` also `more`, the rest of its group; of several libraries also `library`.
    """
    keys = {key: getattr(hit, key) for key in HIT_KEYS}
    more = {"more": [as_dict(member) for member in hit.more]} if group else {}
    why = {"why": _explanation(hit)} if hit.why or hit.labels else {}
    library = {} if hit.library is None else {"library": hit.library}
    return {**keys, "score": round(hit.score, 6), "path": str(hit.path), **more, **why, **library}


def _explanation(hit: Hit) -> dict[str, object]:
    return {
        "terms": [asdict(term) for term in hit.why],
        "usual": hit.usual,
        "words": hit.words,
        "labels": [asdict(label) for label in hit.labels],
    }


def as_json(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON array."""
    return to_json([as_dict(hit, group) for hit in hits]) + "\n"


def as_json_lines(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON object per line."""
    return "".join(to_json(as_dict(hit, group)) + "\n" for hit in hits)


def as_csv(hits: Sequence[Hit], group: bool = False) -> str:
    """Return CSV with a header; with `group` a column `more` counts the rest of each group."""
    several = any(hit.library for hit in hits)
    lines = [_csv_line((*HIT_KEYS, *["more"] * group, *["library"] * several))]
    for hit in hits:
        cells = [as_dict(hit)[key] for key in HIT_KEYS]
        lines.append(_csv_line([*cells, *[len(hit.more)] * group, *[hit.library] * several]))
    return "".join(lines)


def _csv_line(cells: Sequence[object]) -> str:
    """Return a line of CSV; carriage returns are quoted too, because readers take them for line ends."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def as_tsv(hits: Sequence[Hit], group: bool = False) -> str:
    """Return lines of rank, score, path, text, with `group` the group size, location, confidence and id."""
    lines = []
    for rank, hit in enumerate(hits, start=1):
        cells = [str(rank), f"{hit.score:.4f}", one_line(str(hit.path)), one_line(hit.text or "")]
        cells += [group_count(hit)] * group
        confidence = "" if hit.confidence is None else f"{hit.confidence:.2f}"
        cells += [location_suffix(hit).strip(), confidence, f"#{hit.id}"]
        cells += [] if hit.library is None else [one_line(hit.library)]
        lines.append("\t".join(cells) + "\n")
    return "".join(lines)


def as_explanations(hits: Sequence[Hit]) -> str:
    """Return each hit on a line, followed by one line for each part of its score."""
    lines = []
    for rank, hit in enumerate(hits, start=1):
        match = "" if hit.confidence is None else f"{format_share(hit.confidence):>5}  "
        lines.append(f"{rank}  {match}{hit.score:.3f}  {relative_location(hit)} {group_count(hit)}".rstrip())
        lines += [
            f"   {term.score:9.3f}  {one_line(term.asked)}{_weight_suffix(term.weight)}" for term in hit.why
        ]
        if hit.usual is not None:
            lines.append(f"   {hit.usual:9.3f}  the median of the background queries")
        if hit.words:
            lines.append(f"   {format_share(hit.words):>9}  of the words are in its text or file name")
        lines += [
            f"   {format_share(label.confidence):>9}  for the tag {one_line(label.name)}, "
            "a guess of the model that counts only in filters"
            for label in hit.labels
        ]
        if hit.text:
            lines.append(f"              {one_line(hit.text)[:66]}")
    return "\n".join(lines) + "\n"


def relative_location(hit: Hit) -> str:
    """Return the location of a hit for a terminal, with the path relative to the current folder."""
    return printable(relative_path(hit.path) + location_suffix(hit))


def _weight_suffix(weight: float) -> str:
    return "" if weight == 1 else f" (x {weight:g})"


def group_count(hit: Hit) -> str:
    """Return `+3` for a hit that represents three more, else an empty string."""
    return f"+{len(hit.more)}" if hit.more else ""


def as_paths(hits: Sequence[Hit], end: str = "\n") -> str:
    """Return each path once, best first, unescaped."""
    return "".join(f"{path}{end}" for path in dict.fromkeys(str(hit.path) for hit in hits))
