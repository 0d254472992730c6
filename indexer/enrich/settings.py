"""Enrichment options and how they are stored."""

from dataclasses import dataclass
from pathlib import Path

from indexer.enrich.sound_events import Listener
from indexer.enrich.speech import Transcriber
from indexer.store.writer import Writer
from retrieval.errors import LibraryError

SPEECH = (
    "a model that hears speech. It holds a model.bin, as those of huggingface.co/Systran do; or give a name "
    "to fetch: tiny, base, small, medium, large-v3"
)

SOUNDS = (
    "a model that names sounds. It holds a config.json and a model.safetensors, as transformers saves a CLAP "
    "model; or give a name to fetch: laion/clap-htsat-unfused"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be read later; None is what the library remembers.

    `speech_model` and `sound_model` are a folder or a name, '' for none; a `transcriber` and a `listener`
    stand in for them in one run.
    """

    ocr: bool | None = None
    speech_model: str | None = None
    transcriber: Transcriber | None = None
    sound_model: str | None = None
    listener: Listener | None = None


NO_WISH = Wish()


def remember(writer: Writer, wish: Wish) -> None:
    """Write a wish into the library; raises LibraryError where there is no such folder."""
    if wish.ocr is not None:
        writer.spaces.remember("ocr", "yes" if wish.ocr else "")
    if wish.speech_model is not None:
        writer.spaces.remember("speech", _place(wish.speech_model, SPEECH))
    if wish.sound_model is not None:
        writer.spaces.remember("sounds", _place(wish.sound_model, SOUNDS))


def _place(model: str, what: str) -> str:
    """Return the name of a model, or its folder as it will be found from anywhere; raises LibraryError."""
    path = Path(model).expanduser()
    if not model:
        return ""
    if path.is_dir():
        return str(path.absolute())
    if model.startswith((".", "/", "~")) or path.exists():
        raise LibraryError(f"There is no folder {model} with {what}.")
    return model
