"""Index build, calibration, backfill, verification and repair.

backfill_vectors   Embed the segments that lack a vector of a space: texts from the catalog, pixels from the f
backup/            Write a library into a tar archive, and restore it.
build_index        Build the index files of a space from the catalog.
calibrate          Calibrate each kind of a space: the scores of background queries show how unusual a match i
index_plan         Plan which index files of a kind are kept, written and merged.
map/               Lay the segments of a space out in two dimensions, and name clusters of them.
noise_queries      Queries without meaning, which nothing should match: random letters, keys and syllables.
publish/           Publish the vectors of a library to a Milvus server.
recovery/          Recover the readable rows of a damaged catalog.
refresh_metadata   Decode contents again: for the metadata that older versions did not read, or for thumbnails
refresh_texts      Decode texts, documents and tags of sounds again that an older version decoded.
refresh_videos     Correct the segments of videos that an older version decoded, or decode these again.
repair_thumbnails  Check the thumbnails of a library, and make missing ones from the files.
tune_index         Tune the search effort of index files: for words and for images apart.
verify_catalog     Verify the catalog and the index files of a library.
verify_vectors     Embed a sample of files again and compare the vectors.
"""
