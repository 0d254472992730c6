"""Write the folder that clip-retrieval reads: img_emb/*.npy and metadata/*.parquet, in parts."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from retrieval.export.batches import VectorBatch
from retrieval.export.files import import_pyarrow, plain_path
from retrieval.types import Space


def write_clip_retrieval(
    batches: Iterable[tuple[VectorBatch, Mapping[int, str]]], space: Space, folder: Path
) -> int:
    """Write the vectors, as 16-bit floats, paths and captions of images, and return their number.

    The captions are those of the segments, by their ids. The columns `image_path` and `caption` are those of
    the original; `id` is the segment. The schema names the space and the model, for `clew import`.
    """
    pyarrow = import_pyarrow()
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    count = 0
    for part, (batch, captions) in enumerate(batches):
        np.save(folder / "img_emb" / f"img_emb_{part:04}.npy", batch.vectors.astype(np.float16))
        table = pyarrow.table(
            {
                "image_path": pyarrow.array(map(plain_path, batch.hits), pyarrow.string()),
                "caption": pyarrow.array([captions.get(hit.id, "") for hit in batch.hits], pyarrow.string()),
                "id": pyarrow.array([hit.id for hit in batch.hits], pyarrow.int64()),
            },
            metadata={"space": space.name, "model": space.model},
        )
        pyarrow.parquet.write_table(table, folder / "metadata" / f"metadata_{part:04}.parquet")
        count += len(batch.hits)
    return count
