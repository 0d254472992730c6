"""Speech in audio files and videos, as passages of a transcript with their times."""

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
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

SUPPORTED_DECODERS = ("sound", "video")
MAX_PASSAGE_SECONDS = 20.0  # a phrase that would make a passage longer starts another one
MAX_PAUSE_SECONDS = 2.0  # a longer pause ends a passage
SENTENCE_ENDINGS = (".", "!", "?", "…", "。", "！", "？")


class TranscriptSegment(NamedTuple):
    """A phrase of a transcript."""

    start: float  # seconds from the start of the samples
    end: float
    text: str


class Transcriber(Protocol):
    """Speech recognition: samples in, phrases out."""

    name: str  # another name transcribes all audio again

    def transcribe(self, samples: Samples) -> Iterable[TranscriptSegment]:
        """Yield the phrases in some minutes of mono audio at 16 kHz."""
        ...


class SpeechAnalyzer:
    """Analyzer that transcribes audio files and videos."""

    threads = 1  # a transcriber uses all cores itself

    def __init__(
        self, transcriber: Transcriber, embedder: Embedder, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        self.transcriber, self.limits = transcriber, limits
        self._chunker = Chunker(embedder)

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the chunks of the audio after `pending.progress` seconds; raises MediaError."""
        with open_container(file, MEDIA_FORMATS) as container:
            for chunk in audio_chunks(container, pending.progress, limits=self.limits):
                yield WorkUnit(partial(self._analyze, chunk), chunk.next_start)

    def _analyze(self, chunk: AudioChunk) -> list[SegmentDraft]:
        if not len(chunk.samples):
            return []
        duration = len(chunk.samples) / SAMPLE_RATE
        phrases = [
            TranscriptSegment(
                chunk.start + max(0.0, start), chunk.start + min(max(start, end), duration), text.strip()
            )
            for start, end, text in self.transcriber.transcribe(chunk.samples)
            if start < duration and any(letter.isalnum() for letter in text)
        ]
        return [
            SegmentDraft("text", text=passage.text, start=round(passage.start, 3), end=round(passage.end, 3))
            for passage in transcript_passages(phrases, self._chunker)
        ]


def transcript_passages(
    phrases: Iterable[TranscriptSegment], chunker: Chunker
) -> Iterator[TranscriptSegment]:
    """Join phrases to sentences, within the limits of tokens, duration and pauses."""
    passage: TranscriptSegment | None = None
    for phrase in phrases:
        if passage is not None:
            joined = passage._replace(end=phrase.end, text=f"{passage.text} {phrase.text}")
            is_close = (
                phrase.start - passage.end <= MAX_PAUSE_SECONDS
                and joined.end - joined.start <= MAX_PASSAGE_SECONDS
            )
            if is_close and not passage.text.endswith(SENTENCE_ENDINGS) and chunker.fits(joined.text):
                passage = joined
                continue
            yield passage
        passage = phrase
    if passage is not None:
        yield passage
