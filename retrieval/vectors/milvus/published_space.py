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
CHECK_SECONDS = 30.0  # after which the revision of the collection is read again
STRONG_SECONDS = 600.0  # after a write, in which all of it is awaited; clocks may differ by that much

MAX_UNPUBLISHED = 100_000  # changes that searches compare: 200 MB of 512 dimensions

LocalIndexes = Callable[[], Sequence[VectorIndex]]  # that together have all vectors


class PublishedSpaces:
    """The published spaces of one library, through one connection."""

    def __init__(self, token: str | None = None) -> None:
        self._token = token
        self._server: MilvusServer | None = None

    def open(self, catalog: Catalog, space: Space) -> "PublishedSpace | None":
        """Return a space on the server of the library.

        None if it is not or not completely published, or more than MAX_UNPUBLISHED changes are not.
        """
        address = catalog.settings().vectors_url
        publication = find_publication(catalog, space) if address else None
        if address is None or publication is None or not publication.complete:
            return None
        query = "SELECT 1 FROM unpublished WHERE space = ? LIMIT 1 OFFSET ?"
        if catalog.db.execute(query, (space.id, MAX_UNPUBLISHED)).fetchone() is not None:
            return None
        server = self._server
        if server is None or server.address.text != address:
            if server is not None:
                server.close()
            server = self._server = MilvusServer(address, self._token, READ_SECONDS, may_create=False)
        return PublishedSpace(catalog, space, server, publication)


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
        self._is_current = False
        self._check_at = 0.0  # of `monotonic`
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
        if monotonic() >= self._check_at:
            try:
                self._collection.load()
                revisions = self._collection.revisions()
            except (VectorServerError, ExtraMissing) as error:
                self.fail(error)
                return False
            self._is_current = bool(revisions) and revisions <= self.publication.revisions
            self._check_at = monotonic() + CHECK_SECONDS
        self.problem = None if self._is_current else self._difference()
        return self._is_current

    def _difference(self) -> str:
        return (
            f"The collection {self.publication.collection} of {self.server.address.text} is not as this "
            "library has published it; a copy of the library may have changed it. The local vectors are "
            "searched instead. `clew publish` repairs it."
        )

    def fail(self, error: ClewError) -> None:
        """Search the local vectors for a while."""
        self.problem = f"{error} Meanwhile, the local vectors are searched."
        self.server.outage = monotonic() + RETRY_SECONDS, self.problem
        self._check_at = 0.0  # a server that was started again may have to load the collection

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
        """Return the best `count` candidates of the server, or of the local indexes.

        Those also have deleted and unpublished vectors: if all are wanted, more are returned.
        """
        length = len(self)
        if self._published.is_usable():
            try:
                if not self._remote.must_compare(count, allowed):
                    return self._remote.search(queries, count, allowed)
            except VectorServerError as error:
                self._published.fail(error)
        indexes = self._searched_locally()
        if count >= length:
            count = sum(map(len, indexes))
        parts = [index.search(queries, count, allowed) for index in indexes]
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
