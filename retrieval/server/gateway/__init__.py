"""Serve several libraries, of this machine or of other servers, as one.

app         Create the application of a gateway.
browse      The timelines, filter values and contents of several libraries as one.
ids         Ids of segments that are unique among several libraries.
members     The libraries of a gateway, each with an HTTP API.
queries     Write a query for each library.
routes      Routes that ask one library or all, and merge the answers.
searcher    Search several libraries, in one list that is merged by calibrated confidence.
"""
