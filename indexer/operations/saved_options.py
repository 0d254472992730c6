"""Save the options of an indexing run in the settings of the library."""

from dataclasses import replace
from pathlib import Path

from indexer.operations.options import IndexOptions
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


def save_settings(writer: LibraryWriter, options: IndexOptions) -> None:
    """Save the options that later runs keep; raises LibraryError if the folder of a model does not exist."""
    settings = writer.settings()
    if options.tiles is not None:
        settings = replace(settings, tiles=options.tiles)
    if options.thumbnails_max_bytes is not None:
        settings = replace(settings, thumbnails_max_bytes=options.thumbnails_max_bytes)
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
