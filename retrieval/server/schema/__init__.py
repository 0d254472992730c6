"""The OpenAPI document of the API.

answers   The JSON objects with which routes answer.
document  Parameters, bodies, responses and errors, as the document describes them.
"""
