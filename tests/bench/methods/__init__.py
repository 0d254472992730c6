"""Methods of approximate search that `bench_methods.py` compares.

codes   Compressed vectors, of which all are compared: quantizers and learned projections.
graphs  Graphs of near neighbors: of clew, FAISS, hnswlib and usearch, and with edges from queries.
lists   Inverted files: of images, with spill, and with centroids that are fitted to queries.
"""
