"""Index the files of any folder one by one in a child process, and count how each of them ends.

child          Child process that indexes one file at a time.
failing_child  Child process whose decoders fail on files with a marker, as the control.
mutations      Mutated copies of files.
part           The part of `tests/faults.py`, and its option --corpus.
runner         Start the child processes, and watch their time, memory and stderr.
verdict        The outcome of a file.
"""
