"""Decode the bytes of text files: by byte order mark, as UTF-8, as declared, or by detection.

The language that the name of a file gives is a hint for the detection.
"""

import re
from collections import Counter
from typing import NamedTuple
from unicodedata import category

from indexer.decode.text.letter_encodings import (
    DEFAULT_ENCODING,
    detect_latin_encoding,
    detect_script_encoding,
    encoding_of_language,
)
from retrieval.errors import MediaError

# Encodings that files may declare; Python knows others that are none (zip) or slow (punycode).
DECLARED_ENCODING = re.compile(
    r"utf-?(8|16([bl]e)?)|us-ascii|latin-?1|(iso|windows|cp|ibm|koi8|mac|big|euc|shift|gb|tis)[\w-]*|sjis",
    re.I,
)
JAPANESE_ESCAPE = b"\x1b$"
PRINTABLE_ASCII = bytes(range(32, 127))
MIN_OTHER_BYTES = 0.15  # of a text in UTF-16; those of Japanese are a fifth
LINE_BREAKS = str.maketrans("\r\n\t", "   ")
NO_TEXT_CATEGORIES = ("Cc", "Cn", "Co", "Cs")  # control, unassigned, private use and surrogates
MAX_UTF8_ERRORS = 0.05  # a byte above 127, at which a text is UTF-8 with damage
UTF16_SAMPLE_BYTES = 4_096
DETECTION_SAMPLE_BYTES = 1 << 16
_ASCII = bytes(range(128))
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_REPEATED_BYTES = re.compile(rb"([\x80-\xff])\1+")  # a line of dashes or of a box


class DecodedText(NamedTuple):
    """A text, and the encoding that was detected from its bytes, unless it is UTF-8 or Windows-1252."""

    text: str
    detected_encoding: str | None = None

    @property
    def assumption(self) -> str | None:
        """Return a remark on the detected encoding."""
        return self.detected_encoding and f"declares no encoding, and is read as {self.detected_encoding}"


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Return bytes as text; `declared` is the encoding that the file names, which may be wrong.

    Raises MediaError if the text has zero bytes.
    """
    return detect_and_decode(data, declared).text


def detect_and_decode(data: bytes, declared: str | None = None, language: str | None = None) -> DecodedText:
    """Return bytes as text with the detected encoding.

    `language` is that of `language_in_name`. The other parameters and errors are those of `decode_text`.
    """
    decoded = _decode(data, declared, language)
    if "\0" in decoded.text:
        raise MediaError("not text: it holds zero bytes")
    return decoded


def _decode(data: bytes, declared: str | None, language: str | None) -> DecodedText:
    if (marked := _marked_encoding(data)) is not None:
        return DecodedText(data.decode(marked, "replace").removeprefix("\ufeff"))
    if (wide := _detect_wide_encoding(data)) is not None:
        return DecodedText(data.decode(wide, "replace"), wide)
    names = ["utf-8-sig"]
    if declared is not None and DECLARED_ENCODING.fullmatch(declared):
        names.append(declared)
    for name in names:
        try:
            return _decode_escapes(data) or DecodedText(data.decode(name))
        except (UnicodeDecodeError, LookupError):
            continue
    damaged = data.decode("utf-8", "replace")
    if MAX_UTF8_ERRORS * len(data.translate(None, _ASCII)) > damaged.count("\ufffd"):
        return DecodedText(damaged)
    detected = _detect_encoding(data, language)
    text = data.decode(detected, "replace")
    return DecodedText(text, detected if detected != DEFAULT_ENCODING else None)


def _decode_escapes(data: bytes) -> DecodedText | None:
    """Return Japanese text that switches between character sets with escape sequences (RFC 1468)."""
    if JAPANESE_ESCAPE not in data:
        return None
    try:
        return DecodedText(data.decode("iso2022_jp_2"), "iso2022_jp")
    except UnicodeDecodeError:
        return None


def _marked_encoding(data: bytes) -> str | None:
    """Return UTF-32 or UTF-16 by the byte order mark, else None."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return None


def _detect_wide_encoding(data: bytes) -> str | None:
    """Return UTF-16 without a mark by the position of zero bytes and by the characters, else None."""
    sample = data[:UTF16_SAMPLE_BYTES]
    high, low = sample[::2].count(0), sample[1::2].count(0)
    if max(high, low) > len(sample) / 4 and not min(high, low):
        return "utf-16-be" if high else "utf-16-le"
    return _detect_unmarked_utf16(sample) if (high or low) and len(data) % 2 == 0 else None


def _detect_unmarked_utf16(sample: bytes) -> str | None:
    """Return the byte order of UTF-16 in a script without ASCII, if all of its characters are text in it."""
    if len(sample.translate(None, PRINTABLE_ASCII)) < MIN_OTHER_BYTES * len(sample):
        return None  # pairs of letters would be ideographs
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample.decode(encoding, "replace")
        categories = Counter(map(category, text.translate(LINE_BREAKS)))
        spaces_and_letters = sum(count for name, count in categories.items() if name[0] in "LZMNP")
        if " " not in text.translate(LINE_BREAKS):  # UTF-16 has its zero bytes in spaces and line breaks
            continue
        if not any(name in categories for name in NO_TEXT_CATEGORIES) and "\ufffd" not in text:
            scripts = Counter(ord(char) >> 8 for char in text if category(char)[0] == "L")
            if spaces_and_letters >= 0.95 * categories.total() and _is_common_script(scripts):
                return encoding
    return None


def _is_common_script(letters_by_block: Counter[int]) -> bool:
    """Return True if most letters are in the blocks of scripts in use, by the high byte of their code."""
    common = sum(letters_by_block[block] for block in (*range(0x0F), *range(0x30, 0x32), *range(0x4E, 0xA0)))
    korean = sum(letters_by_block[block] for block in range(0xAC, 0xD8))
    return common + korean >= 0.95 * letters_by_block.total() > 0


def _detect_encoding(data: bytes, language: str | None) -> str:
    """Return the encoding of text that is not UTF-8, detected from its first lines beyond ASCII.

    Only a text in another script has runs of bytes above 127: in Latin texts those are single letters.
    """
    first = _HIGH_BYTES.search(data)
    begin = data.rfind(b"\n", 0, first.start() if first else 0) + 1
    sample = data[begin : begin + DETECTION_SAMPLE_BYTES]
    if begin + len(sample) < len(data):
        sample = sample[: sample.rfind(b"\n") + 1] or sample  # no character is cut
    if language is not None and (hinted := encoding_of_language(sample, language)) is not None:
        return hinted
    runs = [len(run) for run in _HIGH_BYTES.findall(_REPEATED_BYTES.sub(rb"\1", sample))]
    if 2 * sum(run for run in runs if run > 2) <= sum(runs):
        return detect_latin_encoding(sample)
    return detect_script_encoding(sample)
