"""Tell what a file is whose suffix lies: by its first bytes, for a decoder or for a person."""

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

HEAD_BYTES = 4_096  # bytes
IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"crx ")


class FileType(NamedTuple):
    """What a file seems to be, in words, and the reader of such files."""

    description: str
    decoder: str | None = None


SIGNATURES = tuple(
    (re.compile(mark, re.S), FileType(words, reader))
    for mark, words, reader in (
        (rb"\xff\xd8\xff", "a JPEG", "picture"),
        (rb"\x89PNG\r\n", "a PNG", "picture"),
        (rb"GIF8[79]a", "a GIF", "picture"),
        (rb"RIFF....WEBP", "a WebP", "picture"),
        (rb"8BPS\x00[\x01\x02]", "a Photoshop file", "picture"),
        (rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+", "a TIFF", "picture"),
        (rb"....ftyp(" + b"|".join(IMAGE_BRANDS) + rb")", "a picture", "picture"),
        (rb"....ftyp(M4A|M4B)", "a sound", "sound"),
        (rb"....(ftyp|moov|mdat)", "a video", "video"),
        (rb"\x1aE\xdf\xa3", "a video", "video"),
        (rb"RIFF....AVI |FLV\x01|\x00\x00\x01\xba|0&\xb2u\x8ef", "a video", "video"),
        (rb"RIFF....WAVE|ID3[\x02-\x04]|fLaC|OggS|FORM....AIF|#!AMR", "a sound", "sound"),
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
SHARED_CONTAINERS = {"video": "sound", "sound": "video"}  # what is kept in the same containers
DECODER_NOUNS = {
    "picture": "a picture",
    "sound": "a sound",
    "video": "a video",
    "document": "a PDF",
    "office": "a document",
    "web": "a web page",
    "text": "text",
}


def sniff(head: bytes) -> FileType | None:
    """Return what a file seems to be by its first bytes; None where nothing tells."""
    found = next((meant for mark, meant in SIGNATURES if mark.match(head)), None)
    if found is None and head.strip(b"\0") and _is_text(head):
        return FileType("JSON" if head.lstrip()[:1] in (b"{", b"[") else "text")
    return found


def fallback_decoders(decoder: str, head: bytes) -> list[str]:
    """Return what else may read a file that this reader cannot."""
    if decoder not in DECODER_NOUNS:  # a caption belongs to its picture, whatever is in it
        return []
    found = sniff(head)
    likely = None if found is None or found.decoder is None else found.decoder
    every = (likely, SHARED_CONTAINERS.get(likely or ""))
    return [each for each in every if each is not None and each != decoder]


def mismatch_reason(reason: str, decoder: str, head: bytes) -> str:
    """Return why a file cannot be read: that it is something else, if it seems so."""
    found = sniff(head)
    if found is None or not reason.startswith(("not ", "of a format")):
        return reason
    if found.decoder is not None and found.decoder in (decoder, SHARED_CONTAINERS.get(decoder)):
        begun = f"damaged: it begins as {found.description} and goes on as none"
        return begun if decoder in SHARED_CONTAINERS else reason
    return (
        reason
        if decoder not in DECODER_NOUNS
        else f"not {DECODER_NOUNS[decoder]}: it seems to be {found.description}"
    )


def _is_text(head: bytes) -> bool:
    """Say whether these bytes are letters, of UTF-8 or of a byte each; the last may be cut."""
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
