"""Cut a moment out of a video or a sound: its own packets where they permit it, else coded anew."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError, QueryError
from retrieval.media.archives.archive import is_file, open_path, split_archive_path
from retrieval.media.av.container import (
    MEDIA_FORMATS,
    decode_packet,
    demux_packets,
    open_container,
    video_stream,
)
from retrieval.media.av.time_range import TimeRange, packet_time, packet_time_base
from retrieval.types import Hit

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

UNREADABLE_RANGE_REASON = "nothing of this moment can be read"
TIME_TOLERANCE = Fraction(1, 2000)  # seconds: times are rounded
VIDEO_ENCODERS = {".webm": "libvpx-vp9"}  # how what is coded anew is coded; elsewhere H.264 and AAC
AUDIO_ENCODERS = {
    **dict.fromkeys((".webm", ".ogg", ".oga", ".opus"), "libopus"),
    **{".mp3": "libmp3lame", ".flac": "flac", ".wav": "pcm_s16le", ".aiff": "pcm_s16be"},
}


@dataclass(frozen=True, slots=True)
class Clip:
    """What was written: the part of `source` from `start` to `end`, in seconds from its first picture.

    A clip that is `copied` begins at a key frame, at or before what was asked for.
    """

    path: Path
    source: Path
    start: float
    end: float
    copied: bool


def hit_time_range(hit: Hit, around: float = 0.0) -> tuple[float, float]:
    """Return the seconds of a hit, and so many more before and after; raises QueryError where it has none."""
    if not hit.timed or hit.start is None or hit.end is None:
        raise QueryError(
            f"#{hit.id} is {hit.path.name}, which has no times to cut at; give a moment of a video or a "
            "sound (`clew search ... --kind video --json` tells ids)."
        )
    return max(0.0, hit.start - around), hit.end + around


def write_clip(
    source: Path, out: Path, start: float, end: float, *, exact: bool = False, force: bool = False
) -> Clip:
    """Write the seconds from `start` to `end` of a video or a sound; raises QueryError and MediaError.

    Packets are copied, from the key frame at or before the start on, unless it is to be `exact` or the new
    file cannot hold them. What is there is replaced only with `force`, once the new file is whole.
    """
    _check_paths(source, out, force)
    draft = out.with_name(f".{out.stem}.draft-{os.getpid()}{out.suffix}")
    try:
        done = None if exact else _copy_packets(source, draft, start, end)
        first, last = done or _transcode(source, draft, start, end)
        draft.replace(out)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return Clip(out, source, round(first, 3), round(last, 3), done is not None)


def _check_paths(source: Path, out: Path, force: bool) -> None:
    if not is_file(source):
        raise QueryError(f"{source} is not there now; put it back, or `clew index` to forget it.")
    if not out.suffix:
        raise QueryError(f"{out} has no suffix that tells its format; write {out}{source.suffix}.")
    if not out.parent.is_dir():
        raise QueryError(f"There is no folder {out.parent}; make it first.")
    archive, _ = split_archive_path(os.fsencode(source)) or (os.fsencode(source), b"")
    if out.exists() and (out.is_dir() or out.samefile(os.fsdecode(archive))):
        raise QueryError(f"{out} is {'a folder' if out.is_dir() else 'the very file to cut'}; name another.")
    if out.exists() and not force:
        raise QueryError(f"{out} is there already; --force replaces it.")


@contextmanager
def _open_source(source: Path) -> "Iterator[InputContainer]":
    """Open a video or a sound, in an archive too; raises MediaError."""
    try:
        file = open_path(source)
    except OSError as error:
        raise MediaError(f"{source}: {error.strerror or error}") from error
    with file, open_container(file, MEDIA_FORMATS) as given:
        yield given


def _copy_packets(source: Path, out: Path, start: float, end: float) -> tuple[float, float] | None:
    """Copy packets; returns the seconds they reach from and to, None where the new file cannot hold them."""
    import av

    with _open_source(source) as given:
        span = TimeRange.from_container(given, start, end)
        try:
            with av.open(str(out.absolute()), "w") as made:
                streams = {each.index: made.add_stream_from_template(each) for each in span.streams}
                last = span.start
                for packet in span.packets():
                    if packet.stream.index == span.main_stream.index:
                        last = max(
                            last, packet_time(packet) + (packet.duration or 0) * packet_time_base(packet)
                        )
                    shift = round(span.key_frame_time / packet_time_base(packet))
                    packet.pts = (packet.pts or 0) - shift
                    packet.dts = None if packet.dts is None else packet.dts - shift
                    packet.stream = streams[packet.stream.index]
                    made.mux(packet)
        except (av.FFmpegError, ValueError):
            return None
    if last <= span.start:
        raise MediaError(UNREADABLE_RANGE_REASON)
    return float(span.key_frame_time - span.origin), float(last - span.origin)


def _transcode(source: Path, out: Path, start: float, end: float) -> tuple[float, float]:
    """Code frames and sound anew; returns the seconds they reach from and to."""
    import av

    with _open_source(source) as given:
        span = TimeRange.from_container(given, start, end)
        try:
            with av.open(str(out.absolute()), "w") as made:
                coders = {
                    each.index: _add_encoder(made, each, out.suffix, _display_rotation(source, each.type))
                    for each in span.streams
                }
                return _encode_frames(span, made, coders)
        except av.FFmpegError as error:
            raise MediaError(
                f"it cannot be written as {out.suffix}: {error.strerror}; try .mp4 or .mkv"
            ) from error
        except ValueError as error:
            raise MediaError(f"{out.suffix} is no format that holds it; try .mp4, .mkv or .webm") from error


def _encode_frames(
    time_range: TimeRange, output: "OutputContainer", encoders: dict[int, Any]
) -> tuple[float, float]:
    first, last = None, time_range.start
    for frame, stream in time_range.frames():
        unit = stream.time_base or Fraction(1)
        time = (frame.pts or 0) * unit
        if not time_range.start - TIME_TOLERANCE <= time < time_range.end:
            continue
        if stream.index == time_range.main_stream.index:
            first = time if first is None else first
            last = max(last, time + (frame.duration or 0) * unit)
        frame.pts, frame.time_base = max(0, round((time - time_range.start) / unit)), unit
        if hasattr(frame, "pict_type"):
            frame.pict_type = 0  # the coder's own choice
        output.mux(encoders[stream.index].encode(frame))
    if first is None:
        raise MediaError(UNREADABLE_RANGE_REASON)
    for coder in encoders.values():
        output.mux(coder.encode(None))
    return float(first - time_range.origin), float(min(last, time_range.end) - time_range.origin)


def _display_rotation(source: Path, kind: str) -> int:
    """Return by how many degrees the pictures of a video are turned when they are shown."""
    if kind != "video":
        return 0
    with _open_source(source) as given:
        stream = video_stream(given)
        frames = (frame for packet in demux_packets(given, stream) for frame in decode_packet(stream, packet))
        return next((int(frame.rotation) for frame in frames), 0)


def _add_encoder(output: "OutputContainer", stream: "Stream", suffix: str, rotation: int) -> Any:
    """Add a stream to a new file, coded anew and else as the one given."""
    given: Any = stream.codec_context
    if stream.type == "audio":
        sound = AUDIO_ENCODERS.get(suffix.lower(), "aac")
        return output.add_stream(sound, rate=48_000 if sound == "libopus" else given.sample_rate)
    coder: Any = output.add_stream(
        VIDEO_ENCODERS.get(suffix.lower(), "libx264"), rate=stream.average_rate or 30
    )
    coder.width, coder.height = given.width - given.width % 2, given.height - given.height % 2
    coder.pix_fmt = "yuv420p"
    coder.codec_context.time_base = stream.time_base  # as exact as it was
    if given.sample_aspect_ratio:
        coder.codec_context.sample_aspect_ratio = given.sample_aspect_ratio
    if rotation:
        coder.set_display_rotation(rotation)
    return coder
