"""Write vectors as rclip and clip-retrieval do."""

import math
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from retrieval.embedders.base import Embedder
from retrieval.media.images.loader import open_image
from retrieval.media.limits import DEFAULT_LIMITS
from retrieval.types import Vectors


def vectors_of(embedder: Embedder, images: Iterable[Path]) -> dict[Path, Vectors]:
    """Return the vectors of image files, (d,) each."""
    pixels = {}
    for path in images:
        with path.open("rb") as file, open_image(file, DEFAULT_LIMITS) as image:
            pixels[path] = embedder.prepare(image.convert("RGB"))
    rows = embedder.embed_images(list(pixels.values()))
    return dict(zip(pixels, rows, strict=True))


def write_rclip(path: Path, vectors: Mapping[Path, Vectors], version: int = 4) -> Path:
    """Write the database of rclip 3.3 (version 4), 3.0 (3), 1.2 (2) or 1.0 (1): rclip/db.py and main.py."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("""
      CREATE TABLE IF NOT EXISTS images (
        id INTEGER PRIMARY KEY,
        deleted BOOLEAN,
        filepath TEXT NOT NULL UNIQUE,
        modified_at DATETIME NOT NULL,
        size INTEGER NOT NULL,
        vector BLOB NOT NULL
      )
    """)
        db.execute(
            "CREATE UNIQUE INDEX IF NOT EXISTS existing_images ON images(filepath) WHERE deleted IS NULL"
        )
        db.execute("CREATE TABLE IF NOT EXISTS db_version (version INTEGER)")
        if version > 1:
            db.execute("ALTER TABLE images ADD COLUMN indexing BOOLEAN")
            db.execute("INSERT INTO db_version(version) VALUES (?)", (version,))
        if version > 3:
            db.execute("ALTER TABLE images ADD COLUMN hash TEXT")
            db.execute("CREATE INDEX IF NOT EXISTS hash_index ON images(hash) WHERE deleted IS NULL")
        for image, vector in vectors.items():
            status = image.stat()
            data = np.asarray(vector, np.float32).tobytes()
            db.execute(
                "INSERT INTO images(deleted, filepath, modified_at, size, vector) VALUES (NULL, ?, ?, ?, ?)",
                (os.fspath(image), status.st_mtime, status.st_size, data),
            )
    return path


def write_clip_retrieval(
    folder: Path, vectors: Mapping[Path, Vectors], part_size: int = 10**6, *, dtype: str = "<f2"
) -> Path:
    """Write a folder of clip-retrieval 2.45: clip_inference/writer.py."""
    parts = math.ceil(len(vectors) / part_size)
    digits = int(math.log10(parts)) + 1
    items = list(vectors.items())
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for part in range(parts):
        number = str(part).zfill(digits)
        paths, rows = zip(*items[part * part_size : (part + 1) * part_size], strict=True)
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", np.stack(rows).astype(dtype))
        table = pyarrow.table(
            {"image_path": [os.fspath(path) for path in paths], "caption": ["a photo"] * len(paths)}
        )
        pyarrow.parquet.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return folder
