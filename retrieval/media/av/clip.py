"""Write a time range of a video or audio file as a clip: copy its packets, or transcode it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError, QueryError
from retrieval.media.archives.archive import is_file, open_path, split_archive_path
from retrieval.media.av.clip_formats import ClipFormat, clip_format
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

MAX_SHORTER_SECONDS = 0.5  # by which a clip may be shorter than what was written, because of its last frames
MAX_CONSTANT_RATE = Fraction(60)  # frames a second in formats without frame times
MAX_RATE_DENOMINATOR = 1001  # MPEG-4 has 16 bits for the rate
MAX_SAMPLE_RATE = 48_000  # of lossy codecs, Hz
LOSSLESS_ENCODERS = ("flac", "pcm_s16le", "pcm_s16be")


@dataclass(frozen=True, slots=True)
class ClipDraft:
    """A clip that is being written."""

    source: Path
    path: Path
    form: ClipFormat
    time_range: TimeRange


@dataclass(frozen=True, slots=True)
class WrittenStreams:
    """The streams that were written to a clip, and its times in the source."""

    codecs: tuple[tuple[str, str], ...]  # type and codec, the main stream first
    left_out: tuple[str, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that was written."""

    path: Path
    source: Path
    start: float  # seconds
    end: float
    copied: bool  # begins at a key frame, at or before the requested start
    left_out: tuple[str, ...] = ()  # streams of the source that the clip does not contain


def hit_time_range(hit: Hit, around: float = 0.0) -> tuple[float, float]:
    """Return start and end of a hit, extended by `around` seconds; raises QueryError if it has no times."""
    if not (isfinite(around) and around >= 0):
        raise QueryError(f"Invalid number of seconds around a hit: {around}. Use 0 or more.")
    if not hit.timed or hit.start is None or hit.end is None:
        raise QueryError(
            f"#{hit.id} ({hit.path.name}) has no times to cut at. Use the id of a video or audio hit, as "
            "listed by `clew search ... --kind video`."
        )
    return max(0.0, hit.start - around), hit.end + around


def write_clip(
    source: Path, out: Path, start: float, end: float, *, exact: bool = False, force: bool = False
) -> Clip:
    """Write the seconds from `start` to `end` of a video or audio file; raises QueryError and MediaError.

    Packets are copied from the key frame at or before the start, unless `exact` is set or the output format
    does not support the codecs. The clip is written to a folder of its own, read again and compared with
    what was written, and then moved. An existing file is replaced only with `force`.
    """
    _check_paths(source, out, force)
    form = clip_format(out.suffix)
    time_range = TimeRange.find(partial(_open_source, source), start, end)
    with TemporaryDirectory(prefix=".clew-clip-", dir=out.parent) as folder:
        draft = ClipDraft(source, Path(folder) / f"clip{out.suffix}", form, time_range)
        copied = None if exact else _try_to_copy(draft)
        written = copied or _checked(draft, _transcode(draft))
        _move(draft.path, out, force)
    times = round(written.start, 3), round(written.end, 3)
    return Clip(out, source, *times, copied is not None, written.left_out)


def _try_to_copy(draft: ClipDraft) -> WrittenStreams | None:
    """Copy packets; return None if the format does not support them, or a player could not read them."""
    written = _copy_packets(draft)
    try:
        return None if written is None else _checked(draft, written)
    except MediaError:
        return None


def _checked(draft: ClipDraft, written: WrittenStreams) -> WrittenStreams:
    """Return what was written if the draft contains it. Raises MediaError."""
    problem = _find_problem(draft.path, written)
    if problem:
        raise MediaError(f"cannot be written as {draft.path.suffix}: {problem}; use .mp4 or .mkv")
    return written


def _find_problem(path: Path, written: WrittenStreams) -> str | None:
    """Read a clip again; return how it differs from the streams that were written."""
    import av

    try:
        with av.open(str(path.absolute())) as container:
            codecs = [(stream.type, _codec(stream)) for stream in container.streams]
            if codecs != list(written.codecs):
                return f"its streams are read as {codecs}, not {list(written.codecs)}"
            main = container.streams[0]
            packets = [packet for packet in container.demux(main) if packet.size and packet.pts is not None]
            unit = main.time_base or Fraction(1)
            times = [(packet.pts or 0) * unit for packet in packets]
            ends = [(packet.pts or 0) * unit + (packet.duration or 0) * unit for packet in packets]
            if not times or max(ends) - min(times) < written.end - written.start - MAX_SHORTER_SECONDS:
                return "a part of it cannot be read"
        for index in range(len(written.codecs)):
            with av.open(str(path.absolute())) as container:
                if next(decode_frames(container, container.streams[index]), None) is None:
                    return f"its {written.codecs[index][0]} cannot be decoded"
    except (av.FFmpegError, ValueError, IndexError) as error:
        return f"it cannot be read ({error})"
    return None


def _move(draft: Path, out: Path, force: bool) -> None:
    """Move a complete clip to its path; replace an existing file only with `force`."""
    if not force:
        try:
            os.link(draft, out)
            return
        except FileExistsError:
            raise QueryError(f"{out} already exists. Use --force to replace it.") from None
        except OSError:  # a file system without hard links
            pass
    draft.replace(out)


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


def _copy_packets(draft: ClipDraft) -> WrittenStreams | None:
    """Copy packets; return None if the output format does not support them."""
    import av

    time_range = draft.time_range
    with _open_source(draft.source) as container:
        chosen, left_out = _choose_streams(container, time_range, draft.form)
        if not {_codec(stream) for stream in chosen} <= draft.form.copied:
            return None
        try:
            with av.open(str(draft.path.absolute()), "w", format=draft.form.muxer) as output:
                streams = {each.index: output.add_stream_from_template(each) for each in chosen}
                last = time_range.start
                for packet in time_range.packets(container):
                    if packet.stream.index not in streams:
                        continue
                    unit = packet_time_base(packet)
                    if packet.stream.index == chosen[0].index:
                        last = max(last, packet_time(packet) + (packet.duration or 0) * unit)
                    shift = round(time_range.key_frame_time / unit)
                    packet.pts = (packet.pts or 0) - shift
                    packet.dts = None if packet.dts is None else packet.dts - shift
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
        except (av.FFmpegError, ValueError):
            return None
        codecs = tuple((stream.type, _codec(stream)) for stream in chosen)
    if last <= time_range.start:
        raise MediaError(UNREADABLE_RANGE_REASON)
    first = time_range.key_frame_time - time_range.origin
    return WrittenStreams(codecs, left_out, float(first), float(last - time_range.origin))


def _choose_streams(
    container: "InputContainer", time_range: TimeRange, form: ClipFormat
) -> "tuple[list[Stream], tuple[str, ...]]":
    """Return the streams of a clip, the main one first, and descriptions of those that are left out.

    Raises MediaError if the format can contain none of them.
    """
    inputs = [container.streams[index] for index in time_range.streams]
    chosen = [each for each in inputs if each.type == "audio" or not form.is_audio_only]
    audio = [each for each in chosen if each.type == "audio"]
    if not form.many_audio_streams:
        chosen = [each for each in chosen if each not in audio[1:]]
    if not chosen:
        raise MediaError("this format has audio only, and the source has none; use .mp4 or .mkv")
    kept = {each.index for each in chosen}
    others = [each for each in container.streams if each.index not in kept]
    return chosen, tuple(f"{each.type} stream {each.index} ({_codec(each)})" for each in others)


def _codec(stream: "Stream") -> str:
    """Return the name of the codec of a stream, such as h264."""
    context: Any = stream.codec_context
    return "unknown" if context is None else str(context.codec.canonical_name)


def _transcode(draft: ClipDraft) -> WrittenStreams:
    """Decode and encode the frames of a time range."""
    import av

    form, suffix = draft.form, draft.path.suffix
    with _open_source(draft.source) as container:
        chosen, left_out = _choose_streams(container, draft.time_range, form)
        try:
            with av.open(str(draft.path.absolute()), "w", format=form.muxer) as output:
                encoders = {
                    each.index: _add_encoder(output, each, form, _display_rotation(draft.source, each.type))
                    for each in chosen
                }
                first, last = _encode_frames(draft, container, output, encoders)
                codecs = tuple((each.type, _codec(each)) for each in encoders.values())
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"cannot be written as {suffix}: {reason}; use .mp4 or .mkv") from error
    return WrittenStreams(codecs, left_out, first, last)


def _encode_frames(
    draft: ClipDraft,
    container: "InputContainer",
    output: "OutputContainer",
    encoders: dict[int, Any],
) -> tuple[float, float]:
    """Encode the frames of a time range; return the start and end of the clip."""
    time_range = draft.time_range
    first, last = None, time_range.start
    main = next(index for index in time_range.streams if index in encoders)
    number = -1  # of the last frame of a format with a constant rate
    for frame, stream in time_range.frames(container):
        unit = stream.time_base or Fraction(1)
        time = (frame.pts or 0) * unit
        is_inside = time_range.start - TIME_TOLERANCE <= time < time_range.end
        if stream.index not in encoders or not is_inside:
            continue
        if stream.index == main:
            first = time if first is None else first
            last = max(last, time + (frame.duration or 0) * unit)
        frame.pts, frame.time_base = max(0, round((time - time_range.start) / unit)), unit
        if stream.type == "video":
            frame.pict_type = 0  # the encoder chooses
            if draft.form.constant_rate:
                unit = encoders[stream.index].codec_context.time_base
                frame.pts, frame.time_base = round((time - time_range.start) / unit), unit
                if frame.pts <= number:
                    continue
                number = frame.pts
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


def _add_encoder(output: "OutputContainer", stream: "Stream", form: ClipFormat, rotation: int) -> Any:
    """Add an output stream with the properties of an input stream."""
    source: Any = stream.codec_context
    if stream.type == "audio":
        rate = source.sample_rate
        if form.audio_encoder not in LOSSLESS_ENCODERS:
            rate = MAX_SAMPLE_RATE if form.audio_encoder == "libopus" else min(rate, MAX_SAMPLE_RATE)
        return output.add_stream(form.audio_encoder, rate=rate)
    rate = Fraction(stream.average_rate or 30)
    if form.constant_rate:
        rate = min(rate, MAX_CONSTANT_RATE).limit_denominator(MAX_RATE_DENOMINATOR)
    encoder: Any = output.add_stream(form.video_encoder or "", rate=rate)
    encoder.width, encoder.height = source.width - source.width % 2, source.height - source.height % 2
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = 1 / rate if form.constant_rate else stream.time_base
    if source.sample_aspect_ratio:
        encoder.codec_context.sample_aspect_ratio = source.sample_aspect_ratio
    if rotation:
        encoder.set_display_rotation(rotation)
    return encoder
