"""The visible text of HTML, as paragraphs: read once from front to back, whatever it holds.

The parser of the standard library reads on quadratically in broken markup (10,000 open tags take 14 s).
Here, as in a browser, what is not closed reaches to the end, so that no place is looked at twice.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


BLOCKS = _names(
    """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
    figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend main nav ol p pre section summary
    table tbody tfoot thead title ul"""
)
APART = _names("br img input li option td th tr")  # words before and after are not one
VOID = _names("area base br col embed hr img input link meta param source track wbr")
UNSEEN = _names("template svg math object canvas datalist audio video select")
# What is in these is no markup.
RAW = _names("script style iframe noembed noframes noscript xmp")
ENDS = {name: re.compile(rf"</{name}\b", re.I) for name in RAW}
# These end where the next of their name begins.
OPEN_ENDED = _names("dd dt li option p td th tr")

TAG = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)|(!--)|([!?/]))")
REST = re.compile(r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")  # of a tag, quotes heeded
HIDDEN = re.compile(
    r"""\s(?:hidden(?=[\s=/>])|style\s*=\s*["']?[^"'>]*(?:display\s*:\s*none|visibility\s*:\s*hidden))""",
    re.I,
)
NUMBERS = re.compile(r"&#(?:\d{8,}|[xX][0-9a-fA-F]{7,});?")  # of no character; Python refuses to read them


class Paragraph(NamedTuple):
    """A paragraph, and the line on which it begins, counted from 1."""

    text: str
    line: int


class Tag(NamedTuple):
    """A tag: its name in small letters, whether it closes, whether it hides what is in it."""

    name: str = ""
    closes: bool = False
    hides: bool = False


def paragraphs(html: str) -> Iterator[Paragraph]:
    """Yield what a reader sees of a page, the title first as it is in the head."""
    parts, first, line = list[str](), 0, 1
    unseen, depth = "", 0  # the element that hides what is in it, and how many of its name are open
    for piece in _pieces(html):
        if isinstance(piece, str):
            if not unseen and (text := _plain(piece)).strip():
                first = first or line + piece[: len(piece) - len(piece.lstrip())].count("\n")
                parts.append(text)
            line += piece.count("\n")
            continue
        tag, source = piece
        line += source.count("\n")
        if unseen and tag.name == unseen:
            depth += -1 if tag.closes or tag.name in OPEN_ENDED else 1
            unseen = unseen if depth else ""
        if not unseen and tag.hides:
            unseen, depth = tag.name, 1
        if tag.name in BLOCKS:
            if first:
                yield Paragraph("".join(parts), first)
            parts, first = [], 0
        elif tag.name in APART:
            parts.append(" ")
    if first:
        yield Paragraph("".join(parts), first)


def _pieces(html: str) -> Iterator["str | tuple[Tag, str]"]:
    """Yield text, and tags with their source; comments and scripts come as a tag without a name."""
    at, quotes = 0, True
    while (found := TAG.search(html, at)) is not None:
        yield html[at : found.start()]
        closes, name, comment, _ = found.groups()
        end = -1
        if comment:
            end = html.find("-->", found.start() + 2)
            end += 3 if end >= 0 else 0
        else:
            rest = REST.match(html, found.end()) if quotes else None
            quotes = rest is not None  # once one is not closed, none is looked for
            end = rest.end() if rest else html.find(">", found.end()) + 1 or -1
        if end < 0:
            return
        at, source, name = end, html[found.start() : end], (name or "").lower()
        opens = not closes and not source.endswith("/>")
        yield Tag(name, bool(closes), opens and _hides(name, source)), source
        if name in RAW and opens:
            raw = ENDS[name].search(html, at)
            if raw is None:
                return
            at = raw.start()
            yield Tag(), html[end:at]
    yield html[at:]


def _hides(name: str, source: str) -> bool:
    """Say whether a tag that opens hides what is in it; one of no sane length says so near its begin."""
    return name not in VOID and (name in UNSEEN or HIDDEN.search(source, 0, 2000) is not None)


def _plain(text: str) -> str:
    """Return text with its characters as they are meant and each run of blanks as one, lines kept."""
    return unescape(NUMBERS.sub("", re.sub(r"[^\S\n]+", " ", text)))
