"""A segment: its details, thumbnail, media, text and clip."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from retrieval.catalog.browse.display import display_of
from retrieval.catalog.browse.passages import passages_around, recognized_on_page
from retrieval.catalog.reader import Catalog
from retrieval.errors import MediaError, QueryError
from retrieval.query.ast import File
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.server.errors import NotFound, json_response
from retrieval.server.items import items_of
from retrieval.server.media_files import (
    CACHE_CONTROL,
    DOWNLOAD_TYPE,
    MediaFile,
    content_type,
    download,
    find_hit,
    media_response,
    not_modified,
    open_media,
)
from retrieval.server.queries.query_tokens import with_pictures
from retrieval.server.schema.answers import PassagesAnswer, SegmentAnswer, SegmentsAnswer, WordsAnswer
from retrieval.server.schema.document import (
    NO_BODY,
    NOT_FOUND,
    ByteRange,
    Etag,
    RangeEtag,
    SegmentId,
    with_content,
    with_json,
)
from retrieval.server.worker import Worker
from retrieval.types import CONFIDENCE_THRESHOLD, PAGE_BOX_SIDE, FileDetails, Filters, Hit

EXPLAINED_HITS = 200  # of a query, among which a segment is explained
MAX_SEGMENTS = 1_000  # of an answer
MAX_NEIGHBORS = 200  # passages before and after
MAX_CLIP_SECONDS = 600.0
MAX_RENDERED_SIDE = 4_096  # pixels
DEFAULT_RENDERED_SIDE = 1_600

THUMBNAIL = {200: with_content("image/webp")} | NOT_FOUND | NO_BODY
MEDIA = {
    200: with_content("*/*"),
    206: with_content("*/*"),
    416: {"description": "The range is not in the file."},
    **(NOT_FOUND | NO_BODY),
}
CLIP = {200: with_content(DOWNLOAD_TYPE)} | NOT_FOUND

router = APIRouter()


class SegmentsCall(BaseModel):
    """The segments to describe, by id."""

    ids: Annotated[list[Annotated[int, Field(ge=1, lt=2**63)]], Field(min_length=1, max_length=MAX_SEGMENTS)]


@router.post("/api/segments", responses=with_json(SegmentsAnswer))
async def describe_segments(request: Request, call: SegmentsCall) -> Response:
    """Return segments as a search returns hits, in the order of their ids; unknown ones are left out."""
    catalog = request.app.state.worker.catalog

    def read() -> Response:
        hits = catalog.hits([(id_, 0.0) for id_ in dict.fromkeys(call.ids)], "", Filters())
        return json_response({"items": items_of(catalog, hits)})

    return await request.app.state.worker.run(request, read)  # type: ignore[no-any-return]


@router.get("/api/segments/{segment}", responses=with_json(SegmentAnswer, is_found=True))
async def details(
    request: Request, segment: SegmentId, q: Annotated[str, Query(max_length=4_000)] = ""
) -> Response:
    """Return everything that the library knows of a segment, and why it matches a query."""
    worker = request.app.state.worker
    find_picture = request.app.state.pictures.find

    def read() -> Response:
        hit = find_hit(worker.catalog, segment)
        found = worker.library.details(segment)
        [item] = items_of(worker.catalog, [hit])
        scenes = [each for each in found.segments if each.kind == "video"]
        return json_response(
            item
            | {
                "details": describe(hit, found),
                "why": _explain(worker, hit, q, find_picture) if q.strip() else [],
                "scenes": [{"id": each.id, "start": each.start, "end": each.end} for each in scenes],
            }
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]


def describe(hit: Hit, file: FileDetails) -> dict[str, object]:
    """Return the details of the file of a segment, in the keys of the API."""
    names = ("width", "height", "camera", "lens", "latitude", "longitude", "taken", "rating")
    own = next((each for each in file.segments if each.id == hit.id), None)
    captions = [caption.text for caption in file.captions]
    return {name: getattr(file, name) for name in names} | {
        "size_bytes": file.size,
        "modified": file.time,
        "tags": list(file.keywords),
        "labels": [asdict(label) for label in file.labels],
        "caption": captions[0] if captions else None,
        "captions": captions,
        "recognized": [
            {"text": each.text, "box": each.box}
            for each in file.segments
            if each.origin == "ocr" and each.page == hit.page and each.text
        ],
        "copies": [str(path) for path in file.copies],
        "root": str(file.root),
        "content_type": content_type(hit),
        "shown": _shown(hit)[0],
        "media": _shown(hit)[1],
        "origin": None if own is None else own.origin,
    }


def _shown(hit: Hit) -> tuple[str, str | None]:
    """Return how the page shows the file of a hit, and the address of what it shows."""
    kind, address = content_type(hit), f"/api/segments/{hit.id}/media"
    if kind == "application/pdf":
        return "page", f"{address}?page={hit.page or 1}&width={DEFAULT_RENDERED_SIDE}"
    shown = kind.partition("/")[0]
    if shown in ("image", "video", "audio"):
        return shown, address
    if hit.kind == "image":  # in a format that browsers do not know
        return "image", f"{address}?width={2 * DEFAULT_RENDERED_SIDE}"
    return ("text", address) if hit.text is not None and hit.source is None else ("none", None)


def _explain(worker: Worker, hit: Hit, q: str, find_picture: object) -> list[dict[str, object]]:
    """Return the terms of a query with their scores for a segment, if it is among the best hits."""
    query = with_pictures(parse(q), find_picture)  # type: ignore[arg-type]
    operands = [term.operand for part in query.alternatives for term in part.terms]
    if not operands:
        return []
    pictures = {operand.path for operand in operands if isinstance(operand, File)}
    options = SearchOptions(why=True)
    hits = worker.library.search(query, count=EXPLAINED_HITS, options=options)
    found = next((each for each in hits if each.id == hit.id), None)
    terms = () if found is None else found.why
    return [
        {
            "term": "the picture" if term.asked in pictures else term.asked,
            "weight": term.weight,
            "score": term.score,
            "tick": CONFIDENCE_THRESHOLD,
        }
        for term in terms
    ]


@router.get("/api/segments/{segment}/thumbnail", response_class=Response, responses=THUMBNAIL)
async def thumbnail(request: Request, segment: SegmentId, etag: Etag = None) -> Response:
    """Return the stored thumbnail as WebP of at most 320 pixels a side."""
    worker = request.app.state.worker

    def read() -> Response:
        webp = worker.library.thumbnail(find_hit(worker.catalog, segment))
        if webp is None:
            raise NotFound(f"No thumbnail of #{segment} is stored.")
        headers = {"ETag": f'"{hashlib.sha256(webp).hexdigest()[:16]}"', "Cache-Control": CACHE_CONTROL}
        return not_modified(headers, etag) or Response(webp, 200, headers, "image/webp")

    return await run_in_threadpool(read)


@router.get("/api/segments/{segment}/media", response_class=Response, responses=MEDIA)
async def media(
    request: Request,
    segment: SegmentId,
    as_download: Annotated[bool, Query(alias="download")] = False,
    page: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    width: Annotated[int | None, Query(ge=16, le=MAX_RENDERED_SIDE)] = None,
    byte_range: ByteRange = None,
    if_range: RangeEtag = None,
    etag: Etag = None,
) -> Response:
    """Return the file of a segment, or a range of it. Types that could run scripts are downloads.

    With `width`, return an image or a page as WebP with at most so many pixels on its longer side.
    """
    worker = request.app.state.worker
    catalog = worker.catalog

    def render() -> Response:
        hit = find_hit(catalog, segment)
        return render_media(open_media(catalog, hit), hit, page, width or DEFAULT_RENDERED_SIDE, etag)

    if width is not None or page is not None:
        return await worker.run(request, render, takes_long=True)  # type: ignore[no-any-return]

    def read() -> Response:
        opened = open_media(catalog, find_hit(catalog, segment))
        part = byte_range if if_range in (None, opened.etag) else None  # of another version: send all
        return media_response(opened, part, as_download, etag)

    return await run_in_threadpool(read)


def render_media(media: MediaFile, hit: Hit, page: int | None, side: int, etag: str | None) -> Response:
    """Return an image or a page of a PDF as WebP; raises QueryError if it cannot be rendered."""
    from retrieval.media.rendering import render_image, render_page  # late: most requests decode nothing

    is_document, shown_page = hit.path.suffix.lower() == ".pdf", page or hit.page or 1
    headers = {"ETag": f'{media.etag[:-1]}-{shown_page}-{side}"', "Cache-Control": CACHE_CONTROL}
    with media.file:
        if (answer := not_modified(headers, etag)) is not None:
            return answer
        try:
            if is_document:
                webp = render_page(media.file, shown_page, side)
            elif hit.kind == "image":
                webp = render_image(media.file, side)
            else:
                raise QueryError(f"{media.name} is no image and has no pages. Leave out page and width.")
        except (MediaError, OSError) as error:
            raise QueryError(f"{media.name} cannot be shown: {error}.") from error
    return Response(webp, 200, headers, "image/webp")


@router.get("/api/segments/{segment}/text", responses=with_json(PassagesAnswer, is_found=True))
async def text(
    request: Request, segment: SegmentId, around: Annotated[int, Query(ge=0, le=MAX_NEIGHBORS)] = 40
) -> Response:
    """Return a passage with those before and after it."""
    catalog = request.app.state.worker.catalog

    def read() -> Response:
        hit = find_hit(catalog, segment)
        passages = passages_around(catalog, segment, around)
        return json_response({"id": segment, "name": hit.path.name, "passages": list(map(asdict, passages))})

    return await run_in_threadpool(read)


@router.get("/api/segments/{segment}/words", responses=with_json(WordsAnswer, is_found=True))
async def words(
    request: Request,
    segment: SegmentId,
    word: Annotated[
        list[Annotated[str, Query(min_length=1, max_length=100)]] | None, Query(max_length=20)
    ] = None,
) -> Response:
    """Return where words are on the page of a PDF, as shares of its width and height.

    On a scanned page, `passages` has the boxes of the recognized passages that contain one of the words.
    """
    worker = request.app.state.worker

    def read() -> Response:
        from retrieval.media.rendering import find_words  # late: most requests decode nothing

        hit = find_hit(worker.catalog, segment)
        boxes, passages = [], []
        if word and hit.path.suffix.lower() == ".pdf":
            opened = open_media(worker.catalog, hit)
            with opened.file:
                try:
                    boxes = find_words(opened.file, hit.page or 1, word)
                except (MediaError, OSError) as error:
                    raise QueryError(f"{opened.name} cannot be read: {error}.") from error
            passages = _passages_with(worker.catalog, hit, word)
        return json_response({"boxes": boxes, "passages": passages})

    return await worker.run(request, read, takes_long=True)  # type: ignore[no-any-return]


def _passages_with(catalog: Catalog, hit: Hit, words: Sequence[str]) -> list[list[float]]:
    """Return the boxes of recognized passages in which a word begins with one of some words, as shares."""
    ratio = display_of(catalog, [hit])[hit.id].ratio
    if ratio is None:
        return []
    size = PAGE_BOX_SIDE * min(1.0, ratio), PAGE_BOX_SIDE * min(1.0, 1 / ratio)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}" for word in words), re.IGNORECASE)
    return [
        [round(length / side, 5) for length, side in zip(box, size * 2, strict=True)]
        for text, box in recognized_on_page(catalog, hit.id)
        if pattern.search(text)
    ]


@router.get("/api/segments/{segment}/clip", response_class=Response, responses=CLIP)
async def clip(
    request: Request,
    segment: SegmentId,
    start: Annotated[float | None, Query(ge=0, lt=1e7)] = None,
    end: Annotated[float | None, Query(ge=0, lt=1e7)] = None,
) -> Response:
    """Cut a moment out of a video or audio file; without times, the one that the segment covers."""
    worker, pictures = request.app.state.worker, request.app.state.pictures

    def cut() -> Response:
        hit = find_hit(worker.catalog, segment)
        if not hit.timed:
            raise QueryError(f"{hit.path.name} is no video or audio file, so no moment can be cut out of it.")
        open_media(worker.catalog, hit).file.close()  # only files that are still the indexed ones
        first = hit.start or 0.0 if start is None else start
        last = (hit.end or first + 1.0) if end is None else end
        if not 0 < last - first <= MAX_CLIP_SECONDS:
            raise QueryError(
                f"Invalid times. A clip has more than 0 and at most {MAX_CLIP_SECONDS:.0f} seconds."
            )
        return cut_response(hit.path, first, last, pictures.open_folder())

    return await worker.run(request, cut, takes_long=True)  # type: ignore[no-any-return]


def cut_response(path: Path, first: float, last: float, temporary: Path) -> Response:
    """Return a part of a file, cut in a temporary folder, as a download; raises QueryError if it cannot."""
    from retrieval.media.av.clip import write_clip  # late: it imports the decoders

    suffix = path.suffix.lower() or ".mp4"
    with TemporaryDirectory(dir=temporary, ignore_cleanup_errors=True) as folder:
        out = Path(folder) / f"clip{suffix}"
        try:
            write_clip(path, out, first, last)
        except MediaError as error:
            raise QueryError(f"This moment cannot be cut out: {error}.") from error
        file = out.open("rb")  # its bytes remain after the folder is deleted
    name = f"{path.stem} {first:.1f}-{last:.1f}{suffix}"
    return download(file, name, DOWNLOAD_TYPE)
