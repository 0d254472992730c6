"""Open the file of a segment, if it is the file that was indexed."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from retrieval.catalog.browse.indexed_files import IndexedFile, indexed_file
from retrieval.catalog.reader import Catalog
from retrieval.errors import MediaError
from retrieval.media.archives.archive import open_path, split_archive_path
from retrieval.media.regular_file import open_regular_file
from retrieval.server.errors import NotFound, error_response
from retrieval.types import Filters, Hit

CHUNK_BYTES = 262_144
# A browser compares the ETag before it shows its copy: the next library on this port has the same addresses.
CACHE_CONTROL = "private, no-cache"
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
DOWNLOAD_TYPE = "application/octet-stream"
# Types that a browser shows without running anything in them. Others, such as SVG and HTML, are downloads.
CONTENT_TYPES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg"),
    **{f".{name}": f"image/{name}" for name in ("png", "gif", "webp", "avif", "bmp")},
    **dict.fromkeys((".mp4", ".m4v"), "video/mp4"),
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".ogv": "video/ogg",
    ".mp3": "audio/mpeg",
    **dict.fromkeys((".m4a", ".aac"), "audio/mp4"),
    **dict.fromkeys((".ogg", ".oga", ".opus"), "audio/ogg"),
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".pdf": "application/pdf",
}
TEXT_TYPE = "text/plain; charset=utf-8"
# A document of these types has no rights, even if a browser opens it in a tab.
MEDIA_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """An open file and how it is sent."""

    file: BinaryIO
    size: int
    name: str
    content_type: str
    etag: str
    modified: int  # nanoseconds since 1970


def find_hit(catalog: Catalog, segment: int) -> Hit:
    """Return a segment as a hit without a score; raises NotFound."""
    hits = catalog.hits([(segment, 0.0)], "", Filters()) if 0 < segment < 2**63 else []
    if not hits:
        raise NotFound(f"No segment #{segment} in this library.")
    return hits[0]


def content_type(hit: Hit) -> str:
    """Return the type with which the file of a hit is sent."""
    suffix = hit.path.suffix.lower()
    if suffix in CONTENT_TYPES:
        return CONTENT_TYPES[suffix]
    is_markup = suffix in (".html", ".htm", ".xhtml", ".svg", ".svgz", ".xml", ".mht", ".mhtml")
    return TEXT_TYPE if hit.kind == "text" and hit.source is None and not is_markup else DOWNLOAD_TYPE


def open_media(catalog: Catalog, hit: Hit) -> MediaFile:
    """Open the file of a hit. Raises NotFound if it is missing or not the file that was indexed."""
    indexed = indexed_file(catalog, hit.path)
    if indexed is None:
        raise NotFound(f"{hit.path.name} is no longer in the library.")
    try:
        file = _open_indexed(catalog, hit.path, indexed)
    except (OSError, MediaError, ValueError) as error:
        if hit.offline:
            raise NotFound(f"{hit.path.name} is offline: its folder is not available now.") from error
        raise NotFound(
            f"{hit.path.name} cannot be opened. Run `clew index` to update the library."
        ) from error
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    etag = f'"{size:x}-{indexed.modified:x}"'
    return MediaFile(file, size, hit.path.name, content_type(hit), etag, indexed.modified)


def _open_indexed(catalog: Catalog, path: Path, indexed: IndexedFile) -> BinaryIO:
    """Open a file and compare it with what was indexed; raises OSError, MediaError and NotFound."""
    encoded = os.fsencode(path)
    try:
        file = open_regular_file(encoded)
    except NotADirectoryError:
        location = split_archive_path(encoded)
        if location is None:
            raise
        with open_regular_file(location[0]) as archive:
            status = os.fstat(archive.fileno())
            expected = catalog.archive_stats().get(location[0])
            _check_place(location[0], archive.fileno(), indexed, is_same=False)
        if expected != (status.st_size, status.st_mtime_ns):
            raise _changed(path) from None
        return open_path(path)
    try:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (indexed.size, indexed.modified):
            raise _changed(path)
        _check_place(encoded, file.fileno(), indexed, is_same=status.st_ctime_ns == indexed.changed)
    except BaseException:
        file.close()
        raise
    return file


def _check_place(path: bytes, descriptor: int, indexed: IndexedFile, *, is_same: bool) -> None:
    """Raise NotFound for a link out of the indexed folders, unless its target has not changed at all."""
    link = Path(f"/proc/self/fd/{descriptor}")
    real = os.fsencode(link.readlink()) if link.is_symlink() else os.path.realpath(path)
    folders = (os.path.realpath(indexed.root), *indexed.linked_folders)
    is_inside = any(real.startswith(folder.rstrip(b"/") + b"/") for folder in folders)
    if not is_inside and not is_same:
        raise NotFound("The file is a link to another place than when it was indexed.")


def _changed(path: Path) -> NotFound:
    return NotFound(f"{path.name} has changed since it was indexed. Run `clew index` to update the library.")


def not_modified(headers: dict[str, str], etag: str | None) -> Response | None:
    """Return the response to a client that has this ETag, None for others.

    It has all headers of the complete response, because they replace those of the client's copy.
    """
    return Response(status_code=304, headers=headers) if etag == headers["ETag"] else None


def media_response(
    media: MediaFile, range_header: str | None, download: bool, etag: str | None = None
) -> Response:
    """Return the response with a file, or with the range of it that is requested; RFC 9110, section 14."""
    is_inline = not download and media.content_type != DOWNLOAD_TYPE
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": media.etag,
        "Cache-Control": CACHE_CONTROL,
        "Content-Security-Policy": MEDIA_POLICY,
        "Content-Disposition": content_disposition(media.name, inline=is_inline),
    }
    if (answer := not_modified(headers, etag)) is not None:
        media.file.close()
        return answer
    first, last = 0, media.size - 1
    status = 200
    if range_header is not None and (match := RANGE.fullmatch(range_header.strip())):
        start, end = match.groups()
        if start:
            first, last = int(start), min(int(end or last), last)
        elif end:
            first = max(0, media.size - int(end))
        if first > last or not (start or end):
            media.file.close()
            headers["Content-Range"] = f"bytes */{media.size}"
            return error_response(416, "This range is not in the file.", headers=headers)
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last}/{media.size}"
    return OpenFileResponse(media.file, range(first, last + 1), status, headers, media.content_type)


class OpenFileResponse(StreamingResponse):
    """A part of an open file, which is closed in the end, even if the client leaves before the first byte."""

    def __init__(self, file: IO[bytes], part: range, status: int, headers: dict[str, str], kind: str) -> None:
        headers = headers | {"Content-Length": str(len(part))}
        super().__init__(_read(file, part), status, headers, kind)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _read(file: IO[bytes], part: range) -> Iterator[bytes]:
    """Yield a part of a file."""
    file.seek(part.start)
    remaining = len(part)
    while remaining and (chunk := file.read(min(CHUNK_BYTES, remaining))):
        remaining -= len(chunk)
        yield chunk


def download(file: IO[bytes], name: str, kind: str) -> Response:
    """Return a response with an open file as a download."""
    headers = {"Content-Disposition": content_disposition(name, inline=False)}
    return OpenFileResponse(file, range(file.seek(0, os.SEEK_END)), 200, headers, kind)


def content_disposition(name: str, *, inline: bool) -> str:
    """Return the header that names a file; RFC 6266."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
