"""Search in a collection, and in the local vectors while the server cannot be used."""

from collections.abc import Callable, Sequence
from time import monotonic, time

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.catalog.status import find_publication
from retrieval.errors import ClewError, ExtraMissing, VectorServerError
from retrieval.scoring.ranking import top_k
from retrieval.types import Ids, Kind, Publication, Scores, Space, Vectors
from retrieval.vectors.base import VectorIndex
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.milvus.collection import Collection, ConsistencyLevel
from retrieval.vectors.milvus.index import MilvusIndex
from retrieval.vectors.milvus.server import MilvusServer

READ_SECONDS = 10.0  # that a query waits for the server
RETRY_SECONDS = 30.0  # after a failure, without a query to the server
STRONG_SECONDS = 600.0  # after a write, in which all of it is awaited; clocks may differ by that much

LocalIndexes = Callable[[], Sequence[VectorIndex]]  # that together have all vectors


class PublishedSpaces:
    """The published spaces of one library, through one connection."""

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._server: MilvusServer | None = None

    def open(self, catalog: Catalog, space: Space) -> "PublishedSpace | None":
        """Return a space on the server of the library, None if it is not or not completely published."""
        address = catalog.settings().vectors_url
        publication = find_publication(catalog, space) if address else None
        if address is None or publication is None or not publication.complete:
            return None
        if self._server is None or self._server.address.text != address:
            self._server = MilvusServer(address, self._token, READ_SECONDS)
        return PublishedSpace(catalog, space, self._server, publication)


class PublishedSpace:
    """The vectors of a space that are on a server, and those that are only in the catalog.

    If the server fails, or its collection is not that of this catalog, `problem` has the reason, and the
    local indexes are searched instead.
    """

    def __init__(
        self, catalog: Catalog, space: Space, server: MilvusServer, publication: Publication
    ) -> None:
        self.catalog, self.space, self.server, self.publication = catalog, space, server, publication
        self.problem: str | None = None
        self._collection = Collection(server, publication.collection, space.dim)
        self._is_current: bool | None = None  # None: not checked yet
        self._remote: dict[Kind, MilvusIndex] = {}
        self._unpublished: dict[Kind, ExactIndex] = {}

    def indexes(self, kind: Kind, local: LocalIndexes) -> Sequence[VectorIndex]:
        """Return the vectors of a kind that are not published, and an index of the others."""
        if kind not in self._unpublished:
            self._unpublished[kind] = self._read_unpublished(kind)
        if kind not in self._remote:
            query = f"SELECT max(segment) FROM {vectors_table(self.space.id)}"
            last_id = self.catalog.db.execute(query).fetchone()[0] or 0
            self._remote[kind] = MilvusIndex(self._collection, kind, last_id, self._level())
        return [self._unpublished[kind], FallbackIndex(self, self._remote[kind], local)]

    def is_usable(self) -> bool:
        """Return True unless the server has failed a short time ago or the collection is another one."""
        outage = self.server.outage
        if outage is not None and monotonic() < outage[0]:
            self.problem = outage[1]
            return False
        if self._is_current is None:
            try:
                self._collection.load()
                revisions = self._collection.revisions()
            except (VectorServerError, ExtraMissing) as error:
                self.fail(error)
                return False
            self._is_current = bool(revisions) and revisions <= self.publication.revisions
            self.problem = None
        if not self._is_current:
            self.problem = (
                f"The collection {self.publication.collection} of {self.server.address.text} is not as this "
                "library has published it; a copy of the library may have changed it. The local vectors are "
                "searched instead. `clew publish` repairs it."
            )
        return self._is_current

    def fail(self, error: ClewError) -> None:
        """Search the local vectors for a while."""
        self.problem = f"{error} Until then, the local vectors are searched."
        self.server.outage = monotonic() + RETRY_SECONDS, self.problem

    def _level(self) -> ConsistencyLevel:
        is_new = time() - self.publication.written < STRONG_SECONDS
        return "Strong" if is_new else "Bounded"

    def _read_unpublished(self, kind: Kind) -> ExactIndex:
        rows = self.catalog.db.execute(
            """SELECT s.id FROM unpublished u JOIN segments s ON s.id = u.segment
                WHERE u.space = ? AND s.kind = ?""",
            (self.space.id, kind),
        ).fetchall()
        return ExactIndex(*self.catalog.vectors_of(self.space, [row[0] for row in rows]))


class FallbackIndex:
    """An index on a server, replaced by local ones while the server cannot be used."""

    is_exact = False  # a local graph is not

    def __init__(self, published: PublishedSpace, remote: MilvusIndex, local: LocalIndexes) -> None:
        self._published, self._remote, self._local = published, remote, local

    def __len__(self) -> int:
        if self._published.is_usable():
            try:
                return len(self._remote)
            except VectorServerError as error:
                self._published.fail(error)
        return sum(map(len, self._searched_locally()))

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count` candidates of the server, or of the local indexes."""
        if self._published.is_usable():
            try:
                return self._remote.search(queries, count, allowed)
            except VectorServerError as error:
                self._published.fail(error)
        parts = [index.search(queries, count, allowed) for index in self._searched_locally()]
        if not parts:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        rankings = [
            top_k(
                np.concatenate([scores[row : row + 1] for scores, _ in parts], axis=1),
                np.concatenate([ids[row] for _, ids in parts]),
                count,
            )
            for row in range(len(queries))
        ]
        return np.concatenate([scores for scores, _ in rankings]), np.concatenate(
            [ids for _, ids in rankings]
        )

    def _searched_locally(self) -> Sequence[VectorIndex]:
        return [index for index in self._local() if len(index)]
