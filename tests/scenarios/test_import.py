"""The vectors of rclip and clip-retrieval become those of a library, and nothing is embedded again."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from indexer import import_vectors, index_folder, switch_library, update_library, verify_library
from indexer.imports.source_path import open_source
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.errors import EmbedderError, LibraryError, QueryError
from retrieval.export.write import export_vectors
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image, write_text
from tests.support.stored_vectors import vectors_of, write_clip_retrieval, write_rclip
from tests.support.toy_embedder import (
    COLORS,
    CountingToyEmbedder,
    ReversedToyEmbedder,
    RotatedToyEmbedder,
    ToyEmbedder,
)

CHECKED = 8 * 4  # images that the check embeds, in four orientations each
MARKER = np.array([0.6, 0.64, 0.48], np.float32)  # of unit length, and of no image


@pytest.fixture
def counting():
    return CountingToyEmbedder()


@pytest.fixture
def images(folder):
    """Return 24 images in three folders, one of each color and shades."""
    for number in range(17):
        draw_image(folder / "2024" / "05" / f"{number:02}.png", (10 * number, 99, 255 - 10 * number))
    return sorted(folder.rglob("*.png"))


@pytest.fixture
def database(images, toy, tmp_path):
    """Return a database of rclip with the images, of which all but the first ones have a marked vector."""
    return write_rclip(tmp_path / "rclip" / "db.sqlite3", vectors_of(toy, images))


def mark(database, path):
    """Store a vector that no model gives, to recognize it."""
    with closing(sqlite3.connect(database)) as db, db:
        query = "UPDATE images SET vector = ? WHERE filepath = ?"
        assert db.execute(query, (MARKER.tobytes(), os.fspath(path))).rowcount == 1


def stored(library, space=None):
    """Return path -> vector of the images of a library."""
    with closing(Catalog.open(library)) as catalog:
        found = catalog.space(space)
        query = """SELECT r.path || '/' || f.path, s.id FROM files f JOIN roots r ON r.id = f.root
                     JOIN segments s ON s.content = f.content WHERE s.kind = 'image'"""
        paths = {id_: path for path, id_ in catalog.db.execute(query)}
        ids, vectors = catalog.vectors_of(found, sorted(paths))
        return {os.fsdecode(paths[id_]): vector for id_, vector in zip(ids.tolist(), vectors, strict=True)}


def hits(library, embedder, query="red"):
    with Library.open(library, embedder=embedder) as opened:
        return [(hit.path, hit.score) for hit in opened.search(query, count=100)]


def test_vectors_of_rclip_are_adopted_and_only_the_checked_images_are_embedded(
    database, images, folder, place, counting, toy, tmp_path
):
    mark(database, images[-1])
    result = import_vectors(database, library=place, embedder=counting)
    assert (result.program, result.space, result.folders) == ("rclip", "toy", (folder,))
    assert (result.adopted, result.known, result.unread, result.active) == (24, 0, 0, True)
    assert (result.changed, result.missing, result.outside, result.refused) == ((), (), (), ())
    assert counting.image_count == CHECKED
    index_folder(folder, library=tmp_path / "other", embedder=toy).close()
    expected = stored(tmp_path / "other") | {str(images[-1]): MARKER}
    for path, vector in stored(place).items():
        np.testing.assert_allclose(vector, expected.pop(path), atol=1e-3)
    assert expected == {}
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert all(library.thumbnail(hit.id) for hit in library.search("kind:image", count=100))


def test_second_import_and_index_embed_only_what_is_new(database, images, folder, place, counting):
    import_vectors(database, library=place, embedder=counting)
    before = stored(place)
    counting.image_count = 0
    result = import_vectors(database, library=place, embedder=counting)
    assert (result.adopted, result.known, counting.image_count) == (0, 24, CHECKED)
    assert {path: vector.tolist() for path, vector in stored(place).items()} == {
        path: vector.tolist() for path, vector in before.items()
    }
    counting.image_count = 0
    draw_image(folder / "new.png", (1, 2, 3))
    report = update_library(library=place, embedder=counting)
    assert (report.added, report.unchanged, counting.image_count) == (1, 24, 1)


def test_changed_missing_and_refused_images_are_reported_and_not_adopted(
    database, images, folder, place, counting
):
    before = images[0].stat()
    draw_image(images[0], "white", size=(50, 50))
    os.utime(images[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(images[1], (1, 1))
    images[2].unlink()
    defects = {
        3: np.array([np.nan, 1, 0], "<f4"),
        4: np.zeros(3, "<f4"),
        5: np.array([1, 0], "<f4"),
        6: np.array([3, 0, 0], "<f4"),
    }
    with closing(sqlite3.connect(database)) as db, db:
        for number, vector in defects.items():
            query = "UPDATE images SET vector = ? WHERE filepath = ?"
            db.execute(query, (vector.tobytes(), os.fspath(images[number])))
        db.execute("UPDATE images SET deleted = 1 WHERE filepath = ?", (os.fspath(images[7]),))
    result = import_vectors(database, library=place, embedder=counting)
    assert result.changed == tuple(images[:2])
    assert result.missing == (images[2],)
    assert {(failure.path, failure.reason) for failure in result.refused} == {
        (images[3], "the vector has NaN or infinite numbers"),
        (images[4], "the vector is zero"),
        (images[5], "the vector has 2 numbers, not 3"),
        (images[6], "the vector has length 3, not 1"),
    }
    assert result.adopted == 24 - 8
    assert set(stored(place)) == {str(path) for path in images[8:]}
    counting.image_count = 0
    assert update_library(library=place, embedder=counting).added == counting.image_count == 7


def test_damaged_vectors_are_refused_by_an_optimizing_interpreter(database, images, place):
    with closing(sqlite3.connect(database)) as db, db:
        bad = np.array([np.nan, 1, 0], "<f4").tobytes()
        db.execute("UPDATE images SET vector = ? WHERE filepath = ?", (bad, os.fspath(images[0])))
    code = f"""from indexer import import_vectors
from tests.support.toy_embedder import ToyEmbedder
result = import_vectors({str(database)!r}, library={str(place)!r}, embedder=ToyEmbedder())
print(result.adopted, *[failure.path for failure in result.refused])"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["23", str(images[0])]


def test_source_is_not_written(database, place, toy):
    database.chmod(0o400)
    before = database.read_bytes(), database.stat().st_mtime_ns, os.listdir(database.parent)
    import_vectors(database.parent, library=place, embedder=toy)
    assert (database.read_bytes(), database.stat().st_mtime_ns, os.listdir(database.parent)) == before


def test_database_that_rclip_writes_is_refused(database, place, toy):
    with closing(sqlite3.connect(database)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE images SET size = 0")
        database.with_name("db.sqlite3-journal").touch()
        database.with_name("db.sqlite3-journal").write_bytes(b"journal")
        with pytest.raises(QueryError, match="rclip is writing"):
            import_vectors(database, library=place, embedder=toy)
    assert not place.exists()


@pytest.mark.parametrize("other", [RotatedToyEmbedder, ReversedToyEmbedder])
def test_vectors_of_another_model_are_refused(other, images, place, tmp_path):
    class Other(other):
        def embed_images(self, pixels):
            return np.roll(super().embed_images(pixels), 1, axis=1)

    database = write_rclip(tmp_path / "db.sqlite3", vectors_of(ToyEmbedder(), images[:17]))
    with pytest.raises(EmbedderError, match="not of the model"):
        import_vectors(database, library=place, embedder=Other())
    assert not place.exists()


def test_rotated_photos_pass_the_check(tmp_path, place, toy):
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = []
    for number in range(9):
        image = Image.new("RGB", (40, 40), (255, 10 * number, 0))
        image.paste((0, 0, 255), (0, 0, 40, 20))
        paths.append(tmp_path / "phone" / f"{number}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        image.save(paths[-1], exif=exif)

    class TopHalf(ToyEmbedder):
        """An embedder that distinguishes the orientations of an image."""

        def embed_images(self, images):
            return super().embed_images([pixels[:2] for pixels in images])

    unrotated = {path: TopHalf().embed_images([toy.prepare(Image.open(path))])[0] for path in paths}
    database = write_rclip(tmp_path / "db.sqlite3", unrotated)
    assert import_vectors(database, library=place, embedder=TopHalf()).adopted == 9
    findings = verify_library(place, sample=9, embedder=TopHalf())
    assert (findings.errors, findings.compared) == ([], 9)


def test_import_of_an_exported_library_gives_the_same_hits(images, folder, place, index, counting, tmp_path):
    write_text(folder / "red.txt", "a red square")
    index(folder)
    export_vectors(place, tmp_path / "embeddings", form="clip-retrieval")
    with closing(open_source(tmp_path / "embeddings")) as source:
        assert source.model == "toy"
    other = tmp_path / "imported"
    result = import_vectors(tmp_path / "embeddings", library=other, embedder=counting)
    assert (result.program, result.adopted) == ("clip-retrieval", 24)
    assert counting.image_count == CHECKED
    update_library(library=other, embedder=counting)  # the caption
    assert counting.image_count == CHECKED
    for query in ("red", "a blue thing", "kind:image"):
        assert sorted(hits(other, counting, query)) == sorted(hits(place, counting, query))


def test_relative_paths_of_clip_retrieval_are_found(images, folder, place, toy, tmp_path, monkeypatch):
    vectors = vectors_of(toy, images)
    relative = {path.relative_to(tmp_path): vector for path, vector in vectors.items()}
    embeddings = write_clip_retrieval(tmp_path / "work" / "embeddings", relative, part_size=10)
    assert len(os.listdir(embeddings / "img_emb")) == 3
    with pytest.raises(QueryError, match="Name the folder of the images"):
        import_vectors(embeddings, library=place, embedder=toy)
    result = import_vectors(embeddings, folder, library=place, embedder=toy)
    assert (result.adopted, result.folders) == (24, (folder,))
    for path, vector in stored(place).items():
        np.testing.assert_allclose(vector, vectors[type(folder)(path)], atol=1e-3)
    monkeypatch.chdir(tmp_path)
    assert import_vectors(embeddings, library=tmp_path / "b", embedder=toy).folders == (folder,)


def test_folders_limit_the_import(database, images, folder, place, toy, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder / "2024")
    result = import_vectors(database, link, library=place, embedder=toy)
    assert (result.adopted, len(result.outside)) == (17, 7)
    assert set(stored(place)) == {str(link / path.relative_to(folder / "2024")) for path in images[:17]}


def test_vectors_become_a_second_space_of_a_library_of_another_model(
    database, images, folder, place, counting
):
    other = RotatedToyEmbedder()
    draw_image(folder / "not-in-rclip.png", (7, 7, 7))
    index_folder(folder / "2024", library=place, embedder=other).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.operations.index.resolve.resolve_embedder", lambda *_, **__: other)
        result = import_vectors(database, library=place, embedder=counting)
    assert (result.adopted, result.known, result.active, result.space) == (24, 0, False, "toy")
    assert (other.embedded_count, counting.image_count) == (24, CHECKED)
    assert {path: round(float(v.sum()), 2) for path, v in stored(place, "toy").items()} == {
        path: round(float(v.sum()), 2) for path, v in stored(place, "other").items()
    }
    draw_image(folder / "2024" / "late.png", (9, 9, 9))
    update_library(library=place, embedder=other)
    counting.image_count = 0
    switched = switch_library("toy", library=place, embedder=counting)
    assert (switched.embedded, switched.answers, counting.image_count) == (2, True, 2)


def test_import_resumes_after_a_crash(database, images, place, counting, monkeypatch):
    write = LibraryWriter.write
    calls = []

    def fail(self, root, chunks):
        calls.append(chunks)
        if len(calls) == 2:
            raise RuntimeError("power failure")
        return write(self, root, chunks)

    monkeypatch.setattr(LibraryWriter, "write", fail)
    monkeypatch.setattr("indexer.embed.batches.MAX_BATCH", 5)
    with pytest.raises(RuntimeError, match="power failure"):
        import_vectors(database, library=place, embedder=counting)
    monkeypatch.undo()
    partial = len(stored(place))
    assert 0 < partial < 24
    result = import_vectors(database, library=place, embedder=counting)
    assert (result.adopted, result.known) == (24 - partial, partial)
    assert counting.image_count == 2 * CHECKED


def test_folder_that_names_no_model_needs_the_option(clew, images, toy, tmp_path):
    write_clip_retrieval(tmp_path / "embeddings", vectors_of(toy, images))
    result = clew("import", "embeddings")
    assert result.exit_code == 2
    assert "--model ARCH/WEIGHTS" in result.output


def test_model_that_cannot_be_loaded_is_named(clew, database):
    result = clew("import", database.parent)
    assert result.exit_code == 2
    assert "clew prepare ViT-B-32-256/datacomp_s34b_b86k" in " ".join(result.output.split())


def test_library_of_an_offline_folder_is_refused_before_it_is_made(database, place, toy, tmp_path):
    with pytest.raises(LibraryError, match="not found"):
        import_vectors(database, tmp_path / "nowhere", library=place, embedder=toy)
    shutil.rmtree(tmp_path / "pictures")
    with pytest.raises(QueryError, match="Name the folder of the images"):
        import_vectors(database, library=place, embedder=toy)
    assert not place.exists()


def test_interrupted_import_keeps_what_it_has_and_resumes(database, place, toy, monkeypatch):
    def interrupt(title, done, total, size=0):
        if done == 12 and total:
            raise KeyboardInterrupt

    monkeypatch.setattr("indexer.embed.batches.MAX_BATCH", 5)
    assert import_vectors(database, library=place, embedder=toy, progress=interrupt).interrupted
    result = import_vectors(database, library=place, embedder=toy)
    assert not result.interrupted
    assert (result.adopted + result.known, len(stored(place))) == (24, 24)


def test_image_that_cannot_be_read_is_counted(images, folder, place, toy, tmp_path):
    broken = write_text(folder / "broken.png", "no image")
    hidden = draw_image(folder / ".hidden" / "a.png")
    vectors = vectors_of(toy, images) | {broken: MARKER, hidden: MARKER}
    database = write_rclip(tmp_path / "db.sqlite3", vectors)
    result = import_vectors(database, library=place, embedder=toy)
    assert (result.adopted, result.unread) == (24, 2)
    with Library.open(place, embedder=toy) as library:
        assert [failure.path for failure in library.failures()] == [broken]


def test_colors_are_found_by_words(database, place, toy):
    import_vectors(database, library=place, embedder=toy)
    for color in COLORS:
        assert hits(place, toy, color)[0][0].name == f"{color}.png"
