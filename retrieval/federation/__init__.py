"""Search several libraries as one.

libraries       Several libraries, searched as one list that is merged by calibrated confidence.
remote_library  The library of a `clew serve`, searched through its HTTP API.
"""
