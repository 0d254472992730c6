"""Values that earlier versions encoded in names are moved into columns."""

import sqlite3

import pytest

from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import add_functions


def apply(db, first, last):
    """Apply the migration steps with these numbers."""
    for name, statements in MIGRATIONS.items():
        if first <= int(name.partition("-")[0]) <= last:
            for statement in statements:
                db.execute(statement)


@pytest.fixture
def db():
    """Return a catalog as version 0.4 made it."""
    db = sqlite3.connect(":memory:")
    apply(db, 1, 14)
    return db


def test_model_of_a_replaced_space_is_taken_from_its_name(db):
    names = ("ViT-B-32/openai", "/models/a.pt (before 2026-11-28 10:00:00.000000)")
    db.executemany("INSERT INTO spaces (name, fingerprint, dim) VALUES (?, 'f', 3)", [(n,) for n in names])
    apply(db, 15, 15)
    assert dict(db.execute("SELECT name, model FROM spaces")) == {
        names[0]: names[0],
        names[1]: "/models/a.pt",
    }


def test_format_of_an_index_is_taken_from_its_file_name(db):
    db.execute("INSERT INTO spaces (id, name, fingerprint, dim) VALUES (1, 'toy', 'f', 3)")
    files = {
        "1-image-flat-7-0123abcd.faiss": "flat",
        "1-text-hnsw-7-0123abcd.faiss": "hnsw",
        "1-video-hnsw+sketch-7-0123abcd.faiss": "hnsw+sketch",
        "1-page-ivf-7-0123abcd.faiss": "ivf",
        "1-audio-7.faiss": "",
    }
    db.executemany(
        "INSERT INTO indexes VALUES (1, ?, 'flat', ?, '', 0, 0, 0, 1.0)",
        [(file.split("-")[1], file) for file in files],
    )
    apply(db, 15, 15)
    assert dict(db.execute("SELECT file, format FROM indexes")) == files


def test_file_to_retry_is_marked_by_a_column(db):
    db.execute("INSERT INTO roots (id, path, options, state) VALUES (1, x'2f', '{}', 'present')")
    db.executemany(
        "INSERT INTO files (root, path, size, mtime, reader, time, state) "
        "VALUES (1, ?, ?, 0, 'text', '', 'present')",
        [(b"a", -1), (b"b", 10)],
    )
    apply(db, 15, 15)
    assert dict(db.execute("SELECT path, retry FROM files")) == {b"a": 1, b"b": 0}


def test_origin_of_a_segment_is_taken_from_its_ordinal(db):
    db.execute("INSERT INTO contents (id, hash, reader) VALUES (1, x'00', 'picture')")
    origins = {0: "file", 999_999: "file", 1_000_000: "tiles", 1 << 40: "ocr", 2 << 40: "speech"}
    origins[3 << 40] = "sounds"
    db.executemany(
        "INSERT INTO segments (content, ordinal, kind, box) VALUES (1, ?, 'image', ?)",
        [(n, "[0, 0, 9, 9]" if n >= 1_000_000 else None) for n in origins],
    )
    apply(db, 15, 15)
    assert dict(db.execute("SELECT ordinal, origin FROM segments")) == origins


def test_columns_have_the_words_of_the_code(db):
    apply(db, 15, 15)
    columns = {
        table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for table in ("contents", "files", "captions")
    }
    assert "decoder" in columns["contents"]
    assert {"decoder", "sidecar_of"} <= columns["files"]
    assert "image" in columns["captions"]
    assert not {"reader", "picture"} & set.union(*columns.values())


def test_sidecar_describes_its_image_in_a_migrated_catalog(db):
    db.execute("INSERT INTO roots (id, path, options, state) VALUES (1, x'2f', '{}', 'present')")
    db.executemany(
        "INSERT INTO contents (id, hash, reader) VALUES (?, ?, ?)",
        [(1, b"a", "picture"), (2, b"b", "caption")],
    )
    db.executemany(
        """INSERT INTO files (id, root, path, size, mtime, reader, picture, content, time, state)
           VALUES (?1, 1, ?2, 1, 1, ?3, ?4, ?1, '', 'present')""",
        [(1, b"a.jpg", "picture", None), (2, b"a.txt", "caption", b"a.jpg")],
    )
    apply(db, 15, 15)
    assert set(db.execute("SELECT file, content FROM described_by")) == {(1, 1), (1, 2), (2, 2), (2, 1)}


def test_formats_whose_xmp_was_ignored_and_images_of_too_many_pixels_are_read_again(db):
    add_functions(db)
    apply(db, 15, 37)
    db.execute("INSERT INTO roots (id, path, options, state) VALUES (1, x'2f', '{}', 'present')")
    names = (b"a.DNG", b"b.psd", b"c.jpg", b"\xff.jpg")
    errors = (None, None, None, "16320 x 12240 pixels, more than the limit of 178,000,000")
    for id_, (name, error) in enumerate(zip(names, errors, strict=True), start=1):
        db.execute("INSERT INTO contents (id, hash, decoder) VALUES (?, ?, 'picture')", (id_, name))
        db.execute("INSERT INTO analyses VALUES (?, 'metadata', '1', NULL)", (id_,))
        db.execute(
            """INSERT INTO files (root, path, size, mtime, decoder, content, error, time, state)
               VALUES (1, ?, 1, 1, 'picture', ?, ?, '', 'present')""",
            (name, id_, error),
        )
    apply(db, 38, 38)
    query = "SELECT version FROM analyses WHERE analysis = 'metadata' ORDER BY content"
    versions = [version for (version,) in db.execute(query)]
    assert versions == ["0", "0", "1", "1"]
    assert [retry for (retry,) in db.execute("SELECT retry FROM files ORDER BY id")] == [0, 0, 0, 1]
