"""Audio samples of audio and video files, in chunks."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.media.av.container import (
    MEDIA_FORMATS,
    audio_stream,
    decode_frames,
    open_container,
    read_packets,
)
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from av.container import InputContainer

Samples = NDArray[np.float32]  # (n,), mono, from -1 to 1

SAMPLE_RATE = 16_000  # hertz, the input of speech recognition models
MIN_GAP_SECONDS = 0.5  # missing audio of this length becomes silence
MAX_GAP_SECONDS = 30.0  # a longer gap starts a new chunk
ESTIMATED_LENGTH_FORMATS = frozenset(("aac", "amr"))  # no header; FFmpeg estimates from the file size
MAX_DURATION_SECONDS = 1e8  # a longer duration in a header is an error


class AudioChunk(NamedTuple):
    """A part of the audio of a file."""

    start: float  # seconds
    samples: Samples
    next_start: float | None  # seconds at which the next chunk begins; None at the end


def duration_seconds(container: "InputContainer", stream: Any) -> float:
    """Return the duration from the header; read the packets to the end if the header does not contain it."""
    own = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    for seconds in ((container.duration or 0) / 1e6, own):
        if container.format.name not in ESTIMATED_LENGTH_FORMATS and 0 < seconds < MAX_DURATION_SECONDS:
            return seconds
    return _measure_duration(container, stream)


def _measure_duration(container: "InputContainer", stream: Any) -> float:
    """Return the end of the last packet, in seconds."""
    end, origin = 0.0, (container.start_time or 0) / 1e6
    for packet in read_packets(container, stream):
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin)
    return min(end, MAX_DURATION_SECONDS)


def read_audio_chunks(file: BinaryIO, *arguments: Any) -> Iterator[AudioChunk]:
    """Yield the audio of a file in chunks; the arguments are those of `audio_chunks`. Raises MediaError."""
    with open_container(file, MEDIA_FORMATS) as container:
        yield from audio_chunks(container, *arguments)


def audio_chunks(
    container: "InputContainer",
    after: float = 0.0,
    sample_rate: int = SAMPLE_RATE,
    find_end: Callable[[Samples], int] | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Iterator[AudioChunk]:
    """Yield the audio from `after` seconds on as mono chunks; the last may be empty.

    `find_end` returns the sample at which a full chunk ends; the default is the quietest point near its end.
    """
    parts: list[Samples] = []
    start, length = after, 0  # seconds and samples of the chunk
    for time, samples in _resampled_pieces(container, audio_stream(container), sample_rate):
        end_time = start + length / sample_rate
        is_overlap = length and time < end_time - MIN_GAP_SECONDS
        skipped = max(0, round(((end_time if is_overlap else after) - time) * sample_rate))
        if skipped >= len(samples):
            continue
        time += skipped / sample_rate
        gap = time - end_time if length else 0.0
        if gap > MAX_GAP_SECONDS:
            yield AudioChunk(start, np.concatenate(parts), time)
            parts, length = [], 0
        elif gap > MIN_GAP_SECONDS:
            parts.append(np.zeros(round(gap * sample_rate), np.float32))
            length += len(parts[-1])
        start = start if length else time
        parts.append(samples[skipped:])
        length += len(samples) - skipped
        if length >= limits.audio_chunk_seconds * sample_rate:
            full = np.concatenate(parts)
            end = find_end(full) if find_end else _quietest_point(full, limits.quiet_search_seconds)
            yield AudioChunk(start, full[:end], start + end / sample_rate)
            parts, length, start = [full[end:]], len(full) - end, start + end / sample_rate
    yield AudioChunk(start, np.concatenate([np.empty(0, np.float32), *parts]), None)


def _resampled_pieces(
    container: "InputContainer", stream: Any, sample_rate: int
) -> Iterator[tuple[float, Samples]]:
    """Yield the time of each frame, in seconds from the start of the container, and its mono samples."""
    import av

    origin, clock, resampler = (container.start_time or 0) / 1e6, 0.0, None
    for frame in decode_frames(container, stream):
        try:
            if resampler is None:
                resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
            resampled = resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # the sample rate changes, or is missing
            resampler = None
            continue
        if resampled:
            samples = np.concatenate([part.to_ndarray().reshape(-1) for part in resampled])
            time = clock if frame.time is None else frame.time - origin
            clock = time + len(samples) / sample_rate
            yield time, np.clip(np.nan_to_num(samples), -1, 1)


def _quietest_point(samples: Samples, search_seconds: float) -> int:
    """Return the middle of the quietest tenth of a second in the last `search_seconds`."""
    step = SAMPLE_RATE // 10
    tail = samples[-int(search_seconds * SAMPLE_RATE) :]
    tenths = tail[: len(tail) // step * step].reshape(-1, step)
    quiet = int(np.argmin(np.square(tenths).mean(axis=1)))
    return len(samples) - len(tail) + quiet * step + step // 2
