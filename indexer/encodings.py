"""Text of bytes whose encoding nobody is sure of."""

import re

from retrieval.errors import MediaError

# The encodings that pages name; Python knows others that are no such thing (zip) or take for ever (punycode).
ENCODINGS = re.compile(
    r"utf-?(8|16([bl]e)?)|us-ascii|latin-?1|(iso|windows|cp|ibm|koi8|mac|big|euc|shift|gb|tis)[\w-]*|sjis",
    re.I,
)


def decode_text(data: bytes, encoding: str | None = None) -> str:
    """Return bytes as text; `encoding` is what is said of them, which may be wrong. Raises MediaError."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    text = None
    for name in ("utf-8-sig", encoding or ""):
        if name == "utf-8-sig" or ENCODINGS.fullmatch(name):
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
