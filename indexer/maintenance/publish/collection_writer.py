"""Write the collection of a space on a Milvus server.

Every write is by segment id, so that repeating it changes nothing.
"""

import hashlib

import numpy as np

from retrieval.embedders.base import vector_defect
from retrieval.errors import VectorServerError
from retrieval.types import Ids, Kind, Space, Vectors
from retrieval.vectors.base import method_for
from retrieval.vectors.milvus.collection import KIND_CODES, REVISION_CODE, Collection, id_list
from retrieval.vectors.milvus.server import MilvusServer

NEIGHBORS_PER_NODE, EF_CONSTRUCTION = 24, 200  # of a graph
INDEX_PARAMETERS = {"FLAT": {}, "HNSW": {"M": NEIGHBORS_PER_NODE, "efConstruction": EF_CONSTRUCTION}}


def collection_name(library_id: str, space: Space) -> str:
    """Return the name of the collection of a space: of this library, and of this version of the model."""
    return f"clew_{library_id}_{hashlib.sha256(space.fingerprint.encode()).hexdigest()[:16]}"


class CollectionWriter:
    """The collection of a space, for writing. Raises VectorServerError."""

    def __init__(self, server: MilvusServer, name: str, dim: int) -> None:
        self.rows = Collection(server, name, dim)
        self._call, self._name, self._dim = server.call, name, dim

    def create(self, description: str) -> None:
        """Create the collection if it does not exist, and its index if a killed publish has left none."""
        if self.rows.exists():
            if not self._call("list_indexes", self._name):
                rows = int(self._call("get_collection_stats", self._name)["row_count"])
                self._call("create_index", self._name, _index_parameters(_index_type(rows)))
            self.rows.load()
            return
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(
            auto_id=False, enable_dynamic_field=False, description=description
        )
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("kind", DataType.INT8)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
        self._call(
            "create_collection",
            self._name,
            schema=schema,
            index_params=_index_parameters("FLAT"),
            consistency_level="Strong",
        )

    def upsert(self, ids: Ids, kinds: list[Kind], vectors: Vectors) -> None:
        """Write the vectors of segments."""
        if not len(ids):
            return
        if ids[0] < 1 or vectors.shape != (len(ids), self._dim):
            raise VectorServerError(f"Segment {ids[0]} or the dimensions {vectors.shape} are invalid.")
        for id_, vector in zip(ids, vectors, strict=True):
            defect = vector_defect(vector, self._dim)
            if defect is not None and vector.any():  # a text without a known word has the zero vector
                raise VectorServerError(f"Segment #{id_} has an invalid vector: {defect}. Run `clew verify`.")
        rows = zip(ids.tolist(), kinds, vectors, strict=True)
        data = [{"id": id_, "kind": KIND_CODES[kind], "vector": vector} for id_, kind, vector in rows]
        self._call("upsert", self._name, data=data)

    def delete(self, ids: Ids) -> None:
        """Delete segments; those that do not exist are ignored."""
        if len(ids):
            self._call("delete", self._name, filter=id_list(ids))

    def set_revision(self, revision: int, replaced: set[int]) -> None:
        """Write the revision, then delete those that it replaces; a crash in between leaves both."""
        zero = np.zeros(self._dim, np.float32)
        self._call("upsert", self._name, data=[{"id": -revision, "kind": REVISION_CODE, "vector": zero}])
        self.delete(-np.array(sorted(replaced - {revision}), np.int64))

    def finish(self, count: int) -> None:
        """Make the writes durable, and build a graph if the collection has outgrown an exact index."""
        self._call("flush", self._name)
        method = _index_type(count)
        if method == "HNSW" and self._call("describe_index", self._name, "vector")["index_type"] != method:
            self._call("release_collection", self._name)
            self._call("drop_index", self._name, "vector")
            self._call("create_index", self._name, _index_parameters(method))
            self._call("load_collection", self._name)

    def drop(self) -> None:
        """Drop the collection if it exists."""
        self._call("drop_collection", self._name)


def _index_type(count: int) -> str:
    return "FLAT" if method_for(count) == "flat" else "HNSW"


def _index_parameters(method: str) -> object:
    from pymilvus import MilvusClient

    parameters = MilvusClient.prepare_index_params()
    parameters.add_index("vector", index_type=method, metric_type="IP", params=INDEX_PARAMETERS[method])
    return parameters
