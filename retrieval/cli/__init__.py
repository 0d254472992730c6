"""Commands that read a library.

clip         clew clip: save a moment of a video or an audio file as a new file.
console      Write results to stdout and messages to stderr.
duplicates   clew duplicates: list groups of copies, near-duplicates, pairs and bursts.
hit_formats  Format hits as JSON, JSON Lines, CSV, TSV or paths.
hit_table    Print hits as a table with one line per hit, as wide as the terminal.
models       clew models: list available models.
options      Options that several commands share, and their groups in the help.
output       Show hits: a table in a terminal, tab-separated lines in a pipe, or the requested format.
search       clew search: find media by words, images, examples and concepts.
similar      clew similar: find images similar to an image.
status       clew status: show the contents and settings of a library.
"""
