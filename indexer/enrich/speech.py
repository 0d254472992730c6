"""Speech in audio files and videos, as passages of a transcript with their times."""

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from threading import Event
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.audio.stream import SAMPLE_RATE, AudioChunk, Samples, read_audio_chunks
from indexer.decode.base import SegmentDraft
from indexer.decode.text.chunking import Chunker
from indexer.enrich.base import WorkUnit
from indexer.store.analyses import PendingContent
from retrieval.embedders.base import Embedder
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandboxed_calls import iterate_sandboxed

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
        self,
        transcriber: Transcriber,
        embedder: Embedder,
        limits: DecodeLimits = DEFAULT_LIMITS,
        stop: Event | None = None,
    ) -> None:
        self.transcriber, self.limits, self.stop = transcriber, limits, stop
        self._chunker = Chunker(embedder)

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the chunks of the audio after `pending.progress` seconds; raises MediaError."""
        limits = self.limits
        arguments = (pending.progress, SAMPLE_RATE, None, limits)
        for chunk in iterate_sandboxed(read_audio_chunks, file, *arguments, limits=limits, stop=self.stop):
            yield WorkUnit(partial(self._analyze, chunk), chunk.next_start)

    def _analyze(self, chunk: AudioChunk) -> list[SegmentDraft]:
        if not len(chunk.samples):
            return []
        duration = len(chunk.samples) / SAMPLE_RATE
        phrases = [
            TranscriptSegment(
                chunk.start + max(0.0, start), chunk.start + min(max(start, end), duration), text.strip()
            )
            for start, end, text in self._transcribe(chunk)
            if start < duration and any(letter.isalnum() for letter in text)
        ]
        return [
            SegmentDraft("text", text=passage.text, start=round(passage.start, 3), end=round(passage.end, 3))
            for passage in transcript_passages(phrases, self._chunker)
        ]

    def _transcribe(self, chunk: AudioChunk) -> Iterator[TranscriptSegment]:
        """Yield the phrases of a chunk; raises CancelledError on a stop."""
        for phrase in self.transcriber.transcribe(chunk.samples):
            if self.stop is not None and self.stop.is_set():
                raise CancelledError
            yield phrase


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
