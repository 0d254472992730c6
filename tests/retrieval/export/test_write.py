"""Exported vectors equal those of the catalog, row by row."""

import json
import os

import numpy as np
import pyarrow.parquet
import pytest

from retrieval.catalog.reader import Catalog
from retrieval.errors import ExtraMissing, LibraryError, QueryError
from retrieval.export.write import export_vectors
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS


@pytest.fixture
def stored(library, place):
    """Return segment -> stored vector of the images in `folder`, and their paths."""
    catalog = Catalog.open(place)
    ids, vectors = catalog.vectors_of(catalog.space(), range(1, 100))
    paths = {hit.id: str(hit.path) for hit in library.search("kind:image", count=100)}
    catalog.close()
    return dict(zip(ids.tolist(), vectors, strict=True)), paths


def test_rows_of_an_array_are_described_by_lines(stored, place, tmp_path):
    vectors, paths = stored
    result = export_vectors(place, tmp_path / "out" / "vectors.npy")
    assert result.paths == (tmp_path / "out" / "vectors.npy", tmp_path / "out" / "vectors.jsonl")
    array = np.load(result.paths[0])
    rows = [json.loads(line) for line in result.paths[1].read_text().splitlines()]
    assert array.dtype == np.float32
    assert len(rows) == len(array) == result.count == len(COLORS)
    for row, vector in zip(rows, array, strict=True):
        assert (row["path"], row["kind"]) == (paths[row["id"]], "image")
        np.testing.assert_array_equal(vector, vectors[row["id"]])
    assert sorted(os.listdir(tmp_path / "out")) == ["vectors.jsonl", "vectors.npy"]


def test_table_has_a_row_for_each_vector(stored, place, tmp_path):
    vectors, paths = stored
    export_vectors(place, tmp_path / "vectors.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "vectors.parquet")
    assert table.schema.metadata[b"space"] == b"toy"
    rows = table.to_pylist()
    assert {row["id"]: row["path"] for row in rows} == paths
    for row in rows:
        np.testing.assert_array_equal(np.array(row["vector"], np.float32), vectors[row["id"]])


def test_folder_of_clip_retrieval_has_images_and_captions(index, place, folder, tmp_path):
    write_text(folder / "red.txt", "a red square")
    index(folder)
    result = export_vectors(place, tmp_path / "emb", form="clip-retrieval")
    array = np.load(tmp_path / "emb" / "img_emb" / "img_emb_0000.npy")
    table = pyarrow.parquet.read_table(tmp_path / "emb" / "metadata" / "metadata_0000.parquet").to_pylist()
    assert array.dtype == np.float16
    assert len(array) == len(table) == result.count == len(COLORS)
    for vector, row in zip(array, table, strict=True):
        color = COLORS[os.path.basename(row["image_path"]).removesuffix(".png")]
        assert vector @ np.array(color) / np.linalg.norm(color) > 0.99
        assert row["caption"] == ("a red square" if "red" in row["image_path"] else "")


def test_batches_are_joined(library, place, tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval.export.batches.BATCH_SEGMENTS", 2)
    export_vectors(place, tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (len(COLORS), 3)
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == len(COLORS)
    export_vectors(place, tmp_path / "emb", form="clip-retrieval")
    assert (
        len(os.listdir(tmp_path / "emb" / "img_emb")) == len(os.listdir(tmp_path / "emb" / "metadata")) == 4
    )


def test_deleted_files_and_other_kinds_are_left_out(index, place, folder, tmp_path):
    write_text(folder / "notes.md", "red\n")
    index(folder)
    (folder / "blue.png").unlink()
    index(folder)
    assert export_vectors(place, tmp_path / "a.npy").count == len(COLORS)
    assert export_vectors(place, tmp_path / "b.npy", kinds=["text"]).count == 1
    assert export_vectors(place, tmp_path / "c.npy", kinds=["audio"]).count == 0
    assert np.load(tmp_path / "c.npy").shape == (0, 3)


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "emb"])
def test_file_is_replaced_only_with_force(library, place, tmp_path, name):
    form = None if "." in name else "clip-retrieval"
    export_vectors(place, tmp_path / name, form=form)
    with pytest.raises(QueryError, match="--force"):
        export_vectors(place, tmp_path / name, form=form)
    assert export_vectors(place, tmp_path / name, form=form, force=True).count == len(COLORS)


def test_array_with_the_name_of_its_rows_is_refused(library, place, tmp_path):
    with pytest.raises(QueryError, match="name of the rows"):
        export_vectors(place, tmp_path / "x.jsonl", form="npy")
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize("form", ["npy", "parquet", "clip-retrieval"])
def test_folder_with_other_files_is_never_replaced(library, place, folder, form):
    with pytest.raises(QueryError, match="other files"):
        export_vectors(place, folder, form=form, force=True)
    assert len(os.listdir(folder)) == len(COLORS)


def test_path_that_is_not_utf8_is_escaped(index, place, folder, tmp_path):
    draw_image(folder / "odd.png", "red")
    os.rename(folder / "odd.png", os.fsencode(folder) + b"/odd\xff.png")
    index(folder)
    export_vectors(place, tmp_path / "a.parquet")
    paths = pyarrow.parquet.read_table(tmp_path / "a.parquet")["path"].to_pylist()
    assert f"{folder}/odd\\udcff.png" in paths


def test_failed_export_leaves_nothing(library, place, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("retrieval.export.files._row", fail)
    with pytest.raises(QueryError, match="No space left"):
        export_vectors(place, tmp_path / "out" / "a.npy")
    assert os.listdir(tmp_path / "out") == []


def test_unknown_format_space_and_missing_extra_are_reported(library, place, tmp_path, monkeypatch):
    with pytest.raises(QueryError, match="neither"):
        export_vectors(place, tmp_path / "a.csv")
    with pytest.raises(LibraryError, match="toy"):
        export_vectors(place, tmp_path / "a.npy", space="other")
    with pytest.raises(QueryError, match="only images"):
        export_vectors(place, tmp_path / "a", form="clip-retrieval", kinds=["text"])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExtraMissing, match="parquet"):
        export_vectors(place, tmp_path / "a.parquet")
