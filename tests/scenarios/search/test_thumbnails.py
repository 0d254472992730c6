"""Tests of thumbnails and of the file that contains them."""

import io
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from indexer import forget, update_library, verify_library
from indexer.decode.context import DecodeContext
from indexer.decode.images.thumbnail import make_thumbnail
from indexer.store.thumbnails import NewThumbnail
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog.schema import THUMBNAILS_FILE
from retrieval.catalog.thumbnails import (
    MIN_FREE_BYTES,
    ThumbnailKey,
    split_thumbnail,
    thumbnail_checksum,
)
from retrieval.media.images.loader import load_image
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder


def decode(data: bytes) -> Image.Image:
    """Return the image in a thumbnail, which must be a WebP file."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image.convert("RGB")


def center_color(data: bytes) -> tuple[int, ...]:
    image = decode(data)
    return image.getpixel((image.width // 2, image.height // 2))


def thumbnails_of(place) -> dict[int, bytes]:
    """Return the content of the thumbnail file: {segment: WebP data}."""
    with closing(sqlite3.connect(place / THUMBNAILS_FILE)) as db:
        return dict(db.execute("SELECT segment, picture FROM thumbnails"))


def execute_sql(place, query, *values):
    with closing(sqlite3.connect(place / THUMBNAILS_FILE)) as db, db:
        db.execute(query, values)


def write_noise(path, seed, size=(320, 240)):
    """Write an image of noise, whose thumbnail is large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)).save(
        path, compress_level=1
    )
    return path


@pytest.mark.parametrize(
    ("size", "expected"),
    [((800, 600), (320, 240)), ((300, 900), (107, 320)), ((20, 10), (20, 10)), ((9_000, 3), (320, 1))],
)
def test_thumbnail_fits_into_320_pixels_and_is_never_enlarged(size, expected):
    data = make_thumbnail(Image.new("RGB", size, (250, 10, 10)))
    assert decode(data).size == expected
    np.testing.assert_allclose(center_color(data), (250, 10, 10), atol=8)


def test_context_makes_thumbnails_only_if_they_are_on(toy):
    image = Image.new("RGB", (8, 8))
    assert DecodeContext(toy, thumbnails=False).thumbnail(image) is None
    assert DecodeContext(toy).thumbnail(image) == make_thumbnail(image)


def test_only_short_rgb_profiles_are_kept():
    image = Image.new("RGB", (8, 8))
    for profile, kept in ((bytes(16) + b"RGB " + bytes(500), True), (bytes(16) + b"CMYK" + bytes(500), False),
                          (bytes(16) + b"RGB " + bytes(90_000), False)):  # fmt: skip
        image.info["icc_profile"] = profile
        assert ("icc_profile" in Image.open(io.BytesIO(make_thumbnail(image))).info) == kept


@pytest.mark.parametrize(("size", "expected"), [((1024, 1024), (512, 512)), ((1600, 1200), (400, 300)),
                                            ((700, 1400), (350, 700))])  # fmt: skip
def test_jpeg_is_decoded_large_enough_for_embedder_and_thumbnail(tmp_path, size, expected):
    path = draw_image(tmp_path / "large.jpg", size=size)
    assert load_image(path, min_side=256, min_long_side=320).size == expected


def test_thumbnail_of_an_image_has_its_color(library, place):
    for hit in library.search("red", count=10):
        np.testing.assert_allclose(center_color(library.thumbnail(hit)), COLORS[hit.path.stem], atol=8)
        assert library.thumbnail(hit.id) == library.thumbnail(hit)
    assert len(thumbnails_of(place)) == 7
    assert library.thumbnail(99) is None


def test_thumbnail_applies_the_exif_orientation(folder, index, place, toy):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_image(folder / "rotated.jpg", "red", size=(640, 320), exif=exif)
    index(folder)
    with Library.open(place, embedder=toy) as library:
        (hit,) = [hit for hit in library.search("red", count=10) if hit.path.name == "rotated.jpg"]
        assert decode(library.thumbnail(hit)).size == (160, 320)


def test_thumbnail_of_a_caption_is_that_of_its_image(folder, index, place, toy):
    for name in ("red", "blue"):  # one text content, two images
        write_text(folder / f"{name}.txt", "green green")
    write_text(folder / "notes.md", "green")
    exif = Image.Exif()
    exif[0x010E] = "green cyan"
    draw_image(folder / "described.jpg", "yellow", exif=exif)
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hits = {hit.path.name: hit for hit in library.search("green", kind="text", count=10)}
        assert set(hits) == {"red.png", "blue.png", "notes.md", "described.jpg"}
        for name in ("red", "blue"):
            np.testing.assert_allclose(
                center_color(library.thumbnail(hits[f"{name}.png"])), COLORS[name], atol=8
            )
        np.testing.assert_allclose(
            center_color(library.thumbnail(hits["described.jpg"])), COLORS["yellow"], atol=8
        )
        assert library.thumbnail(hits["notes.md"]) is None


def test_thumbnail_of_text_is_that_of_its_page_or_scene(folder, index, place, toy):
    """The segments are those that the decoders of videos and documents write."""
    index(folder)
    rows = (
        *((50, "video", 10, None), (51, "video", 20, None), (52, "text", 25, None), (53, "text", 15, None)),
        *((60, "page", None, 1), (61, "page", None, 2), (62, "text", None, 2), (63, "text", None, 9)),
    )
    with LibraryWriter(place) as writer:
        execute = writer.db.conn.execute
        content, digest = execute("SELECT id, hash FROM contents ORDER BY id LIMIT 1").fetchone()
        with writer.db.atomic():
            execute("UPDATE contents SET duration = 60 WHERE id = ?", (content,))
            execute("DELETE FROM segments WHERE content = ?", (content,))
            for id_, kind, start, page in rows:
                execute(
                    """INSERT INTO segments (id, content, ordinal, kind, text, start, page)
                       VALUES (?1, ?2, ?1, ?3, iif(?3 = 'text', 'red', NULL), ?4, ?5)""",
                    (id_, content, kind, start, page),
                )
        visual = [id_ for id_, kind, _, _ in rows if kind != "text"]
        writer.thumbnails.save(
            [NewThumbnail(ThumbnailKey(id_, digest, "picture", id_), b"%d" % id_) for id_ in visual]
        )
    with Library.open(place, embedder=toy) as library:
        thumbnails = {id_: library.thumbnail(id_) for id_, _, _, _ in rows}
    assert thumbnails == {
        50: b"50", 51: b"51", 52: b"51", 53: b"50", 60: b"60", 61: b"61", 62: b"61",
        63: b"50",  # a page without an image segment: the first of the content
    }  # fmt: skip


def test_purge_deletes_thumbnails_even_if_the_catalog_cannot_shrink(folder, index, place):
    index(folder)
    before = thumbnails_of(place)
    (folder / "blue.png").unlink()
    index(folder)
    with LibraryWriter(place) as writer:
        reading = writer.db.execute("SELECT id FROM segments")  # like a full disk, it makes VACUUM fail
        assert reading.fetchone()
        assert writer.purge() == 1
        with pytest.raises(sqlite3.OperationalError, match="VACUUM"):
            writer.db.execute("VACUUM")
    assert len(thumbnails_of(place)) == len(before) - 1
    assert forget(library=place, purge=True)[1] == 0


def test_thumbnails_are_kept_for_moved_files_and_deleted_by_a_purge(folder, index, place, toy):
    index(folder)
    before = thumbnails_of(place)
    (folder / "red.png").rename(folder / "rouge.png")
    (folder / "blue.png").unlink()
    index(folder)
    assert thumbnails_of(place) == before
    with Library.open(place, embedder=toy) as library:
        (red,) = library.search("red", count=1)
        (blue,) = [
            id_ for id_, data in before.items() if np.allclose(center_color(data), (0, 0, 255), atol=8)
        ]
        assert red.path.name == "rouge.png"
        assert library.thumbnail(red) == split_thumbnail(before[red.id])[0]
    forget(library=place, purge=True)
    assert thumbnails_of(place) == {id_: data for id_, data in before.items() if id_ != blue}
    assert before[blue] not in (place / THUMBNAILS_FILE).read_bytes()
    forget(folder, library=place, purge=True)
    assert thumbnails_of(place) == {}


def test_thumbnail_of_another_catalog_is_never_returned(folder, index, place, toy):
    """A catalog that is deleted and created again assigns the same ids to other images."""
    index(folder)
    old = (place / THUMBNAILS_FILE).read_bytes()
    for file in place.glob("catalogue.sqlite*"):
        file.unlink()
    (folder / "blue.png").unlink()  # the first file, so all ids shift
    index(folder)
    (place / THUMBNAILS_FILE).write_bytes(old)
    with Library.open(place, embedder=toy) as library:
        assert [library.thumbnail(hit) for hit in library.search("red", count=10)] == [None] * 6
    assert "6 thumbnails" in verify_library(place).errors[0]
    verify_library(place, repair=True, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        for hit in library.search("red", count=10):
            np.testing.assert_allclose(center_color(library.thumbnail(hit)), COLORS[hit.path.stem], atol=8)
    assert len(thumbnails_of(place)) == 6


def test_size_limit_is_respected_and_reported_once(tmp_path, index, place):
    for number in range(12):
        write_noise(tmp_path / "noise" / f"{number}.png", number)
    report = index(tmp_path / "noise", thumbnails_max_bytes=150_000)
    size = (place / THUMBNAILS_FILE).stat().st_size
    assert 150_000 - MIN_FREE_BYTES < size <= 150_000
    (note,) = report.notes
    assert "150.0 kB" in note
    assert f"{12 - len(thumbnails_of(place))} segments got none" in note
    assert "clew index --thumbnails 300.0kB" in note
    with Library.open(place, embedder=ToyEmbedder()) as library:
        status = library.status()
    assert status.thumbnails_full
    assert (status.thumbnails, status.thumbnail_limit) == (size, 150_000)
    assert index(tmp_path / "noise").notes == []  # no new segment without a thumbnail
    assert verify_library(place).warnings == []
    write_noise(tmp_path / "noise" / "more.png", 99)
    (note,) = index(tmp_path / "noise").notes  # the limit is saved
    assert "1 segment got none" in note


def test_raised_limit_lets_repair_create_more_and_lowered_limit_deletes_the_newest(
    tmp_path, index, place, toy
):
    for number in range(8):
        write_noise(tmp_path / "noise" / f"{number:02d}.png", number)
    index(tmp_path / "noise", thumbnails_max_bytes=200_000)
    first = thumbnails_of(place)
    assert 0 < len(first) < 8
    index(thumbnails_max_bytes=2_000_000)
    assert len(verify_library(place, repair=True, embedder=toy).repaired) == 1
    complete = thumbnails_of(place)
    assert len(complete) == 8
    assert first.items() <= complete.items()
    index(thumbnails_max_bytes=200_000)
    remaining = thumbnails_of(place)
    assert 0 < len(remaining) < 8
    assert max(remaining) < min(complete.keys() - remaining.keys())
    assert (place / THUMBNAILS_FILE).stat().st_size <= 200_000


def test_limit_of_zero_deletes_thumbnails_and_creates_none(folder, index, place, toy):
    index(folder)
    assert index(thumbnails_max_bytes=0).notes == []
    assert not (place / THUMBNAILS_FILE).exists()
    draw_image(folder / "new.png", (9, 9, 9))
    assert index(folder).notes == []
    assert not (place / THUMBNAILS_FILE).exists()
    with Library.open(place, embedder=toy) as library:
        assert all(library.thumbnail(hit) is None for hit in library.search("red", count=10))
    assert verify_library(place).warnings == []
    index(thumbnails_max_bytes=10_000_000)
    verify_library(place, repair=True, embedder=toy)
    assert len(thumbnails_of(place)) == 8


def test_damaged_thumbnail_is_detected_and_repaired(folder, index, place, toy):
    index(folder)
    before = thumbnails_of(place)
    execute_sql(
        place, "UPDATE thumbnails SET picture = CAST(x'00' || substr(picture, 2) AS BLOB) WHERE segment = 3"
    )
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(3) is None
        assert library.thumbnail(4)
    (error,) = verify_library(place).errors
    assert "1 thumbnail" in error
    repaired = verify_library(place, repair=True, embedder=toy).repaired
    assert len(repaired) == 2
    assert repaired[1] == "1 thumbnail created."
    assert thumbnails_of(place) == before
    assert verify_library(place).errors == []


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\0" + bytes(5_000)])
def test_damaged_thumbnail_file_is_ignored_and_repaired(folder, index, place, toy, content):
    index(folder)
    before = thumbnails_of(place)
    (place / THUMBNAILS_FILE).write_bytes(content)
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(1) is None
        library.status()
    draw_image(folder / "new.png", (9, 9, 9))
    assert index(folder).added == 1
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(8)
    verify_library(place, repair=True, embedder=toy)
    assert before.items() <= thumbnails_of(place).items()
    assert verify_library(place).errors == []


@pytest.mark.parametrize("operation", ["purge", "limit"])
def test_thumbnails_are_deleted_from_a_damaged_file_too(tmp_path, index, place, operation):
    for seed in range(40):
        write_noise(tmp_path / "noise" / f"{seed}.png", seed)
    index(tmp_path / "noise")
    data = bytearray((place / THUMBNAILS_FILE).read_bytes())
    data[4_096:8_192] = b"?" * 4_096
    (place / THUMBNAILS_FILE).write_bytes(data)
    if operation == "purge":
        assert forget(tmp_path / "noise", library=place, purge=True) == (40, 40)
    else:
        assert index(thumbnails_max_bytes=100_000).unchanged == 40
    assert verify_library(place).errors == []


def test_thumbnail_of_a_deleted_segment_is_reported_and_deleted(folder, index, place, toy):
    index(folder)
    before = thumbnails_of(place)
    execute_sql(place, "INSERT INTO thumbnails VALUES (99, 0, x'00')")
    report = verify_library(place)
    assert report.errors == []
    assert "1 thumbnail of deleted segments" in report.warnings[0]
    verify_library(place, repair=True, embedder=toy)
    assert thumbnails_of(place) == before


def test_crash_before_the_thumbnails_are_written_loses_only_thumbnails(folder, place, toy, monkeypatch):
    from indexer.store import thumbnails

    def fail(self, batch):
        raise RuntimeError("simulated crash")

    monkeypatch.setattr(thumbnails.ThumbnailFile, "save", fail)
    with pytest.raises(RuntimeError, match="simulated"):
        update_library(folder, library=place, embedder=toy)
    monkeypatch.undo()
    report = update_library(folder, library=place, embedder=toy)
    assert (report.unchanged, report.added) == (7, 0)
    verification = verify_library(place)
    assert verification.errors == []
    assert "7 segments without a thumbnail" in verification.warnings[0]
    assert verify_library(place, repair=True, embedder=toy).repaired == ["7 thumbnails created."]
    assert len(thumbnails_of(place)) == 7
    assert verify_library(place).warnings == []


def test_missing_thumbnail_of_a_missing_file_is_a_warning_until_the_next_scan(folder, index, place, toy):
    index(folder)
    execute_sql(place, "DELETE FROM thumbnails")
    (folder / "red.png").unlink()
    report = verify_library(place, repair=True, embedder=toy)
    assert report.repaired == ["6 thumbnails created."]
    assert "1 segment without a thumbnail" in report.warnings[0]
    index(folder)  # marks the file as gone
    assert verify_library(place).warnings == []


def test_files_of_the_library_are_not_indexed(folder, index, place):
    index(folder)
    assert index(place.parent).skipped.total() == 0


def test_reading_a_thumbnail_does_not_write(folder, index, place, toy):
    index(folder)
    before = (place / THUMBNAILS_FILE).read_bytes()
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(1)
    assert (place / THUMBNAILS_FILE).read_bytes() == before


def test_thumbnails_option_sets_the_limit_that_status_shows(clew, folder):
    assert clew("index", folder, "--thumbnails", "500MB").exit_code == 0
    assert "Thumbs   " in clew("status").stdout
    assert "of at most 500.0 MB" in clew("status").stdout
    assert clew("index", "--thumbnails", "off").exit_code == 0
    assert "Thumbs   off" in clew("status").stdout
    assert clew("index", "--thumbnails", "1.5gb").exit_code == 0
    assert "of at most 1.5 GB" in clew("status").stdout
    assert "7 thumbnails created." in clew("verify", "--repair").stdout
    for size in ("much", "-1GB", "1.2.3MB", ""):
        done = clew("index", "--thumbnails", size)
        assert done.exit_code == 2, size
        assert "500MB" in done.stderr


def test_repair_adds_placeholders_to_earlier_thumbnails(folder, index, place, toy):
    index(folder)
    made = thumbnails_of(place)
    assert all(split_thumbnail(stored)[1] for stored in made.values())
    with (
        Library.open(place, embedder=toy) as library,
        closing(sqlite3.connect(place / THUMBNAILS_FILE)) as db,
    ):
        for segment, digest, decoder, ordinal in library._catalog.db.execute(
            "SELECT s.id, c.hash, c.decoder, s.ordinal FROM segments s JOIN contents c ON c.id = s.content"
        ):
            webp, _ = split_thumbnail(made[segment])
            seal = thumbnail_checksum(digest, decoder, ordinal, webp)
            with db:
                db.execute(
                    "UPDATE thumbnails SET seal = ?, picture = ? WHERE segment = ?", (seal, webp, segment)
                )
    assert verify_library(place).errors == verify_library(place).warnings == []
    report = verify_library(place, repair=True)
    assert f"Placeholders of {len(made)} thumbnails added." in report.repaired
    repaired = thumbnails_of(place)
    assert {id_: split_thumbnail(stored)[0] for id_, stored in repaired.items()} == {
        id_: split_thumbnail(stored)[0] for id_, stored in made.items()
    }
    assert all(18 <= len(split_thumbnail(stored)[1]) <= 30 for stored in repaired.values())
    assert verify_library(place, repair=True).repaired == []
    with Library.open(place, embedder=toy) as library:
        assert {segment: library.thumbnail(segment) for segment in made} == {
            segment: split_thumbnail(stored)[0] for segment, stored in made.items()
        }
