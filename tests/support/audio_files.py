"""Draw sounds: tones at known seconds, tags, a cover; a transcriber and a listener that hear the tones."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from indexer.decode.audio.stream import SAMPLE_RATE
from indexer.enrich import sound_events
from indexer.enrich.sound_events import SoundLabel
from indexer.enrich.speech import TranscriptSegment

TONE_WORDS = {400: "red apples.", 800: "green boat.", 1600: "blue lamp."}  # what a tone of so many hertz says
CODECS = {
    **{".mp3": "libmp3lame", ".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".oga": "flac"},
    **{".opus": "libopus", ".m4a": "aac", ".aac": "aac", ".wma": "wmav2", ".aiff": "pcm_s16be"},
    **{".mka": "flac", ".mp4": "aac"},
}
TONE_SOUND_EVENTS = {400: "red dog barking", 800: "green rain", 1600: "blue guitar"}
Tone = tuple[float, float, int]  # from and to which second, hertz


def tone_samples(seconds: float, tones: Sequence[Tone] = (), rate: int = 48_000) -> np.ndarray:
    """Return samples from -1 to 1, silent but for the tones."""
    at = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(at), np.float32)
    for start, end, hertz in tones:
        sound += 0.5 * np.sin(2 * np.pi * hertz * at, dtype=np.float32) * ((at >= start) & (at < end))
    return sound.astype(np.float32)


def write_audio(
    path: Path, seconds: float = 1.0, tones: Sequence[Tone] = ((0, 1, 400),), tags: Mapping[str, str] = {}
) -> Path:
    """Write a sound of the format that its suffix names; its parents are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    format_ = {".oga": "ogg", ".m4a": "ipod", ".aac": "adts", ".wma": "asf", ".mka": "matroska"}
    with av.open(str(path), "w", format=format_.get(path.suffix)) as container:
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
    """Write the pictures of a video: all of it is red."""
    stream = container.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(round(5 * seconds)):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (255, 0, 0), np.uint8))
        picture.pts = number
        container.mux(stream.encode(picture))
    container.mux(stream.encode(None))


def add_cover(path: Path, image: bytes) -> Path:
    """Put an ID3 tag with a PNG as its cover before an MP3."""
    body = b"\0image/png\0\3\0" + image
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = len(frame)
    seven = bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + seven + frame + path.read_bytes())
    return path


class ToneTranscriber:
    """A transcriber to which every tone is a word; it remembers how many seconds it has heard."""

    def __init__(self, name: str = "tones", words: Mapping[int, str] = TONE_WORDS) -> None:
        self.name = name
        self.words = words
        self.durations: list[float] = []

    def transcribe(self, samples: np.ndarray) -> Iterator[TranscriptSegment]:
        self.durations.append(len(samples) / SAMPLE_RATE)
        step = SAMPLE_RATE // 20
        said: TranscriptSegment | None = None
        for number in range(len(samples) // step):
            part = samples[number * step : (number + 1) * step]
            strength = np.abs(np.fft.rfft(part))
            hertz = round(float(strength.argmax()) * SAMPLE_RATE / step / 100) * 100
            text = self.words.get(hertz) if strength.max() > 0.1 * step else None
            if said is not None and text != said.text:
                yield said
                said = None
            if text is not None:
                begin = number / 20 if said is None else said.start
                said = TranscriptSegment(begin, (number + 1) / 20, text)
        if said is not None:
            yield said


class ToneClassifier:
    """A listener to which every tone is a word, the surer the longer; it remembers what it has heard."""

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
        near = {
            word: float(strength[hertz * sound_events.WINDOW_SECONDS]) for hertz, word in self.words.items()
        }
        return sorted(
            (SoundLabel(*item) for item in near.items() if item[1] > 0.01), key=lambda one: -one.confidence
        )
