"""Sound events in audio files and videos: the labels of each window of ten seconds."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from threading import Event
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from indexer.decode.audio.stream import AudioChunk, Samples, read_audio_chunks
from indexer.decode.base import SegmentDraft
from indexer.enrich.base import WorkUnit
from indexer.enrich.sound_labels import LABELS_VERSION
from indexer.store.analyses import PendingContent
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandboxed_calls import iterate_sandboxed

SUPPORTED_DECODERS = ("sound", "video")
SAMPLE_RATE = 48_000  # Hz, of the input of classifiers
WINDOW_SECONDS = 10
MIN_WINDOW_SECONDS = 1.0  # a shorter last window is ignored
MAX_SILENCE_RMS = 1e-3  # -60 dB, of every tenth of a second of silence


class SoundLabel(NamedTuple):
    """A label and its confidence, from 0 to 1."""

    name: str
    confidence: float


class SoundClassifier(Protocol):
    """Audio classification: windows in, labels out."""

    name: str  # another name classifies all audio again

    def classify(self, windows: Sequence[Samples]) -> Sequence[Sequence[SoundLabel]]:
        """Return the labels of each window: mono audio at 48 kHz, of ten seconds or less."""
        ...


def analysis_version(model: str) -> str:
    """Return the version of an analysis with a model and the built-in labels."""
    return f"{model}, words {LABELS_VERSION}"


class LabeledWindow(NamedTuple):
    """A window, from start to end in seconds, and its labels."""

    start: float
    end: float
    labels: Sequence[SoundLabel] = ()


class SoundEventAnalyzer:
    """Analyzer that labels the sounds in audio files and videos."""

    threads = 1  # a classifier uses all cores itself

    def __init__(
        self,
        classifier: SoundClassifier,
        limits: DecodeLimits = DEFAULT_LIMITS,
        stop: Event | None = None,
    ) -> None:
        self.classifier, self.limits, self.stop = classifier, limits, stop

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the chunks of the audio after `pending.progress` seconds; raises MediaError."""
        limits = self.limits
        arguments = (pending.progress, SAMPLE_RATE, _last_window_end, limits)
        for chunk in iterate_sandboxed(read_audio_chunks, file, *arguments, limits=limits, stop=self.stop):
            yield WorkUnit(partial(self._analyze, chunk), chunk.next_start)

    def _analyze(self, chunk: AudioChunk) -> list[SegmentDraft]:
        windows = list(_windows(chunk))
        loud = [(window, samples) for window, samples in windows if not _is_silent(samples)]
        labels = self.classifier.classify([samples for _, samples in loud]) if loud else []
        labels_at = {window.start: row for (window, _), row in zip(loud, labels, strict=True)}
        return [
            SegmentDraft("audio", text=text, start=round(start, 3), end=round(end, 3))
            for start, end, text in merge_windows(
                window._replace(labels=labels_at.get(window.start, ())) for window, _ in windows
            )
        ]


def merge_windows(windows: Iterable[LabeledWindow]) -> Iterator[tuple[float, float, str]]:
    """Yield (start, end, text) of runs of windows with equal labels; the labels are ordered by confidence."""
    for names, group in groupby(windows, key=lambda window: {name for name, _ in window.labels}):
        if names:
            run = list(group)
            confidences = Counter[str]()
            for window in run:
                confidences.update(dict(window.labels))
            yield run[0].start, run[-1].end, ", ".join(name for name, _ in confidences.most_common())


def _windows(chunk: AudioChunk) -> Iterator[tuple[LabeledWindow, Samples]]:
    """Yield the windows of a chunk; the last one may be shorter."""
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
    """Return the sample at which the last complete window ends."""
    return len(samples) // (WINDOW_SECONDS * SAMPLE_RATE) * WINDOW_SECONDS * SAMPLE_RATE
