"""Answer the calls of agents: hits, pictures, details and counts, in a compact form."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

from retrieval.catalog.browse.facets import facets
from retrieval.catalog.browse.places import places_of
from retrieval.errors import MediaError, QueryError
from retrieval.formatting import printable
from retrieval.media.rendering import render_page
from retrieval.server.dialects.contact_sheet import contact_sheet, encode_jpeg
from retrieval.server.errors import NotFound
from retrieval.server.input import decode_picture
from retrieval.server.media_files import find_hit, open_media
from retrieval.server.routes.browse import filters_of
from retrieval.server.routes.search import SearchCall, Services, run_search
from retrieval.server.routes.segments import describe
from retrieval.server.worker import Worker
from retrieval.types import Hit

SNIPPET_LENGTH = 300  # characters of the text of a hit
MAX_TEXT_LENGTH = 8_000  # characters of a passage
MAX_SIDE = 1_024  # pixels of a picture
MAX_VALUES = 40  # of a filter, those with the most files
MAX_MEMBERS = 10  # of a group that are listed
HIT_KEYS = ("id", "kind", "match", "confidence", "time", "page")

JsonObject = dict[str, Any]


def find(services: Services, query: str, count: int, cursor: str | None) -> JsonObject:
    """Return hits with their place and time, and the cursor of the next ones."""
    found = run_search(services, SearchCall(query, count, cursor or None))
    items: Any = found["items"]
    places = places_of(services.worker.catalog, [item["id"] for item in items])
    keys = ("cursor", "confident", "filters", "note", "messages")
    return _plain(
        {"hits": [_hit(item, places) for item in items]}
        | {key: found[key] for key in keys if found[key] not in (None, [], {})}
    )


def _hit(item: JsonObject, places: dict[int, tuple[float, float]]) -> JsonObject:
    """Return what an agent needs of a hit; empty values are left out."""
    text = item["text"]
    hit = {key: item[key] for key in HIT_KEYS} | {
        "path": printable(item["path"]),
        "seconds": [item["start"], item["end"]] if item["timed"] and item["start"] is not None else None,
        "line": int(item["start"]) if not item["timed"] and item["start"] is not None else None,
        "text": text[:SNIPPET_LENGTH] + "..." * (len(text) > SNIPPET_LENGTH) if text else None,
        "place": list(places[item["id"]]) if item["id"] in places else None,
        "offline": item["offline"] or None,
        "same_group": [member["id"] for member in item["more"][:MAX_MEMBERS]] or None,
    }
    return {key: value for key, value in hit.items() if value is not None}


def draw(worker: Worker, ids: Sequence[int]) -> tuple[str, bytes]:
    """Return a note and a JPEG: one picture of at most 1,024 pixels a side, or a sheet of thumbnails."""
    hits = [find_hit(worker.catalog, id_) for id_ in dict.fromkeys(ids)]
    if len(hits) == 1:
        return _draw_one(worker, hits[0])
    thumbnails = [(f"#{hit.id}", worker.library.thumbnail(hit)) for hit in hits]
    missing = [label for label, webp in thumbnails if webp is None]
    note = "In reading order: " + " ".join(label for label, _ in thumbnails) + "."
    if missing:
        note += f" Without a picture: {' '.join(missing)}."
    return note, contact_sheet(thumbnails)


def _draw_one(worker: Worker, hit: Hit) -> tuple[str, bytes]:
    id_, reason = hit.id, ""
    is_page = hit.path.suffix.lower() == ".pdf"
    if is_page or (hit.kind == "image" and hit.source is None):
        try:
            with open_media(worker.catalog, hit).file as file:
                drawn = BytesIO(render_page(file, hit.page or 1, MAX_SIDE)) if is_page else file
                picture = decode_picture(drawn, MAX_SIDE)
            picture.thumbnail((MAX_SIDE, MAX_SIDE))
            return f"#{id_}, {picture.width} x {picture.height} pixels.", encode_jpeg(picture)
        except (NotFound, QueryError, MediaError) as error:
            reason = f" {error}"
    webp = worker.library.thumbnail(hit)
    if webp is None:
        raise NotFound(f"#{id_} has no picture.{reason} Use `details` for its text.")
    return f"The thumbnail of #{id_}.{reason}", contact_sheet([(f"#{id_}", webp)])


def describe_segment(worker: Worker, id_: int) -> JsonObject:
    """Return everything that is known of a segment and its file; empty values are left out."""
    hit, file = find_hit(worker.catalog, id_), worker.library.details(id_)
    text = worker.library.text(hit)
    shown = describe(hit, file)
    values = {key: shown[key] for key in shown.keys() - {"media", "shown"}} | {
        "id": id_,
        "kind": hit.kind,
        "path": printable(str(hit.path)),
        "seconds": [hit.start, hit.end] if hit.timed and hit.start is not None else None,
        "page": hit.page,
        "offline": hit.offline,
        "error": file.error,
        "text": text and text[:MAX_TEXT_LENGTH],
        "text_continues": text is not None and len(text) > MAX_TEXT_LENGTH,
        "segments": [
            {"id": each.id, "kind": each.kind, "start": each.start, "page": each.page}
            for each in file.segments[:MAX_VALUES]
        ],
    }
    return _plain({key: value for key, value in values.items() if value not in (None, [], "", False)})


def count_values(worker: Worker, query: str) -> JsonObject:
    """Return the values of each filter with the number of their files, the most frequent ones."""
    found = asdict(worker.cached("facets", filters_of(worker.library, query), facets))
    found["concepts"] = {f"@{each.name}": each.positives for each in worker.library.concepts()}
    found["saved_searches"] = {f"@{name}": text for name, text in worker.library.saved_searches().items()}
    shown = {name: dict(list(values.items())[:MAX_VALUES]) for name, values in found.items() if values}
    cut = [name for name, values in found.items() if len(values) > MAX_VALUES]
    return _plain(shown | ({"only_the_most_frequent": cut} if cut else {}))


def describe_library(worker: Worker, failures: int) -> JsonObject:
    """Return the contents of the library, its folders, and up to some files that could not be read."""
    status = worker.library.status()
    failed = worker.library.failures()
    return _plain(
        {
            "segments": status.segments,
            "folders": [
                {
                    "path": printable(str(root.path)),
                    "files": root.present,
                    "offline_files": root.offline,
                    "last_scan": root.scanned,
                }
                for root in status.roots
            ],
            "model": None if status.space is None else status.space.name,
            "text_in_images": status.ocr,
            "speech": status.speech is not None,
            "unreadable_files": len(failed),
            "failures": [{"path": printable(str(f.path)), "reason": f.reason} for f in failed[:failures]],
        }
    )


def _plain(value: object) -> JsonObject:
    """Return a value that is valid JSON; bytes of paths that are not UTF-8 become question marks."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return json.loads(text.encode("utf-8", "replace"))  # type: ignore[no-any-return]
