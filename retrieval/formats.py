"""Hits as text: JSON, CSV, lines, and names a terminal can show."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from retrieval.records import Hit

NAMES = {"image": "image", "video": "moment", "text": "passage", "page": "page", "audio": "sound"}
COUNTED = {**NAMES, "part": "part"}  # and parts of pictures
KEYS = ("id", "score", "confidence", "kind", "path", "text", "start", "end", "page", "box", "space")


def as_dict(hit: Hit, group: bool = False) -> dict[str, object]:
    """Return the keys that every door shows, absent ones None; of a group also `more`, its other hits."""
    keys = {key: getattr(hit, key) for key in KEYS}
    more = {"more": [as_dict(other) for other in hit.more]} if group else {}
    why = {"why": _why(hit)} if hit.why else {}
    return {**keys, "score": round(hit.score, 6), "path": str(hit.path), **more, **why}


def _why(hit: Hit) -> dict[str, object]:
    return {"terms": [asdict(one) for one in hit.why], "usual": hit.usual, "words": hit.words}


def as_json(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON array."""
    return dump([as_dict(hit, group) for hit in hits]) + "\n"


def as_json_lines(hits: Sequence[Hit], group: bool = False) -> str:
    """Return one JSON object a line."""
    return "".join(dump(as_dict(hit, group)) + "\n" for hit in hits)


def as_csv(hits: Sequence[Hit], group: bool = False) -> str:
    """Return CSV with a header; of groups `more` is how many other hits each has."""
    page = io.StringIO()
    rows = csv.DictWriter(page, (*KEYS, *["more"] * group), lineterminator="\n")
    rows.writeheader()
    for hit in hits:
        said = as_dict(hit)
        rows.writerow({key: said[key] for key in KEYS} | ({"more": len(hit.more)} if group else {}))
    return page.getvalue()


def as_lines(hits: Sequence[Hit], group: bool = False) -> str:
    """Return rank, score, path and text, of groups +3 too, and last where in the file; tabs between."""
    return "".join(
        f"{rank}\t{hit.score:.4f}\t{one_line(str(hit.path))}\t{one_line(hit.text or '')}"
        f"{chr(9) + others(hit) if group else ''}\t{where(hit).strip()}\n"
        for rank, hit in enumerate(hits, start=1)
    )


def as_reasons(hits: Sequence[Hit], shorten: Callable[[str], str]) -> str:
    """Return each hit with what brought it below, a line a reason."""
    lines = []
    for rank, hit in enumerate(hits, start=1):
        match = "" if hit.confidence is None else f"{hit.confidence:4.0%}  "
        lines.append(f"{rank}  {match}{hit.score:.3f}  {shorten(place(hit))} {others(hit)}".rstrip())
        lines += [f"   {one.score:9.3f}  {one_line(one.asked)}{_times(one.weight)}" for one in hit.why]
        if hit.usual is not None:
            lines.append(f"   {hit.usual:9.3f}  what half of the background queries reach")
        if hit.words:
            lines.append(f"   {hit.words:9.0%}  of the words are in its text or its name")
        if hit.text:
            lines.append(f"              {one_line(hit.text)[:66]}")
    return "\n".join(lines) + "\n"


def _times(weight: float) -> str:
    return "" if weight == 1 else f" (x {weight:g})"


def others(hit: Hit) -> str:
    """Return `+3` of a hit that stands for three more, else nothing."""
    return f"+{len(hit.more)}" if hit.more else ""


def as_paths(hits: Sequence[Hit], end: str = "\n") -> str:
    """Return each path once, best first, as the file system spells it."""
    return "".join(f"{path}{end}" for path in dict.fromkeys(str(hit.path) for hit in hits))


def dump(value: object) -> str:
    """Return JSON on one line in which a byte of a path that is no UTF-8 stands as \\udcXX."""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    """Return records and paths as JSON can hold them."""
    if isinstance(value, Path):
        return str(value)
    return asdict(value)  # type: ignore[call-overload]


def one_line(text: str) -> str:
    """Return the text with what would break a line, a column or a terminal written as an escape."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """Return the text with control characters and foreign bytes written as escapes, for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def place(hit: Hit) -> str:
    """Return the path, and where in it: `notes.md:12`, `clip.mp4 @ 01:23.4`, `paper.pdf p. 3`.

    A part of a picture is told as ImageMagick has it: `photo.jpg [1200x900+0+300]`.
    """
    return printable(f"{hit.path}{where(hit)}")


def where(hit: Hit) -> str:
    """Return what stands behind the path of a hit that is not all of its file."""
    found = ""
    if hit.page is not None:
        found = f" p. {hit.page}"
    elif hit.timed and hit.start is not None:
        found = f" @ {clock(hit.start)}"
    elif hit.kind == "text" and hit.start and hit.source is None:
        found = f":{hit.start:.0f}"
    if hit.kind == "image" and hit.box is not None:
        left, top, width, height = hit.box
        found += f" [{width}x{height}+{left}+{top}]"
    return found


def clock(seconds: float) -> str:
    """Return a time in a video or a sound: 01:23.4, from an hour on 1:02:03.4."""
    tenths = int(10 * seconds + 1e-6)  # never later than the moment itself
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:" * (hours > 0) + f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"


def moment_of(text: str) -> tuple[str, float] | None:
    """Return path and seconds of a place as it is shown, `clip.mp4 @ 01:23.4`; None where it is none."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    path, hours, minutes, seconds = found.groups()
    return path, 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


_MOMENT = re.compile(r"(.+?) *@ *(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,6})?)", re.DOTALL | re.ASCII)


def size(count: float) -> str:
    """Return bytes as a person reads them: 3.2 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(int(math.log10(count) / 3), 4)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def count_kinds(kinds: Mapping[str, int]) -> str:
    """Return `1,200 images, 3 passages`."""
    return ", ".join(some(kinds[kind], name) for kind, name in COUNTED.items() if kinds.get(kind))


def some(count: int, one: str) -> str:
    """Return `1 image`, `2,000 images`."""
    return f"{count:,} {one}{'s' * (count != 1)}"
