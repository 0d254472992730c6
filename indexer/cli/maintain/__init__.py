"""Commands that maintain a library.

verify   clew verify: check a library for damage, and repair it.
backup   clew backup and clew restore: copy a library into a file, and back.
tune     clew tune: tune the search effort of the indexes to a recall.
publish  clew publish: send the vectors of the library to a Milvus server.
forget   clew forget: remove folders and stored data.
"""
