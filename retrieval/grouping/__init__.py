"""Groups of related files: duplicates, pairs, near-duplicates, bursts.

attributes  Read the attributes of files and hits by which they are grouped.
clusters    Group files and hits by their attributes, and order each group by quality.
rules       The rules of grouping: a function for each reason, from file attributes to pairs of linked rows.
similarity  Similarity of images by perceptual hashes and by vectors.
"""
