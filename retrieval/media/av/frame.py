"""Decode one frame from the middle of a video."""

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.media.av.container import decode_frames, open_container, video_stream

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from PIL.Image import Image

STEPS_BACK = (0.0, 5.0, 20.0)  # seconds: seeks in some formats go to the next key frame
MAX_FRAMES = 500  # decoded from a key frame on


def load_middle_frame(file: BinaryIO) -> "Image":
    """Return a frame from the middle of a video, upright with square pixels; raises MediaError, OSError."""
    for seconds in (*STEPS_BACK, None):
        image = _decode_middle(file, seconds)
        if image is not None:
            return image
    raise MediaError("damaged: no frame can be decoded")


def _decode_middle(file: BinaryIO, seconds_before: float | None) -> "Image | None":
    """Return the middle frame, or None if it is not found after a seek to some seconds before it.

    None for the seconds reads from the start. A frame at most MAX_FRAMES after the first is returned.
    """
    import av

    with open_container(file) as container:
        stream = video_stream(container)
        middle = ((container.start_time or 0) + (container.duration or 0) / 2) / 1e6
        if seconds_before is not None:
            with suppress(av.FFmpegError):  # without an index, reading begins at the start
                container.seek(int(max(0, middle - seconds_before) * 1e6))
        frame: VideoFrame | None = None
        for number, frame in enumerate(decode_frames(container, stream)):
            is_late = (frame.time or 0.0) >= middle
            if number == 0 and is_late and seconds_before is not None:
                return None  # the seek went too far
            if is_late or number == MAX_FRAMES:
                break
        return None if frame is None else _to_image(frame, stream)


def _to_image(frame: "VideoFrame", stream: "VideoStream") -> "Image":
    """Return a frame as an upright image with square pixels."""
    aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
    image: Image = frame.to_image()  # type: ignore[no-untyped-call]
    if aspect and 0.1 <= aspect <= 10:
        image = image.resize((max(1, round(image.width * aspect)), image.height))
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
