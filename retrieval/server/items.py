"""Describe hits for the page: size on the screen, thumbnail, moments and stack."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from retrieval.catalog.browse.display import Display, display_of
from retrieval.catalog.reader import Catalog
from retrieval.types import Hit

HIT_KEYS = ("id", "confidence", "kind", "text", "start", "end", "page", "box", "space", "match", "timed")


@dataclass(frozen=True, slots=True)
class Context:
    """What the hits of an answer have in common."""

    displays: dict[int, Display] = field(default_factory=dict)
    moments: dict[str, list[Hit]] = field(default_factory=dict)  # path -> hits of a video or audio file


def items_of(catalog: Catalog, hits: Sequence[Hit]) -> list[dict[str, object]]:
    """Return the hits of an answer as JSON objects of the API."""
    every = list(_with_members(hits))
    moments = defaultdict[str, list[Hit]](list)
    for hit in every:
        if hit.timed and hit.kind in ("video", "audio"):
            moments[str(hit.path)].append(hit)
    context = Context(display_of(catalog, every), moments)
    return [_item(hit, context) for hit in hits]


def _with_members(hits: Iterable[Hit]) -> Iterable[Hit]:
    for hit in hits:
        yield hit
        yield from hit.more


def _item(hit: Hit, context: Context) -> dict[str, object]:
    display = context.displays.get(hit.id, Display())
    moments = [other for other in context.moments.get(str(hit.path), ()) if other.id != hit.id]
    return {key: getattr(hit, key) for key in HIT_KEYS} | {
        "score": round(hit.score, 6),
        "confidence": None if hit.confidence is None else round(hit.confidence, 4),
        "path": str(hit.path),
        "time": hit.time,
        "offline": hit.offline,
        "source": None if hit.source is None else str(hit.source),
        "library": hit.library,
        "name": hit.path.name,
        "folder": hit.path.parent.name,
        "ratio": display.ratio if hit.kind not in ("text", "audio") or display.is_picture else None,
        "duration": display.duration,
        "length": display.pages,
        "placeholder": display.placeholder,
        "thumbnail": display.has_thumbnail,
        "moments": sorted(map(_moment, moments), key=lambda moment: moment["start"] or 0),
        "more": [_item(member, context) for member in hit.more],
    }


def _moment(hit: Hit) -> dict[str, float | None]:
    confidence = None if hit.confidence is None else round(hit.confidence, 4)
    return {"id": hit.id, "start": hit.start, "end": hit.end, "confidence": confidence}
