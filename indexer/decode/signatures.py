"""Recognize the type of a file by its first bytes if its suffix is wrong."""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable
from typing import NamedTuple

from retrieval.media.images import signatures as image_signatures

HEAD_BYTES = 4_096


def _any_of(signatures: Iterable[bytes]) -> bytes:
    """Return a regular expression that matches any of these bytes."""
    return b"(" + b"|".join(map(re.escape, signatures)) + b")"


class FileType(NamedTuple):
    """A type of files: its description for error messages, and its decoder if there is one."""

    description: str
    decoder: str | None = None


SIGNATURES = tuple(
    (re.compile(signature, re.S), FileType(description, decoder))
    for signature, description, decoder in (
        (rb"\xff\xd8\xff", "a JPEG", "picture"),
        (rb"\x89PNG\r\n", "a PNG", "picture"),
        (rb"GIF8[79]a", "a GIF", "picture"),
        (rb"RIFF....WEBP", "a WebP", "picture"),
        (rb"8BPS\x00[\x01\x02]", "a Photoshop file", "picture"),
        (_any_of(image_signatures.SIGNATURES["TIFF"]), "a TIFF", "picture"),
        (_any_of(image_signatures.RAW_SIGNATURES), "a raw photo", "picture"),
        (_any_of(image_signatures.JXL_SIGNATURES), "a JPEG XL", "picture"),
        (rb"....ftyp" + _any_of(image_signatures.IMAGE_BRANDS), "an image", "picture"),
        (rb"....ftyp(M4A|M4B)", "an audio file", "sound"),
        (rb"....(ftyp|moov|mdat)", "a video", "video"),
        (rb"\x1aE\xdf\xa3", "a video", "video"),
        (rb"RIFF....AVI |FLV\x01|\x00\x00\x01\xba|0&\xb2u\x8ef", "a video", "video"),
        (rb"RIFF....WAVE|ID3[\x02-\x04]|fLaC|OggS|FORM....AIF|#!AMR", "an audio file", "sound"),
        (rb"%PDF-", "a PDF", "document"),
        (rb"\{\\rtf", "a document in RTF", "office"),
        (rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|mimetype)", "a document", "office"),
        (rb"PK[\x03\x05\x07][\x04\x06\x08]", "a zip archive", None),
        (rb"Rar!\x1a\x07|7z\xbc\xaf'\x1c|\x1f\x8b\x08|BZh[1-9]|\xfd7zXZ\x00", "a packed file", None),
        (rb"\x7fELF|MZ.{58}|\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe", "a program", None),
        (rb"SQLite format 3\x00", "a database", None),
        (rb"%!PS", "PostScript, which clew does not read", None),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old Office, which clew does not read", None),
        (rb"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches the file itself", None),
        (rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?(?i:<(!doctype html|html|head|body))", "a web page", None),
        (rb"(\xef\xbb\xbf)?\s*<\?xml|(\xef\xbb\xbf)?\s*<svg", "XML", None),
        (rb"#EXTM3U", "a playlist, which clew does not follow", None),
    )
)  # fmt: skip
SHARED_CONTAINERS = {"video": "sound", "sound": "video"}  # decoders of the same container formats
DECODER_NOUNS = {
    "picture": "an image",
    "sound": "an audio file",
    "video": "a video",
    "document": "a PDF",
    "office": "a document",
    "web": "a web page",
    "message": "a message",
    "text": "text",
}


def sniff(head: bytes) -> FileType | None:
    """Return the type of a file by its first bytes; None if it is unknown."""
    file_type = next((file_type for signature, file_type in SIGNATURES if signature.match(head)), None)
    if file_type is None and head.strip(b"\0") and _is_text(head):
        return FileType("JSON" if head.lstrip()[:1] in (b"{", b"[") else "text")
    return file_type


def fallback_decoders(decoder: str, head: bytes) -> list[str]:
    """Return the other decoders to try on a file that this decoder cannot read."""
    if decoder not in DECODER_NOUNS:  # a caption belongs to its image, whatever its content
        return []
    file_type = sniff(head)
    likely = file_type and file_type.decoder
    names = (likely, SHARED_CONTAINERS.get(likely or ""))
    return [name for name in names if name is not None and name != decoder]


def mismatch_reason(reason: str, decoder: str, head: bytes) -> str:
    """Return the reason why a file cannot be read: that it has another type, if that is recognized."""
    file_type = sniff(head)
    if file_type is None or not reason.startswith(("not ", "of a format")):
        return reason
    if file_type.decoder is not None and file_type.decoder in (decoder, SHARED_CONTAINERS.get(decoder)):
        damaged = f"damaged: it starts as {file_type.description}, but the rest cannot be read"
        return damaged if decoder in SHARED_CONTAINERS else reason
    if decoder not in DECODER_NOUNS:
        return reason
    return f"not {DECODER_NOUNS[decoder]}: it seems to be {file_type.description}"


def _is_text(head: bytes) -> bool:
    """Return True if these bytes are text; the last character may be cut."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    plain = head.translate(None, bytes(range(32, 127)) + b"\t\n\r\f\b\x1b")
    if any(byte < 32 for byte in plain):
        return False
    try:
        head.decode() if len(head) < HEAD_BYTES else getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return len(plain) < len(head) / 10
    return True
