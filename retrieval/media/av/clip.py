"""Write a time range of a video or audio file as a clip: copy its packets, or transcode it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError, QueryError
from retrieval.media.archives.archive import is_file, open_path, split_archive_path
from retrieval.media.av.container import MEDIA_FORMATS, decode_frames, open_container, video_stream
from retrieval.media.av.time_range import (
    TIME_TOLERANCE,
    UNREADABLE_RANGE_REASON,
    TimeRange,
    packet_time,
    packet_time_base,
)
from retrieval.types import Hit

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

VIDEO_ENCODERS = {".webm": "libvpx-vp9"}  # other formats get H.264 and AAC
AUDIO_ENCODERS = {
    **dict.fromkeys((".webm", ".ogg", ".oga", ".opus"), "libopus"),
    **{".mp3": "libmp3lame", ".flac": "flac", ".wav": "pcm_s16le", ".aiff": "pcm_s16be"},
}


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that was written."""

    path: Path
    source: Path
    start: float  # seconds
    end: float
    copied: bool  # begins at a key frame, at or before the requested start


def hit_time_range(hit: Hit, around: float = 0.0) -> tuple[float, float]:
    """Return start and end of a hit, extended by `around` seconds; raises QueryError if it has no times."""
    if not hit.timed or hit.start is None or hit.end is None:
        raise QueryError(
            f"#{hit.id} ({hit.path.name}) has no times to cut at. Use the id of a video or audio hit, as "
            "listed by `clew search ... --kind video --json`."
        )
    return max(0.0, hit.start - around), hit.end + around


def write_clip(
    source: Path, out: Path, start: float, end: float, *, exact: bool = False, force: bool = False
) -> Clip:
    """Write the seconds from `start` to `end` of a video or audio file; raises QueryError and MediaError.

    Packets are copied from the key frame at or before the start, unless `exact` is set or the output format
    does not support the codec. An existing file is replaced only with `force`, after the clip is complete.
    """
    _check_paths(source, out, force)
    temporary = out.with_name(f".{out.stem}.tmp-{os.getpid()}{out.suffix}")
    try:
        time_range = TimeRange.find(partial(_open_source, source), start, end)
        copied = None if exact else _copy_packets(source, temporary, time_range)
        first, last = copied or _transcode(source, temporary, time_range)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return Clip(out, source, round(first, 3), round(last, 3), copied is not None)


def _check_paths(source: Path, out: Path, force: bool) -> None:
    if not is_file(source):
        raise QueryError(
            f"{source} does not exist. Restore it, or run `clew index` to remove it from the library."
        )
    if not out.suffix:
        raise QueryError(f"{out} has no suffix, which selects the format. Use {out}{source.suffix}.")
    if not out.parent.is_dir():
        raise QueryError(f"The folder {out.parent} does not exist. Create it first.")
    archive, _ = split_archive_path(os.fsencode(source)) or (os.fsencode(source), b"")
    if out.exists() and (out.is_dir() or out.samefile(os.fsdecode(archive))):
        raise QueryError(
            f"{out} is {'a folder' if out.is_dir() else 'the source of the clip'}. Use another path."
        )
    if out.exists() and not force:
        raise QueryError(f"{out} already exists. Use --force to replace it.")


@contextmanager
def _open_source(source: Path) -> "Iterator[InputContainer]":
    """Open a video or audio file, which may be in an archive; raises MediaError."""
    try:
        file = open_path(source)
    except OSError as error:
        raise MediaError(f"{source}: {error.strerror or error}") from error
    with file, open_container(file, MEDIA_FORMATS) as container:
        yield container


def _copy_packets(source: Path, out: Path, time_range: TimeRange) -> tuple[float, float] | None:
    """Copy packets and return their start and end; None if the output format does not support them."""
    import av

    with _open_source(source) as container:
        inputs = [container.streams[index] for index in time_range.streams]
        try:
            with av.open(str(out.absolute()), "w") as output:
                streams = {each.index: output.add_stream_from_template(each) for each in inputs}
                last = time_range.start
                for packet in time_range.packets(container):
                    unit = packet_time_base(packet)
                    if packet.stream.index == time_range.streams[0]:
                        last = max(last, packet_time(packet) + (packet.duration or 0) * unit)
                    shift = round(time_range.key_frame_time / unit)
                    packet.pts = (packet.pts or 0) - shift
                    packet.dts = None if packet.dts is None else packet.dts - shift
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
        except (av.FFmpegError, ValueError):
            return None
    if last <= time_range.start:
        raise MediaError(UNREADABLE_RANGE_REASON)
    return float(time_range.key_frame_time - time_range.origin), float(last - time_range.origin)


def _transcode(source: Path, out: Path, time_range: TimeRange) -> tuple[float, float]:
    """Decode and encode the frames of a time range; return the start and end of the clip."""
    import av

    with _open_source(source) as container:
        inputs = [container.streams[index] for index in time_range.streams]
        try:
            with av.open(str(out.absolute()), "w") as output:
                encoders = {
                    each.index: _add_encoder(output, each, out.suffix, _display_rotation(source, each.type))
                    for each in inputs
                }
                return _encode_frames(time_range, container, output, encoders)
        except av.FFmpegError as error:
            raise MediaError(
                f"cannot be written as {out.suffix}: {error.strerror}; use .mp4 or .mkv"
            ) from error
        except ValueError as error:
            raise MediaError(f"cannot be written as {out.suffix}; use .mp4, .mkv or .webm") from error


def _encode_frames(
    time_range: TimeRange,
    container: "InputContainer",
    output: "OutputContainer",
    encoders: dict[int, Any],
) -> tuple[float, float]:
    first, last = None, time_range.start
    for frame, stream in time_range.frames(container):
        unit = stream.time_base or Fraction(1)
        time = (frame.pts or 0) * unit
        if not time_range.start - TIME_TOLERANCE <= time < time_range.end:
            continue
        if stream.index == time_range.streams[0]:
            first = time if first is None else first
            last = max(last, time + (frame.duration or 0) * unit)
        frame.pts, frame.time_base = max(0, round((time - time_range.start) / unit)), unit
        if hasattr(frame, "pict_type"):
            frame.pict_type = 0  # the encoder chooses
        output.mux(encoders[stream.index].encode(frame))
    if first is None:
        raise MediaError(UNREADABLE_RANGE_REASON)
    for encoder in encoders.values():
        output.mux(encoder.encode(None))
    return float(first - time_range.origin), float(min(last, time_range.end) - time_range.origin)


def _display_rotation(source: Path, kind: str) -> int:
    """Return the display rotation of a video in degrees."""
    if kind != "video":
        return 0
    with _open_source(source) as container:
        frame = next(decode_frames(container, video_stream(container)), None)
        return 0 if frame is None else int(frame.rotation)


def _add_encoder(output: "OutputContainer", stream: "Stream", suffix: str, rotation: int) -> Any:
    """Add an output stream with the properties of an input stream."""
    source: Any = stream.codec_context
    if stream.type == "audio":
        codec = AUDIO_ENCODERS.get(suffix.lower(), "aac")
        return output.add_stream(codec, rate=48_000 if codec == "libopus" else source.sample_rate)
    encoder: Any = output.add_stream(
        VIDEO_ENCODERS.get(suffix.lower(), "libx264"), rate=stream.average_rate or 30
    )
    encoder.width, encoder.height = source.width - source.width % 2, source.height - source.height % 2
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = stream.time_base  # keeps the times exact
    if source.sample_aspect_ratio:
        encoder.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
    if rotation:
        encoder.set_display_rotation(rotation)
    return encoder
