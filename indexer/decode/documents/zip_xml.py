"""Zip files of XML, opened within limits that do not depend on what the files declare."""

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
from retrieval.media.limits import DecodeLimits

CHUNK_BYTES = 1 << 16
LOCAL_HEADER_SIGNATURE = b"PK\3\4"
END_RECORD_SIGNATURE = b"PK\5\6"
ZIP64_END_RECORD_SIGNATURE = b"PK\6\6"
ZIP64_LOCATOR_SIGNATURE = b"PK\6\7"
ENCRYPTED_FLAG = 1  # of the flags of a member
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # of Office files before 2007, and of encrypted ones
ENCRYPTED_STREAM_NAME = "EncryptedPackage".encode("utf-16-le")


class ZipDocument:
    """The members of an open document, which unpacks at most `max_document_bytes` of them."""

    def __init__(self, zip_file: ZipFile, limits: DecodeLimits, *, truncated: bool = False) -> None:
        self._zip, self.limits = zip_file, limits
        self.member_names = frozenset(zip_file.namelist())
        self.remaining_bytes = limits.max_document_bytes
        self.truncated = truncated  # the file or a member ends early; it is read up to there

    def read_member(self, name: str) -> bytes:
        """Return a small member; empty if it is missing or the limit is reached. Raises MediaError."""
        if name not in self.member_names or self.remaining_bytes <= 0:
            return b""
        max_bytes = self.limits.max_document_part_bytes
        with self._open_member(name) as member:
            data = member.read(max_bytes + 1)
        self.remaining_bytes -= len(data)
        if len(data) > max_bytes:
            raise MediaError(f"{name} in it unpacks to more than {max_bytes:,} bytes")
        return data

    def read_xml(self, name: str) -> Element:
        """Return a small member as XML; an empty element if it is missing or malformed."""
        try:
            root: Element = fromstring(self.read_member(name) or b"<none/>")
            return root
        except (ParseError, ValueError):  # DefusedXmlException is a ValueError
            return Element("none")

    def read_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member up to the limit."""
        with self._open_member(name) as member:
            while self.remaining_bytes > 0 and (chunk := member.read(min(CHUNK_BYTES, self.remaining_bytes))):
                self.remaining_bytes -= len(chunk)
                yield chunk

    def parse_member(self, name: str, target: Any) -> Iterator[None]:
        """Parse a member, and yield after each chunk; set `truncated` if it ends early."""
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
def open_zip_document(file: BinaryIO, limits: DecodeLimits) -> Iterator[ZipDocument]:
    """Open a document; raises MediaError if it is none, encrypted or damaged."""
    complete = _check_zip(file, limits)
    try:
        with (
            nullcontext(file) if complete else _rebuild_truncated(file, limits) as source,
            ZipFile(source) as zip_file,
        ):
            yield ZipDocument(zip_file, limits, truncated=not complete)
    except RuntimeError as error:  # zipfile raises it for an encrypted member
        if "password" in str(error) or "encrypted" in str(error):
            raise MediaError("needs a password") from error
        raise MediaError(f"damaged: {_error_message(error)}") from error
    except DefusedXmlException as error:
        raise MediaError("its XML defines entities, which can expand without limit") from error
    except (BadZipFile, ParseError, zlib.error, EOFError, ValueError, OSError) as error:
        reason = _error_message(error) if complete else "truncated before its text"
        raise MediaError(f"damaged: {reason}") from error


def _error_message(error: Exception) -> str:
    """Return an error of zipfile or zlib as a reason without bytes of the file."""
    text = str(error)
    if text.startswith(("File name in", "Bad magic")):
        return "its central directory does not match its members"
    return text.removeprefix("Error -3 while decompressing data: ")[:100] or type(error).__name__


def _check_zip(file: BinaryIO, limits: DecodeLimits) -> bool:
    """Return True if the file has a central directory, False if it is truncated.

    Raises MediaError if it is not a zip file, or has a central directory larger than any document's.
    """
    start = file.read(1 << 16)
    if not start:
        raise MediaError("empty file")
    if start.startswith(OLE_SIGNATURE):
        file.seek(0)
        if ENCRYPTED_STREAM_NAME in file.read(limits.max_document_part_bytes):
            raise MediaError("needs a password")
        raise MediaError("of an old Office format, which clew does not read. Save it as .docx, .pptx or .odt")
    if not start.startswith(b"PK"):
        raise MediaError(f"not a document: it starts with {start[:8]!r}")
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    position = tail.rfind(END_RECORD_SIGNATURE)
    if position < 0:
        return False
    directory_bytes = int.from_bytes(tail[position + 12 : position + 16], "little")
    if tail[position - 20 : position - 16] == ZIP64_LOCATOR_SIGNATURE and position >= 20:
        file.seek(min(size, struct.unpack("<Q", tail[position - 12 : position - 4])[0]))
        end = file.read(48)
        directory_bytes = (
            int.from_bytes(end[40:48], "little")
            if end.startswith(ZIP64_END_RECORD_SIGNATURE)
            else limits.max_document_directory_bytes + 1
        )
    if directory_bytes > limits.max_document_directory_bytes:
        raise MediaError(f"more members than any document has: {directory_bytes:,} bytes of directory")
    return True


def _rebuild_truncated(file: BinaryIO, limits: DecodeLimits) -> BytesIO:
    """Return a truncated zip with a new central directory; the last member may be incomplete."""
    file.seek(0)
    data, rebuilt = file.read(limits.max_repair_bytes), BytesIO()
    left, at = limits.max_document_bytes, 0
    with ZipFile(rebuilt, "w", ZIP_DEFLATED) as zipped, suppress(struct.error, ValueError):
        while data.startswith(LOCAL_HEADER_SIGNATURE, at) and left > 0:
            flags, method = struct.unpack_from("<HH", data, at + 6)
            size, _, name_length, extra_length = struct.unpack_from("<LLHH", data, at + 18)
            start = at + 30 + name_length + extra_length
            if flags & ENCRYPTED_FLAG or method not in (ZIP_STORED, ZIP_DEFLATED):
                break
            if method == ZIP_DEFLATED:
                unpacked, end = _inflate(data, start, left)
            else:
                unpacked, end = data[start : start + size], start + size
            left -= len(unpacked)
            name = data[at + 30 : at + 30 + name_length].decode("utf-8", "replace").partition("\0")[0]
            if name and name not in zipped.NameToInfo:
                zipped.writestr(name, unpacked)
            at = data.find(LOCAL_HEADER_SIGNATURE, end)
    rebuilt.seek(0)
    return rebuilt


def _inflate(data: bytes, start: int, max_bytes: int) -> tuple[bytes, int]:
    """Return the content of a member, as far as it is intact and at most `max_bytes`, and its end."""
    unpacker, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    with suppress(zlib.error):
        while not unpacker.eof and start < len(data) and len(unpacked) < max_bytes:
            chunk = data[start : start + CHUNK_BYTES]
            unpacked += unpacker.decompress(chunk, max_bytes - len(unpacked))
            start += len(chunk) - len(unpacker.unused_data)
    return bytes(unpacked), start


def resolve_reference(base: str, target: str) -> str:
    """Return the path of the member to which a member refers."""
    if target.startswith("/"):
        return target.lstrip("/")
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))
