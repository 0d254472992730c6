"""Thumbnails: made while decoding, kept beside the catalogue, found by a hit, and made again."""

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
from retrieval.catalog.thumbnails import MIN_FREE_BYTES, ThumbnailKey
from retrieval.media.images.loader import load_image
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder


def shown(data: bytes) -> Image.Image:
    """Return a thumbnail's pixels; it must be a WebP."""
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "WEBP"
    return picture.convert("RGB")


def colour(data: bytes) -> tuple[int, ...]:
    picture = shown(data)
    return picture.getpixel((picture.width // 2, picture.height // 2))


def held(place) -> dict[int, bytes]:
    """Return segment -> picture, as the file has it."""
    with closing(sqlite3.connect(place / THUMBNAILS_FILE)) as db:
        return dict(db.execute("SELECT segment, picture FROM thumbnails"))


def change(place, query, *values):
    with closing(sqlite3.connect(place / THUMBNAILS_FILE)) as db, db:
        db.execute(query, values)


def noise(path, seed, size=(320, 240)):
    """Draw a picture whose thumbnail is large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)).save(
        path, compress_level=1
    )
    return path


@pytest.mark.parametrize(
    ("size", "small"),
    [((800, 600), (320, 240)), ((300, 900), (107, 320)), ((20, 10), (20, 10)), ((9_000, 3), (320, 1))],
)
def test_a_thumbnail_fits_into_320_pixels_and_is_never_enlarged(size, small):
    data = make_thumbnail(Image.new("RGB", size, (250, 10, 10)))
    assert shown(data).size == small
    np.testing.assert_allclose(colour(data), (250, 10, 10), atol=8)


def test_context_makes_thumbnails_only_if_they_are_on(toy):
    image = Image.new("RGB", (8, 8))
    assert DecodeContext(toy, thumbnails=False).thumbnail(image) is None
    assert DecodeContext(toy).thumbnail(image) == make_thumbnail(image)


def test_only_a_short_profile_of_rgb_goes_with_it():
    picture = Image.new("RGB", (8, 8))
    for profile, kept in ((bytes(16) + b"RGB " + bytes(500), True), (bytes(16) + b"CMYK" + bytes(500), False),
                          (bytes(16) + b"RGB " + bytes(90_000), False)):  # fmt: skip
        picture.info["icc_profile"] = profile
        assert ("icc_profile" in Image.open(io.BytesIO(make_thumbnail(picture))).info) == kept


@pytest.mark.parametrize(("size", "near"), [((1024, 1024), (512, 512)), ((1600, 1200), (400, 300)),
                                            ((700, 1400), (350, 700))])  # fmt: skip
def test_a_scaled_jpeg_is_large_enough_for_both(tmp_path, size, near):
    path = draw_image(tmp_path / "large.jpg", size=size)
    assert load_image(path, min_side=256, min_long_side=320).size == near


def test_every_picture_has_one_of_its_colour(library, place):
    for hit in library.search("red", count=10):
        np.testing.assert_allclose(colour(library.thumbnail(hit)), COLORS[hit.path.stem], atol=8)
        assert library.thumbnail(hit.id) == library.thumbnail(hit)
    assert len(held(place)) == 7
    assert library.thumbnail(99) is None


def test_a_turned_jpeg_is_shown_upright(folder, index, place, toy):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_image(folder / "turned.jpg", "red", size=(640, 320), exif=exif)
    index(folder)
    with Library.open(place, embedder=toy) as library:
        (hit,) = [hit for hit in library.search("red", count=10) if hit.path.name == "turned.jpg"]
        assert shown(library.thumbnail(hit)).size == (160, 320)


def test_a_caption_has_its_pictures_and_a_note_has_none(folder, index, place, toy):
    for name in ("red", "blue"):  # one content, two pictures
        write_text(folder / f"{name}.txt", "green green")
    write_text(folder / "notes.md", "green")
    exif = Image.Exif()
    exif[0x010E] = "green cyan"
    draw_image(folder / "said.jpg", "yellow", exif=exif)
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hits = {hit.path.name: hit for hit in library.search("green", kind="text", count=10)}
        assert set(hits) == {"red.png", "blue.png", "notes.md", "said.jpg"}
        for name in ("red", "blue"):
            np.testing.assert_allclose(colour(library.thumbnail(hits[f"{name}.png"])), COLORS[name], atol=8)
        np.testing.assert_allclose(colour(library.thumbnail(hits["said.jpg"])), COLORS["yellow"], atol=8)
        assert library.thumbnail(hits["notes.md"]) is None


def test_words_of_a_page_or_a_moment_show_that_page_or_moment(folder, index, place, toy):
    """The segments of a video and a document, as their decoders will write them."""
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
        seen = [id_ for id_, kind, _, _ in rows if kind != "text"]
        writer.thumbnails.save(
            [NewThumbnail(ThumbnailKey(id_, digest, "picture", id_), b"%d" % id_) for id_ in seen]
        )
    with Library.open(place, embedder=toy) as library:
        found = {id_: library.thumbnail(id_) for id_, _, _, _ in rows}
    assert found == {
        50: b"50", 51: b"51", 52: b"51", 53: b"50", 60: b"60", 61: b"61", 62: b"61",
        63: b"50",  # of a page that nobody has seen: what comes first
    }  # fmt: skip


def test_moved_and_copied_files_keep_theirs_and_purged_ones_lose_it(folder, index, place, toy):
    index(folder)
    before = held(place)
    (folder / "red.png").rename(folder / "rouge.png")
    (folder / "blue.png").unlink()
    index(folder)
    assert held(place) == before
    with Library.open(place, embedder=toy) as library:
        (red,) = library.search("red", count=1)
        (blue,) = [id_ for id_, data in before.items() if np.allclose(colour(data), (0, 0, 255), atol=8)]
        assert red.path.name == "rouge.png"
        assert library.thumbnail(red) == before[red.id]
    forget(library=place, purge=True)
    assert held(place) == {id_: data for id_, data in before.items() if id_ != blue}
    assert before[blue] not in (place / THUMBNAILS_FILE).read_bytes()
    forget(folder, library=place, purge=True)
    assert held(place) == {}


def test_another_catalogues_thumbnail_is_never_shown(folder, index, place, toy):
    """A catalogue that is deleted and made anew gives the same numbers to other pictures."""
    index(folder)
    old = (place / THUMBNAILS_FILE).read_bytes()
    for file in place.glob("catalogue.sqlite*"):
        file.unlink()
    (folder / "blue.png").unlink()  # the first, so that all numbers shift
    index(folder)
    (place / THUMBNAILS_FILE).write_bytes(old)
    with Library.open(place, embedder=toy) as library:
        assert [library.thumbnail(hit) for hit in library.search("red", count=10)] == [None] * 6
    assert "6 thumbnails" in verify_library(place).errors[0]
    verify_library(place, repair=True, embedder=toy)
    with Library.open(place, embedder=toy) as library:
        for hit in library.search("red", count=10):
            np.testing.assert_allclose(colour(library.thumbnail(hit)), COLORS[hit.path.stem], atol=8)
    assert len(held(place)) == 6


def test_a_full_budget_is_kept_to_and_said_once(tmp_path, index, place):
    for number in range(12):
        noise(tmp_path / "noise" / f"{number}.png", number)
    report = index(tmp_path / "noise", thumbnails_max_bytes=150_000)
    size = (place / THUMBNAILS_FILE).stat().st_size
    assert 150_000 - MIN_FREE_BYTES < size <= 150_000
    (note,) = report.notes
    assert "150.0 kB" in note
    assert f"{12 - len(held(place))} segments got none" in note
    assert "clew index --thumbnails 300.0kB" in note
    with Library.open(place, embedder=ToyEmbedder()) as library:
        status = library.status()
    assert status.thumbnails_full
    assert (status.thumbnails, status.thumbnail_limit) == (size, 150_000)
    assert index(tmp_path / "noise").notes == []  # nothing new that lacks one
    assert verify_library(place).warnings == []
    noise(tmp_path / "noise" / "more.png", 99)
    (note,) = index(tmp_path / "noise").notes  # the budget is remembered
    assert "1 segment got none" in note


def test_with_more_room_repair_makes_the_rest_and_with_less_the_newest_go(tmp_path, index, place, toy):
    for number in range(8):
        noise(tmp_path / "noise" / f"{number:02d}.png", number)
    index(tmp_path / "noise", thumbnails_max_bytes=200_000)
    first = held(place)
    assert 0 < len(first) < 8
    index(thumbnails_max_bytes=2_000_000)
    assert len(verify_library(place, repair=True, embedder=toy).repaired) == 1
    every = held(place)
    assert len(every) == 8
    assert first.items() <= every.items()
    index(thumbnails_max_bytes=200_000)
    left = held(place)
    assert 0 < len(left) < 8
    assert max(left) < min(every.keys() - left.keys())
    assert (place / THUMBNAILS_FILE).stat().st_size <= 200_000


def test_off_deletes_them_and_makes_none(folder, index, place, toy):
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
    assert len(held(place)) == 8


def test_damage_is_noticed_and_mended(folder, index, place, toy):
    index(folder)
    before = held(place)
    change(
        place, "UPDATE thumbnails SET picture = CAST(x'00' || substr(picture, 2) AS BLOB) WHERE segment = 3"
    )
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(3) is None
        assert library.thumbnail(4)
    (wrong,) = verify_library(place).errors
    assert "1 thumbnail" in wrong
    mended = verify_library(place, repair=True, embedder=toy).repaired
    assert len(mended) == 2
    assert mended[1] == "1 thumbnail created."
    assert held(place) == before
    assert verify_library(place).errors == []


@pytest.mark.parametrize("harm", [b"", b"not a database at all", b"SQLite format 3\0" + bytes(5_000)])
def test_a_file_that_is_no_more_or_is_rubbish_harms_nothing(folder, index, place, toy, harm):
    index(folder)
    before = held(place)
    (place / THUMBNAILS_FILE).write_bytes(harm)
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(1) is None
        library.status()
    draw_image(folder / "new.png", (9, 9, 9))
    assert index(folder).added == 1
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(8)
    verify_library(place, repair=True, embedder=toy)
    assert before.items() <= held(place).items()
    assert verify_library(place).errors == []


@pytest.mark.parametrize("what", ["purge", "limit"])
def test_what_is_to_go_goes_from_a_damaged_file_too(tmp_path, index, place, what):
    for seed in range(40):
        noise(tmp_path / "noise" / f"{seed}.png", seed)
    index(tmp_path / "noise")
    data = bytearray((place / THUMBNAILS_FILE).read_bytes())
    data[4_096:8_192] = b"?" * 4_096
    (place / THUMBNAILS_FILE).write_bytes(data)
    if what == "purge":
        assert forget(tmp_path / "noise", library=place, purge=True) == (40, 40)
    else:
        assert index(thumbnails_max_bytes=100_000).unchanged == 40
    assert verify_library(place).errors == []


def test_what_is_left_over_is_noticed_and_deleted(folder, index, place, toy):
    index(folder)
    before = held(place)
    change(place, "INSERT INTO thumbnails VALUES (99, 0, x'00')")
    found = verify_library(place)
    assert found.errors == []
    assert "1 thumbnail of deleted segments" in found.warnings[0]
    verify_library(place, repair=True, embedder=toy)
    assert held(place) == before


def test_a_crash_between_catalogue_and_thumbnails_costs_only_these(folder, place, toy, monkeypatch):
    from indexer.store import thumbnails

    def die(self, batch):
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(thumbnails.ThumbnailFile, "save", die)
    with pytest.raises(RuntimeError, match="power"):
        update_library(folder, library=place, embedder=toy)
    monkeypatch.undo()
    report = update_library(folder, library=place, embedder=toy)
    assert (report.unchanged, report.added) == (7, 0)
    found = verify_library(place)
    assert found.errors == []
    assert "7 segments without a thumbnail" in found.warnings[0]
    assert verify_library(place, repair=True, embedder=toy).repaired == ["7 thumbnails created."]
    assert len(held(place)) == 7
    assert verify_library(place).warnings == []


def test_those_whose_file_is_not_there_wait_and_are_no_fault(folder, index, place, toy):
    index(folder)
    change(place, "DELETE FROM thumbnails")
    (folder / "red.png").unlink()
    found = verify_library(place, repair=True, embedder=toy)
    assert found.repaired == ["6 thumbnails created."]
    assert "1 segment without a thumbnail" in found.warnings[0]
    index(folder)  # now it is known to be gone
    assert verify_library(place).warnings == []


def test_a_file_in_a_library_is_not_taken_for_media(folder, index, place):
    index(folder)
    assert index(place.parent).skipped.total() == 0


def test_reading_does_not_write(folder, index, place, toy):
    index(folder)
    before = (place / THUMBNAILS_FILE).read_bytes()
    with Library.open(place, embedder=toy) as library:
        assert library.thumbnail(1)
    assert (place / THUMBNAILS_FILE).read_bytes() == before


def test_the_command_takes_a_budget_and_tells_what_they_take(clew, folder):
    assert clew("index", folder, "--thumbnails", "500MB").exit_code == 0
    assert "Thumbs   " in clew("status").stdout
    assert "of at most 500.0 MB" in clew("status").stdout
    assert clew("index", "--thumbnails", "off").exit_code == 0
    assert "Thumbs   off" in clew("status").stdout
    assert clew("index", "--thumbnails", "1.5gb").exit_code == 0
    assert "of at most 1.5 GB" in clew("status").stdout
    assert "7 thumbnails created." in clew("verify", "--repair").stdout
    for wrong in ("much", "-1GB", "1.2.3MB", ""):
        done = clew("index", "--thumbnails", wrong)
        assert done.exit_code == 2, wrong
        assert "500MB" in done.stderr
