"""Open the source at a path."""

from pathlib import Path

from indexer.imports.base import VectorSource
from indexer.imports.clip_retrieval import ClipRetrievalFolder
from indexer.imports.rclip import DATABASE_FILE, RclipDatabase
from retrieval.errors import QueryError


def open_source(path: Path) -> VectorSource:
    """Open a database of rclip or its folder, or a folder of clip-retrieval; raises QueryError."""
    if (path / "img_emb").is_dir():
        return ClipRetrievalFolder(path)
    if path.is_dir():
        path /= DATABASE_FILE
        if not path.exists():
            raise QueryError(
                f"{path.parent} has neither {DATABASE_FILE} of rclip nor the folder img_emb of "
                "clip-retrieval. `clew index` indexes a folder of files."
            )
    if not path.exists():
        raise QueryError(f"{path} not found. Name the database of rclip or a folder of clip-retrieval.")
    return RclipDatabase(path)
