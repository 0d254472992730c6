"""Format hits as JSON, JSON Lines, CSV, TSV or paths."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict

from retrieval.formatting import format_location, location_suffix, one_line, to_json
from retrieval.types import Hit

HIT_KEYS = ("id", "score", "confidence", "kind", "path", "text", "start", "end", "page", "box", "space")


def as_dict(hit: Hit, group: bool = False) -> dict[str, object]:
    """Return the keys that every door shows, absent ones None; of a group also `more`, its other hits."""
    keys = {key: getattr(hit, key) for key in HIT_KEYS}
    more = {"more": [as_dict(other) for other in hit.more]} if group else {}
    why = {"why": _explanation(hit)} if hit.why else {}
    return {**keys, "score": round(hit.score, 6), "path": str(hit.path), **more, **why}


def _explanation(hit: Hit) -> dict[str, object]:
    return {"terms": [asdict(one) for one in hit.why], "usual": hit.usual, "words": hit.words}


def as_json(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON array."""
    return to_json([as_dict(hit, group) for hit in hits]) + "\n"


def as_json_lines(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON object a line."""
    return "".join(to_json(as_dict(hit, group)) + "\n" for hit in hits)


def as_csv(hits: Sequence[Hit], group: bool = False) -> str:
    """Return CSV with a header; of groups `more` is how many other hits each has."""
    page = io.StringIO()
    rows = csv.DictWriter(page, (*HIT_KEYS, *["more"] * group), lineterminator="\n")
    rows.writeheader()
    for hit in hits:
        said = as_dict(hit)
        rows.writerow({key: said[key] for key in HIT_KEYS} | ({"more": len(hit.more)} if group else {}))
    return page.getvalue()


def as_tsv(hits: Sequence[Hit], group: bool = False) -> str:
    """Return rank, score, path and text, of groups +3 too, and last where in the file; tabs between."""
    return "".join(
        f"{rank}\t{hit.score:.4f}\t{one_line(str(hit.path))}\t{one_line(hit.text or '')}"
        f"{chr(9) + group_count(hit) if group else ''}\t{location_suffix(hit).strip()}\n"
        for rank, hit in enumerate(hits, start=1)
    )


def as_explanations(hits: Sequence[Hit], format_path: Callable[[str], str]) -> str:
    """Return each hit with what brought it below, a line a reason."""
    lines = []
    for rank, hit in enumerate(hits, start=1):
        match = "" if hit.confidence is None else f"{hit.confidence:4.0%}  "
        lines.append(
            f"{rank}  {match}{hit.score:.3f}  {format_path(format_location(hit))} {group_count(hit)}".rstrip()
        )
        lines += [
            f"   {one.score:9.3f}  {one_line(one.asked)}{_weight_suffix(one.weight)}" for one in hit.why
        ]
        if hit.usual is not None:
            lines.append(f"   {hit.usual:9.3f}  what half of the background queries reach")
        if hit.words:
            lines.append(f"   {hit.words:9.0%}  of the words are in its text or its name")
        if hit.text:
            lines.append(f"              {one_line(hit.text)[:66]}")
    return "\n".join(lines) + "\n"


def _weight_suffix(weight: float) -> str:
    return "" if weight == 1 else f" (x {weight:g})"


def group_count(hit: Hit) -> str:
    """Return `+3` of a hit that stands for three more, else nothing."""
    return f"+{len(hit.more)}" if hit.more else ""


def as_paths(hits: Sequence[Hit], end: str = "\n") -> str:
    """Return each path once, best first, as the file system spells it."""
    return "".join(f"{path}{end}" for path in dict.fromkeys(str(hit.path) for hit in hits))
