"""Write audio files of tones, with tags and cover, and recognize the tones as speech or sound events."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from indexer.decode.audio.stream import SAMPLE_RATE
from indexer.enrich import sound_events
from indexer.enrich.sound_events import SoundLabel
from indexer.enrich.speech import TranscriptSegment

TONE_WORDS = {400: "red apples.", 800: "green boat.", 1600: "blue lamp."}  # hertz -> transcript
CODECS = {
    **{".mp3": "libmp3lame", ".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".oga": "flac"},
    **{".opus": "libopus", ".m4a": "aac", ".aac": "aac", ".wma": "wmav2", ".aiff": "pcm_s16be"},
    **{".mka": "flac", ".mp4": "aac"},
}
TONE_SOUND_EVENTS = {400: "red dog barking", 800: "green rain", 1600: "blue guitar"}  # hertz -> label
Tone = tuple[float, float, int]  # start and end in seconds, hertz


def tone_samples(seconds: float, tones: Sequence[Tone] = (), rate: int = 48_000) -> np.ndarray:
    """Return samples from -1 to 1, silent except for the tones."""
    times = np.arange(round(seconds * rate)) / rate
    samples = np.zeros(len(times), np.float32)
    for start, end, hertz in tones:
        samples += (
            0.5 * np.sin(2 * np.pi * hertz * times, dtype=np.float32) * ((times >= start) & (times < end))
        )
    return samples.astype(np.float32)


def write_audio(
    path: Path, seconds: float = 1.0, tones: Sequence[Tone] = ((0, 1, 400),), tags: Mapping[str, str] = {}
) -> Path:
    """Write an audio file in the format of its suffix; create the parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    formats = {".oga": "ogg", ".m4a": "ipod", ".aac": "adts", ".wma": "asf", ".mka": "matroska"}
    with av.open(str(path), "w", format=formats.get(path.suffix)) as container:
        container.metadata.update(tags)
        stream = container.add_stream(CODECS[path.suffix], rate=48_000, layout="mono", bit_rate=64_000)
        if path.suffix == ".mp4":
            add_red_video(container, seconds)
        samples = np.round(tone_samples(seconds, tones) * 32_767).astype(np.int16)
        for begin in range(0, len(samples), 48_000):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 48_000], "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def add_red_video(container: av.container.OutputContainer, seconds: float) -> None:
    """Add a video stream of red frames."""
    stream = container.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(round(5 * seconds)):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (255, 0, 0), np.uint8))
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def add_cover(path: Path, image: bytes) -> Path:
    """Prepend an ID3 tag with a PNG cover to an MP3 file."""
    body = b"\0image/png\0\3\0" + image
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))  # 7 bits per byte
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    return path


def exceed_time_limit(*arguments: object) -> None:
    """End the process as its limit of time does."""
    signal.raise_signal(signal.SIGALRM)


def exceed_memory(*arguments: object) -> None:
    """Fail as a decoder does that gets no more memory."""
    raise MemoryError("no more memory")


class ToneTranscriber:
    """A transcriber that returns a text for each tone, and records the durations of its input in seconds."""

    def __init__(self, name: str = "tones", words: Mapping[int, str] = TONE_WORDS) -> None:
        self.name = name
        self.words = words
        self.durations: list[float] = []

    def transcribe(self, samples: np.ndarray) -> Iterator[TranscriptSegment]:
        self.durations.append(len(samples) / SAMPLE_RATE)
        step = SAMPLE_RATE // 20
        segment: TranscriptSegment | None = None
        for number in range(len(samples) // step):
            window = samples[number * step : (number + 1) * step]
            strength = np.abs(np.fft.rfft(window))
            hertz = round(float(strength.argmax()) * SAMPLE_RATE / step / 100) * 100
            text = self.words.get(hertz) if strength.max() > 0.1 * step else None
            if segment is not None and text != segment.text:
                yield segment
                segment = None
            if text is not None:
                start = number / 20 if segment is None else segment.start
                segment = TranscriptSegment(start, (number + 1) / 20, text)
        if segment is not None:
            yield segment


class ToneClassifier:
    """A classifier that returns a label for each tone, with more confidence for longer tones.

    It records the durations of its input in seconds.
    """

    name = "ears"

    def __init__(self, words: Mapping[int, str] = TONE_SOUND_EVENTS) -> None:
        self.words = words
        self.durations: list[float] = []

    def classify(self, windows: Sequence[np.ndarray]) -> list[list[SoundLabel]]:
        self.durations += [len(samples) / sound_events.SAMPLE_RATE for samples in windows]
        return [self.classify_window(samples) for samples in windows]

    def classify_window(self, samples: np.ndarray) -> list[SoundLabel]:
        strength = np.abs(np.fft.rfft(samples, sound_events.SAMPLE_RATE * sound_events.WINDOW_SECONDS)) / len(
            samples
        )
        confidences = {
            word: float(strength[hertz * sound_events.WINDOW_SECONDS]) for hertz, word in self.words.items()
        }
        return sorted(
            (SoundLabel(*item) for item in confidences.items() if item[1] > 0.01),
            key=lambda label: -label.confidence,
        )
