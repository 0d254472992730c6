"""Serve several libraries, of this machine or of other servers, as one.

app             Create the application of a gateway.
browse          The timelines, filter values and contents of several libraries as one.
ids             Ids of segments that are unique among several libraries.
queries         Write a query for each library.
routes          Routes that ask one library or all, and merge the answers.
searcher        Search several libraries, in one list that is merged by calibrated confidence.
served_library  A library of a gateway with its HTTP API.
"""
