"""Publish the vectors of a library to a Milvus server.

collection_writer  Write the collection of a space on a Milvus server.
outbox             The changes of a catalog that are not published yet.
publish            Publish the changes of all spaces; compare and repair their collections.
"""
