"""Child process whose decoders fail on files with a marker, as the control of the runner."""

import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from indexer.decode import reader
from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext
from indexer.scan import walker
from tests.support.corpus.child import serve

HELD = list[bytes]()  # memory that is never released


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Fail as the text of a file says."""
    failure = file.read(100)
    if failure == b"crash":
        os.abort()
    if failure == b"hang":
        time.sleep(600)
    if failure == b"memory":
        HELD.append(b"x" * 900_000_000)
        time.sleep(600)
    if failure == b"traceback":
        sys.stderr.write("Traceback (most recent call last):\n  ...\n")
    if failure == b"bug":
        raise KeyError("a bug of a decoder")
    return DecodedFile()


def list_most_entries(prefix: bytes, entries: Any, *arguments: Any) -> Any:
    """List the files of a folder without those that are to be lost."""
    left = {
        name: entry
        for name, entry in entries.items()
        if Path(os.fsdecode(entry.path)).read_bytes() != b"unreported"
    }
    return list_entries(prefix, left, *arguments)


list_entries = walker._file_entries

if __name__ == "__main__":
    reader.DECODERS["text"] = decode
    walker._file_entries = list_most_entries
    serve(Path(sys.argv[1]), sys.argv[2])
