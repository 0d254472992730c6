"""Vector indexes: ids and unit vectors in, nearest neighbors out.

base          The protocol of vector indexes, which are tested against `exact`.
exact         Exact search, which compares every vector with the query; the oracle of the faster indexes.
faiss_index   FAISS indexes with one interface: built from chunks, loaded memory-mapped, searched by id.
flat          An index of float16 rows that are all compared: exact, 2 bytes per dimension.
hnsw          A graph of near neighbors with 6 bits per dimension and about 210 bytes per row, and a sketch.
id_filter     Map the allowed ids of a filter to the rows of an index.
index_files   Check the files of indexes before FAISS reads them.
ivf           An inverted file: the sketches of rows in lists by nearest centroid, and 6 bits of each row.
kind_ranking  The ranking of one kind for one query: indexes propose, the catalog's vectors order.
lsh_sketch    A sketch of every row: one bit for the side of each of many planes on which it lies.
tuned_index   An index with the search effort of a query mode: words lie farther from images than images do.
milvus/       Vectors on a Milvus server.
space_index   Search in the vectors of one space, of all kinds.
"""
