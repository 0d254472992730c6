"""Unicode normalization: texts and names that look equal become equal."""

from typing import AnyStr
from unicodedata import normalize


def nfc(text: AnyStr) -> AnyStr:
    """Return a text, or the bytes of a path, in the composed form NFC; macOS decomposes names of files."""
    if text.isascii():
        return text
    if isinstance(text, str):
        return normalize("NFC", text)
    composed = normalize("NFC", text.decode("utf-8", "surrogateescape"))  # other bytes stay as they are
    return composed.encode("utf-8", "surrogateescape")


def without_surrogates(text: str) -> str:
    """Return a text with a question mark for each surrogate, which is a byte of a name that is not UTF-8."""
    return text.encode("utf-8", "replace").decode()
