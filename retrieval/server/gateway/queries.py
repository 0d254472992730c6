"""Write a query for each library of a gateway.

A segment of another library, such as `#123`, becomes a picture. Libraries of this process find the pictures
of the gateway; another server is sent one picture with the query.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from retrieval.errors import QueryError
from retrieval.query.ast import File, Operand, Query, Segment, Term, Words
from retrieval.query.parser import parse
from retrieval.server.errors import NotFound
from retrieval.server.gateway.ids import split
from retrieval.server.gateway.served_library import ServedLibrary
from retrieval.server.pictures import Pictures
from retrieval.server.queries.query_tokens import PICTURE_PREFIX, with_pictures

MIN_SIDE = 512  # pixels that are kept of a picture: those of most models, and more than a thumbnail has


@dataclass(frozen=True, slots=True)
class LibraryQuery:
    """The text of a query for one library, and a picture in base64 that is sent with it."""

    q: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class QueryWriter:
    """Writes queries, and keeps the pictures of segments that were asked for."""

    members: Sequence[ServedLibrary]
    pictures: Pictures
    decoding: asyncio.Semaphore  # limits the pictures that are decoded at the same time
    _tokens: OrderedDict[int, str] = field(default_factory=OrderedDict)

    async def add_picture(self, data: bytes) -> str:
        """Decode a picture in a thread, and return its token; raises QueryError."""
        async with self.decoding:
            return await run_in_threadpool(self.pictures.add, data, MIN_SIDE)

    async def picture_tokens(self, query: Query) -> dict[int, str | None]:
        """Return the token of the picture of each segment in a query; None if it has none.

        Raises NotFound for a segment of no library.
        """
        ids = {operand.id for operand in _operands(query) if isinstance(operand, Segment)}
        return {id_: await self._token_of(id_) for id_ in ids}

    async def _token_of(self, id_: int) -> str | None:
        number, own_id = split(id_)
        if number >= len(self.members) or not own_id:
            raise NotFound(f"#{id_} is in none of the libraries.")
        if len(self.members) == 1:
            return None
        token = self._tokens.get(id_)
        if token is not None and self.pictures.find(token) is not None:
            return token
        try:
            webp = await self.members[number].ask("GET", f"/api/segments/{own_id}/thumbnail")
        except NotFound:
            return None
        self._tokens[id_] = await self.add_picture(webp)
        while len(self._tokens) > self.pictures.max_pictures:
            self._tokens.popitem(last=False)
        return self._tokens[id_]

    def write(self, query: Query, member: ServedLibrary, tokens: Mapping[int, str | None]) -> LibraryQuery:
        """Return the query for a library; raises QueryError if it cannot be asked this."""

        def own(operand: Operand) -> Operand:
            if not isinstance(operand, Segment):
                return operand
            number, own_id = split(operand.id)
            if number == member.number:
                return Segment(own_id)
            token = tokens[operand.id]
            if token is None:
                raise QueryError(f"#{operand.id} has no picture, and is in another library.")
            return Words(((f"{PICTURE_PREFIX}{token}", False),))

        def replaced(part: Query) -> Query:
            terms = tuple(replace(term, operand=own(term.operand)) for term in part.terms)
            return replace(part, terms=terms, exclusions=tuple(map(own, part.exclusions)))

        written = query.map(replaced)
        return self._with_upload(written) if member.app is None else LibraryQuery(str(written))

    def _with_upload(self, query: Query) -> LibraryQuery:
        """Return a query whose picture is sent with it; raises QueryError for several pictures."""
        found = with_pictures(query, self.pictures.find)
        files = {operand.path for operand in _operands(found) if isinstance(operand, File)}
        if not files:
            return LibraryQuery(str(query))

        def without(part: Query) -> Query:
            kept = tuple(term for term in part.terms if not isinstance(term.operand, File))
            if len(part.terms) != len(kept) + 1 or Term(File(*files)) not in part.terms:
                raise QueryError("A server can be sent one picture, added to each alternative.")
            return replace(part, terms=kept)

        if len(files) > 1 or any(
            isinstance(each, File) for part in found.alternatives for each in part.exclusions
        ):
            raise QueryError("A server can be sent one picture, and it cannot exclude by one.")
        (file,) = files
        return LibraryQuery(str(found.map(without)), base64.b64encode(Path(file).read_bytes()).decode())


def without_segments(q: str) -> str:
    """Return the text of a query for all libraries of which only filters count. Raises QueryError."""

    def without(part: Query) -> Query:
        terms = tuple(term for term in part.terms if not isinstance(term.operand, Segment))
        return replace(
            part,
            terms=terms,
            exclusions=tuple(each for each in part.exclusions if not isinstance(each, Segment)),
        )

    return str(parse(q).map(without))


def _operands(query: Query) -> Iterator[Operand]:
    for part in query.alternatives:
        yield from (term.operand for term in part.terms)
        yield from part.exclusions
