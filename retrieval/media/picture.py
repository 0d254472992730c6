"""Decode the picture of a query in a sandboxed subprocess: an image, or a frame of a video."""

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from PIL.Image import Image


class SoundOnly(MediaError):
    """A media file without pictures."""


def decode_picture(file: BinaryIO, min_side: int, limits: DecodeLimits = DEFAULT_LIMITS) -> "Image":
    """Return an image at the scale of `min_side`, or a frame from the middle of a video.

    Raises MediaError, also if the decoder crashes or reaches a limit, and SoundOnly.
    """
    from retrieval.media.sandboxed_calls import call_sandboxed  # late: the subprocess does without it

    return call_sandboxed(read_picture, file, min_side, limits, limits=limits)


def read_picture(file: BinaryIO, min_side: int, limits: DecodeLimits) -> "Image":
    """Return an image or a frame, decoded in this process; raises MediaError and SoundOnly."""
    from retrieval.media.images.loader import load_image

    try:
        return load_image(file, min_side=min_side, limits=limits)
    except MediaError:
        frame = _video_frame(file)
        if frame is None:
            raise
        return frame


def _video_frame(file: BinaryIO) -> "Image | None":
    """Return a frame of a video, or None if a file is none; raises SoundOnly."""
    from retrieval.media.av.container import MEDIA_FORMATS, audio_stream, open_container
    from retrieval.media.av.frame import load_middle_frame

    with suppress(MediaError, OSError):
        return load_middle_frame(file)
    file.seek(0)
    try:
        with open_container(file, MEDIA_FORMATS) as container:
            audio_stream(container)
    except (MediaError, OSError):
        return None
    raise SoundOnly("it has sound only")
