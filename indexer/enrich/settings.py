"""Enrichment options and how they are stored."""

from dataclasses import dataclass, replace
from pathlib import Path

from indexer.enrich.sound_events import SoundClassifier
from indexer.enrich.speech import Transcriber
from indexer.store.writer import LibraryWriter
from retrieval.errors import LibraryError

SPEECH_MODEL_HELP = (
    "a model that hears speech. It holds a model.bin, as those of huggingface.co/Systran do; or give a name "
    "to fetch: tiny, base, small, medium, large-v3"
)

SOUND_MODEL_HELP = (
    "a model that names sounds. It holds a config.json and a model.safetensors, as transformers saves a CLAP "
    "model; or give a name to fetch: laion/clap-htsat-unfused"
)


@dataclass(frozen=True, slots=True)
class EnrichmentOptions:
    """What is to be read later; None is what the library remembers.

    `speech_model` and `sound_model` are a folder or a name, '' for none; a `transcriber` and a `listener`
    stand in for them in one run.
    """

    ocr: bool | None = None
    speech_model: str | None = None
    transcriber: Transcriber | None = None
    sound_model: str | None = None
    sound_classifier: SoundClassifier | None = None


DEFAULT_OPTIONS = EnrichmentOptions()


def save_options(writer: LibraryWriter, options: EnrichmentOptions) -> None:
    """Write a wish into the library; raises LibraryError where there is no such folder."""
    settings = writer.settings()
    if options.ocr is not None:
        settings = replace(settings, ocr=options.ocr)
    if options.speech_model is not None:
        settings = replace(settings, speech_model=_resolve_model(options.speech_model, SPEECH_MODEL_HELP))
    if options.sound_model is not None:
        settings = replace(settings, sound_model=_resolve_model(options.sound_model, SOUND_MODEL_HELP))
    writer.save_settings(settings)


def _resolve_model(model: str, description: str) -> str:
    """Return the name of a model, or its folder as it will be found from anywhere; raises LibraryError."""
    path = Path(model).expanduser()
    if not model:
        return ""
    if path.is_dir():
        return str(path.absolute())
    if model.startswith((".", "/", "~")) or path.exists():
        raise LibraryError(f"There is no folder {model} with {description}.")
    return model
