"""A folder is indexed with options, roots and errors; a later run reads only the changes."""

import itertools
import os
import sqlite3
import time
from contextlib import closing

import pytest
from PIL import Image

from indexer import IndexOptions, index_folder, update_library, watch_library
from indexer.decode import reader
from indexer.maintenance import build_index
from indexer.store.lock import library_lock
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval import Library, SearchOptions
from retrieval.errors import EmbedderError, LibraryBusy, LibraryError, LibraryVersionMismatch, SpaceMismatch
from tests.scenarios.helpers import draw_images, hit_names, index_in_batches
from tests.support.archive_files import small_png, write_archive
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import CountingToyEmbedder


def test_indexed_images_are_found(folder, library, toy):
    best = library.search("red")[0]
    assert best.path == folder / "red.png"
    assert best.score == pytest.approx(1, abs=1e-3)
    assert best.kind == "image"
    assert best.space == "toy"
    assert [
        hit.path.name for hit in library.search("red green", count=1, options=SearchOptions(by="meaning"))
    ] == ["yellow.png"]


def test_second_run_embeds_nothing(folder, index, toy):
    first = index(folder)
    image_count = toy.image_count
    second = index(folder)
    assert (first.added, first.segments) == (7, 7)
    assert (second.unchanged, second.added, second.segments) == (7, 0, 0)
    assert toy.image_count == image_count


def test_long_run_updates_the_indexes_before_its_end(tmp_path, place, toy, monkeypatch):
    """Also in a library that has more vectors than the run adds."""
    draw_images(tmp_path / "images", 40)
    index_in_batches(BatchLimits(segments=10), [tmp_path / "images"], place, toy)
    for number in range(30):
        draw_image(tmp_path / "more" / f"{number}.png", (number, 255 - number, 99))
    counts, build = [], build_index.build_if_due

    def record(writer, method):
        counts.append(sum(file.count for file in build(writer, method).indexes))

    monkeypatch.setattr(build_index, "REBUILD_AFTER_VECTORS", 9)
    monkeypatch.setattr(build_index, "build_if_due", record)
    index_in_batches(BatchLimits(segments=10), [tmp_path / "more"], place, toy)
    assert counts == [50, 60, 70]


def test_run_without_folders_updates_all_roots(folder, index, tmp_path):
    index(folder)
    other = draw_image(tmp_path / "other" / "grey.png", (9, 9, 9)).parent
    index(other)
    draw_image(other / "black.png", (0, 0, 0))
    report = index()
    assert (report.added, report.unchanged) == (1, 8)


def test_subfolder_of_a_root_is_scanned_alone(folder, index):
    draw_image(folder / "trips" / "a.png", (1, 2, 3))
    index(folder)
    draw_image(folder / "trips" / "b.png", (3, 2, 1))
    draw_image(folder / "c.png", (2, 2, 1))
    report = index(folder / "trips")
    assert (report.added, report.unchanged, report.gone) == (1, 1, 0)
    assert index(folder).added == 1
    assert index(folder / "trips", exclude=["*.gif"]).unchanged == 2  # it is a root of its own now
    assert (index(folder).unchanged, index(folder / "trips", exclude=["b.*"]).gone) == (10, 1)


def test_root_inside_a_new_root_keeps_its_options(tmp_path, index, place, toy):
    draw_image(tmp_path / "all" / "in" / "red.png", "red")
    draw_image(tmp_path / "all" / "in" / "private" / "a.png", (9, 9, 9))
    draw_image(tmp_path / "all" / ".hidden" / "b.png", (8, 9, 9))
    index(tmp_path / "all" / "in", exclude=["private/*"])
    index(tmp_path / "all" / ".hidden")
    draw_image(tmp_path / "all" / "private" / "c.png", "green")
    report = index(tmp_path / "all")
    assert (report.added, report.unchanged, report.gone) == (1, 2, 0)
    with Library.open(place, embedder=toy) as library:
        assert len(library.status().roots) == 3
        assert sorted(hit.path.name for hit in library.search("red")) == ["b.png", "c.png", "red.png"]
    (tmp_path / "all" / "in").rename(tmp_path / "unplugged")
    report = index(tmp_path / "all")
    assert (report.gone, report.offline, report.unchanged) == (0, 1, 2)
    (tmp_path / "unplugged").rename(tmp_path / "all" / "in")
    assert index(tmp_path / "all").unchanged == 3


def test_exclude_and_hidden_options_are_saved(folder, index):
    draw_image(folder / ".hidden.png", (4, 4, 4))
    assert index(folder, exclude=["red*"], hidden=True).added == 7
    assert index(folder).unchanged == 7
    report = index(folder, exclude=[], hidden=False)
    assert (report.added, report.gone) == (1, 1)


def test_damaged_files_are_reported_and_read_again_only_on_retry(folder, index, place, toy):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "empty.png").touch()
    report = index(folder)
    assert (report.added, report.failed) == (7, 2)
    assert index(folder).failed == 2
    with Library.open(place, embedder=toy) as library:
        reasons = {failure.path.name: failure.reason for failure in library.failures()}
    assert reasons["empty.png"] == "empty file"
    assert "damaged" in reasons["broken.jpg"]
    draw_image(folder / "empty.png", (1, 1, 1))
    report = index(folder, retry=True)
    assert (report.updated, report.failed) == (1, 1)


def test_unexpected_decoder_error_fails_one_file_only(folder, index, monkeypatch):
    decode = reader.DECODERS["picture"]

    def fail(file, suffix, context):
        if file.name.endswith(b"red.png"):
            raise RuntimeError("a bug")
        return decode(file, suffix, context)

    monkeypatch.setitem(reader.DECODERS, "picture", fail)
    report = index(folder)
    assert (report.added, report.failed) == (6, 1)


@requires_non_utf8_names
def test_names_that_are_not_utf8_are_returned_unchanged(folder, index, place, toy):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/r\xe9d\n.png")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert os.fsencode(library.search("red")[0].path.name) == b"r\xe9d\n.png"
    assert index(folder).unchanged == 7


def test_time_of_an_image_is_from_its_camera_or_else_its_file(tmp_path, index, place, toy):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:05:04 12:00:00"
    draw_image(tmp_path / "images" / "camera.jpg", "red", exif=exif)
    file = draw_image(tmp_path / "images" / "file.png", "blue")
    modified = time.mktime((2021, 6, 30, 23, 0, 0, 0, 0, -1))
    os.utime(file, (modified, modified))
    index(tmp_path / "images")
    assert hit_names(place, toy, options=SearchOptions(before="2020")) == ["camera.jpg"]
    assert hit_names(place, toy, options=SearchOptions(after="2021-06-30", before="2021-07")) == ["file.png"]
    assert hit_names(place, toy, options=SearchOptions(after="2021-07")) == []


def test_missing_folder_is_rejected(index, tmp_path):
    with pytest.raises(LibraryError, match="not found"):
        index(tmp_path / "none")
    with pytest.raises(LibraryError, match="not a folder"):
        index(draw_image(tmp_path / "a.png"))


def test_missing_folder_makes_no_library(folder, index, place, toy):
    with pytest.raises(LibraryError, match="not found"):
        index(folder, folder / "none")
    with pytest.raises(LibraryError, match="not found"):
        watch_library(folder / "none", library=place, embedder=toy)
    assert not place.exists()


def test_model_that_cannot_be_loaded_makes_no_library(folder, place):
    with pytest.raises(EmbedderError):
        index_folder(folder, library=place, model="no such model")
    assert not place.exists()


def test_empty_library_accepts_another_model(folder, place, tmp_path, toy):
    (tmp_path / "empty").mkdir()
    index_folder(tmp_path / "empty", library=place, model="builtin").close()
    with index_folder(folder, library=place, embedder=toy) as library:
        assert list(library.status().spaces) == ["toy"]
        assert library.search("red")[0].path.name == "red.png"


def test_other_model_is_rejected_with_a_hint(folder, index, place):
    index(folder)
    with pytest.raises(SpaceMismatch, match=r"clew switch builtin.*leave out --model"):
        index_folder(folder, library=place, model="builtin")


def test_other_version_of_the_model_is_rejected(folder, index, toy, place):
    index(folder)
    toy.fingerprint, toy.parts = "toy-2", {"colours": "eight"}
    with pytest.raises(SpaceMismatch, match=r"colours seven, now eight.*clew switch toy"):
        index(folder)
    with pytest.raises(SpaceMismatch), Library.open(place, embedder=toy) as library:
        library.search("red")


def test_second_writer_is_rejected_with_the_process_of_the_first(folder, index, place):
    index(folder)
    with library_lock(place), pytest.raises(LibraryBusy, match=rf"process {os.getpid()} on "):
        index(folder)
    assert index(folder).unchanged == 7


def test_library_of_a_newer_version_is_rejected(folder, index, place):
    index(folder)
    with sqlite3.connect(place / "catalogue.sqlite") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('clew', '9-x', '')"
        )
    db.close()
    with pytest.raises(LibraryVersionMismatch, match="newer"):
        index(folder)
    with pytest.raises(LibraryVersionMismatch, match="newer"):
        Library.open(place)


def test_next_run_continues_an_interrupted_run(tmp_path, index, place, toy, monkeypatch):
    draw_images(tmp_path / "images", 100)
    write, counts = LibraryWriter.write, []

    def interrupt(self, root, chunks):
        counts.append(len(chunks))
        if len(counts) == 4:
            raise KeyboardInterrupt
        return write(self, root, chunks)

    monkeypatch.setattr(LibraryWriter, "write", interrupt)
    report = index_in_batches(BatchLimits(segments=10), [tmp_path / "images"], place, toy)
    assert report.interrupted
    assert report.added == sum(counts[:3]) >= 20
    report = index(tmp_path / "images")
    assert (report.added, report.unchanged, report.interrupted) == (
        100 - sum(counts[:3]),
        sum(counts[:3]),
        False,
    )
    assert toy.image_count <= 100 + 2 * 10  # the batch in `write`, and the next, embedded meanwhile


def test_progress_counts_read_files_before_the_first_commit(tmp_path, place, toy):
    draw_images(tmp_path / "images", 30)
    committed = []

    def check(folder, done_count, total, size=0):
        committed.append((done_count, total, len(list_of_files(place))))

    def list_of_files(place):
        with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
            return db.execute("SELECT id FROM files").fetchall()

    index_in_batches(BatchLimits(segments=30), [tmp_path / "images"], place, toy, progress=check)
    assert committed[:2] == [(0, 0, 0), (1, 30, 0)]  # the scan, which does not know how many files there are
    assert [done for done, _, _ in committed if done <= 30][:31] == list(range(31))


def on_write(monkeypatch, call):
    """Call a function with the chunks of each transaction before it."""
    write = LibraryWriter.write

    def write_reported(self, root, chunks):
        call(chunks)
        return write(self, root, chunks)

    monkeypatch.setattr(LibraryWriter, "write", write_reported)


class SlowToyEmbedder(CountingToyEmbedder):
    """A toy embedder that takes 50 ms for each image."""

    def embed_images(self, images):
        time.sleep(0.05 * len(images))
        return super().embed_images(images)


def test_batches_of_a_slow_model_are_committed_after_some_seconds(tmp_path, place, monkeypatch):
    draw_images(tmp_path / "images", 120)
    write, times = LibraryWriter.write, []
    monkeypatch.setattr(
        LibraryWriter,
        "write",
        lambda self, root, chunks: times.append(time.monotonic()) or write(self, root, chunks),
    )
    embedder, started = SlowToyEmbedder(), time.monotonic()
    report = index_in_batches(BatchLimits(seconds=1), [tmp_path / "images"], place, embedder)
    assert (report.added, embedder.image_count) == (120, 120)
    assert len(times) >= 4
    assert times[0] - started < 4
    assert max(after - before for before, after in itertools.pairwise(times)) < 4


def test_slow_files_are_committed_after_some_seconds(tmp_path, place, toy, monkeypatch):
    draw_images(tmp_path / "images", 16)
    decode = reader.DECODERS["picture"]
    monkeypatch.setitem(reader.DECODERS, "picture", lambda *args: time.sleep(0.3) or decode(*args))
    sizes, write = [], LibraryWriter.write
    monkeypatch.setattr(
        LibraryWriter,
        "write",
        lambda self, root, chunks: sizes.append(len(chunks)) or write(self, root, chunks),
    )
    index_in_batches(BatchLimits(seconds=0.5), [tmp_path / "images"], place, toy)
    assert sum(sizes) == 16
    assert len(sizes) >= 3


def test_folder_and_pattern_may_be_strings(folder, place, toy):
    report = update_library(str(folder), library=place, embedder=toy, options=IndexOptions(exclude="r*.png"))
    assert report.added == 6
    assert "6 images" in str(report)


def test_broken_links_and_distant_times_are_tolerated(folder, index, place, toy):
    (folder / "self.png").symlink_to("self.png")
    (folder / "long").symlink_to("z" * 255 + "/" + "z" * 255)
    os.utime(folder / "red.png", (10_413_792_000, 10_413_792_000))  # the year 2300
    assert index(folder).added == 7
    assert index(folder).unchanged == 7
    assert hit_names(place, toy, "red", count=1) == ["red.png"]


def test_file_with_the_name_of_a_catalog_hides_nothing(folder, index):
    index(folder)
    (folder / "catalogue.sqlite").touch()
    assert index(folder).unchanged == 7


def test_library_in_the_indexed_folder_is_not_indexed(folder, toy):
    for _ in range(2):
        report = update_library(folder, library=folder, embedder=toy)
        assert report.added + report.unchanged == 7
        assert not report.skipped


def test_index_folder_raises_keyboard_interrupt(folder, place, toy):
    def stop(folder, done_count, total, size=0):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, library=place, embedder=toy, progress=stop)


def test_excluded_subfolder_becomes_a_root(tmp_path, index, place, toy):
    draw_image(tmp_path / "images" / "a.png", "red")
    draw_image(tmp_path / "images" / ".hidden" / "b.png", "green")
    draw_image(tmp_path / "images" / "out" / "c.png", "blue")
    index(tmp_path / "images", exclude=["out"])
    index(tmp_path / "images" / ".hidden")
    index(tmp_path / "images" / "out")
    report = index()
    assert (report.unchanged, report.gone) == (3, 0)
    assert len(hit_names(place, toy, "red")) == 3


def test_folder_and_its_subfolder_are_indexed_once(tmp_path, index):
    draw_image(tmp_path / "images" / "a.png", "red")
    draw_image(tmp_path / "images" / "sub" / "b.png", "green")
    report = index(tmp_path / "images", tmp_path / "images" / "sub")
    assert (report.added, report.updated, report.unchanged) == (2, 0, 0)
    assert index(tmp_path / "images", tmp_path / "images" / "sub").unchanged == 2


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Return a root with 2 images in each of the folders private, work and work/private."""
    for number, name in enumerate(("private", "work", "work/private")):
        for color in range(2):
            draw_image(tmp_path / "p" / name / f"{number}{color}.png", (60 * number, 90 * color, 9))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("pattern", "added"),
    [
        ("{root}/private", 4),  # not the folder of that name in work
        ("{root}/private/", 4),
        ("p/private", 4),
        ("./p/private", 4),
        ("../{parent}/p/private", 4),
        ("{root}/private/*.png", 4),
        ("p/work/private", 4),
        ("work/private", 4),
        ("private", 2),
        ("Private", 6),
    ],
)
def test_exclude_takes_paths_of_the_shell(pattern, added, pictures, index):
    text = pattern.format(root=pictures, parent=pictures.parent.name)
    report = index(pictures, exclude=text)
    assert report.added == added
    expected = [f"--exclude '{text}' matches nothing that would be indexed otherwise."] * (added == 6)
    assert report.notes == expected


def test_exclude_takes_a_path_relative_to_the_current_folder(pictures, index, monkeypatch):
    monkeypatch.chdir(pictures / "work")
    assert index(pictures, exclude="./private").added == 4
    assert index(exclude="../private").gone == 2


def test_exclude_takes_names_with_brackets_and_in_any_unicode_form(pictures, index):
    draw_image(pictures / "a[1]" / "a.png", (1, 2, 3))
    draw_image(pictures / "cafe\u0301" / "b.png", (1, 2, 200))
    report = index(pictures, exclude=["./p/a[1]", "caf\u00e9"])
    assert (report.added, report.notes) == (6, [])


def test_exclude_outside_all_folders_is_an_error(pictures, index, place):
    index(pictures)
    with pytest.raises(LibraryError, match="is not below"):
        index(pictures, exclude="/elsewhere/private")
    assert index().unchanged == 6


def test_second_exclude_adds_to_the_first_and_empty_removes_it(pictures, index, place, toy):
    assert index(pictures, exclude="private").added == 2
    assert index(pictures, exclude="./p/work").gone == 2
    with Library.open(place, embedder=toy) as library:
        assert library.status().roots[0].exclude == ("private", "/work")
    assert index(pictures, exclude=["", "./p/work"]).added == 2
    report = index(pictures, exclude="")
    assert (report.added, report.unchanged) == (2, 4)


def test_options_without_a_folder_apply_to_all_roots(pictures, index, place, toy):
    draw_image(pictures / ".hidden" / "h.png", (3, 3, 3))
    index(pictures / "private")
    index(pictures / "work")
    assert index(exclude="*0.png").gone == 3
    assert index(exclude="").unchanged == 6
    write_archive(pictures / "work" / "a.zip", {"z.png": small_png("red")})
    draw_image(pictures / "private" / ".h.png", (3, 3, 3))
    report = index(hidden=True, archives=True)
    assert (report.added, report.unchanged) == (2, 6)
    with Library.open(place, embedder=toy) as library:
        assert all(root.hidden and root.archives for root in library.status().roots)


def test_status_shows_excluded_patterns(pictures, clew):
    clew("index", pictures, "--model", "builtin", "--exclude", "p/private", "--hidden")
    assert "without /private\n" in clew("status").stdout
    assert "with hidden files\n" in clew("status").stdout


def test_folder_of_another_program_in_the_indexes_is_kept(folder, index, place):
    (place / "indexes" / "@eaDir").mkdir(parents=True)
    foreign = ("notes.txt", ".stfolder", "1-image.faiss.bak", "backup.faiss")
    for name in foreign:
        write_text(place / "indexes" / name, "of a person")
    old = [place / "indexes" / name for name in ("1-image-flat-7-0123abcd.faiss", ".4711.tmp")]
    for path in old:
        write_text(path, "old")
    assert index(folder).added == 7
    draw_image(folder / "new.png", (7, 70, 170))
    assert index(folder).added == 1
    assert (place / "indexes" / "@eaDir").is_dir()
    assert all((place / "indexes" / name).exists() for name in foreign)
    assert not any(path.exists() for path in old)
