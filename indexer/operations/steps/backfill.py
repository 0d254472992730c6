"""Add what earlier runs left out, because files were offline or the version was older."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event

from indexer.enrich.base import AnalyzedLibrary
from indexer.enrich.tiles import add_tiles
from indexer.maintenance.backfill_vectors import backfill_vectors
from indexer.maintenance.refresh_metadata import refresh_metadata
from indexer.maintenance.refresh_texts import refresh_texts
from indexer.maintenance.refresh_videos import refresh_videos
from indexer.store.spaces import active_space
from retrieval.formatting import pluralize

BackfillProgress = Callable[[str, int, int], None]  # what is done, contents done, total


@dataclass(slots=True)
class BackfillResult:
    """The number of new segments and vectors, and notes."""

    segments: int = 0
    notes: list[str] = field(default_factory=list)


def run_backfill(
    library: AnalyzedLibrary, progress: BackfillProgress, stop: Event | None = None
) -> BackfillResult:
    """Refresh metadata, texts and videos, and add missing vectors and tiles.

    Raises CancelledError on a stop.
    """
    result = BackfillResult()
    if refreshed := refresh_metadata(library, partial(progress, "read again"), stop):
        files = pluralize(refreshed, "file")
        result.notes.append(f"{files} read again for metadata that older versions left out.")
    if changed := refresh_texts(library, partial(progress, "read again"), stop):
        files = pluralize(changed, "file")
        result.notes.append(f"{files} read again for text that older versions left out or misread.")
    if corrected := refresh_videos(library, partial(progress, "videos"), stop):
        videos = pluralize(corrected, "video")
        result.notes.append(f"{videos} of an older version checked, and the times corrected.")
    space = active_space(library.catalog)
    if not space.complete:
        done, waiting = backfill_vectors(library, space, library.embedder, lambda done, total: None, stop)
        with library.writing() as writer:
            writer.spaces.set_complete(space, not waiting)
        result.segments += done
    if library.settings().tiles:
        _add_tiles(library, partial(progress, "tiles"), stop, result)
    return result


def _add_tiles(
    library: AnalyzedLibrary,
    progress: Callable[[int, int], None],
    stop: Event | None,
    result: BackfillResult,
) -> None:
    tiles = add_tiles(library, progress, stop)
    result.segments += tiles.tile_count
    if tiles.tile_count:
        images = pluralize(tiles.image_count, "image")
        added = pluralize(tiles.tile_count, "tile")
        result.notes.append(f"{added} of {images} added, for small objects.")
    if tiles.failures:
        images = pluralize(len(tiles.failures), "image")
        result.notes.append(f"{images} not cut into tiles, and retried later: {tiles.failures[-1]}")
