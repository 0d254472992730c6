"""What the box of the page shows of a query.

offers        Offer filters for the words of a query, and for values that its hits share.
query_tokens  Split a query for display, and read its pictures.
typed_filters Write typed filters as filters of the query language.
"""
