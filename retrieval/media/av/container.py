"""Open a video or a sound without trusting it, and tell its times from the first picture that is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from typing import TYPE_CHECKING, Any, BinaryIO

from retrieval.errors import MediaError

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext

# No playlist is among them: those open other files, and the network.
VIDEO_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg"
MEDIA_FORMATS = (
    f"{VIDEO_FORMATS},mp3,wav,w64,flac,aac,loas,aiff,caf,au,amr,amrnb,amrwb,ac3,eac3,dts,ape,wv,tta,xwma"
)
MAX_FRAME_PIXELS = 60_000_000  # of a frame, of which a decoder holds many: 8K of any shape
BUFFER_BYTES = 1 << 20  # bytes read at once


@contextmanager
def open_container(file: BinaryIO, formats: str = VIDEO_FORMATS) -> Iterator["InputContainer"]:
    """Open a file from its beginning; raises MediaError with a reason a person understands."""
    import av

    file.seek(0)
    try:
        options = {"format_whitelist": formats, "fflags": "+genpts"}
        container = av.open(file, "r", buffer_size=BUFFER_BYTES, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OverflowError, OSError) as error:
        if is_io_error(error):
            raise
        raise MediaError(_unreadable_reason(file)) from error
    with container:
        yield container


def video_stream(container: "InputContainer") -> "VideoStream":
    """Return the stream of moving pictures; raises MediaError where there is none that can be decoded."""
    from av import VideoStream
    from av.stream import Disposition

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:  # a cover
        raise MediaError("no picture in it, only sound" if container.streams.audio else "no picture in it")
    context: VideoCodecContext | None = stream.codec_context
    if context is None:
        raise MediaError("its pictures are in a coding that clew does not read")
    if context.width * context.height > MAX_FRAME_PIXELS:
        raise MediaError(
            f"{context.width} x {context.height} pixels, "
            f"more than the limit of {MAX_FRAME_PIXELS:,} for a video"
        )
    return stream


def demux_packets(container: "InputContainer", *streams: "Stream") -> Iterator["Packet[Any]"]:
    """Yield the packets of these streams that have a time, as far as the file can be read."""
    import av

    clock: int | None = 0  # of packets without any time, as of bare streams, which follow each other
    try:
        for packet in container.demux(*streams):
            if packet.pts is None:
                packet.pts = packet.dts
            if packet.pts is not None or len(streams) > 1:
                clock = None
            elif clock is not None and packet.size:
                packet.pts = clock
                clock += packet.duration or _default_duration(packet)
            if packet.pts is not None and packet.size:
                yield packet
    except (av.FFmpegError, ValueError, OSError) as error:
        if is_io_error(error):
            raise
        return  # a file that is cut short or damaged: what came is good


def _default_duration(packet: "Packet[Any]") -> int:
    """Return how long a packet lasts that does not say, in the units of its stream."""
    rate = getattr(packet.stream, "average_rate", None) or 25
    return max(1, round(1 / (rate * packet.time_base))) if packet.time_base else 1


def decode_packet(stream: Any, packet: "Packet[Any] | None") -> list[Any]:
    """Return the frames that the decoder has ready after this packet; None is the end of its packets."""
    import av

    try:
        return [frame for frame in stream.codec_context.decode(packet) if frame.pts is not None]
    except (av.FFmpegError, ValueError, MemoryError):  # this packet is damaged; the next may be good
        return []


class StartTimeDetector:
    """Find when the first picture is shown, in the units of a stream, from its packets in their order.

    Before it are packets that an edit list leaves out, and those that need a key frame from before the file.
    """

    def __init__(self) -> None:
        self._key_frame_time: int | None = None
        self.start_time: int | None = None

    def add_packet(self, packet: "Packet[Any]") -> bool:
        """Take note of a packet; returns whether it is shown."""
        time = packet.pts or 0
        if self._key_frame_time is None and packet.is_keyframe:
            self._key_frame_time = time
        if (
            self._key_frame_time is None
            or packet.is_discard
            or (time < self._key_frame_time and not packet.is_keyframe)
        ):
            return False
        self.start_time = time if self.start_time is None else min(self.start_time, time)
        return True


def is_io_error(error: Exception) -> bool:
    """Say whether a disk did not answer, as against a file that asks for what is not in it."""
    return type(error) is OSError and error.errno != EINVAL


def _unreadable_reason(file: BinaryIO) -> str:
    """Say why no demuxer took the file."""
    file.seek(0)
    start = file.read(1 << 16)
    if not start:
        return "empty file"
    if not start.strip(b"\0"):
        return "not a video: it begins with zero bytes"
    if start[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return "damaged: its index (moov) is missing or broken, as when a recording was cut short"
    marks = (b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"\0\0\1\xba", b"0&\xb2u")
    if start.startswith(marks):
        return "damaged: it begins as a video and goes on as none"
    return f"not a video: it begins with {start[:8]!r}"
