"""Faults during operations on a library: kills, failed writes and power losses, and what a library keeps.

checks        Check a library after a fault: its state, its answers and its orphans.
controls      Run the checks over the naive order of writes.
disk          Replay the durable operations on a folder, and apply a power loss.
fork_server   Run operations in forked processes of a warm parent.
interpose     Compile the interposed C library, and control it.
living        Kill the operations on one library at random moments.
media         Folders of media that change between the runs of an operation.
naive         Operations in the naive order of writes.
operations    The operations under test, with toy embedders.
power_loss    Lose power after durable operations of each operation.
record        Read the record of durable operations and commits.
signals       Send SIGTERM and Ctrl-C to the commands that write a library.
state         The committed state of a library, and reports of commits.
sweep         Run each operation with a fault at its durable operations.
workplace     The folder of a part of the harness, and the counts of its cases.
"""
