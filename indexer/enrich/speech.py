"""Speech in sounds and in videos: what a transcriber hears, as passages with their seconds."""

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.audio.stream import SAMPLE_RATE, AudioChunk, Samples, audio_chunks
from indexer.decode.base import SegmentDraft
from indexer.decode.text.chunking import Chunker
from indexer.enrich.base import WorkUnit
from indexer.store.analyses import PendingContent
from retrieval.embedders.base import Embedder
from retrieval.media.av.container import MEDIA_FORMATS, open_container

SUPPORTED_DECODERS = ("sound", "video")
MAX_PASSAGE_SECONDS = 20.0  # seconds of a passage, after which the next phrase begins another
MAX_PAUSE_SECONDS = 2.0  # seconds of silence between two passages
SENTENCE_ENDINGS = (".", "!", "?", "…", "。", "！", "？")


class TranscriptSegment(NamedTuple):
    """Some words and when they are said, in seconds from the beginning of the samples."""

    start: float
    end: float
    text: str


class Transcriber(Protocol):
    """Sound in, words out; the same `name` means that nothing needs to be heard again."""

    name: str

    def transcribe(self, samples: Samples) -> Iterable[TranscriptSegment]:
        """Yield what is said in some minutes of sound, mono, 16,000 samples a second."""
        ...


class SpeechAnalyzer:
    """Hears what is said in sounds and videos."""

    threads = 1  # a transcriber keeps all cores busy itself

    def __init__(self, transcriber: Transcriber, embedder: Embedder) -> None:
        self.transcriber = transcriber
        self._chunker = Chunker(embedder)

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the stretches of the sound after so many seconds; raises MediaError."""
        with open_container(file, MEDIA_FORMATS) as container:
            for stretch in audio_chunks(container, pending.progress):
                yield WorkUnit(partial(self._analyze, stretch), stretch.next_start)

    def _analyze(self, chunk: AudioChunk) -> list[SegmentDraft]:
        if not len(chunk.samples):
            return []
        last = len(chunk.samples) / SAMPLE_RATE
        phrases = [
            TranscriptSegment(
                chunk.start + max(0.0, start), chunk.start + min(max(start, end), last), text.strip()
            )
            for start, end, text in self.transcriber.transcribe(chunk.samples)
            if start < last and any(letter.isalnum() for letter in text)
        ]
        return [
            SegmentDraft("text", text=said.text, start=round(said.start, 3), end=round(said.end, 3))
            for said in transcript_passages(phrases, self._chunker)
        ]


def transcript_passages(
    phrases: Iterable[TranscriptSegment], chunker: Chunker
) -> Iterator[TranscriptSegment]:
    """Join phrases to whole sentences, as far as the text tower reads them and LONG and PAUSE allow."""
    held: TranscriptSegment | None = None
    for phrase in phrases:
        if held is not None:
            whole = held._replace(end=phrase.end, text=f"{held.text} {phrase.text}")
            near = (
                phrase.start - held.end <= MAX_PAUSE_SECONDS
                and whole.end - whole.start <= MAX_PASSAGE_SECONDS
            )
            if near and not held.text.endswith(SENTENCE_ENDINGS) and chunker.fits(whole.text):
                held = whole
                continue
            yield held
        held = phrase
    if held is not None:
        yield held
