"""Chosen hits as a list of paths, a captions file, or a ZIP file."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import IO, Annotated, Literal
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from retrieval.catalog.browse.captions import captions_of
from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.normalization import without_surrogates
from retrieval.server.errors import NotFound, json_response
from retrieval.server.media_files import CHUNK_BYTES, content_disposition, download, open_media
from retrieval.server.schema.answers import SizeAnswer
from retrieval.server.schema.document import NOT_FOUND, with_content
from retrieval.server.worker import Worker
from retrieval.types import Filters, Hit

MAX_IDS = 10_000
MAX_ZIP_BYTES = 2_000_000_000
MIN_ZIP_TIME, MAX_ZIP_TIME = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
MISSING_NAME = "missing.txt"  # in a ZIP file: the files that could not be included, with reasons

EXPORT = {200: with_content("text/plain", "application/jsonl", "application/zip")} | NOT_FOUND
EXPORT[200]["content"] |= {"application/json": {"schema": SizeAnswer.model_json_schema()}}

router = APIRouter()


class ExportCall(BaseModel):
    """The hits to export, by id, and the format."""

    ids: Annotated[list[Annotated[int, Field(ge=1, lt=2**63)]], Field(min_length=1, max_length=MAX_IDS)]
    format: Literal["list", "null", "captions", "zip", "size"] = "list"


@router.post("/api/export", response_class=Response, responses=EXPORT)
async def export(request: Request, call: ExportCall) -> Response:
    """Return the paths of hits, their captions as JSON Lines, their files as ZIP, or the size of these.

    "list" has a path on each line, and "null" a NUL after each path, which may contain line breaks.
    """
    worker: Worker = request.app.state.worker
    return await worker.run(
        request, lambda: _export(worker.catalog, call), takes_long=call.format in ("zip", "size")
    )


def _export(catalog: Catalog, call: ExportCall) -> Response:
    hits = _distinct_files(catalog, call.ids)
    if call.format in ("list", "null"):
        end = b"\n" if call.format == "list" else b"\0"
        paths = b"".join(os.fsencode(hit.path) + end for hit in hits)
        return _download(paths, "clew-list.txt", "text/plain; charset=utf-8")
    if call.format == "captions":
        captions = captions_of(catalog, [hit.id for hit in hits])
        rows = [{"image": str(hit.path), "captions": captions[hit.id]} for hit in hits if hit.id in captions]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return _download(lines.encode(), "captions.jsonl", "application/jsonl")
    size = sum(_size(hit.path) for hit in hits)
    if call.format == "size":
        return json_response({"bytes": size, "files": len(hits)})
    if size > MAX_ZIP_BYTES:
        raise QueryError(f"The files have {size:,} bytes; a ZIP may have {MAX_ZIP_BYTES:,}. Export the list.")
    return download(_write_zip(catalog, hits), "clew.zip", "application/zip")


def _distinct_files(catalog: Catalog, ids: Sequence[int]) -> list[Hit]:
    """Return the hits in the order of their ids, one of each file; raises NotFound if none is left."""
    found = catalog.hits([(id_, 0.0) for id_ in dict.fromkeys(ids)], "", Filters())
    hits = list({hit.path: hit for hit in reversed(found)}.values())[::-1]
    if not hits:
        raise NotFound("None of these segments is in the library.")
    return hits


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # missing, or in an archive
        return 0


def _write_zip(catalog: Catalog, hits: Sequence[Hit]) -> IO[bytes]:
    """Return a temporary ZIP file; media are compressed already, so it only stores them."""
    file, names, missing = TemporaryFile(), set[str](), list[str]()  # noqa: SIM115 -- sent by the response
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for hit in hits:
            try:
                media = open_media(catalog, hit)
            except NotFound as error:
                missing.append(f"{hit.path}: {error}\n")
                continue
            entry = ZipInfo(_unused_name(hit.path.name, names), _zip_time(media.modified))
            entry.file_size = media.size  # larger ones than 2 GiB have another format
            with media.file as source, archive.open(entry, "w") as target:
                copyfileobj(source, target, CHUNK_BYTES)
        if missing:
            archive.writestr(MISSING_NAME, "".join(missing).encode("utf-8", "replace"))
    return file


def _zip_time(nanoseconds: int) -> tuple[int, int, int, int, int, int]:
    """Return a time in the time zone of this machine, within the years that a ZIP can hold."""
    try:
        at = time.localtime(nanoseconds // 10**9)
    except (ValueError, OverflowError, OSError):  # no year of the calendar
        return MIN_ZIP_TIME
    moment = at.tm_year, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec
    return min(max(moment, MIN_ZIP_TIME), MAX_ZIP_TIME)


def _unused_name(name: str, names: set[str]) -> str:
    """Return a name that the ZIP does not have yet, and add it."""
    path, number = Path(without_surrogates(name)), 1
    unused = path.name
    while unused in names or unused == MISSING_NAME:
        number += 1
        unused = f"{path.stem} ({number}){path.suffix}"
    names.add(unused)
    return unused


def _download(content: bytes, name: str, media_type: str) -> Response:
    headers = {"Content-Disposition": content_disposition(name, inline=False)}
    return Response(content, 200, headers, media_type)
