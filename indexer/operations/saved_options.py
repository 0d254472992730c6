"""Save the options of an indexing run in the settings of the library."""

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

from indexer.decode.registry import AUDIO, OCR
from indexer.maintenance.publish.outbox import set_server
from indexer.operations.options import IndexOptions
from indexer.store.analyses import Analysis, delete_analysis
from indexer.store.writer import LibraryWriter
from retrieval.errors import ExtraMissing, LibraryError
from retrieval.formatting import pluralize
from retrieval.system import expand_user
from retrieval.vectors.milvus.server import ServerAddress

LOCAL = "local"  # the value of `vectors` for the index files of the library
SPEECH_MODEL_HELP = (
    "a speech model needs a model.bin, as those of huggingface.co/Systran have. To download one, use a name: "
    "tiny, base, small, medium, large-v3"
)

SOUND_MODEL_HELP = (
    "a sound model needs a config.json and a model.safetensors, as transformers saves a CLAP model. To "
    "download one, use a name: laion/clap-htsat-unfused"
)


def check_extras(options: IndexOptions) -> None:
    """Raise ExtraMissing if an option needs an optional dependency that is not installed.

    Raises VectorServerError if the address of a server is invalid or names a missing file.
    """
    if options.ocr and not OCR.installed:
        raise ExtraMissing("Text recognition", OCR.name)
    if options.speech_model and options.transcriber is None and not AUDIO.installed:
        raise ExtraMissing("Speech recognition in audio and video files", AUDIO.name)
    if options.vectors not in (None, LOCAL):
        ServerAddress.parse(options.vectors).check_files()
        if find_spec("pymilvus") is None:
            raise ExtraMissing("A Milvus server", "milvus")


def remove_disabled_results(writer: LibraryWriter, options: IndexOptions) -> Iterator[str]:
    """Delete the results of the analyses that the options turn off, and yield a note on each."""
    disabled: dict[Analysis, tuple[bool, str]] = {
        "tiles": (options.tiles is False, "tile"),
        "ocr": (options.ocr is False, "passage of text in images"),
        "speech": (options.speech_model == "", "passage of speech"),
        "sounds": (options.sound_model == "", "sound event"),
    }
    for analysis, (is_disabled, name) in disabled.items():
        if not is_disabled:
            continue
        with writer.db.atomic():
            spaces = [space.id for space in writer.catalog.spaces()]
            count = delete_analysis(writer.connection, analysis, spaces)
        if count:
            first, _, rest = name.partition(" ")
            counted = pluralize(count, first) + f" {rest}" * bool(rest)
            yield f"{counted} removed, because this analysis is off now."


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
    if options.vectors is not None:
        set_server(writer, None if options.vectors == LOCAL else options.vectors)


def _resolve_model(model: str, description: str) -> str:
    """Return the name of a model, or the absolute path of its folder; raises LibraryError."""
    path = expand_user(model)
    if not model:
        return ""
    if path.is_dir():
        return str(path.absolute())
    if model.startswith((".", "/", "~")) or path.exists():
        raise LibraryError(f"Folder {model} does not exist; {description}.")
    return model
