"""Documents that are zip files of XML: opened within limits, whatever they say of themselves."""

import posixpath
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from typing import IO, Any, BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, fromstring

from retrieval.errors import MediaError

MAX_DIRECTORY_BYTES = 20_000_000  # bytes of a zip's list of members, about 200,000 of them
MAX_UNPACKED_BYTES = 100_000_000  # bytes of a document's text and mark-up, unpacked
MAX_SMALL_MEMBER_BYTES = 5_000_000  # bytes of what only says where things are
CHUNK_BYTES = 1 << 16

MAX_REPAIR_BYTES = 200_000_000  # bytes of a document that is mended

LOCAL_HEADER_SIGNATURE, END_RECORD_SIGNATURE, ZIP64_END_RECORD_SIGNATURE, ZIP64_LOCATOR_SIGNATURE = (
    b"PK\3\4",
    b"PK\5\6",
    b"PK\6\6",
    b"PK\6\7",
)
ENCRYPTED_FLAG = 1  # flag of a member
OLE_SIGNATURE = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how old Office files begin, and new ones that are locked
)
ENCRYPTED_STREAM_NAME = "EncryptedPackage".encode("utf-16-le")


class ZipDocument:
    """The members of an open document; no more is unpacked of them all than MOST_READ bytes."""

    def __init__(self, zip_file: ZipFile, *, truncated: bool = False) -> None:
        self._zip = zip_file
        self.member_names = frozenset(zip_file.namelist())
        self.remaining_bytes = MAX_UNPACKED_BYTES
        self.truncated = truncated  # off, and read up to there

    def read_member(self, name: str) -> bytes:
        """Return a small member, empty where there is none or no more may be read; raises MediaError."""
        if name not in self.member_names or self.remaining_bytes <= 0:
            return b""
        with self._open_member(name) as member:
            data = member.read(MAX_SMALL_MEMBER_BYTES + 1)
        self.remaining_bytes -= len(data)
        if len(data) > MAX_SMALL_MEMBER_BYTES:
            raise MediaError(f"{name} in it unpacks to more than {MAX_SMALL_MEMBER_BYTES:,} bytes")
        return data

    def read_xml(self, name: str) -> Element:
        """Return a small member as XML; an empty element where there is none or it is broken."""
        try:
            root: Element = fromstring(self.read_member(name) or b"<none/>")
            return root
        except (ParseError, ValueError):  # DefusedXmlException is a ValueError
            return Element("none")

    def read_chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes, until all is read that may be."""
        with self._open_member(name) as member:
            while self.remaining_bytes > 0 and (chunk := member.read(min(CHUNK_BYTES, self.remaining_bytes))):
                self.remaining_bytes -= len(chunk)
                yield chunk

    def parse_member(self, name: str, target: Any) -> Iterator[None]:
        """Parse a member into a target of `start`, `end` and `data`, some at a time; it may break off."""
        parser = DefusedXMLParser(target=target)
        try:
            for chunk in self.read_chunks(name):
                parser.feed(chunk)
                yield
            if self.remaining_bytes > 0:
                parser.close()
        except ParseError:
            if not target.started:
                raise
            self.truncated = True
            yield

    def _open_member(self, name: str) -> IO[bytes]:
        return self._zip.open(name)


@contextmanager
def open_zip_document(file: BinaryIO) -> Iterator[ZipDocument]:
    """Open a document; raises MediaError with a reason a person understands."""
    whole = _check_zip(file)
    try:
        with nullcontext(file) if whole else _rebuild_truncated(file) as there, ZipFile(there) as zipped:
            yield ZipDocument(zipped, truncated=not whole)
    except RuntimeError as error:  # what zipfile raises of an encrypted member
        if "password" in str(error) or "encrypted" in str(error):
            raise MediaError("needs a password") from error
        raise MediaError(f"damaged: {_error_message(error)}") from error  # NotImplementedError is one, too
    except DefusedXmlException as error:
        raise MediaError("its XML defines entities, which no document needs and bombs are made of") from error
    except (BadZipFile, ParseError, zlib.error, EOFError, ValueError, OSError) as error:
        reason = _error_message(error) if whole else "it breaks off before its text"
        raise MediaError(f"damaged: {reason}") from error


def _error_message(error: Exception) -> str:
    """Return what a person can make of an error, whose text may hold bytes of the file."""
    text = str(error)
    if text.startswith(("File name in", "Bad magic")):
        return "its list of members does not fit them"
    return text.removeprefix("Error -3 while decompressing data: ")[:100] or type(error).__name__


def _check_zip(file: BinaryIO) -> bool:
    """Refuse what is no zip file, and one whose list of members alone is more than a document.

    Returns whether it has that list.
    """
    start = file.read(1 << 16)
    if not start:
        raise MediaError("empty file")
    if start.startswith(OLE_SIGNATURE):
        file.seek(0)
        if ENCRYPTED_STREAM_NAME in file.read(MAX_SMALL_MEMBER_BYTES):
            raise MediaError("needs a password")
        raise MediaError("of an old Office format, which clew does not read; save it as .docx, .pptx or .odt")
    if not start.startswith(b"PK"):
        raise MediaError(f"not a document: it begins with {start[:8]!r}")
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(END_RECORD_SIGNATURE)
    if at < 0:
        return False
    listed = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[at - 20 : at - 16] == ZIP64_LOCATOR_SIGNATURE and at >= 20:
        file.seek(min(size, struct.unpack("<Q", tail[at - 12 : at - 4])[0]))
        end = file.read(48)
        listed = (
            int.from_bytes(end[40:48], "little")
            if end.startswith(ZIP64_END_RECORD_SIGNATURE)
            else MAX_DIRECTORY_BYTES + 1
        )
    if listed > MAX_DIRECTORY_BYTES:
        raise MediaError(f"it lists more members than any document: {listed:,} bytes of them")
    return True


def _rebuild_truncated(file: BinaryIO) -> BytesIO:
    """Return a zip that breaks off with a new list of its members, the last one as far as it goes."""
    file.seek(0)
    data, made, left, at = file.read(MAX_REPAIR_BYTES), BytesIO(), MAX_UNPACKED_BYTES, 0
    with ZipFile(made, "w", ZIP_DEFLATED) as zipped, suppress(struct.error, ValueError):
        while data.startswith(LOCAL_HEADER_SIGNATURE, at) and left > 0:
            flags, method = struct.unpack_from("<HH", data, at + 6)
            size, _, named, more = struct.unpack_from("<LLHH", data, at + 18)
            start = at + 30 + named + more
            if flags & ENCRYPTED_FLAG or method not in (ZIP_STORED, ZIP_DEFLATED):
                break
            if method == ZIP_DEFLATED:
                unpacked, end = _inflate(data, start, left)
            else:
                unpacked, end = data[start : start + size], start + size
            left -= len(unpacked)
            name = data[at + 30 : at + 30 + named].decode("utf-8", "replace").partition("\0")[0]
            if name and name not in zipped.NameToInfo:
                zipped.writestr(name, unpacked)
            at = data.find(LOCAL_HEADER_SIGNATURE, end)
    made.seek(0)
    return made


def _inflate(data: bytes, start: int, max_bytes: int) -> tuple[bytes, int]:
    """Return what a member unpacks to, at most so much and as far as it can be, and where it ends."""
    unpacker, done = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    with suppress(zlib.error):
        while not unpacker.eof and start < len(data) and len(done) < max_bytes:
            chunk = data[start : start + CHUNK_BYTES]
            done += unpacker.decompress(chunk, max_bytes - len(done))
            start += len(chunk) - len(unpacker.unused_data)
    return bytes(done), start


def resolve_reference(base: str, target: str) -> str:
    """Return the member that a reference in another member means."""
    if target.startswith("/"):
        return target.lstrip("/")
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))
