"""Decode the bytes of text files: by byte order mark, as UTF-8, as declared, or by detection."""

import re

from retrieval.errors import MediaError

# Encodings that files may declare; Python knows others that are none (zip) or slow (punycode).
DECLARED_ENCODING = re.compile(
    r"utf-?(8|16([bl]e)?)|us-ascii|latin-?1|(iso|windows|cp|ibm|koi8|mac|big|euc|shift|gb|tis)[\w-]*|sjis",
    re.I,
)
# Encodings of scripts other than Latin: Japanese, Chinese, Korean, Cyrillic, Greek, Hebrew, Arabic, Thai.
DETECTED_ENCODINGS = (
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "koi8_r", "cp1251", "cp866", "iso8859_5"),
    *("mac_cyrillic", "cp1253", "cp1255", "cp1256", "cp874"),
)
FALLBACK_ENCODING = "cp1252"
MAX_UTF8_ERRORS = 0.05  # a byte above 127, at which a text is UTF-8 with damage
UTF16_SAMPLE_BYTES = 4_096
DETECTION_SAMPLE_BYTES = 1 << 16
_ASCII = bytes(range(128))
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
_REPEATED_BYTES = re.compile(rb"([\x80-\xff])\1+")  # a line of dashes or of a box


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Return bytes as text; `declared` is the encoding that the file names, which may be wrong.

    Raises MediaError if the text has zero bytes.
    """
    text = _decode(data, declared)
    if "\0" in text:
        raise MediaError("not text: it holds zero bytes")
    return text


def _decode(data: bytes, declared: str | None) -> str:
    if (wide := _detect_wide_encoding(data)) is not None:
        return data.decode(wide, "replace").removeprefix("\ufeff")
    names = ["utf-8-sig"]
    if declared is not None and DECLARED_ENCODING.fullmatch(declared):
        names.append(declared)
    for name in names:
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    damaged = data.decode("utf-8", "replace")
    if MAX_UTF8_ERRORS * len(data.translate(None, _ASCII)) > damaged.count("\ufffd"):
        return damaged
    return data.decode(_detect_encoding(data), "replace")


def _detect_wide_encoding(data: bytes) -> str | None:
    """Return UTF-32 or UTF-16 by the byte order mark or by the position of zero bytes, else None."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = data[:UTF16_SAMPLE_BYTES]
    high, low = sample[::2].count(0), sample[1::2].count(0)
    if max(high, low) > len(sample) / 4 and not min(high, low):
        return "utf-16-be" if high else "utf-16-le"
    return None


def _detect_encoding(data: bytes) -> str:
    """Return the encoding of text that is not UTF-8, detected from its first lines beyond ASCII.

    Only a text in another script has runs of bytes above 127: in Latin texts those are single letters,
    from which charset-normalizer cannot distinguish Windows-1252 from its siblings.
    """
    first = _HIGH_BYTES.search(data)
    begin = data.rfind(b"\n", 0, first.start() if first else 0) + 1
    sample = data[begin : begin + DETECTION_SAMPLE_BYTES]
    sample = sample[: sample.rfind(b"\n") + 1] or sample  # no character is cut
    runs = [len(run) for run in _HIGH_BYTES.findall(_REPEATED_BYTES.sub(rb"\1", sample))]
    if 2 * sum(run for run in runs if run > 2) <= sum(runs):
        return FALLBACK_ENCODING
    from charset_normalizer import from_bytes

    match = from_bytes(sample, cp_isolation=list(DETECTED_ENCODINGS)).best()
    return FALLBACK_ENCODING if match is None else match.encoding
