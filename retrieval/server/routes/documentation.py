"""A page that describes the API, and the files of the web page."""

import gzip
import hashlib
import re
from functools import lru_cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from retrieval.server.errors import NotFound

PAGE_FOLDER = Path(__file__).parents[1] / "page"
PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}

router = APIRouter()


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """Return the page."""
    return await run_in_threadpool(_page_file, request, "index.html")


@router.get("/page/{name:path}", include_in_schema=False)
async def page_file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    return await run_in_threadpool(_page_file, request, name)


def _page_file(request: Request, name: str) -> Response:
    """Return a file in the folder of the page; raises NotFound."""
    parts = name.split("/")
    content_type = PAGE_TYPES.get(Path(name).suffix)
    is_plain = all(re.fullmatch(r"\w[\w.-]*", part, re.ASCII) for part in parts)
    file = PAGE_FOLDER.joinpath(*parts) if is_plain and content_type else None
    if file is None or not file.is_file():
        raise NotFound("The page has no such file.")
    data = file.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_compressed(data), 200, headers | {"Content-Encoding": "gzip"}, content_type)
    return Response(data, 200, headers, content_type)


@lru_cache(maxsize=64)
def _compressed(data: bytes) -> bytes:
    """Return a file of the page as gzip; there are about 40, of 230 KB in all."""
    return gzip.compress(data, 9, mtime=0)


@router.get("/docs", include_in_schema=False)
async def documentation(request: Request) -> Response:
    """Return a page without scripts that lists the routes of the API."""
    schema = request.app.openapi()
    rows = []
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            parameters = ", ".join(
                f"{each['name']}{'' if each.get('required') else '?'}" for each in route.get("parameters", ())
            )
            cells = (f"{method.upper()} {path}", parameters, route.get("description", ""))
            rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>clew: API</title>"
        f"<h1>clew {escape(schema['info']['version'])}</h1><p>{escape(schema['info']['description'])} "
        f'<a href="/openapi.json">openapi.json</a></p><table>'
        f"<tr><th>route<th>parameters<th>description</tr>{''.join(rows)}</table></html>"
    )
