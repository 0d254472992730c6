"""Shards come into a library once, whatever interrupts the import, and nothing is embedded again."""

import json
import os
import shutil
import subprocess
import sys

import pyarrow.parquet
import pytest

from indexer import (
    IndexOptions,
    ShardOptions,
    embed_shards,
    forget,
    import_vectors,
    index_folder,
    update_library,
)
from indexer.maintenance import build_index
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.errors import LibraryError, QueryError
from tests.support.archive_files import small_png
from tests.support.catalog import REPOSITORY_ROOT, committed_segments
from tests.support.files import draw_image
from tests.support.shards import draw_media
from tests.support.toy_embedder import CountingToyEmbedder, RotatedToyEmbedder, ToyEmbedder

FOUR = ShardOptions(files_per_shard=4)


@pytest.fixture
def media(tmp_path):
    return draw_media(tmp_path / "media")


@pytest.fixture
def shards(media, tmp_path):
    """Return a folder of four shards."""
    embed_shards(media, tmp_path / "shards", embedder=ToyEmbedder(), options=FOUR)
    return tmp_path / "shards"


@pytest.fixture
def counting():
    return CountingToyEmbedder()


def dump(place):
    """Return the rows of the catalog that an import writes; the ids of files depend on interruptions."""
    columns = {"files": "root, path, size, mtime, ctime, decoder, sidecar_of, content, error, state, retry"}
    with LibraryWriter(place, lambda space: ToyEmbedder()) as writer:
        return [
            writer.db.execute(f"SELECT {columns.get(table, '*')} FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("files", "contents", "segments", "vectors_1", "shards", "analyses")
        ]


def test_imported_library_is_that_of_an_indexed_folder(media, shards, place, counting, tmp_path):
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.program, result.space, result.folders) == ("clew embed", "toy", (media,))
    assert (result.adopted, result.known, result.changed, result.missing) == (12, 0, (), ())
    assert [(failure.path.name, failure.reason[:7]) for failure in result.failed] == [("bad.png", "damaged")]
    assert (result.segments, result.active, result.notes) == (13, True, ())
    options = IndexOptions(archives=True)
    index_folder(media, library=tmp_path / "other", embedder=ToyEmbedder(), options=options).close()
    assert committed_segments(place) == committed_segments(tmp_path / "other")
    with (
        Library.open(place, embedder=counting) as library,
        Library.open(tmp_path / "other", embedder=ToyEmbedder()) as other,
    ):
        found, expected = (
            {(str(hit.path), hit.text, round(hit.score, 4)) for hit in each.search("red", count=50)}
            for each in (library, other)
        )
        assert found == expected
        assert all(library.thumbnail(hit.id) for hit in library.search("kind:image", count=50))
        assert [failure.path.name for failure in library.failures()] == ["bad.png"]


def test_next_index_embeds_nothing(media, shards, place, counting):
    import_vectors(shards, library=place, embedder=counting)
    report = update_library(library=place, embedder=counting)
    assert (report.added, report.updated, report.unchanged, report.failed) == (0, 0, 12, 1)
    assert counting.image_count == 0
    draw_image(media / "new.png", (1, 2, 3))
    report = update_library(library=place, embedder=counting)
    assert (report.added, report.unchanged, counting.image_count) == (1, 12, 1)


def test_second_import_changes_nothing(shards, place, counting):
    import_vectors(shards, library=place, embedder=counting)
    before = dump(place)
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.adopted, result.known, result.segments, result.failed) == (0, 13, 0, ())
    assert dump(place) == before


def test_long_import_updates_the_indexes_before_its_end(shards, place, counting, monkeypatch):
    counts, build = [], build_index.build_if_due

    def record(writer, method):
        counts.append(sum(file.count for file in build(writer, method).indexes))

    monkeypatch.setattr(build_index, "REBUILD_AFTER_VECTORS", 3)
    monkeypatch.setattr(build_index, "build_if_due", record)
    import_vectors(shards, library=place, embedder=counting)
    assert counts == sorted(counts) and 0 < counts[0] < counts[-1]


@pytest.mark.parametrize("last_write", range(1, 5))
def test_import_that_fails_between_transactions_resumes(last_write, shards, place, monkeypatch, tmp_path):
    import_vectors(shards, library=tmp_path / "other", embedder=ToyEmbedder())
    write, count = LibraryWriter.write, 0

    def fail(self, root, chunks):
        nonlocal count
        count += 1
        if count == last_write:
            raise RuntimeError("power failure")
        return write(self, root, chunks)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power failure"):
        patch.setattr(LibraryWriter, "write", fail)
        import_vectors(shards, library=place, embedder=ToyEmbedder())
    result = import_vectors(shards, library=place, embedder=ToyEmbedder())
    assert (result.adopted + result.known + len(result.failed)) == 13
    assert dump(place) == dump(tmp_path / "other")


KILLED = """
import os, signal, sys
from indexer import import_vectors
from indexer.store.writer import LibraryWriter
from tests.support.toy_embedder import ToyEmbedder
write, left = LibraryWriter.write, int(sys.argv[3])
def kill(self, root, chunks):
    global left
    counts = write(self, root, chunks)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return counts
LibraryWriter.write = kill
import_vectors(sys.argv[1], library=sys.argv[2], embedder=ToyEmbedder())
"""


@pytest.mark.parametrize(
    "writes", [2, pytest.param(1, marks=pytest.mark.large), pytest.param(4, marks=pytest.mark.large)]
)
def test_import_that_is_killed_after_a_commit_resumes(writes, shards, place, tmp_path):
    import_vectors(shards, library=tmp_path / "other", embedder=ToyEmbedder())
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(shards), str(place), str(writes)], cwd=REPOSITORY_ROOT
    )
    assert child.returncode == -9
    assert import_vectors(shards, library=place, embedder=ToyEmbedder()).known > 0
    assert dump(place) == dump(tmp_path / "other")


def test_changed_and_missing_files_are_left_out_until_they_return(media, shards, place, counting):
    (media / "colors" / "red.png").rename(media / "away.png")
    draw_image(media / "colors" / "blue.png", "green", size=(99, 99))
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.missing, result.changed) == (
        (media / "colors" / "red.png",),
        (media / "colors" / "blue.png",),
    )
    assert result.adopted == 10
    (media / "away.png").rename(media / "colors" / "red.png")
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.adopted, result.missing, len(result.changed)) == (1, (), 1)
    report = update_library(library=place, embedder=counting)
    assert (report.updated + report.added, counting.image_count) == (1, 1)


def test_changed_archive_is_left_out(media, shards, place, counting):
    os.utime(media / "00000.tar", (5, 5))
    result = import_vectors(shards, library=place, embedder=counting)
    assert [path.name for path in result.changed] == ["000.png", "000.txt", "001.png"]


def test_shards_of_a_missing_folder_are_imported_as_offline(media, shards, place, counting):
    shutil.move(media, media.with_name("elsewhere"))
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.adopted, result.missing) == (12, ())
    with Library.open(place, embedder=counting) as library:
        assert all(hit.offline for hit in library.search("red"))
    shutil.move(media.with_name("elsewhere"), media)
    report = update_library(library=place, embedder=counting)
    assert (report.unchanged, counting.image_count) == (12, 0)


def test_files_of_a_known_root_are_not_moved_to_another(media, shards, place, counting):
    index_folder(media / "colors", library=place, embedder=counting).close()
    embedded = counting.image_count
    result = import_vectors(shards, library=place, embedder=counting)
    assert (result.adopted, result.known) == (4, 8)
    report = update_library(library=place, embedder=counting)
    assert (report.unchanged, report.gone, counting.image_count) == (12, 0, embedded)


def test_forgotten_folder_is_imported_again(media, shards, place, counting):
    import_vectors(shards, library=place, embedder=counting)
    forget(media, library=place, purge=True)
    assert import_vectors(shards, library=place, embedder=counting).adopted == 12


def test_shards_of_another_model_are_refused(shards, place, folder):
    index_folder(folder, library=place, embedder=RotatedToyEmbedder()).close()
    with pytest.raises(LibraryError, match="vectors of toy, and this library those of other"):
        import_vectors(shards, library=place, embedder=ToyEmbedder())
    with pytest.raises(QueryError, match="name their folders"):
        import_vectors(shards, folder, library=place.with_name("new"), embedder=ToyEmbedder())


def damage(path, is_torn=False):
    """Change a bit of the first page of a shard, or shorten it."""
    data = bytearray(path.read_bytes())
    with pyarrow.parquet.ParquetFile(path) as opened:
        column = opened.metadata.row_group(0).column(0)
    data[column.file_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(data[:-7] if is_torn else data)


@pytest.mark.parametrize("is_torn", [False, True])
def test_damaged_shards_are_left_out_and_embedded_again(is_torn, media, shards, place, tmp_path):
    import_vectors(shards, library=tmp_path / "other", embedder=ToyEmbedder())
    first, second, *_ = sorted(shards.glob("*.parquet"))
    for path in (first, second):
        damage(path, is_torn)
    result = import_vectors(shards, library=place, embedder=ToyEmbedder())
    assert [failure.path for failure in result.damaged] == [first, second]
    assert all(failure.path.name in failure.reason for failure in result.damaged)
    assert (result.adopted, result.failed) == (6, ())
    for failure in result.damaged:
        failure.path.unlink()
    assert embed_shards(media, shards, embedder=ToyEmbedder(), options=FOUR).shards == 2
    result = import_vectors(shards, library=place, embedder=ToyEmbedder())
    assert (result.adopted, result.damaged) == (6, ())
    assert committed_segments(place) == committed_segments(tmp_path / "other")


def test_command_names_each_damaged_shard_and_its_remedy(clew, folder, tmp_path):
    embed_shards(folder, tmp_path / "shards", model="builtin", options=FOUR)
    first = min((tmp_path / "shards").glob("*.parquet"))
    damage(first)
    result = clew("import", "shards")
    assert result.exit_code == 2
    assert "3 files imported" in result.stdout
    remedy, error = result.stderr.splitlines()
    assert remedy.startswith(f"The shard {first.name} is damaged: ")
    assert remedy.endswith(". Delete it and repeat the `clew embed` command.")
    assert error == "Error: 1 damaged shard left out. The others are imported."


def test_file_that_only_the_worker_could_not_read_keeps_its_segments(place, tmp_path, counting):
    image, media = small_png("red"), tmp_path / "media"
    draw_image(media / "other.png")
    (media / "a.png").write_bytes(bytes(len(image)))
    os.utime(media / "a.png", (5, 5))
    embed_shards(media, tmp_path / "shards", embedder=ToyEmbedder())
    (media / "a.png").write_bytes(image)
    os.utime(media / "a.png", (5, 5))
    index_folder(media, library=place, embedder=counting).close()
    result = import_vectors(tmp_path / "shards", library=place, embedder=counting)
    assert (result.known, result.failed) == (2, ())
    with Library.open(place, embedder=counting) as library:
        assert library.failures() == []


def test_incomplete_run_is_imported_with_a_note(shards, place, counting):
    sorted(shards.glob("*.parquet"))[0].unlink()
    result = import_vectors(shards, library=place, embedder=counting)
    assert result.notes == (
        "3 of 4 shards are complete. Repeat `clew embed` to write the others, then import again.",
    )


@pytest.mark.parametrize("analysis", ["metadata", "text"])
def test_shards_of_an_older_decoder_are_read_again(media, shards, place, counting, analysis):
    manifest = shards / "manifest.json"
    fields = json.loads(manifest.read_text())
    if analysis == "text":
        del fields["text_version"]  # as before it existed
    else:
        fields["metadata_version"] = "0"
    manifest.write_text(json.dumps(fields))
    import_vectors(shards, library=place, embedder=counting)
    with LibraryWriter(place, lambda space: counting) as writer:
        query = f"SELECT DISTINCT version FROM analyses WHERE analysis = '{analysis}'"
        assert writer.db.execute(query).fetchall() == [("0",)]
    update_library(library=place, embedder=counting)
    with LibraryWriter(place, lambda space: counting) as writer:
        assert writer.db.execute(query).fetchall() == [("1",)]
    assert counting.image_count == 0
