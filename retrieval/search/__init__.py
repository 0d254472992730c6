"""Candidates to ranked hits.

browse          The ranking of a search without a query: the files that pass the filters, newest first.
exclusions      Drop the hits that match an exclusion (not:) of the query.
explain         Explain hits by the terms of the query.
hybrid_search   Fuse the ranking by meaning with the ranking by keyword.
keyword_search  Keyword search in the texts of segments and the names of their files, folders and tags.
keyword_terms   Split the text of a query into words and quoted phrases.
kind_hits       The ranked hits of one kind: segments joined to files, filtered and deduplicated, page by page
request         The input of a search: an encoded query, the space it is searched in, and what may be returned
results         Postprocess ranked hits: group, diversify and sort them.
vector_search   Rank the segments of all kinds by their vectors, in one list.
"""
