"""Candidates to ranked hits.

answer          Answer the requests of a query: rank, merge, postprocess and explain the hits.
browse          The ranking of a search without a query: the files that pass the filters, newest first.
exclusions      Drop the hits that match an exclusion (not:) of the query.
hybrid_search   Rank hits by their words and by their meaning, in one list.
keyword_search  Keyword search in the texts of segments and the names of their files, folders and tags.
keyword_spelling  Replace words that the library does not contain by the nearest words that it contains.
keyword_terms   Split the text of a query into words and quoted phrases.
kind_hits       The ranked hits of one kind: segments joined to files, filtered and deduplicated, page by page
query_scales    Scales of one query: convert the cosines of each kind to scores that compare across kinds.
request         The input of a search: an encoded query, the space it is searched in, and what may be returned
results         Postprocess ranked hits: group, diversify and sort them.
vector_search   Rank the segments of all kinds by their vectors, in one list.
"""
