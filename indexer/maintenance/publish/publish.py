"""Publish the changes of all spaces; compare and repair their collections.

The catalog is the truth. A batch is written to the server, which confirms it; then it is removed from the
outbox. A crash at any point repeats at most one batch, and a repeated write changes nothing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import monotonic

import numpy as np

from indexer.maintenance.publish.collection_writer import CollectionWriter, collection_name
from indexer.maintenance.publish.outbox import Outbox, dropped_collections, forget_collection
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, no_progress
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.catalog.status import find_publication
from retrieval.errors import ExtraMissing, VectorServerError
from retrieval.types import Ids, Kind, Space, Vectors
from retrieval.vectors.milvus.collection import KIND_CODES, RANGE_IDS, Collection
from retrieval.vectors.milvus.server import MilvusServer

MAX_BATCH_ROWS, MAX_BATCH_BYTES = 4_096, 8 << 20  # of one write to the server
PUBLISHING, COMPARING = "publishing", "comparing"  # titles of the progress


@dataclass(frozen=True, slots=True)
class Published:
    """The result of a publish."""

    server: str
    collections: tuple[str, ...] = ()
    written: int = 0  # vectors
    deleted: int = 0  # rows on the server
    different: int = 0  # rows that a comparison found missing, outdated or superfluous
    compared: bool = False
    seconds: float = 0.0
    interrupted: bool = False


def publish_changes(
    writer: LibraryWriter, token: str | None, notify: Notify, progress: Progress = no_progress
) -> bool:
    """Send the changes to the Milvus server of the library; return False if that is interrupted.

    If the server cannot be reached, a message is sent, and the next publish sends the changes.
    """
    address = writer.settings().vectors_url
    assert address is not None, "a publish is due"
    server = MilvusServer(address, token)
    try:
        return not PublishRun(writer, server, progress=progress).run().interrupted
    except (VectorServerError, ExtraMissing) as error:
        notify(f"The vectors are not published yet. {error} `clew publish` continues.")
        return True
    finally:
        server.close()


@dataclass(slots=True)
class PublishRun:
    """One publish of all spaces of a library."""

    writer: LibraryWriter
    server: MilvusServer
    check: bool = False  # compare all rows even if the revision is known
    progress: Progress = no_progress
    batch_rows: int = MAX_BATCH_ROWS
    result: Published = field(init=False)

    def __post_init__(self) -> None:
        self.result = Published(self.server.address.text)

    def run(self) -> Published:
        """Publish, and return the result. Raises VectorServerError; what was confirmed is not sent again."""
        started_at = monotonic()
        try:
            for name in dropped_collections(self.writer.db):
                CollectionWriter(self.server, name, 0).drop()
                forget_collection(self.writer.db, name)
            for space in self.writer.catalog.spaces():
                self._publish_space(space)
        except KeyboardInterrupt:
            self.result = replace(self.result, interrupted=True)
        return replace(self.result, seconds=round(monotonic() - started_at, 3))

    def _publish_space(self, space: Space) -> None:
        settings, catalog = self.writer.settings(), self.writer.catalog
        assert settings.library_id is not None, "saved with the address of the server"
        name = collection_name(settings.library_id, space)
        outbox, target = Outbox(self.writer.db, space, name), CollectionWriter(self.server, name, space.dim)
        self.result = replace(self.result, collections=(*self.result.collections, name))
        outbox.attach()
        target.create(f"clew: library {settings.library_id}, {space.name}, {space.fingerprint[:16]}")
        found, publication = target.rows.revisions(), find_publication(catalog, space)
        assert publication is not None, "attached above"
        is_known = bool(found) and found <= publication.revisions
        if not found and not target.rows.count("id >= 0"):  # it is new
            outbox.add_all()
        elif self.check or not is_known:
            self._compare(outbox, target.rows)
        if is_known and publication.complete and not outbox.count():
            return
        target.set_revision(outbox.new_revision(found & publication.revisions), found)
        self._send(outbox, target)
        target.finish(catalog.count_vectors(space))
        outbox.set_complete()

    def _compare(self, outbox: Outbox, rows: Collection) -> None:
        """Record the segments whose rows on the server differ from the catalog."""
        catalog, before = self.writer.catalog, outbox.count()
        last_id = last_segment(catalog, outbox.space)
        for first, last in rows.ranges(last_id):
            self.progress(COMPARING, first, last_id)
            outbox.add(different_ids(catalog, outbox.space, rows, first, last))
        outbox.add(all_ids(rows, last_id + 1))
        different = self.result.different + outbox.count() - before
        self.result = replace(self.result, different=different, compared=True)

    def _send(self, outbox: Outbox, target: CollectionWriter) -> None:
        """Write and delete the recorded segments, in batches."""
        done, total = 0, outbox.count()
        size = max(1, min(self.batch_rows, MAX_BATCH_BYTES // (4 * outbox.space.dim)))
        while len(segments := outbox.next(size)):
            ids, kinds, vectors = stored_rows(self.writer.catalog, outbox.space, segments)
            gone = np.setdiff1d(segments, ids)
            target.upsert(ids, kinds, vectors)
            target.delete(gone)
            outbox.remove(segments)
            done += len(segments)
            written, deleted = self.result.written + len(ids), self.result.deleted + len(gone)
            self.result = replace(self.result, written=written, deleted=deleted)
            self.progress(PUBLISHING, done, total)


def stored_rows(catalog: Catalog, space: Space, segments: Ids) -> tuple[Ids, list[Kind], Vectors]:
    """Return ids, kinds and vectors of the given segments that the catalog has."""
    ids, vectors = catalog.vectors_of(space, segments)
    query = "SELECT id, kind FROM segments WHERE id IN (SELECT value FROM json_each(?))"
    kinds: dict[int, Kind] = dict(map(tuple, catalog.db.execute(query, (json.dumps(ids.tolist()),))))
    is_segment = np.isin(ids, list(kinds))
    return ids[is_segment], [kinds[id_] for id_ in ids[is_segment].tolist()], vectors[is_segment]


def different_ids(catalog: Catalog, space: Space, rows: Collection, first: int, last: int) -> Ids:
    """Return the ids from `first` to `last` whose row on the server is missing, outdated or superfluous."""
    query = f"SELECT segment FROM {vectors_table(space.id)} WHERE segment BETWEEN ? AND ?"
    segments = np.array([row[0] for row in catalog.db.execute(query, (first, last))], np.int64)
    ids, kinds, vectors = stored_rows(catalog, space, segments)
    codes = np.array([KIND_CODES[kind] for kind in kinds], np.int64)
    found, found_codes, found_vectors = rows.rows(f"id >= {first} and id <= {last}")
    _, own, other = np.intersect1d(ids, found, assume_unique=True, return_indices=True)
    is_equal = (codes[own] == found_codes[other]) & (vectors[own] == found_vectors[other]).all(axis=1)
    equal = ids[own[is_equal]]
    return np.setdiff1d(np.concatenate([ids, found]), equal)


def all_ids(rows: Collection, first: int) -> Ids:
    """Return the ids on the server from `first` on."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *_ids_from(rows, first)]))


def _ids_from(rows: Collection, first: int) -> Iterator[Ids]:
    """Yield the ids from `first` on; a server returns them in no order, so the range is halved if needed."""
    pending = [(first, 2**63 - 1)]
    while pending:
        low, high = pending.pop()
        count = rows.count(f"id >= {low} and id <= {high}")
        if count > RANGE_IDS:
            middle = (low + high) // 2
            pending += [(low, middle), (middle + 1, high)]
        elif count:
            yield rows.ids(f"id >= {low} and id <= {high}")


def last_segment(catalog: Catalog, space: Space) -> int:
    """Return the last segment of a space, 0 if it has none."""
    return int(catalog.db.execute(f"SELECT max(segment) FROM {vectors_table(space.id)}").fetchone()[0] or 0)
