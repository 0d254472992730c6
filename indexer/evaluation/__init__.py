"""Evaluate models and libraries.

captions        Evaluate a model on captions: how well captions find their images, and images their captions.
classification  Evaluate zero-shot classification on a folder with one subfolder per label.
golden_queries  Evaluate the search of a library with golden queries: queries with the paths that they should
jsonl           Read JSON lines that were written by hand; errors name the line.
measurement     Measure searches: metrics per query, their means, and the differences of two searches.
plot            Plot recall against the number of hits.
report          Format evaluations as tables and as JSON.
"""
