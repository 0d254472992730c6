"""Settings that a library keeps for later runs."""

import sqlite3
from dataclasses import dataclass
from typing import Self

from retrieval.types import INDEX_METHODS, IndexMethod

DEFAULT_THUMBNAILS_MAX_BYTES = 2_000_000_000
DEFAULT_TARGET_RECALL = 0.99


@dataclass(frozen=True, slots=True)
class LibrarySettings:
    """The settings of a library, decoded from the table `settings`."""

    active_space: str | None = None  # name of the space that searches use
    index_method: IndexMethod | None = None  # None: chosen by the number of vectors
    thumbnails_max_bytes: int = DEFAULT_THUMBNAILS_MAX_BYTES  # 0: no thumbnails
    tiles: bool = False  # embed tiles of images
    ocr: bool = False  # recognize text in images
    speech_model: str | None = None  # folder or name of a faster-whisper model
    sound_model: str | None = None  # folder or name of a CLAP model
    target_recall: float = DEFAULT_TARGET_RECALL  # recall@10 that indexes are tuned to
    vectors_url: str | None = None  # address of the Milvus server that searches use; None: index files
    library_id: str | None = None  # random, in the names of collections; None: never published

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Self:
        """Read the settings of a catalog; those that were never saved have their defaults."""
        rows: dict[str, str] = dict(db.execute("SELECT name, value FROM settings").fetchall())
        return cls(
            active_space=rows.get("space"),
            index_method=next((method for method in INDEX_METHODS if method == rows.get("index")), None),
            thumbnails_max_bytes=int(rows.get("thumbnails", DEFAULT_THUMBNAILS_MAX_BYTES)),
            tiles=rows.get("tiles") == "on",
            ocr=bool(rows.get("ocr")),
            speech_model=rows.get("speech") or None,
            sound_model=rows.get("sounds") or None,
            target_recall=float(rows.get("recall", DEFAULT_TARGET_RECALL)),
            vectors_url=rows.get("vectors") or None,
            library_id=rows.get("id"),
        )

    def rows(self) -> dict[str, str]:
        """Return the names and values as stored."""
        rows = {
            "index": self.index_method or "auto",
            "thumbnails": str(self.thumbnails_max_bytes),
            "tiles": "on" if self.tiles else "off",
            "ocr": "yes" if self.ocr else "",
            "speech": self.speech_model or "",
            "sounds": self.sound_model or "",
            "recall": str(self.target_recall),
            "vectors": self.vectors_url or "",
        }
        optional = {"space": self.active_space, "id": self.library_id}
        return rows | {name: value for name, value in optional.items() if value is not None}
