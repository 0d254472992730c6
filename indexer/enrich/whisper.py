"""Hear speech with a Whisper model, by faster-whisper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from indexer.decode.audio.stream import Samples
from indexer.enrich.speech import TranscriptSegment
from indexer.models.hub import unreachable_reason
from retrieval.errors import EmbedderError, ExtraMissing, first_line
from retrieval.system import cores

MODEL_NAMES = (
    "tiny (75 MB), base (145 MB), small (484 MB), medium (1.5 GB), turbo (1.6 GB), large-v3 (3.1 GB)"
)
HUB_PROBE = "Systran/faster-whisper-small", ("config.json",)  # to learn whether the hub is there


class Whisper:
    """A Whisper model of faster-whisper: a folder, or a name that it fetches from the hub."""

    def __init__(self, name: str) -> None:
        """Load the model; raises ExtraMissing and EmbedderError, which say what to do."""
        self.name = name
        self._model = _load(name)

    def transcribe(self, samples: Samples) -> Iterator[TranscriptSegment]:
        """Yield what is said, in the language that is spoken; silence and music say nothing."""
        segments, _ = self._model.transcribe(samples, vad_filter=True, condition_on_previous_text=False)
        for segment in segments:
            yield TranscriptSegment(segment.start, segment.end, segment.text)


def _load(name: str) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise ExtraMissing("Hearing what is said in sounds and videos", "audio") from error
    how = {"compute_type": "auto", "cpu_threads": cores()}  # the fastest type of this machine
    if not Path(name).is_dir():
        try:
            return WhisperModel(name, local_files_only=True, **how)
        except ValueError as error:  # none of its names
            raise EmbedderError(f"There is no speech model {name}; there are {MODEL_NAMES}.") from error
        except Exception:  # not in the hub's cache
            if reason := unreachable_reason(*HUB_PROBE):
                raise EmbedderError(_unusable_message(name, reason)) from None
    try:
        return WhisperModel(name, **how)
    except Exception as error:  # of whichever library reads the files, or speaks to the hub
        raise EmbedderError(_unusable_message(name, first_line(error))) from error


def _unusable_message(name: str, reason: str) -> str:
    return (
        f"The speech model {name} cannot be used: {reason}. Nothing else needs it; sounds and "
        "videos wait to be heard. Where there is a network (and HF_HUB_OFFLINE is not set), `clew index "
        f"--speech-model small` fetches it into the hub's cache; there are {MODEL_NAMES}. Or give a "
        f"folder that "
        "holds a model.bin, as those of huggingface.co/Systran."
    )
