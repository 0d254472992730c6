"""What sounds in recordings and in videos: the words that a listener has for each window of some seconds."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from indexer.decode.audio.stream import Samples, Stretch, open_media, stretches
from indexer.decode.base import Draft
from indexer.enrich.base import Part
from indexer.enrich.sound_labels import VERSION
from indexer.store.analyses import Source

READERS = ("sound", "video")
RATE = 48_000  # samples a second: what listeners take
WINDOW = 10  # seconds
SHORT = 1.0  # seconds; what is left of a sound behind its last window, and no longer, is passed over
SILENT = 1e-3  # the level that not one tenth of a second of silence has: -60 dB


class Heard(NamedTuple):
    """A word for a sound, and how sure it is, from 0 to 1."""

    word: str
    sure: float


class Listener(Protocol):
    """Sound in, words for it out; the same `name` means that nothing needs to be heard again."""

    name: str

    def listen(self, windows: Sequence[Samples]) -> Sequence[Sequence[Heard]]:
        """Return what sounds in each window: mono, 48,000 samples a second, ten seconds or less."""
        ...


def version(model: str) -> str:
    """Return what a library remembers of sounds for which this model was asked for our words."""
    return f"{model}, words {VERSION}"


class Window(NamedTuple):
    """What is heard from one second to another."""

    start: float
    end: float
    heard: Sequence[Heard] = ()


class Hearing:
    """Hears what sounds in recordings and videos."""

    threads = 1  # a listener keeps all cores busy itself

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def parts(self, file: BinaryIO, source: Source) -> Generator[Part]:
        """Yield the stretches of the sound after so many seconds; raises MediaError."""
        with open_media(file) as container:
            for stretch in stretches(container, source.after, RATE, _whole_windows):
                yield Part(partial(self._hear, stretch), stretch.upto)

    def _hear(self, stretch: Stretch) -> list[Draft]:
        windows = list(_windows(stretch))
        loud = [(window, samples) for window, samples in windows if not _is_silent(samples)]
        heard = self.listener.listen([samples for _, samples in loud]) if loud else []
        found = {window.start: words for (window, _), words in zip(loud, heard, strict=True)}
        return [
            Draft("audio", text=text, start=round(start, 3), end=round(end, 3))
            for start, end, text in joined(
                window._replace(heard=found.get(window.start, ())) for window, _ in windows
            )
        ]


def joined(windows: Iterable[Window]) -> Iterator[tuple[float, float, str]]:
    """Yield (start, end, text) of neighbours in which the same is heard; the surest words come first."""
    for words, group in groupby(windows, key=lambda window: {word for word, _ in window.heard}):
        if words:
            same = list(group)
            sure = Counter[str]()
            for window in same:
                sure.update(dict(window.heard))
            yield same[0].start, same[-1].end, ", ".join(word for word, _ in sure.most_common())


def _windows(stretch: Stretch) -> Iterator[tuple[Window, Samples]]:
    """Yield the windows of a stretch, of which the last may be shorter."""
    for begin in range(0, len(stretch.samples), WINDOW * RATE):
        samples = stretch.samples[begin : begin + WINDOW * RATE]
        start = stretch.start + begin / RATE
        if start < SHORT or len(samples) >= SHORT * RATE:
            yield Window(start, start + len(samples) / RATE), samples


def _is_silent(samples: Samples) -> bool:
    step = RATE // 10
    tenths = np.add.reduceat(np.square(samples), range(0, len(samples), step)) / step
    return float(tenths.max()) < SILENT**2


def _whole_windows(samples: Samples) -> int:
    """Return where the last whole window ends."""
    return len(samples) // (WINDOW * RATE) * WINDOW * RATE
