"""The indexer's face: one call that indexes a folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from indexer.enrich.settings import EnrichmentOptions
from indexer.models import resolve
from indexer.operations.pipeline import update_folders
from indexer.operations.report import Report
from indexer.store.location import as_list, library_path
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, no_progress
from retrieval.embedders.base import Embedder
from retrieval.types import IndexMethod, Space

if TYPE_CHECKING:
    from indexer.enrich.sound_events import SoundClassifier
    from indexer.enrich.speech import Transcriber
    from retrieval.library import Library


def index_folder(
    folder: str | Path,
    *,
    library: str | Path | None = None,
    model: str | None = None,
    arch: str | None = None,
    device: str | None = None,
    exclude: str | Sequence[str] | None = None,
    hidden: bool | None = None,
    tiles: bool | None = None,
    ocr: bool | None = None,
    speech_model: str | None = None,
    transcriber: "Transcriber | None" = None,
    sound_model: str | None = None,
    sound_classifier: "SoundClassifier | None" = None,
    archives: bool | None = None,
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
    notify: Notify = resolve.ignore_message,
) -> "Library":
    """Index a folder of media, or bring it up to date, and return its library, open.

    `library` is the library's folder (default: per user). A new library is made with `model` (default:
    `auto`, the recommended open_clip model where it is here or can be fetched, else `builtin`), an older
    one goes on with its own; `arch` is the architecture of a local file of weights, `device` where torch
    embeds (default: the fastest). `exclude` (patterns of names or of paths under the
    folder), `hidden`, `archives` (read what is in .zip and .tar files) and `tiles` (embed parts of pictures
    too, for small things in them) are remembered; None leaves them as they were, as it does `ocr` (read
    text in pictures), `speech_model` (a folder or a name, '' for none: write down what is said) and
    `sound_model` (the same: name what sounds). `embedder`, `transcriber` and `listener` stand in for a
    model by name. Raises LibraryError; a file that cannot be read is no error (see `Library.failures`).
    """
    from retrieval.library import Library  # heavy: not to bring a library up to date

    report = update_library(
        [folder],
        library=library,
        model=model,
        arch=arch,
        device=device,
        exclude=exclude,
        hidden=hidden,
        tiles=tiles,
        ocr=ocr,
        speech_model=speech_model,
        transcriber=transcriber,
        sound_model=sound_model,
        sound_classifier=sound_classifier,
        archives=archives,
        embedder=embedder,
        progress=progress,
        notify=notify,
    )
    if report.interrupted:
        raise KeyboardInterrupt
    return Library.open(library, embedder=embedder)


def update_library(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    model: str | None = None,
    arch: str | None = None,
    device: str | None = None,
    exclude: str | Sequence[str] | None = None,
    hidden: bool | None = None,
    archives: bool | None = None,
    index: IndexMethod | Literal["auto"] | None = None,
    confirm_gone: bool = False,
    retry: bool = False,
    thumbnails: int | None = None,
    tiles: bool | None = None,
    ocr: bool | None = None,
    speech_model: str | None = None,
    transcriber: "Transcriber | None" = None,
    sound_model: str | None = None,
    sound_classifier: "SoundClassifier | None" = None,
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
    notify: Notify = resolve.ignore_message,
) -> Report:
    """Index these folders, or all that the library has, and return what was done.

    `index` names the kind of index (default: by size), `confirm_gone` forgets files even where so many
    are missing that a drive seems to be away, `retry` reads again what could not be read before;
    `thumbnails` is how many bytes these may take from now on, 0 for none of them; `tiles` (of each picture,
    for small things in it) is remembered by the library; `say` is told what takes long or is otherwise than
    expected. Ctrl-C ends it early, with `interrupted` in the report.
    """
    with LibraryWriter(
        library_path(library), embedder_factory(embedder, model, arch, device, notify)
    ) as writer:
        return update_open_library(
            writer,
            folders,
            exclude=exclude,
            hidden=hidden,
            archives=archives,
            index=index,
            confirm_gone=confirm_gone,
            retry=retry,
            thumbnails=thumbnails,
            tiles=tiles,
            ocr=ocr,
            speech_model=speech_model,
            transcriber=transcriber,
            sound_model=sound_model,
            sound_classifier=sound_classifier,
            progress=progress,
        )


def update_open_library(
    writer: LibraryWriter,
    folders: str | Path | Sequence[str | Path],
    *,
    exclude: str | Sequence[str] | None = None,
    thumbnails: int | None = None,
    ocr: bool | None = None,
    speech_model: str | None = None,
    transcriber: "Transcriber | None" = None,
    sound_model: str | None = None,
    sound_classifier: "SoundClassifier | None" = None,
    **options: Any,
) -> Report:
    """Bring an open library up to date; `how` is what `update` takes besides."""
    if thumbnails is not None:
        writer.save_settings(replace(writer.settings(), thumbnails_max_bytes=thumbnails))
    return update_folders(
        writer,
        [Path(folder) for folder in as_list(folders)],
        exclude=None if exclude is None else [str(pattern) for pattern in as_list(exclude)],
        enrichment=EnrichmentOptions(ocr, speech_model, transcriber, sound_model, sound_classifier),
        **options,
    )


def embedder_factory(
    embedder: Embedder | None, model: str | None, arch: str | None, device: str | None, notify: Notify
) -> Callable[[Space | None], Embedder]:
    """Return what finds the embedder for the space that answers, None of a new library."""

    def choose(space: Space | None) -> Embedder:
        if embedder is not None:
            return embedder
        name, fingerprint = model or resolve.AUTO, None
        if space is not None and name in (resolve.AUTO, space.name):
            name, fingerprint = space.model, space.fingerprint
        return resolve.resolve_embedder(
            name, arch=arch, device=device, fingerprint=fingerprint, notify=notify
        )

    return choose
