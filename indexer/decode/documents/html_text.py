"""The visible text of HTML as paragraphs, read in one pass.

Parsers that build the tree of HTML 5 need quadratic time or memory for hostile pages: selectolax 1.0
(Lexbor) takes 19 s for 80,000 open <div> tags, and 3 GB for a page of 44 kB with 3,000 open <b> tags.
html.parser takes 14 s for 10,000 open tags. Here an element that is not closed extends to the end.
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
SPACED_TAGS = _tag_names("br img input li option td th tr")  # separate words
VOID_TAGS = _tag_names("area base br col embed hr img input link meta param source track wbr")
HIDDEN_TAGS = _tag_names("template svg math object canvas datalist audio video select rp rt rtc")
# The content of these elements is not markup.
RAW_TEXT_TAGS = _tag_names("script style iframe noembed noframes noscript xmp")
RAW_TEXT_ENDS = {name: re.compile(rf"</{name}\b", re.I) for name in RAW_TEXT_TAGS}
# These elements end where the next one of the same name begins, or where one of these ends.
OPTIONAL_END_TAGS = {
    **dict.fromkeys(("dd", "dt"), _tag_names("dl")),
    **dict.fromkeys(("rp", "rt", "rtc"), _tag_names("ruby")),  # the readings of East Asian writing
    **dict.fromkeys(("td", "th", "tr"), _tag_names("table")),
    **{"li": _tag_names("ol ul"), "option": _tag_names("select"), "p": BLOCK_TAGS},
}

TAG_START = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)|(!--)|([!?/]))")
TAG_REST = re.compile(r"""(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")  # > in quotes does not end it
ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>]++))?""")
HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
INVALID_CHARACTER_REFERENCE = re.compile(
    r"&#(?:\d{8,}|[xX][0-9a-fA-F]{7,});?"
)  # of no character; unescape() raises an error


class Paragraph(NamedTuple):
    """A paragraph, and its first line in the source, counted from 1."""

    text: str
    line: int


class HtmlTag(NamedTuple):
    """A tag: its name in lower case, and whether it closes or hides an element."""

    name: str = ""
    is_closing: bool = False
    is_hidden: bool = False


def extract_paragraphs(html: str) -> Iterator[Paragraph]:
    """Yield the visible paragraphs of a page, including the title, in the order of the source."""
    parts, first, line = list[str](), 0, 1
    hidden, depth = "", 0  # the name of the hidden element, and the number of open elements of this name
    for piece in _tokenize(html):
        if isinstance(piece, str):
            if not hidden and (text := _normalize_text(piece)).strip():
                first = first or line + piece[: len(piece) - len(piece.lstrip())].count("\n")
                parts.append(text)
            line += piece.count("\n")
            continue
        tag, source = piece
        line += source.count("\n")
        if hidden and (
            tag.name == hidden or (tag.is_closing and tag.name in OPTIONAL_END_TAGS.get(hidden, ()))
        ):
            depth += -1 if tag.is_closing or tag.name in OPTIONAL_END_TAGS else 1
            hidden = hidden if depth else ""
        if not hidden and tag.is_hidden:
            hidden, depth = tag.name, 1
        if tag.name in BLOCK_TAGS:
            if first:
                yield Paragraph("".join(parts), first)
            parts, first = [], 0
        elif tag.name in SPACED_TAGS:
            parts.append(" ")
    if first:
        yield Paragraph("".join(parts), first)


def _tokenize(html: str) -> Iterator["str | tuple[HtmlTag, str]"]:
    """Yield text, and tags with their source; comments and scripts are tags without a name."""
    position, quotes = 0, True
    while (match := TAG_START.search(html, position)) is not None:
        yield html[position : match.start()]
        closes, name, comment, _ = match.groups()
        end = -1
        if comment:
            end = html.find("-->", match.start() + 2)
            end += 3 if end >= 0 else 0
        else:
            rest = TAG_REST.match(html, match.end()) if quotes else None
            quotes = rest is not None  # after a quote that is not closed, quotes are ignored
            end = rest.end() if rest else html.find(">", match.end()) + 1 or -1
        if end < 0:
            return
        position, source, name = end, html[match.start() : end], (name or "").lower()
        opens = not closes and not source.endswith("/>")
        yield HtmlTag(name, bool(closes), opens and _is_hidden(name, source)), source
        if name in RAW_TEXT_TAGS and opens:
            raw = RAW_TEXT_ENDS[name].search(html, position)
            if raw is None:
                return
            position = raw.start()
            yield HtmlTag(), html[end:position]
    yield html[position:]


def _is_hidden(name: str, source: str) -> bool:
    """Return True if an opening tag hides its element."""
    if name in VOID_TAGS:
        return False
    source = source.lower()
    return name in HIDDEN_TAGS or (
        ("hidden" in source or "none" in source) and _has_hiding_attribute(name, source)
    )


def _has_hiding_attribute(name: str, source: str) -> bool:
    """Return True if a tag, in lower case, has the attribute `hidden` or a style that hides it."""
    return any(
        attribute[1] == "hidden" or (attribute[1] == "style" and HIDDEN_STYLE.search(attribute[2] or ""))
        for attribute in ATTRIBUTE.finditer(source, len(name) + 1)
    )


def _normalize_text(text: str) -> str:
    """Return text with character references resolved and spaces collapsed; line breaks stay."""
    return unescape(INVALID_CHARACTER_REFERENCE.sub("", re.sub(r"[^\S\n]+", " ", text)))
