"""Public operations and the orchestration of one run.

backup          Public API: back up and restore a library.
forget          Public API: remove folders or spaces from a library.
import_vectors  Public API: adopt the vectors of rclip or clip-retrieval.
index           Public API: index a folder or update a library.
options         Options of an indexing run.
pipeline        Index folders: scan, index new files, set the states of known ones and build indexes.
publish         Public API: publish the vectors of a library to a Milvus server.
report          Counts and notes of an indexing run.
saved_options   Save the options of an indexing run in the settings of the library.
steps           Steps of an indexing run.
switch_model    Change the model of a library: fill a new space while the old one is active, then activate it.
tune            Public API: tune the search effort of the indexes of a library.
verify          Public API: verify and repair a library.
"""
