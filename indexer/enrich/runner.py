"""Read what takes long, when all else can be found already: text in pictures, speech, and sounds."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from time import monotonic

from indexer.decode.reader import open_unchanged
from indexer.embed.archive_order import in_archive_order
from indexer.embed.long_texts import PLACEHOLDER_TEXT, embed_long_texts
from indexer.enrich import ocr, sound_events, speech
from indexer.enrich.base import Analyzer, WorkUnit
from indexer.enrich.settings import EnrichmentOptions
from indexer.enrich.sound_events import SoundClassifier
from indexer.enrich.speech import Transcriber
from indexer.prefetch import prefetch
from indexer.store.analyses import (
    Analysis,
    PartialResult,
    PendingContent,
    pending_contents,
    save_results,
    scene_ranges,
)
from indexer.store.writer import LibraryWriter
from retrieval.errors import EmbedderError, ExtraMissing
from retrieval.formatting import pluralize

MAX_UNITS_PER_COMMIT = 64  # parts in one transaction
TITLES: dict[Analysis, str] = {"ocr": "text in pictures", "speech": "speech", "sounds": "known sounds"}
COMMIT_INTERVAL_SECONDS = 5.0  # seconds after which what was found is committed

AnalysisProgress = Callable[[str, int, int], None]  # what is looked for, contents done, contents to do


@dataclass(slots=True)
class EnrichmentResult:
    """What was found: segments by kind, notes, and how many files an extra that is missing would read."""

    kinds: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    missing_extras: Counter[str] = field(default_factory=Counter)


def run_enrichment(
    writer: LibraryWriter, options: EnrichmentOptions, progress: AnalysisProgress, *, new_audio_count: int = 0
) -> EnrichmentResult:
    """Look over what was not looked over yet, in batches, each committed; the next run goes on from there.

    Of new sounds that nobody listens to is said how they are heard.
    """
    later, embedder, settings = EnrichmentResult(), writer.embedder, writer.settings()
    if settings.ocr:
        reading = AnalysisJob(writer, "ocr", ocr.VERSION, later, progress)
        reading.run(ocr.SUPPORTED_DECODERS, lambda: ocr.OcrAnalyzer(embedder, partial(scene_ranges, writer)))
    if by := options.transcriber or settings.speech_model:
        name = by if isinstance(by, str) else by.name
        listening = AnalysisJob(writer, "speech", name, later, progress)
        listening.run(
            speech.SUPPORTED_DECODERS, lambda: speech.SpeechAnalyzer(_load_transcriber(by), embedder)
        )
    if namer := options.sound_classifier or settings.sound_model:
        name = sound_events.analysis_version(namer) if isinstance(namer, str) else namer.name
        naming = AnalysisJob(writer, "sounds", name, later, progress)
        naming.run(
            sound_events.SUPPORTED_DECODERS, lambda: sound_events.SoundEventAnalyzer(_load_classifier(namer))
        )
    if new_audio_count and not by and not namer:
        later.notes.append(_missing_model_hint(new_audio_count))
    return later


def _missing_model_hint(audio_count: int) -> str:
    here = find_spec("faster_whisper") is not None
    first = "" if here else 'pip install "clew-search[audio]", then '
    return (
        f"What is said in {pluralize(audio_count, 'sound')} cannot be searched yet, nor what else "
        f"sounds there; tags "
        f"and names can. For speech: {first}`clew index --speech-model small` (484 MB, fetched once), or the "
        "folder of a faster-whisper model. For a dog, rain, a guitar: `clew index --sound-model "
        "laion/clap-htsat-unfused` (615 MB), or the folder of a CLAP model."
    )


def _load_transcriber(model: str | Transcriber) -> Transcriber:
    from indexer.enrich.whisper import Whisper  # heavy

    return Whisper(model) if isinstance(model, str) else model


def _load_classifier(model: str | SoundClassifier) -> SoundClassifier:
    from indexer.enrich.clap import Clap

    return Clap(model) if isinstance(model, str) else model


@dataclass(frozen=True, slots=True)
class AnalysisJob:
    """A search of contents for words, in one way, by one version of what finds them."""

    writer: LibraryWriter
    analysis: Analysis
    version: str
    result: EnrichmentResult
    report_progress: AnalysisProgress

    def run(self, decoders: Sequence[str], create_analyzer: Callable[[], Analyzer]) -> None:
        """Look over what is due of some readers; only if anything is, its finder is made."""
        sources = pending_contents(self.writer, self.analysis, self.version, decoders)
        if not sources:
            return
        self.report_progress(TITLES[self.analysis], 0, len(sources))
        try:
            self._run_units(sources, create_analyzer())
        except ExtraMissing as error:
            self.result.missing_extras[str(error)] += len(sources)
        except EmbedderError as error:
            self.result.notes.append(str(error))

    def _run_units(self, pending: Sequence[PendingContent], analyzer: Analyzer) -> None:
        title, look, found, done = TITLES[self.analysis], WorkUnitRunner(), set[int](), 0
        begun = monotonic()
        pieces = prefetch(
            look, _work_units(analyzer, pending), threads=analyzer.threads, depth=analyzer.threads + 1
        )
        for piece in pieces:
            look.uncommitted.append(piece)
            if len(look.uncommitted) >= MAX_UNITS_PER_COMMIT or monotonic() - begun > COMMIT_INTERVAL_SECONDS:
                self._commit(look.take_committable())
                begun = monotonic()
            found |= {piece.content} if piece.drafts else set()
            done += piece.progress is None
            self.report_progress(title, done, len(pending))
        self._commit(look.take_committable())
        if look.uncommitted:  # not one has succeeded: it is not their fault
            self.result.notes.append(f"{title.capitalize()} cannot be found at present: {look.last_error}")
        elif done:
            files = pluralize(done, "file")
            were = "were" if self.analysis == "sounds" else "was"
            self.result.notes.append(f"{title.capitalize()} {were} found in {len(found):,} of {files}.")

    def _commit(self, results: Sequence[PartialResult]) -> None:
        """Embed and write what was found."""
        embedder = self.writer.embedder
        drafts = [draft for piece in results for draft in piece.drafts]
        read = [
            replace(d, text=d.text if embedder.count_tokens(d.text or "") else PLACEHOLDER_TEXT)
            for d in drafts
        ]
        vectors = embed_long_texts(embedder, read)
        self.result.kinds += save_results(self.writer, self.analysis, self.version, results, vectors)


class WorkUnitRunner:
    """Looks a part over, in any thread; one that fails holds nothing, if others succeed."""

    def __init__(self) -> None:
        self.uncommitted: list[PartialResult] = []
        self.last_error: Exception | None = None
        self.has_succeeded = False

    def __call__(self, item: tuple[int, WorkUnit]) -> PartialResult:
        """Return what is found in a part of a content."""
        content, part = item
        try:
            drafts = part.analyze()
        except Exception as error:  # what one does to the library that reads it must not cost the others
            self.last_error = error
            return PartialResult(content, [], part.progress)
        self.has_succeeded = True
        return PartialResult(content, drafts, part.progress)

    def take_committable(self) -> list[PartialResult]:
        """Return what is held and can be written, once."""
        if self.last_error is not None and not self.has_succeeded:
            return []
        pieces, self.uncommitted = self.uncommitted, []
        return pieces


def _work_units(analyzer: Analyzer, pending: Sequence[PendingContent]) -> Iterator[tuple[int, WorkUnit]]:
    """Yield what there is to look over; what is not there as it was waits for a later run."""
    for source, opener in in_archive_order(pending, lambda source: source.path):
        try:
            with open_unchanged(source.digest, source.path, opener) as file:
                if file is None:
                    continue
                with closing(analyzer.work_units(file, source)) as parts:
                    yield from ((source.content, part) for part in parts)
        except (OSError, ExtraMissing):  # it has gone since, or cannot be opened at present
            continue
        except Exception:  # it cannot be looked over, now or later
            yield source.content, WorkUnit(list, None)
