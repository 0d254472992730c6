"""The record of a file in an archive."""

from typing import NamedTuple
from zipfile import ZipInfo


class Member(NamedTuple):
    """A file in an archive."""

    name: bytes
    offset: int  # of its data in a tar, of its header in a zip
    size: int  # uncompressed
    mtime: float  # seconds since 1970, or 0 if unknown
    unreadable_reason: str | None = None  # why it cannot be opened
    zip_info: ZipInfo | None = None  # its entry in the directory of a zip
