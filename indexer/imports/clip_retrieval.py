"""Read the folder of embeddings that clip-retrieval and `clew export` write.

clip-retrieval, version 2.45 (clip_inference/writer.py): img_emb/img_emb_N.npy, an array of unit vectors in
16-bit floats, and metadata/metadata_N.parquet with the path of each row in `image_path`, as it was found
from the working directory. It stores neither the model nor the size and time of a file.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.imports.base import StoredImage
from retrieval.errors import QueryError, first_line
from retrieval.export.files import import_pyarrow
from retrieval.types import Vectors

if TYPE_CHECKING:
    import pyarrow.parquet

PATH_COLUMN = "image_path"
BATCH_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class Part:
    """An array, the table that describes its rows, and the number of its first row among all parts."""

    array: NDArray[np.floating[Any]]  # (n, d), memory-mapped
    table: Path
    first_row: int


class ClipRetrievalFolder:
    """The images of a folder of embeddings."""

    program = "clip-retrieval"

    def __init__(self, folder: Path) -> None:
        """Open a folder; raises QueryError, and ExtraMissing without the extra for Parquet files."""
        self.path, self._parts = folder, list[Part]()
        self._pyarrow = import_pyarrow()
        self.model: str | None = None
        row = 0
        for path in sorted((folder / "img_emb").glob("img_emb_*.npy")):
            number = path.stem.removeprefix("img_emb_")
            table = folder / "metadata" / f"metadata_{number}.parquet"
            part = Part(_load_array(path), table, row)
            with self._open_table(table) as file:
                if file.metadata.num_rows != len(part.array):
                    raise QueryError(
                        f"{path} has {len(part.array):,} vectors, but {table} has {file.metadata.num_rows:,} "
                        "rows. Run `clip-retrieval inference` again."
                    )
                model = (file.schema_arrow.metadata or {}).get(b"model")
                self.model = model.decode("utf-8", "replace") if model else self.model
            self._parts.append(part)
            row += len(part.array)
        if not self._parts:
            raise QueryError(f"{folder} has no img_emb/img_emb_*.npy. Name the output of clip-retrieval.")

    def _open_table(self, path: Path) -> "pyarrow.parquet.ParquetFile":
        """Open a table of rows."""
        try:
            file = self._pyarrow.parquet.ParquetFile(path)
            names = file.schema_arrow.names
        except (OSError, ValueError, self._pyarrow.ArrowException) as error:
            raise QueryError(f"Cannot read {path}: {first_line(error)}.") from error
        if PATH_COLUMN not in names:
            file.close()
            raise QueryError(f"{path} has no column {PATH_COLUMN}. Only image embeddings can be imported.")
        return file

    def images(self) -> Iterator[StoredImage]:
        """Yield the images, in the order of their rows."""
        for part in self._parts:
            with self._open_table(part.table) as file:
                row = part.first_row
                try:
                    for batch in file.iter_batches(BATCH_ROWS, columns=[PATH_COLUMN]):
                        for path in batch.column(0).to_pylist():
                            yield StoredImage(row, str(path or f"row {row}").encode("utf-8", "replace"))
                            row += 1
                except (OSError, ValueError, self._pyarrow.ArrowException) as error:
                    raise QueryError(f"Cannot read {part.table}: {error}.") from error

    def vectors(self, rows: Sequence[int]) -> list[Vectors]:
        """Return the vectors of rows."""
        starts = [part.first_row for part in self._parts]
        found = []
        for row in rows:
            part = self._parts[bisect_right(starts, row) - 1]
            found.append(np.asarray(part.array[row - part.first_row], np.float32))
        return found

    def close(self) -> None:
        """Close the arrays."""
        self._parts.clear()


def _load_array(path: Path) -> NDArray[np.floating[Any]]:
    """Return an array of vectors, (n, d), memory-mapped; raises QueryError."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy parses the header as Python, and raises errors of its tokenizer too
        raise QueryError(f"Cannot read {path} as an array of numbers: {first_line(error)}.") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise QueryError(f"{path} is not an array of floats with a row for each image.")
    return array
