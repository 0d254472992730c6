"""Commands that read a library.

command     Classes of commands: they refuse conflicting options, list options in groups, and accept `-word`.
console     Write results to stdout and messages to stderr.
duplicates  clew duplicates: list groups of copies, near-duplicates, pairs and bursts.
group       The `clew` command: a group of commands; other arguments are a search.
hits/       Show hits in a terminal, in a pipe, or in a requested format.
interrupts  End a command on Ctrl-C or SIGTERM without a traceback.
main        The commands that read a library, for a process that must not write to it.
models      clew models: list available models.
options     Options that several commands share, and their groups in the help.
search      clew search: find media by words, images, examples and concepts.
serving/    Commands that answer other programs, or write files for them.
show        clew show: show everything that a library knows of a file.
similar     clew similar: find images similar to an image.
status      clew status: show the contents and settings of a library.
"""
