"""Speech in sounds and in videos: what a transcriber hears, as passages with their seconds."""

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.audio.stream import RATE, Samples, Stretch, open_media, stretches
from indexer.decode.base import Draft
from indexer.enrich.base import Part
from indexer.store.analyses import Source
from retrieval.embedders.base import Embedder

READERS = ("sound", "video")
LONG = 20.0  # seconds of a passage, after which the next phrase begins another
PAUSE = 2.0  # seconds of silence between two passages
ENDS = (".", "!", "?", "…", "。", "！", "？")


class Phrase(NamedTuple):
    """Some words and when they are said, in seconds from the beginning of the samples."""

    start: float
    end: float
    text: str


class Transcriber(Protocol):
    """Sound in, words out; the same `name` means that nothing needs to be heard again."""

    name: str

    def transcribe(self, samples: Samples) -> Iterable[Phrase]:
        """Yield what is said in some minutes of sound, mono, 16,000 samples a second."""
        ...


class Speech:
    """Hears what is said in sounds and videos."""

    threads = 1  # a transcriber keeps all cores busy itself

    def __init__(self, transcriber: Transcriber, embedder: Embedder) -> None:
        self.transcriber = transcriber
        self._embedder = embedder

    def parts(self, file: BinaryIO, source: Source) -> Generator[Part]:
        """Yield the stretches of the sound after so many seconds; raises MediaError."""
        with open_media(file) as container:
            for stretch in stretches(container, source.after):
                yield Part(partial(self._hear, stretch), stretch.upto)

    def _hear(self, stretch: Stretch) -> list[Draft]:
        if not len(stretch.samples):
            return []
        last = len(stretch.samples) / RATE
        phrases = [
            Phrase(stretch.start + max(0.0, start), stretch.start + min(max(start, end), last), text.strip())
            for start, end, text in self.transcriber.transcribe(stretch.samples)
            if start < last and any(letter.isalnum() for letter in text)
        ]
        return [
            Draft("text", text=said.text, start=round(said.start, 3), end=round(said.end, 3))
            for said in passages(phrases, self._embedder.tokens, self._embedder.context)
        ]


def passages(phrases: Iterable[Phrase], tokens: Callable[[str], int], limit: int) -> Iterator[Phrase]:
    """Join phrases to whole sentences, as far as the text tower reads them and LONG and PAUSE allow."""
    held: Phrase | None = None
    for phrase in phrases:
        if held is not None:
            whole = held._replace(end=phrase.end, text=f"{held.text} {phrase.text}")
            near = phrase.start - held.end <= PAUSE and whole.end - whole.start <= LONG
            if near and not held.text.endswith(ENDS) and tokens(whole.text) <= limit:
                held = whole
                continue
            yield held
        held = phrase
    if held is not None:
        yield held
