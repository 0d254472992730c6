"""Read the metadata of a video without decoding it."""

from typing import BinaryIO

from indexer.decode.base import DecodedFile
from indexer.decode.metadata.video_properties import is_taken_in_utc, video_properties
from retrieval.media.av.container import open_container

MICROSECONDS = 1_000_000  # the unit of a container's duration


def read_metadata(file: BinaryIO) -> DecodedFile:
    """Return the capture time and the duration of a video; raises MediaError."""
    with open_container(file) as container:
        metadata, duration = dict(container.metadata), (container.duration or 0) / MICROSECONDS
    properties = video_properties(metadata, None, duration)
    return DecodedFile(properties=properties, is_taken_in_utc=is_taken_in_utc(metadata))
