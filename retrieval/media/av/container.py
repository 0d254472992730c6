"""Open video and audio files safely, and read their packets and frames."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EINVAL
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from retrieval.errors import MediaError
from retrieval.media.av.continuous_clock import ContinuousClock
from retrieval.media.limits import check_pixel_limit

if TYPE_CHECKING:
    from av import Packet, VideoStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext

# Playlist formats are left out: they open other files and URLs.
VIDEO_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg"
MEDIA_FORMATS = (
    f"{VIDEO_FORMATS},mp3,wav,w64,flac,aac,loas,aiff,caf,au,amr,amrnb,amrwb,ac3,eac3,dts,ape,wv,tta,xwma"
)
MAX_FRAME_PIXELS = 60_000_000  # 8K in any shape; a decoder holds many frames
MAX_EMPTY_PACKETS = 1_000  # in a row, without a frame that can be decoded
BUFFER_BYTES = 1 << 20  # read at a time


@contextmanager
def open_container(file: BinaryIO, formats: str = VIDEO_FORMATS) -> Iterator["InputContainer"]:
    """Open a file from its beginning; raises MediaError if it is in none of the formats."""
    import av

    file.seek(0)
    try:
        options = {"format_whitelist": formats, "fflags": "+genpts"}
        container = av.open(file, "r", buffer_size=BUFFER_BYTES, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OverflowError, OSError) as error:
        if is_io_error(error):
            raise
        raise MediaError(
            _unreadable_reason(file, "a video" if formats == VIDEO_FORMATS else "audio")
        ) from error
    with container:
        yield container


def video_stream(container: "InputContainer") -> "VideoStream":
    """Return the video stream; raises MediaError if the file has none that can be decoded."""
    from av import VideoStream

    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or _is_cover(stream):
        raise MediaError("no video in it, only audio" if container.streams.audio else "no video in it")
    context: VideoCodecContext | None = stream.codec_context
    if context is None:
        raise MediaError("its video is in a codec that clew does not read")
    check_pixel_limit(context.width, context.height, MAX_FRAME_PIXELS)
    return stream


def _is_cover(stream: "Stream") -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def audio_stream(container: "InputContainer") -> Any:
    """Return the first audio stream; raises MediaError if the file has none that can be decoded."""
    for stream in container.streams.audio:
        if stream.codec_context is not None:
            return stream
    raise MediaError("no audio in it that can be decoded")


def zero_time(container: "InputContainer", time_base: Fraction) -> int:
    """Return the zero of the times of a file, as players count them, in the time base of a stream."""
    return round((container.start_time or 0) / (1_000_000 * time_base))


def is_broadcast_format(container: "InputContainer") -> bool:
    """Return True for formats whose timestamps may jump, so that a seek to a time is unreliable."""
    from av.format import Flags

    return Flags.ts_discont in Flags(container.format.flags)


def read_packets(container: "InputContainer", *streams: "Stream") -> Iterator["Packet[Any]"]:
    """Yield the packets of these streams on one continuous clock, as far as the file can be read."""
    is_broadcast = is_broadcast_format(container)
    if not is_broadcast and "matroska" not in container.format.name:  # others number their packets
        yield from _demux(container, streams)
        return
    tracks = [track for track in (*container.streams.video, *container.streams.audio) if not _is_cover(track)]
    clock = ContinuousClock(tracks, is_broadcast=is_broadcast)
    wanted = {stream.index for stream in streams}
    all_streams = {stream.index: stream for stream in (*streams, *tracks)}
    for packet in clock.correct(_demux(container, list(all_streams.values()))):
        if packet.stream.index in wanted:
            yield packet


def _demux(container: "InputContainer", streams: "Sequence[Stream]") -> Iterator["Packet[Any]"]:
    import av

    try:
        for packet in container.demux(*streams):
            if packet.size:
                yield packet
    except (av.FFmpegError, ValueError, OSError) as error:
        if is_io_error(error):
            raise
        return  # the file is truncated or damaged; the packets before are good


def demux_packets(container: "InputContainer", *streams: "Stream") -> Iterator["Packet[Any]"]:
    """Yield the packets of these streams that have a time, on one continuous clock.

    Packets of bare streams have no times: they follow each other.
    """
    clock: int | None = 0  # for packets without a time
    for packet in read_packets(container, *streams):
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.pts is not None or len(streams) > 1:
            clock = None
        elif clock is not None:
            packet.pts = clock
            clock += packet.duration or _default_duration(packet)
        if packet.pts is not None:
            yield packet


def _default_duration(packet: "Packet[Any]") -> int:
    """Return the duration of a packet that does not contain it, in the time base of its stream."""
    rate = getattr(packet.stream, "average_rate", None) or 25
    return max(1, round(1 / (rate * packet.time_base))) if packet.time_base else 1


def decode_packet(stream: Any, packet: "Packet[Any] | None") -> list[Any]:
    """Return the frames that are complete after this packet; None flushes the decoder."""
    import av

    try:
        return [frame for frame in stream.codec_context.decode(packet) if frame.pts is not None]
    except (av.FFmpegError, ValueError, MemoryError):  # only this packet is damaged
        return []


def decode_frames(container: "InputContainer", stream: Any) -> Iterator[Any]:
    """Yield the frames of a stream, until its end or until MAX_EMPTY_PACKETS packets in a row have none."""
    import av

    empty_count = 0
    for packet in read_packets(container, stream):
        frames: list[Any] = []
        with suppress(av.FFmpegError, ValueError):  # only this packet is damaged
            frames = packet.decode()
        yield from frames
        empty_count = 0 if frames else empty_count + 1
        if empty_count == MAX_EMPTY_PACKETS:
            return
    with suppress(av.FFmpegError, ValueError, MemoryError):
        yield from stream.codec_context.decode(None)


class StartTimeDetector:
    """Find the time of the first frame that is shown, in the time base of a stream, from its packets.

    Packets before it are left out by an edit list, or need a key frame that is not in the file.
    """

    def __init__(self) -> None:
        self._key_frame_time: int | None = None
        self.start_time: int | None = None

    def add_packet(self, packet: "Packet[Any]") -> bool:
        """Add the next packet; return True if it is shown."""
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
    """Return True if the disk failed, False if a damaged file made FFmpeg seek out of it (EINVAL)."""
    return type(error) is OSError and error.errno != EINVAL


def _unreadable_reason(file: BinaryIO, kind: str) -> str:
    """Return why a file cannot be opened as media of a kind."""
    file.seek(0)
    start = file.read(1 << 16)
    if not start:
        return "empty file"
    if not start.strip(b"\0"):
        return f"not {kind}: it begins with zero bytes"
    if start[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return "damaged: its index (moov) is missing or broken, as when a recording was interrupted"
    return f"not {kind}: it begins with {start[:8]!r}"
