"""Search several libraries, in one list that is merged by calibrated confidence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from time import monotonic
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from retrieval.federation.libraries import are_listed, file_key, unknown_in_all
from retrieval.federation.pages import Pages
from retrieval.federation.remote_library import hit_of
from retrieval.query.ast import Query
from retrieval.query.parser import parse
from retrieval.search.results import merge_by_confidence, sort_hits
from retrieval.server.cursors import Cursors, Place
from retrieval.server.errors import json_response
from retrieval.server.gateway.browse import summed_facets
from retrieval.server.gateway.ids import with_joined_ids
from retrieval.server.gateway.queries import LibraryQuery, QueryWriter
from retrieval.server.gateway.served_library import ServedLibrary, ask_all
from retrieval.server.queries.offers import narrow_to
from retrieval.server.queries.query_tokens import query_tokens
from retrieval.server.routes.search import (
    SORTED_HITS,
    SearchCall,
    by_date,
    is_confident,
    keys_of,
    next_hits,
    with_typed_filters,
)
from retrieval.server.worker import unless_gone
from retrieval.types import Hit


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of one library, the items of its answer by their keys, and the rest of the answer."""

    hits: list[Hit]
    items: dict[tuple[int, str], dict[str, Any]]
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GatewaySearcher:
    """Searches all libraries at the same time."""

    members: Sequence[ServedLibrary]
    writer: QueryWriter
    cursors: Cursors

    async def add_picture(self, request: Request, data: bytes) -> str:
        """Decode a picture in a thread."""
        return await self.writer.add_picture(data)

    async def search(self, request: Request, call: SearchCall) -> Response:
        """Search, until the client closes the connection."""
        return json_response(await unless_gone(request, self.find(call)))

    async def find(self, call: SearchCall) -> dict[str, object]:
        """Return the answer to a search; raises QueryError, and LibraryError if no library answers."""
        started = monotonic()
        query = parse(call.q).map(lambda part: with_typed_filters(part, call))
        picture_tokens = await self.writer.picture_tokens(query)
        place = self.cursors.find(call.cursor, call.identity)
        before = place.count if place.given is None else len(place.given)
        wanted = before + call.count + 1
        if call.order == "date" and _is_ranked(query):
            wanted = max(wanted, SORTED_HITS)

        async def ask(member: ServedLibrary) -> Found:
            return await self._ask(member, self.writer.write(query, member, picture_tokens), call, wanted)

        found, notes = await ask_all(self.members, ask)
        answer = await run_in_threadpool(self._answer, call, query, place, found, notes)
        return answer | {"seconds": round(monotonic() - started, 4)}

    def _answer(
        self,
        call: SearchCall,
        query: Query,
        place: Place,
        found: Mapping[ServedLibrary, Found],
        notes: Sequence[str],
    ) -> dict[str, object]:
        """Return the answer with the merged hits from a place of the list."""
        is_ranked = _is_ranked(query)
        merged = merge_by_confidence([each.hits for each in found.values()], file_key)
        if not is_ranked or are_listed(merged):
            merged = sort_hits(merged, "date-desc")
        elif call.order == "date":
            merged = by_date(merged)
        hits, rest = next_hits(merged, place, call.count)
        given = place.given if place.given is not None else tuple(map(keys_of, merged[: place.count]))
        cursor = self.cursors.save(place, call.identity, [*given, *map(keys_of, hits)]) if rest else None
        items = {key: item for each in found.values() for key, item in each.items.items()}
        confident, tokens = [hit for hit in hits if is_confident(hit)], query_tokens(call.q)
        narrowed = narrow_to(confident, {}, tokens) if is_ranked else []
        return _merged({member: each.answer for member, each in found.items()}, notes, narrowed) | {
            "items": [_item(hit, items) for hit in hits],
            "cursor": cursor,
            "confident": len(confident),
            "kinds": Counter(hit.kind for hit in confident),
            "best": max((hit.confidence for hit in hits if hit.confidence is not None), default=None),
            "tokens": [asdict(token) for token in tokens],
            "picture": call.picture,
        }

    async def _ask(self, member: ServedLibrary, query: LibraryQuery, call: SearchCall, wanted: int) -> Found:
        """Return the best `wanted` hits of a library."""
        body: dict[str, object] = {
            "q": query.q,
            "order": call.order,
            "kind": list(call.kind),
            "group": call.group,
            "facets": call.facets,
        }
        if query.image is not None:
            body["image"] = query.image
        pages, answers = Pages(body, wanted), list[dict[str, Any]]()
        hits, items = list[Hit](), dict[tuple[int, str], dict[str, Any]]()
        while not pages.is_complete:
            answer = await member.ask_json("POST", "/api/search", body=pages.next_call())
            with member.reading():
                for item in with_joined_ids(pages.add(answer), member.number):
                    hits.append(_hit(item, member, items))
                _merged({member: answer})
                answers.append(answer)
        return Found(hits[:wanted], items, answers[0])


def _is_ranked(query: Query) -> bool:
    """Return True if a query has more than filters."""
    return any(part.terms for part in query.alternatives)


def _hit(item: dict[str, Any], member: ServedLibrary, items: dict[tuple[int, str], dict[str, Any]]) -> Hit:
    """Return the hit of an item with its group, and keep the items by their keys."""
    members = tuple(_hit(other, member, items) for other in item["more"])
    hit = replace(hit_of(item | {"more": []}), library=member.name, more=members)
    items[hit.id, str(hit.path)] = item | {"library": member.name}
    return hit


def _item(hit: Hit, items: Mapping[tuple[int, str], dict[str, Any]]) -> dict[str, Any]:
    return items[hit.id, str(hit.path)] | {"more": [_item(member, items) for member in hit.more]}


def _merged(
    answers: Mapping[ServedLibrary, Mapping[str, Any]],
    notes: Iterable[str] = (),
    narrowed: Iterable[object] = (),
) -> dict[str, object]:
    """Return the merged keys of answers other than those of hits, with more notes and offers to narrow."""
    own = [f"{member.name}: {answer['note']}" for member, answer in answers.items() if answer["note"]]
    read_as = [each for answer in answers.values() for each in answer["offers"]["read_as"]]
    return {
        "note": "\n".join([*own, *notes]) or None,
        "filters": next(iter(answers.values()))["filters"],
        "messages": unknown_in_all({member.name: answer["messages"] for member, answer in answers.items()}),
        "offers": {
            "read_as": list({each["token"]: each for each in read_as}.values()),
            "narrow_to": list(narrowed),
        },
        "total": _sum([answer["total"] for answer in answers.values()]),
        "facets": summed_facets([answer["facets"] for answer in answers.values() if answer["facets"]]),
    }


def _sum(counts: Sequence[int | None]) -> int | None:
    """Return how many files were searched; None if a library does not say, as it has confident hits."""
    return None if None in counts else sum(filter(None, counts))
