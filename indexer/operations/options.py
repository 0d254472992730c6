"""Options of an indexing run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from retrieval.types import IndexMethod

if TYPE_CHECKING:
    from indexer.enrich.sound_events import SoundClassifier
    from indexer.enrich.speech import Transcriber


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Options of an indexing run. `None` keeps what the library has saved."""

    # Saved with each folder that the run names; without folders, with all of the library.
    exclude: str | Sequence[str] | None = (
        None  # names or paths to skip, added to the saved ones; "" removes those
    )
    hidden: bool | None = None  # index hidden files and folders
    archives: bool | None = None  # index the files in .zip and .tar archives

    # Saved in the library.
    tiles: bool | None = None  # embed tiles of images, which finds small objects
    ocr: bool | None = None  # recognize text in images
    speech_model: str | None = None  # folder or name of a faster-whisper model; "" for none
    sound_model: str | None = None  # folder or name of a CLAP model; "" for none
    index_method: IndexMethod | Literal["auto"] | None = None  # "auto": chosen by the number of vectors
    thumbnails_max_bytes: int | None = None  # 0 for no thumbnails
    vectors: str | None = None  # address of a Milvus server that searches use; "local": the index files

    # Used by this run only.
    arch: str | None = None  # open_clip architecture of a local file of weights
    device: str | None = None  # where torch embeds; None for the fastest
    milvus_token: str | None = field(default=None, repr=False)  # or USER:PASSWORD, of the server
    transcriber: "Transcriber | None" = None  # used instead of the speech model
    sound_classifier: "SoundClassifier | None" = None  # used instead of the sound model
    confirm_gone: bool = False  # forget missing files even if many are missing at once
    retry: bool = False  # read files again that failed before, or were read in part
    again: bool = False  # read files again even if their size and times are the same


DEFAULT_OPTIONS = IndexOptions()
