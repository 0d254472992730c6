"""Open sound, and the sound of videos: what it says of itself, and its samples, whatever is broken in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import MediaError
from retrieval.media.av.container import MEDIA_FORMATS, is_io_error

if TYPE_CHECKING:
    from av.container import InputContainer

Samples = NDArray[np.float32]  # (n,), mono, from -1 to 1

SAMPLE_RATE = 16_000  # samples a second: what transcribers take
MAX_CHUNK_SECONDS = 300.0  # seconds of sound held at once; it is cut at its quietest moment
QUIET_SEARCH_SECONDS = 20.0  # seconds before the end of a stretch in which that is looked for
MIN_GAP_SECONDS, MAX_GAP_SECONDS = (
    0.5,
    30.0,
)  # seconds missing from a sound that are taken for silence, and that end a stretch
ESTIMATED_LENGTH_FORMATS = frozenset(
    ("aac", "amr")
)  # formats without a header, whose length is guessed from their size
MAX_DURATION_SECONDS = 1e8  # seconds: a sound that says it is longer is damaged
MAX_EMPTY_PACKETS = 1_000  # packets in a row that give nothing


class AudioChunk(NamedTuple):
    """Some seconds of sound, and when they begin; `upto` is where the next one does, None at the end."""

    start: float
    samples: Samples
    next_start: float | None


@contextmanager
def open_audio_container(file: BinaryIO) -> "Iterator[InputContainer]":
    """Open a container; raises MediaError where there is none."""
    import av  # heavy: when the first sound is read

    try:
        container = av.open(file, "r", options={"format_whitelist": MEDIA_FORMATS}, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        if is_io_error(error):
            raise
        raise MediaError(_unreadable_reason(error, file)) from error
    with container:
        yield container


def first_audio_stream(container: "InputContainer") -> Any:
    """Return the first stream of sound; raises MediaError where there is none."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not streams:
        raise MediaError("holds no sound that can be decoded")
    return streams[0]


def decode_frames(container: "InputContainer", stream: Any) -> Iterator[Any]:
    """Yield what can be decoded of a stream, to its end or to where nothing more comes."""
    import av

    blanks = 0
    packets = container.demux(stream)
    while blanks < MAX_EMPTY_PACKETS:
        try:
            packet = next(packets)
            decoded = packet.decode()
        except StopIteration:
            return
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError):  # one packet is damaged, or all from here on
            blanks += 1
            continue
        blanks = 0 if decoded else blanks + 1
        yield from decoded


def duration_seconds(container: "InputContainer", stream: Any) -> float:
    """Return how long a sound is, as it says itself; one that does not say is read to its end."""
    own = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    said = () if container.format.name in ESTIMATED_LENGTH_FORMATS else ((container.duration or 0) / 1e6, own)
    return next((length for length in said if 0 < length < MAX_DURATION_SECONDS), None) or _measure_duration(
        container, stream
    )


def _measure_duration(container: "InputContainer", stream: Any) -> float:
    """Return when the last packet from here on ends."""
    import av

    end, begin = 0.0, (container.start_time or 0) / 1e6
    try:
        for packet in container.demux(stream):
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
    except (av.FFmpegError, ValueError):  # the rest is damaged
        pass
    return min(end, MAX_DURATION_SECONDS)


def audio_chunks(
    container: "InputContainer",
    after: float = 0.0,
    sample_rate: int = SAMPLE_RATE,
    find_end: Callable[[Samples], int] | None = None,
) -> Iterator[AudioChunk]:
    """Yield the sound from `after` seconds on, a stretch at a time, mono; the last may be empty.

    `cut` says where in some samples a stretch ends (default: where it is quietest).
    """
    parts: list[Samples] = []
    start, held = after, 0
    for at, samples in _resampled_pieces(container, first_audio_stream(container), sample_rate):
        early = max(0, round((after - at) * sample_rate))
        if early >= len(samples):
            continue
        at += early / sample_rate
        missing = at - (start + held / sample_rate) if held else 0.0
        if missing > MAX_GAP_SECONDS:
            yield AudioChunk(start, np.concatenate(parts), at)
            parts, held = [], 0
        elif missing > MIN_GAP_SECONDS:
            parts.append(np.zeros(round(missing * sample_rate), np.float32))
            held += len(parts[-1])
        start = start if held else at
        parts.append(samples[early:])
        held += len(samples) - early
        if held >= MAX_CHUNK_SECONDS * sample_rate:
            whole = np.concatenate(parts)
            end = (find_end or _quietest_point)(whole)
            yield AudioChunk(start, whole[:end], start + end / sample_rate)
            parts, held, start = [whole[end:]], len(whole) - end, start + end / sample_rate
    yield AudioChunk(start, np.concatenate([np.empty(0, np.float32), *parts]), None)


def _resampled_pieces(
    container: "InputContainer", stream: Any, sample_rate: int
) -> Iterator[tuple[float, Samples]]:
    """Yield (seconds, samples), mono at this rate; seconds count from the beginning of the container."""
    import av

    begin, clock, resampler = (container.start_time or 0) / 1e6, 0.0, None
    for frame in decode_frames(container, stream):
        try:
            if resampler is None:
                resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
            made = resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # it changes its rate, or has none
            resampler = None
            continue
        if made:
            samples = np.concatenate([part.to_ndarray().reshape(-1) for part in made])
            at = clock if frame.time is None else frame.time - begin
            clock = at + len(samples) / sample_rate
            yield at, np.clip(np.nan_to_num(samples), -1, 1)


def _quietest_point(samples: Samples) -> int:
    """Return where the quietest tenth of a second of the last seconds is."""
    step = SAMPLE_RATE // 10
    tail = samples[-int(QUIET_SEARCH_SECONDS * SAMPLE_RATE) :]
    tenths = tail[: len(tail) // step * step].reshape(-1, step)
    quiet = int(np.argmin(np.square(tenths).mean(axis=1)))
    return len(samples) - len(tail) + quiet * step + step // 2


def _unreadable_reason(error: Exception, file: BinaryIO) -> str:
    """Say why a file is no container of sound."""
    file.seek(0)
    said = getattr(error, "strerror", None) or str(error)
    return f"not a sound that can be read: {said[:1].lower()}{said[1:]}" if file.read(1) else "empty file"
