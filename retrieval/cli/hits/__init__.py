"""Show hits in a terminal, in a pipe, or in a requested format.

formats   Format hits as JSON, JSON Lines, CSV, TSV or paths.
output    Show hits: a table in a terminal, tab-separated lines in a pipe, or the requested format.
preview   Print hits with their pictures, in the graphics that the terminal understands.
snippets  Cut the part of a text around the words of a query.
table     Print hits as a table with one line per hit, as wide as the terminal.
"""
