"""Search several libraries as one.

libraries       Several libraries, searched as one list that is merged by calibrated confidence.
pages           The calls that fetch the best hits of a server, page by page.
remote_library  The library of a `clew serve`, searched through its HTTP API.
"""
