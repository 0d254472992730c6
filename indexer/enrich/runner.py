"""Run the enabled analyses after indexing: text in images, speech, and sound events."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from threading import Event

from indexer.enrich import ocr, sound_events, speech
from indexer.enrich.base import AnalysisPass, AnalyzedLibrary, Enrichment
from indexer.enrich.content_pass import PassProgress, run_pass
from indexer.enrich.sound_events import SoundClassifier
from indexer.enrich.speech import Transcriber
from indexer.store.analyses import pending_contents, scene_ranges
from indexer.types import Notify, ignore_message
from retrieval.errors import EmbedderError, ExtraMissing
from retrieval.formatting import pluralize

EnrichmentProgress = Callable[[str, int, int], None]  # title of the analysis, contents done, total


@dataclass(slots=True)
class EnrichmentResult:
    """New segments by kind, notes, and the number of files that wait for each missing extra."""

    kinds: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    missing_extras: Counter[str] = field(default_factory=Counter)


def run_enrichment(
    writer: AnalyzedLibrary,
    progress: EnrichmentProgress,
    notify: Notify,
    *,
    transcriber: Transcriber | None = None,
    sound_classifier: SoundClassifier | None = None,
    new_audio_count: int = 0,
    stop: Event | None = None,
) -> EnrichmentResult:
    """Run each enabled analysis over the contents that its version has not analyzed.

    The transcriber and the classifier replace the models that the settings name. If new audio files are not
    analyzed, a note tells how to enable it.
    """
    enabled = list(_enabled(writer, transcriber, sound_classifier, notify))
    result = run_analyses(writer, enabled, progress, notify, stop)
    if new_audio_count and not {"speech", "sounds"} & {enrichment.analysis for enrichment in enabled}:
        result.notes.append(_missing_model_hint(new_audio_count))
    return result


def run_analyses(
    writer: AnalyzedLibrary,
    enrichments: Sequence[Enrichment],
    progress: EnrichmentProgress,
    notify: Notify = ignore_message,
    stop: Event | None = None,
) -> EnrichmentResult:
    """Run analyses over the contents that their versions have not analyzed."""
    result = EnrichmentResult()
    for enrichment in enrichments:
        if work := _create_pass(writer, enrichment, result, stop):
            _run(work, enrichment.title, result, partial(progress, enrichment.title), notify)
    return result


def ocr_enrichment(
    writer: AnalyzedLibrary, load_engine: Callable[[int], ocr.Engine] = ocr.load_engine
) -> Enrichment:
    """Return the recognition of text in images."""
    return Enrichment(
        "ocr",
        "text in images",
        ocr.VERSION,
        ocr.SUPPORTED_DECODERS,
        lambda stop: ocr.OcrAnalyzer(
            writer.embedder, partial(scene_ranges, writer.connection), writer.decode_limits, stop, load_engine
        ),
    )


def _enabled(
    writer: AnalyzedLibrary,
    transcriber: Transcriber | None,
    sound_classifier: SoundClassifier | None,
    notify: Notify,
) -> Iterator[Enrichment]:
    """Yield the analyses that the library's settings or the arguments enable."""
    settings, embedder, limits = writer.settings(), writer.embedder, writer.decode_limits
    if settings.ocr:
        yield ocr_enrichment(writer)
    if recognizer := transcriber or settings.speech_model:
        yield Enrichment(
            "speech",
            "speech",
            recognizer if isinstance(recognizer, str) else recognizer.name,
            speech.SUPPORTED_DECODERS,
            lambda stop: speech.SpeechAnalyzer(_load_transcriber(recognizer, notify), embedder, limits, stop),
        )
    if classifier := sound_classifier or settings.sound_model:
        yield Enrichment(
            "sounds",
            "sound events",
            sound_events.analysis_version(classifier) if isinstance(classifier, str) else classifier.name,
            sound_events.SUPPORTED_DECODERS,
            lambda stop: sound_events.SoundEventAnalyzer(_load_classifier(classifier, notify), limits, stop),
        )


def _create_pass(
    writer: AnalyzedLibrary, enrichment: Enrichment, result: EnrichmentResult, stop: Event | None
) -> AnalysisPass | None:
    """Return the pass of an analysis if anything is pending and its model can be loaded."""
    contents = pending_contents(
        writer.connection, enrichment.analysis, enrichment.version, enrichment.decoders
    )
    if not contents:
        return None
    try:
        return AnalysisPass(writer, enrichment, contents, stop)
    except ExtraMissing as missing:
        result.missing_extras[str(missing)] += len(contents)
    except EmbedderError as unusable:
        result.notes.append(str(unusable))
    return None


def _run(
    work: AnalysisPass, title: str, result: EnrichmentResult, progress: PassProgress, notify: Notify
) -> None:
    """Run an analysis, and add its outcome to the result; raises CancelledError."""
    title = title.capitalize()
    progress(0, work.total)
    try:
        run_pass(work, work.writer.embedder, progress, notify)
    except CancelledError:
        raise
    except Exception as error:  # of every file, probably of the model
        result.notes.append(f"{title}: failed for every file, and will be retried: {error}")
    else:
        if work.failures:
            parts = pluralize(len(work.failures), "part")
            result.notes.append(
                f"{title}: nothing found in {parts} of files, which failed: {work.failures[-1]}"
            )
    if work.postponed:
        files = pluralize(len(work.postponed), "file")
        result.notes.append(
            f"{title}: {files} not analyzed, and retried by the next run: {work.postponed[-1]}"
        )
    result.kinds += work.new_segments
    if work.done:
        files = pluralize(work.done, "file")
        result.notes.append(f"{title}: found in {len(work.contents_with_results):,} of {files}.")


def _missing_model_hint(audio_count: int) -> str:
    """Return a note on how to analyze new audio files."""
    is_installed = find_spec("faster_whisper") is not None
    install = "" if is_installed else 'pip install "clew-search[audio]", then '
    return (
        f"{pluralize(audio_count, 'audio file')} can be searched only by tags and file name. To add speech: "
        f"{install}`clew index --speech-model small` (downloads 484 MB), or the folder of a faster-whisper "
        "model. To add sound events (a dog, rain, a guitar): `clew index --sound-model "
        "laion/clap-htsat-unfused` (downloads 615 MB), or the folder of a CLAP model."
    )


def _load_transcriber(model: str | Transcriber, notify: Notify) -> Transcriber:
    from indexer.enrich.whisper import Whisper  # heavy

    return Whisper(model, notify) if isinstance(model, str) else model


def _load_classifier(model: str | SoundClassifier, notify: Notify) -> SoundClassifier:
    from indexer.enrich.clap import Clap  # heavy

    return Clap(model, notify) if isinstance(model, str) else model
