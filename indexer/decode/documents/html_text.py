"""The visible text of HTML, as paragraphs: read once from front to back, whatever it holds.

The parser of the standard library reads on quadratically in broken markup (10,000 open tags take 14 s).
Here, as in a browser, what is not closed reaches to the end, so that no place is looked at twice.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple


def _tag_names(words: str) -> frozenset[str]:
    return frozenset(words.split())


BLOCK_TAGS = _tag_names(
    """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
    figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend main nav ol p pre section summary
    table tbody tfoot thead title ul"""
)
SPACED_TAGS = _tag_names("br img input li option td th tr")  # words before and after are not one
VOID_TAGS = _tag_names("area base br col embed hr img input link meta param source track wbr")
HIDDEN_TAGS = _tag_names("template svg math object canvas datalist audio video select")
# What is in these is no markup.
RAW_TEXT_TAGS = _tag_names("script style iframe noembed noframes noscript xmp")
RAW_TEXT_ENDS = {name: re.compile(rf"</{name}\b", re.I) for name in RAW_TEXT_TAGS}
# These end where the next of their name begins.
OPTIONAL_END_TAGS = _tag_names("dd dt li option p td th tr")

TAG_START = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)|(!--)|([!?/]))")
TAG_REST = re.compile(r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")  # of a tag, quotes heeded
HIDDEN_ATTRIBUTE = re.compile(
    r"""\s(?:hidden(?=[\s=/>])|style\s*=\s*["']?[^"'>]*(?:display\s*:\s*none|visibility\s*:\s*hidden))""",
    re.I,
)
INVALID_CHARACTER_REFERENCE = re.compile(
    r"&#(?:\d{8,}|[xX][0-9a-fA-F]{7,});?"
)  # of no character; Python refuses to read them


class Paragraph(NamedTuple):
    """A paragraph, and the line on which it begins, counted from 1."""

    text: str
    line: int


class HtmlTag(NamedTuple):
    """A tag: its name in small letters, whether it closes, whether it hides what is in it."""

    name: str = ""
    is_closing: bool = False
    is_hidden: bool = False


def extract_paragraphs(html: str) -> Iterator[Paragraph]:
    """Yield what a reader sees of a page, the title first as it is in the head."""
    parts, first, line = list[str](), 0, 1
    unseen, depth = "", 0  # the element that hides what is in it, and how many of its name are open
    for piece in _tokenize(html):
        if isinstance(piece, str):
            if not unseen and (text := _normalize_text(piece)).strip():
                first = first or line + piece[: len(piece) - len(piece.lstrip())].count("\n")
                parts.append(text)
            line += piece.count("\n")
            continue
        tag, source = piece
        line += source.count("\n")
        if unseen and tag.name == unseen:
            depth += -1 if tag.is_closing or tag.name in OPTIONAL_END_TAGS else 1
            unseen = unseen if depth else ""
        if not unseen and tag.is_hidden:
            unseen, depth = tag.name, 1
        if tag.name in BLOCK_TAGS:
            if first:
                yield Paragraph("".join(parts), first)
            parts, first = [], 0
        elif tag.name in SPACED_TAGS:
            parts.append(" ")
    if first:
        yield Paragraph("".join(parts), first)


def _tokenize(html: str) -> Iterator["str | tuple[HtmlTag, str]"]:
    """Yield text, and tags with their source; comments and scripts come as a tag without a name."""
    at, quotes = 0, True
    while (found := TAG_START.search(html, at)) is not None:
        yield html[at : found.start()]
        closes, name, comment, _ = found.groups()
        end = -1
        if comment:
            end = html.find("-->", found.start() + 2)
            end += 3 if end >= 0 else 0
        else:
            rest = TAG_REST.match(html, found.end()) if quotes else None
            quotes = rest is not None  # once one is not closed, none is looked for
            end = rest.end() if rest else html.find(">", found.end()) + 1 or -1
        if end < 0:
            return
        at, source, name = end, html[found.start() : end], (name or "").lower()
        opens = not closes and not source.endswith("/>")
        yield HtmlTag(name, bool(closes), opens and _is_hidden(name, source)), source
        if name in RAW_TEXT_TAGS and opens:
            raw = RAW_TEXT_ENDS[name].search(html, at)
            if raw is None:
                return
            at = raw.start()
            yield HtmlTag(), html[end:at]
    yield html[at:]


def _is_hidden(name: str, source: str) -> bool:
    """Say whether a tag that opens hides what is in it; one of no sane length says so near its begin."""
    return name not in VOID_TAGS and (
        name in HIDDEN_TAGS or HIDDEN_ATTRIBUTE.search(source, 0, 2000) is not None
    )


def _normalize_text(text: str) -> str:
    """Return text with its characters as they are meant and each run of blanks as one, lines kept."""
    return unescape(INVALID_CHARACTER_REFERENCE.sub("", re.sub(r"[^\S\n]+", " ", text)))
