"""The two-dimensional map of a space: layout, clusters and their names.

build_map        Build or extend the map of a space when it has new segments.
cluster_names    Name clusters of segments by the words that are frequent in one of them only.
clusters         Find dense clusters of points in two dimensions.
described_words  Read the words that describe segments.
neighbor_layout  Lay vectors out in two dimensions, similar ones near each other.
"""
