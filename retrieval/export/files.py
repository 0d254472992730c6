"""Write vectors as NumPy or Parquet files."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.errors import ExtraMissing
from retrieval.export.batches import VectorBatch
from retrieval.formatting import to_json
from retrieval.types import Hit, Space

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("id", "path", "kind", "page", "start", "end")


def write_numpy(batches: Iterable[VectorBatch], space: Space, vectors: Path, rows: Path) -> int:
    """Write vectors as a NumPy array of 32-bit floats, (n, d), and a line of JSON for each row.

    Returns the number of rows.
    """
    count = 0
    with vectors.open("wb") as array, rows.open("w", encoding="utf-8") as lines:
        _write_header(array, 0, space.dim)
        start = array.tell()
        for batch in batches:
            array.write(np.ascontiguousarray(batch.vectors, "<f4").tobytes())
            lines.writelines(to_json(_row(hit)) + "\n" for hit in batch.hits)
            count += len(batch.hits)
        array.seek(0)
        _write_header(array, count, space.dim)
        assert array.tell() == start, "NumPy pads headers, so that arrays can grow"
    return count


def _write_header(file: object, count: int, dim: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, dim)}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]


def _row(hit: Hit) -> dict[str, object]:
    values = {name: getattr(hit, name) for name in COLUMNS} | {"path": str(hit.path)}
    return {name: value for name, value in values.items() if value is not None}


def import_pyarrow() -> "pyarrow":
    """Return the module pyarrow with its Parquet files; raises ExtraMissing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExtraMissing("A Parquet file", "parquet") from error
    return pyarrow


def write_parquet(batches: Iterable[VectorBatch], space: Space, out: Path) -> int:
    """Write id, path, kind, location and vector of each segment, and return their number."""
    pyarrow = import_pyarrow()
    types = (pyarrow.int64(), pyarrow.string(), pyarrow.string(), pyarrow.int32(), *[pyarrow.float64()] * 2)
    vector = pyarrow.list_(pyarrow.float32(), space.dim)
    fields = [*zip(COLUMNS, types, strict=True), ("vector", vector)]
    schema = pyarrow.schema(fields, metadata={"space": space.name, "model": space.model})
    count = 0
    with pyarrow.parquet.ParquetWriter(out, schema) as writer:
        for batch in batches:
            flat = pyarrow.array(np.ascontiguousarray(batch.vectors, np.float32).reshape(-1))
            columns = [
                pyarrow.array(
                    [plain_path(hit) if name == "path" else getattr(hit, name) for hit in batch.hits], type_
                )
                for name, type_ in fields[:-1]
            ]
            columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, space.dim))
            writer.write_table(pyarrow.table(columns, schema=schema))
            count += len(batch.hits)
    return count


def plain_path(hit: Hit) -> str:
    """Return the path of a hit as valid UTF-8; other bytes are written as \\udcXX."""
    return str(hit.path).encode("utf-8", "backslashreplace").decode()
