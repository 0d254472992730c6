"""What sounds in recordings and in videos: the words that a listener has for each window of some seconds."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from indexer.decode.audio.stream import AudioChunk, Samples, audio_chunks
from indexer.decode.base import SegmentDraft
from indexer.enrich.base import WorkUnit
from indexer.enrich.sound_labels import LABELS_VERSION
from indexer.store.analyses import PendingContent
from retrieval.media.av.container import MEDIA_FORMATS, open_container

SUPPORTED_DECODERS = ("sound", "video")
SAMPLE_RATE = 48_000  # samples a second: what listeners take
WINDOW_SECONDS = 10  # seconds
MIN_WINDOW_SECONDS = (
    1.0  # seconds; what is left of a sound behind its last window, and no longer, is passed over
)
MAX_SILENCE_RMS = 1e-3  # the level that not one tenth of a second of silence has: -60 dB


class SoundLabel(NamedTuple):
    """A word for a sound, and how sure it is, from 0 to 1."""

    name: str
    confidence: float


class SoundClassifier(Protocol):
    """Sound in, words for it out; the same `name` means that nothing needs to be heard again."""

    name: str

    def classify(self, windows: Sequence[Samples]) -> Sequence[Sequence[SoundLabel]]:
        """Return what sounds in each window: mono, 48,000 samples a second, ten seconds or less."""
        ...


def analysis_version(model: str) -> str:
    """Return what a library remembers of sounds for which this model was asked for our words."""
    return f"{model}, words {LABELS_VERSION}"


class LabeledWindow(NamedTuple):
    """What is heard from one second to another."""

    start: float
    end: float
    labels: Sequence[SoundLabel] = ()


class SoundEventAnalyzer:
    """Hears what sounds in recordings and videos."""

    threads = 1  # a listener keeps all cores busy itself

    def __init__(self, classifier: SoundClassifier) -> None:
        self.classifier = classifier

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the stretches of the sound after so many seconds; raises MediaError."""
        with open_container(file, MEDIA_FORMATS) as container:
            for stretch in audio_chunks(container, pending.progress, SAMPLE_RATE, _last_window_end):
                yield WorkUnit(partial(self._analyze, stretch), stretch.next_start)

    def _analyze(self, chunk: AudioChunk) -> list[SegmentDraft]:
        windows = list(_windows(chunk))
        loud = [(window, samples) for window, samples in windows if not _is_silent(samples)]
        heard = self.classifier.classify([samples for _, samples in loud]) if loud else []
        found = {window.start: words for (window, _), words in zip(loud, heard, strict=True)}
        return [
            SegmentDraft("audio", text=text, start=round(start, 3), end=round(end, 3))
            for start, end, text in merge_windows(
                window._replace(labels=found.get(window.start, ())) for window, _ in windows
            )
        ]


def merge_windows(windows: Iterable[LabeledWindow]) -> Iterator[tuple[float, float, str]]:
    """Yield (start, end, text) of neighbours in which the same is heard; the surest words come first."""
    for words, group in groupby(windows, key=lambda window: {word for word, _ in window.labels}):
        if words:
            same = list(group)
            sure = Counter[str]()
            for window in same:
                sure.update(dict(window.labels))
            yield same[0].start, same[-1].end, ", ".join(word for word, _ in sure.most_common())


def _windows(chunk: AudioChunk) -> Iterator[tuple[LabeledWindow, Samples]]:
    """Yield the windows of a stretch, of which the last may be shorter."""
    for begin in range(0, len(chunk.samples), WINDOW_SECONDS * SAMPLE_RATE):
        samples = chunk.samples[begin : begin + WINDOW_SECONDS * SAMPLE_RATE]
        start = chunk.start + begin / SAMPLE_RATE
        if start < MIN_WINDOW_SECONDS or len(samples) >= MIN_WINDOW_SECONDS * SAMPLE_RATE:
            yield LabeledWindow(start, start + len(samples) / SAMPLE_RATE), samples


def _is_silent(samples: Samples) -> bool:
    step = SAMPLE_RATE // 10
    tenths = np.add.reduceat(np.square(samples), range(0, len(samples), step)) / step
    return float(tenths.max()) < MAX_SILENCE_RMS**2


def _last_window_end(samples: Samples) -> int:
    """Return where the last whole window ends."""
    return len(samples) // (WINDOW_SECONDS * SAMPLE_RATE) * WINDOW_SECONDS * SAMPLE_RATE
