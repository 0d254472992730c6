"""Vectors on a Milvus server.

collection       The collection of a space on a Milvus server, for reading.
index            A vector index of one kind in a collection.
lite             Folders of milvus-lite, which serves one process.
published_space  Search in a collection, and in the local vectors while the server cannot be used.
server           A Milvus server: its address, its connection and its errors.
"""
