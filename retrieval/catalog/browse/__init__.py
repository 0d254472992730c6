"""What a page shows of a library beyond hits.

captions       Read the captions of segments.
display        Read how segments are drawn: ratio, duration, number of pages, thumbnail.
facets         Count the values of filters.
indexed_files  Read how a file was when it was indexed.
library_map    Read the two-dimensional map of a space.
passages       Read a passage with its neighbors.
places         Read where segments were taken.
timeline       Count files by month, and list those of one.
"""
