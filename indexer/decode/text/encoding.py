"""Text of bytes whose encoding nobody is sure of."""

import re

from retrieval.errors import MediaError

# The encodings that pages name; Python knows others that are no such thing (zip) or take for ever (punycode).
DECLARED_ENCODING = re.compile(
    r"utf-?(8|16([bl]e)?)|us-ascii|latin-?1|(iso|windows|cp|ibm|koi8|mac|big|euc|shift|gb|tis)[\w-]*|sjis",
    re.I,
)

SNIFFED_BYTES = 4_096  # bytes in which text without a mark is told by its zeros


def decode_text(data: bytes, encoding: str | None = None) -> str:
    """Return bytes as text; `encoding` is what is said of them, which may be wrong. Raises MediaError."""
    text = None
    if (wide := _detect_wide_encoding(data)) is not None:
        text = data.decode(wide, "replace").removeprefix("\ufeff")
        encoding = None
    for name in ("utf-8-sig", encoding or "") if text is None else ():
        if name == "utf-8-sig" or DECLARED_ENCODING.fullmatch(name):
            try:
                text = data.decode(name)
                break
            except (UnicodeDecodeError, LookupError):
                continue
    if text is None:
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise MediaError("not text: it holds zero bytes")
    return text


def _detect_wide_encoding(data: bytes) -> str | None:
    """Return the encoding of text in two or four bytes a letter: by its mark, or by where its zeros are."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    some = data[:SNIFFED_BYTES]
    high, low = some[::2].count(0), some[1::2].count(0)
    if max(high, low) > len(some) / 4 and not min(high, low):
        return "utf-16-be" if high else "utf-16-le"
    return None
