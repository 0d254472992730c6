"""Options of enrichment, and the settings they are saved in."""

from dataclasses import dataclass, replace
from pathlib import Path

from indexer.enrich.sound_events import SoundClassifier
from indexer.enrich.speech import Transcriber
from indexer.store.writer import LibraryWriter
from retrieval.errors import LibraryError

SPEECH_MODEL_HELP = (
    "a speech model needs a model.bin, as those of huggingface.co/Systran have. To download one, use a name: "
    "tiny, base, small, medium, large-v3"
)

SOUND_MODEL_HELP = (
    "a sound model needs a config.json and a model.safetensors, as transformers saves a CLAP model. To "
    "download one, use a name: laion/clap-htsat-unfused"
)


@dataclass(frozen=True, slots=True)
class EnrichmentOptions:
    """Options of enrichment; None keeps the setting of the library."""

    ocr: bool | None = None
    speech_model: str | None = None  # a folder or a name; "" disables the analysis
    transcriber: Transcriber | None = None  # replaces the speech model in one run
    sound_model: str | None = None  # a folder or a name; "" disables the analysis
    sound_classifier: SoundClassifier | None = None  # replaces the sound model in one run


DEFAULT_OPTIONS = EnrichmentOptions()


def save_options(writer: LibraryWriter, options: EnrichmentOptions) -> None:
    """Save options in the library; raises LibraryError if the folder of a model does not exist."""
    settings = writer.settings()
    if options.ocr is not None:
        settings = replace(settings, ocr=options.ocr)
    if options.speech_model is not None:
        settings = replace(settings, speech_model=_resolve_model(options.speech_model, SPEECH_MODEL_HELP))
    if options.sound_model is not None:
        settings = replace(settings, sound_model=_resolve_model(options.sound_model, SOUND_MODEL_HELP))
    writer.save_settings(settings)


def _resolve_model(model: str, description: str) -> str:
    """Return the name of a model, or the absolute path of its folder; raises LibraryError."""
    path = Path(model).expanduser()
    if not model:
        return ""
    if path.is_dir():
        return str(path.absolute())
    if model.startswith((".", "/", "~")) or path.exists():
        raise LibraryError(f"Folder {model} does not exist; {description}.")
    return model
