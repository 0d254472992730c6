"""Transcribe speech with a Whisper model, by faster-whisper."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.decode.audio.stream import SAMPLE_RATE, Samples
from indexer.enrich.speech import TranscriptSegment
from indexer.models.hub import HubModel, fetch
from indexer.types import Notify, ignore_message
from retrieval.errors import EmbedderError, ExtraMissing, first_line
from retrieval.system import cores

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

MODEL_NAMES = (
    "tiny (75 MB), base (145 MB), small (484 MB), medium (1.5 GB), turbo (1.6 GB), large-v3 (3.1 GB)"
)
REPOSITORIES = {  # of the names that faster-whisper knows
    **{
        name: f"Systran/faster-whisper-{name}"
        for size in ("tiny", "base", "small", "medium")
        for name in (size, f"{size}.en")
    },
    **{name: f"Systran/faster-whisper-{name}" for name in ("large-v1", "large-v2", "large-v3")},
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
SPEECH_PADDING = 200  # milliseconds before and after speech that count as speech
MAX_WORD_DEVIATION = 0.5  # seconds by which Whisper's times of words may be wrong
MAX_PHRASE_PAUSE = 1.0  # seconds without a word inside a phrase
REQUIRED_FILES = (("config.json",), ("vocabulary.json", "vocabulary.txt"), ("model.bin",))
OPTIONAL_FILES = ("tokenizer.json", "preprocessor_config.json")


class Whisper:
    """A Whisper model of faster-whisper: a folder, one of its names, or a repository of the hub."""

    def __init__(self, name: str, notify: Notify = ignore_message) -> None:
        """Load the model, downloaded if needed; raises ExtraMissing and EmbedderError."""
        self.name = name
        self._model = _load(name, notify)

    def transcribe(self, samples: Samples) -> Iterator[TranscriptSegment]:
        """Yield the transcript in the language that is spoken; silence and music have none."""
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        segments, _ = self._model.transcribe(
            samples,
            vad_filter=True,
            vad_parameters=VadOptions(speech_pad_ms=SPEECH_PADDING),
            condition_on_previous_text=False,
            word_timestamps=True,  # without them a phrase lasts until the next one
        )
        spans = get_speech_timestamps(samples, VadOptions(speech_pad_ms=0))
        starts, ends = (np.array([span[key] / SAMPLE_RATE for span in spans]) for key in ("start", "end"))
        for segment in segments:
            for phrase in split_at_pauses(segment):
                yield TranscriptSegment(
                    _nearest(starts, phrase.start), _nearest(ends, phrase.end), phrase.text
                )


def split_at_pauses(segment: "Segment") -> Iterator[TranscriptSegment]:
    """Yield the parts of a segment between pauses.

    Whisper gets the speech without the pauses, and may write several sentences as one segment.
    """
    phrase: TranscriptSegment | None = None
    for word in segment.words or []:
        if phrase is not None and word.start - phrase.end <= MAX_PHRASE_PAUSE:
            phrase = phrase._replace(end=word.end, text=phrase.text + word.word)
            continue
        if phrase is not None:
            yield phrase
        phrase = TranscriptSegment(word.start, word.end, word.word)
    yield phrase or TranscriptSegment(segment.start, segment.end, segment.text)


def _nearest(times: NDArray[np.float64], time: float) -> float:
    """Return the nearest of the times at which speech starts or ends, if one is near."""
    nearest = times[np.abs(times - time).argmin()] if len(times) else time
    return float(nearest) if abs(nearest - time) <= MAX_WORD_DEVIATION else time


def _load(name: str, notify: Notify) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise ExtraMissing("Speech recognition in audio and video files", "audio") from error
    model = _hub_model(name)
    folder = Path(name) if Path(name).is_dir() else _hub_folder(model, notify)
    try:
        return WhisperModel(str(folder), compute_type="auto", cpu_threads=cores())  # auto: the fastest type
    except Exception as error:  # of any library that reads the files
        raise model.error(first_line(error)) from error


def _hub_folder(model: HubModel, notify: Notify) -> Path:
    """Return the folder of a model in the cache of the hub, downloaded if needed."""
    if "/" not in model.repo:
        raise EmbedderError(f"Speech model {model.repo!r} not found. Choose one of {MODEL_NAMES}.")
    return fetch(model, notify)[0].parent


def _hub_model(name: str) -> HubModel:
    return HubModel(
        f"speech model {name}",
        REPOSITORIES.get(name, name),
        REQUIRED_FILES,
        command="clew index --speech-model small",
        optional=OPTIONAL_FILES,
        alternative=f"Other models are {MODEL_NAMES}, or a folder with a model.bin, as those of "
        "huggingface.co/Systran. Until then, only speech is not indexed.",
    )
