"""Make the decoders of subprocesses fail on files that end with a marker; run with this folder in PYTHONPATH.

The variable MISSING_MODULE names a module that cannot be imported.

Each failure is one of native code: the process ends, never answers, or takes memory without limit.
"""

import mmap
import os
import signal
import stat
import sys
import time

if "MISSING_MODULE" in os.environ:
    sys.modules[os.environ["MISSING_MODULE"]] = None

open_descriptor = os.fdopen


def fdopen(handle, *arguments, **options):
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):  # a terminal or pipe
        return open_descriptor(handle, *arguments, **options)
    size = status.st_size
    end = os.pread(handle, 20, max(0, size - 20))
    if b"fail:abort" in end:
        os.abort()
    if b"fail:crash" in end:
        os.kill(os.getpid(), signal.SIGSEGV)
    while b"fail:loop" in end:
        pass
    while b"fail:sleep" in end:
        time.sleep(1)
    if b"fail:memory" in end:
        memory = mmap.mmap(-1, 10_000_000_000, flags=mmap.MAP_PRIVATE)  # fails at the limit
        memory[:: 1 << 12] = bytes(len(memory) >> 12)
    return open_descriptor(handle, *arguments, **options)


os.fdopen = fdopen
