"""A folder is indexed, changes, goes away and comes back; nothing is lost and nothing is done twice."""

import json
import os
import shutil
import time

import pytest
from PIL import Image

from indexer import IndexOptions, index_folder
from retrieval import Library
from retrieval.errors import LibraryBusy, LibraryError, LibraryVersionMismatch, SpaceMismatch
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import ToyEmbedder


class Counting(ToyEmbedder):
    """A toy embedder that counts the pictures it embeds."""

    def __init__(self):
        self.done = 0

    def embed_images(self, pictures):
        self.done += len(pictures)
        return super().embed_images(pictures)


@pytest.fixture
def toy():
    return Counting()


def found(place, toy, words="red", **narrow):
    with Library.open(place, embedder=toy) as library:
        return [hit.path.name for hit in library.search(words, **narrow)]


def test_a_folder_is_indexed_and_found(folder, library, toy):
    best = library.search("red")[0]
    assert best.path == folder / "red.png"
    assert best.score == pytest.approx(1, abs=1e-3)
    assert best.kind == "image"
    assert best.space == "toy"
    assert [hit.path.name for hit in library.search("red green", count=1, by="meaning")] == ["yellow.png"]


def test_a_second_run_does_nothing(folder, index, toy):
    first = index(folder)
    done = toy.done
    second = index(folder)
    assert (first.added, first.segments) == (7, 7)
    assert (second.unchanged, second.added, second.segments) == (7, 0, 0)
    assert toy.done == done


def test_a_run_without_a_folder_is_of_all_roots(folder, index, tmp_path):
    index(folder)
    other = draw_image(tmp_path / "other" / "grey.png", (9, 9, 9)).parent
    index(other)
    draw_image(other / "black.png", (0, 0, 0))
    report = index()
    assert (report.added, report.unchanged) == (1, 8)


def test_a_changed_file_is_read_again(folder, index, place, toy):
    index(folder)
    shutil.copyfile(folder / "blue.png", folder / "red.png")
    report = index(folder)
    assert (report.updated, report.unchanged, report.segments) == (1, 6, 0)  # blue is known already
    draw_image(folder / "red.png", (250, 120, 0))
    assert index(folder).segments == 1
    assert found(place, toy, "red", count=1) == ["red.png"]


def test_moved_copied_and_renamed_files_are_not_embedded_again(folder, index, place, toy):
    index(folder)
    done = toy.done
    (folder / "sub").mkdir()
    (folder / "red.png").rename(folder / "sub" / "rouge.png")
    (folder / "blue.png").rename(folder / "BLUE.png")
    shutil.copy2(folder / "green.png", folder / "vert.png")
    report = index(folder)
    assert (report.moved, report.added, report.gone, report.unchanged) == (2, 1, 0, 5)
    assert toy.done == done
    assert found(place, toy, "red", count=1) == ["rouge.png"]
    assert found(place, toy, "green", count=9).count("green.png") == 1  # a copy is not a second answer
    assert "vert.png" not in found(place, toy, "green", count=9)


def test_two_files_that_change_names_keep_their_vectors(folder, index, place, toy):
    index(folder)
    done = toy.done
    (folder / "red.png").rename(folder / "x.png")
    (folder / "blue.png").rename(folder / "red.png")
    (folder / "x.png").rename(folder / "blue.png")
    os.utime(folder / "red.png", (1, 1))
    os.utime(folder / "blue.png", (2, 2))
    index(folder)
    assert toy.done == done
    assert found(place, toy, "red", count=1, by="meaning") == ["blue.png"]


def test_a_deleted_file_is_never_found_and_costs_nothing_when_it_is_back(folder, index, place, toy):
    index(folder)
    done = toy.done
    (folder / "red.png").rename(folder.parent / "away.png")
    assert index(folder).gone == 1
    assert "red.png" not in found(place, toy, count=20)
    (folder.parent / "away.png").rename(folder / "red.png")
    assert index(folder).unchanged == 7
    assert found(place, toy)[0] == "red.png"
    assert toy.done == done


def test_a_root_that_is_away_is_offline_and_costs_nothing_when_it_is_back(folder, index, place, toy):
    index(folder)
    done = toy.done
    folder.rename(folder.parent / "unplugged")
    report = index()
    assert (report.offline, report.gone) == (7, 0)
    assert str(folder) in report.notes[0]
    with Library.open(place, embedder=toy) as library:
        assert library.status().roots[0].state == "offline"
        assert library.search("red")[0].offline
    (folder.parent / "unplugged").rename(folder)
    report = index()
    assert (report.unchanged, report.added) == (7, 0)
    assert toy.done == done
    with Library.open(place, embedder=toy) as library:
        assert not library.search("red")[0].offline


def many(folder, count):
    for number in range(count):
        draw_image(folder / f"{number}.png", (number, 255 - number, 7))


def test_the_brake_keeps_many_missing_files_as_offline(tmp_path, index, place, toy):
    many(tmp_path / "drive", 80)
    index(tmp_path / "drive")
    for number in range(60):
        (tmp_path / "drive" / f"{number}.png").unlink()
    report = index()
    assert (report.offline, report.gone, report.unchanged) == (60, 0, 20)
    assert "--confirm-gone" in report.notes[0]
    assert index().gone == 0  # and it holds
    report = index(confirm_gone=True)
    assert report.gone == 60
    assert len(found(place, toy, count=100)) == 20


def test_the_brake_lets_a_few_and_a_small_share_go(tmp_path, index):
    many(tmp_path / "few", 60)
    index(tmp_path / "few")
    for number in range(50):
        (tmp_path / "few" / f"{number}.png").unlink()
    assert index().gone == 50
    many(tmp_path / "share", 255)
    index(tmp_path / "share")
    for number in range(51):
        (tmp_path / "share" / f"{number}.png").unlink()
    assert index().gone == 51


def test_a_renamed_folder_of_many_files_is_moved_not_missing(tmp_path, index, toy):
    many(tmp_path / "root" / "old", 80)
    index(tmp_path / "root")
    done = toy.done
    (tmp_path / "root" / "old").rename(tmp_path / "root" / "new")
    report = index()
    assert (report.moved, report.offline, report.gone, report.added) == (80, 0, 0, 0)
    assert toy.done == done


def test_a_drive_mounted_on_the_root_is_missed_when_only_its_folder_is_left(folder, index, monkeypatch):
    mounted = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == os.fsencode(folder) or mounted(path))
    index(folder)
    monkeypatch.setattr(os.path, "ismount", mounted)
    for file in list(folder.iterdir()):
        file.unlink()
    report = index()
    assert (report.offline, report.gone) == (7, 0)


def test_files_in_a_folder_that_cannot_be_listed_are_kept(folder, index, monkeypatch):
    draw_image(folder / "locked" / "grey.png", (50, 50, 50))
    index(folder)
    scandir = os.scandir
    monkeypatch.setattr(
        os,
        "scandir",
        lambda p: scandir(p) if not p.endswith(b"locked") else (_ for _ in ()).throw(OSError(5, "x")),
    )
    report = index()
    assert (report.offline, report.gone) == (1, 0)
    assert str(folder) in report.notes[0]
    monkeypatch.undo()
    assert index().unchanged == 8


def test_a_part_of_a_root_is_scanned_alone(folder, index):
    draw_image(folder / "trips" / "a.png", (1, 2, 3))
    index(folder)
    draw_image(folder / "trips" / "b.png", (3, 2, 1))
    draw_image(folder / "c.png", (2, 2, 1))
    report = index(folder / "trips")
    assert (report.added, report.unchanged, report.gone) == (1, 1, 0)
    assert index(folder).added == 1
    with pytest.raises(LibraryError, match="is part of"):
        index(folder / "trips", exclude=["*.gif"])


def test_a_root_inside_a_new_one_stays_a_root_with_its_own_rules(tmp_path, index, place, toy):
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


def test_what_is_left_out_is_remembered(folder, index):
    draw_image(folder / ".hidden.png", (4, 4, 4))
    assert index(folder, exclude=["red*"], hidden=True).added == 7
    assert index(folder).unchanged == 7
    report = index(folder, exclude=[], hidden=False)
    assert (report.added, report.gone) == (1, 1)


def test_broken_files_are_reported_and_not_read_again(folder, index, place, toy):
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


def test_a_decoder_that_fails_in_an_unknown_way_costs_one_file(folder, index, monkeypatch):
    from indexer.decode import reader

    decode = reader.DECODERS["picture"]

    def fail(file, suffix, context):
        if file.name.endswith(b"red.png"):
            raise RuntimeError("a bug")
        return decode(file, suffix, context)

    monkeypatch.setitem(reader.DECODERS, "picture", fail)
    report = index(folder)
    assert (report.added, report.failed) == (6, 1)


def test_captions_are_found_as_text_of_their_picture(folder, index, place, toy):
    write_text(folder / "blue.txt", "red green\n\ncyan cyan\n")
    (folder / "green.json").write_text(json.dumps({"caption": "magenta", "url": "x"}))
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red green", kind="text")[0]
        assert (hit.path, hit.text, hit.source) == (folder / "blue.png", "red green", folder / "blue.txt")
        assert (hit.start, hit.end) == (1, 1)
        assert library.search("cyan", kind="text")[0].start == 3
        assert library.search("magenta", kind="text")[0].path == folder / "green.png"
        best = library.search(image=folder / "yellow.png", kind="text")[0]
        assert (best.text, best.path) == ("red green", folder / "blue.png")


def test_a_description_in_the_picture_is_its_text(tmp_path, index, place, toy):
    exif = Image.Exif()
    exif[0x010E] = "cyan"
    draw_image(tmp_path / "p" / "a.jpg", "red", exif=exif)
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        hit = library.search("cyan", kind="text")[0]
        assert (hit.path.name, hit.text, hit.source) == ("a.jpg", "cyan", None)
        assert [h.path.name for h in library.search("cyan")] == ["a.jpg"]  # a picture and its text are one


def test_a_caption_without_its_picture_is_plain_text(folder, index, place, toy):
    write_text(folder / "blue.txt", "red green")
    index(folder)
    (folder / "blue.png").unlink()
    index(folder)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("red green", kind="text")[0]
        assert (hit.path, hit.source) == (folder / "blue.txt", None)


def test_text_files_are_passages_with_lines(folder, index, place, toy):
    write_text(folder / "notes.md", "# cyan\n\nred green blue\nwhite. magenta\n")
    assert index(folder).kinds["text"] == 2
    with Library.open(place, embedder=toy) as library:
        hit = library.search("cyan", kind="text")[0]
        assert (hit.path.name, hit.text, hit.start, hit.end) == ("notes.md", "cyan", 1, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_its_encoding(folder, index, place, toy, encoding):
    (folder / "a.txt").write_bytes("cyan é".encode(encoding))
    index(folder)
    assert found(place, toy, "cyan", kind="text") == ["a.txt"]
    with Library.open(place, embedder=toy) as library:
        assert library.search("cyan", kind="text")[0].text == "cyan é"


def test_a_long_text_spans_transactions(folder, index, place, toy):
    write_text(folder / "long.txt", "\n\n".join(f"red green number {n}" for n in range(2_500)))
    assert index(folder).kinds["text"] == 2_500
    assert index(folder).segments == 0


def test_the_same_bytes_as_text_and_as_caption_are_two_contents(folder, index, place, toy):
    write_text(folder / "blue.txt", "red\ngreen")
    write_text(folder / "notes.txt", "red\ngreen")
    assert index(folder).kinds["text"] == 3
    assert len(found(place, toy, "red", kind="text")) == 3


@requires_non_utf8_names
def test_names_that_are_no_utf8_come_back_as_they_are(folder, index, place, toy):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/r\xe9d\n.png")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        assert os.fsencode(library.search("red")[0].path.name) == b"r\xe9d\n.png"
    assert index(folder).unchanged == 7


def test_a_picture_is_dated_by_its_camera_else_by_its_file(tmp_path, index, place, toy):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:05:04 12:00:00"
    draw_image(tmp_path / "p" / "camera.jpg", "red", exif=exif)
    file = draw_image(tmp_path / "p" / "file.png", "blue")
    at = time.mktime((2021, 6, 30, 23, 0, 0, 0, 0, -1))
    os.utime(file, (at, at))
    index(tmp_path / "p")
    assert found(place, toy, before="2020") == ["camera.jpg"]
    assert found(place, toy, after="2021-06-30", before="2021-07") == ["file.png"]
    assert found(place, toy, after="2021-07") == []


def test_the_index_is_built_again_when_a_tenth_is_new(tmp_path, index, place, toy):
    many(tmp_path / "p", 100)
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        status = library.status()
        (file,) = status.space.indexes
        assert (file.kind, file.count, status.tail, file.recall) == ("image", 100, 0, 1.0)
    for number in range(10):
        draw_image(tmp_path / "p" / f"new{number}.png", (255, number, number))
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        assert library.status().tail == 10
        assert len(library.search("red", count=200)) == 110
    draw_image(tmp_path / "p" / "one more.png", (255, 99, 9))
    draw_image(tmp_path / "p" / "and one.png", (255, 98, 9))
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        assert (library.status().space.indexes[0].count, library.status().tail) == (112, 0)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_a_named_method_is_built_remembered_and_answers_the_same(tmp_path, index, place, toy, method):
    many(tmp_path / "p", 200)
    index(tmp_path / "p", index_method=method)
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes[0].method == method
        assert library.status().space.indexes[0].recall == pytest.approx(1, abs=0.01)
        hits = [(hit.path.name, round(hit.score, 5)) for hit in library.search("green", count=20)]
    index(index_method="flat")
    assert index().segments == 0
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes[0].method == "flat"
        assert [(h.path.name, round(h.score, 5)) for h in library.search("green", count=20)] == hits


def test_a_folder_that_is_not_there_is_refused(index, tmp_path):
    with pytest.raises(LibraryError, match="not found"):
        index(tmp_path / "none")
    with pytest.raises(LibraryError, match="not found"):
        index(draw_image(tmp_path / "a.png"))


def test_another_model_is_refused_with_the_way_out(folder, index, place):
    index(folder)
    with pytest.raises(SpaceMismatch, match=r"clew switch builtin.*leave out --model"):
        index_folder(folder, library=place, model="builtin")


def test_another_version_of_the_model_is_refused(folder, index, toy, place):
    index(folder)
    toy.fingerprint, toy.parts = "toy-2", {"colours": "eight"}
    with pytest.raises(SpaceMismatch, match=r"colours seven, now eight.*clew switch toy"):
        index(folder)
    with pytest.raises(SpaceMismatch), Library.open(place, embedder=toy) as library:
        library.search("red")


def test_a_second_writer_is_told_who_holds_the_library(folder, index, place):
    from indexer.store.lock import library_lock

    index(folder)
    with library_lock(place), pytest.raises(LibraryBusy, match=rf"process {os.getpid()} on "):
        index(folder)
    assert index(folder).unchanged == 7


def test_a_library_of_a_newer_clew_is_refused(folder, index, place):
    import sqlite3

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


def test_an_interrupted_run_keeps_what_it_has_and_the_next_goes_on(tmp_path, index, toy, monkeypatch):
    from indexer.embed import batches

    monkeypatch.setattr(batches, "TARGET_BATCH", 10)
    many(tmp_path / "p", 100)

    def stop(folder, done, total):
        if done >= 30:
            raise KeyboardInterrupt

    report = index(tmp_path / "p", progress=stop)
    assert report.interrupted
    assert report.added == 30
    report = index(tmp_path / "p")
    assert (report.added, report.unchanged, report.interrupted) == (70, 30, False)
    assert toy.done < 100 + 2 * 10


def test_forgetting_keeps_what_was_learned_until_it_is_purged(folder, index, place, toy):
    from indexer.operations.forget import forget

    index(folder)
    done = toy.done
    assert forget([folder], library=place) == (7, 0)
    assert found(place, toy) == []
    with Library.open(place, embedder=toy) as library:
        assert library.status().kept == 7
    index(folder)
    assert toy.done == done
    (folder / "red.png").unlink()
    index(folder)
    assert forget(library=place, purge=True) == (0, 1)
    assert len(found(place, toy, count=20)) == 6
    with pytest.raises(LibraryError, match="not an indexed folder"):
        forget([place], library=place)


def test_one_folder_and_one_pattern_need_no_list(folder, place, toy):
    from indexer import update_library

    report = update_library(str(folder), library=place, embedder=toy, options=IndexOptions(exclude="r*.png"))
    assert report.added == 6
    assert "6 images" in str(report)


def test_what_is_left_out_now_is_gone_without_the_brake(tmp_path, index):
    many(tmp_path / "p", 120)
    index(tmp_path / "p")
    report = index(tmp_path / "p", exclude=["?.png", "??.png"])
    assert (report.gone, report.offline, report.unchanged) == (100, 0, 20)
    assert index(tmp_path / "p", exclude=[]).unchanged == 120


def test_what_the_brake_holds_only_a_person_lets_go(tmp_path, index):
    many(tmp_path / "drive", 100)
    index(tmp_path / "drive")
    for number in range(60):
        (tmp_path / "drive" / f"{number}.png").unlink()
    assert index().offline == 60
    for number in range(400):
        draw_image(tmp_path / "drive" / "new" / f"{number}.png", (number % 256, 7, number // 256))
    for _ in range(2):
        report = index()
        assert (report.gone, report.offline) == (0, 60)
    draw_image(tmp_path / "drive" / "0.png", (0, 255, 7))
    assert index().offline == 59
    assert index(confirm_gone=True).gone == 59
    assert index().offline == 0


def test_files_moved_to_another_root_are_moved(tmp_path, index, toy):
    many(tmp_path / "one", 80)
    draw_image(tmp_path / "two" / "x.png", (1, 1, 1))
    index(tmp_path / "one")
    index(tmp_path / "two")
    done = toy.done
    for number in range(60):
        (tmp_path / "one" / f"{number}.png").rename(tmp_path / "two" / f"{number}.png")
    report = index()
    assert (report.moved, report.added, report.offline, report.gone, report.notes) == (60, 0, 0, 0, [])
    assert toy.done == done


def test_a_rename_in_two_runs_is_no_missing_drive(tmp_path, index, monkeypatch):
    from indexer.embed import batches

    monkeypatch.setattr(batches, "TARGET_BATCH", 10)
    many(tmp_path / "p" / "old", 120)
    index(tmp_path / "p")
    (tmp_path / "p" / "old").rename(tmp_path / "p" / "new")

    def stop(folder, done, total):
        if done >= 60:
            raise KeyboardInterrupt

    assert index(progress=stop).interrupted
    report = index()
    assert (report.offline, report.notes) == (0, [])
    assert index().unchanged == 120


def test_two_equal_files_of_which_one_moves_and_one_goes(tmp_path, index):
    draw_image(tmp_path / "p" / "a.png", "red")
    shutil.copyfile(tmp_path / "p" / "a.png", tmp_path / "p" / "b.png")
    index(tmp_path / "p")
    (tmp_path / "p" / "a.png").rename(tmp_path / "p" / "c.png")
    (tmp_path / "p" / "b.png").unlink()
    report = index()
    assert (report.added, report.moved, report.gone) == (0, 1, 1)


def test_odd_links_and_odd_times_cost_nobody_a_run(folder, index, place, toy):
    (folder / "self.png").symlink_to("self.png")
    (folder / "long").symlink_to("z" * 255 + "/" + "z" * 255)
    os.utime(folder / "red.png", (10_413_792_000, 10_413_792_000))  # the year 2300
    assert index(folder).added == 7
    assert index(folder).unchanged == 7
    assert found(place, toy, "red", count=1) == ["red.png"]


class Unanswered:
    """A folder's entry on a disk that gives names but does not answer for the files."""

    def __init__(self, entry):
        self.name, self.is_dir, self.is_symlink = entry.name, entry.is_dir, entry.is_symlink

    def stat(self):
        raise OSError(5, "Input/output error")


def test_a_file_that_cannot_be_looked_at_is_kept(folder, index, monkeypatch):
    from contextlib import nullcontext

    index(folder)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: nullcontext(map(Unanswered, scandir(path))))
    report = index()
    assert (report.offline, report.gone) == (7, 0)
    monkeypatch.undo()
    assert index().unchanged == 7


def test_a_file_named_like_a_catalogue_hides_nothing(folder, index):
    index(folder)
    (folder / "catalogue.sqlite").touch()
    assert index(folder).unchanged == 7


def test_a_library_inside_its_own_folder_is_not_indexed(folder, toy):
    from indexer import update_library

    for _ in range(2):
        report = update_library(folder, library=folder, embedder=toy)
        assert report.added + report.unchanged == 7
        assert not report.skipped


def test_a_disk_that_does_not_answer_for_a_moment_costs_nothing(folder, index, place, toy, monkeypatch):
    import builtins

    index(folder)
    os.utime(folder / "red.png", (5, 5))
    opened = builtins.open

    def fail(path, *how):
        if isinstance(path, bytes) and path.endswith(b"red.png"):
            raise OSError(5, "Input/output error")
        return opened(path, *how)

    monkeypatch.setattr(builtins, "open", fail)
    assert index().failed == 1
    assert found(place, toy, "red", count=1) == ["red.png"]  # as it was known
    monkeypatch.undo()
    report = index()
    assert (report.failed, report.updated, report.segments) == (0, 1, 0)


def test_a_file_that_changes_while_it_is_read_is_read_again(folder, index, place, toy, monkeypatch):
    from indexer.decode import reader

    decode, times = reader.DECODERS["text"], []

    def write_meanwhile(file, suffix, context):
        times.append(1)
        if len(times) == 1:
            write_text(folder / "a.txt", "green green green")
        return decode(file, suffix, context)

    monkeypatch.setitem(reader.DECODERS, "text", write_meanwhile)
    write_text(folder / "a.txt", "red")
    index(folder)
    assert len(times) == 2
    write_text(folder / "b.txt", "red")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        texts = {hit.path.name: hit.text for hit in library.search("red", kind="text")}
    assert texts == {"a.txt": "green green green", "b.txt": "red"}


def test_a_caption_that_pictures_share_leads_to_each(folder, index, place, toy):
    for name in ("red", "green", "blue"):
        write_text(folder / f"{name}.txt", "summer")
    index(folder)
    assert sorted(found(place, toy, "summer", kind="text")) == ["blue.png", "green.png", "red.png"]


def test_ctrl_c_is_not_swallowed_by_index_folder(folder, place, toy):
    def stop(path, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_folder(folder, library=place, embedder=toy, progress=stop)


def test_a_folder_on_a_drive_that_is_a_plain_folder_now_is_scanned(folder, index, monkeypatch):
    mounted = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == os.fsencode(folder) or mounted(path))
    index(folder)
    monkeypatch.setattr(os.path, "ismount", mounted)
    assert index().unchanged == 7


def test_a_copy_on_a_drive_that_is_away_is_no_reason_to_forget(tmp_path, index):
    many(tmp_path / "one", 80)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    index(tmp_path / "one")
    index(tmp_path / "two")
    (tmp_path / "two").rename(tmp_path / "unplugged")
    for number in range(60):
        (tmp_path / "one" / f"{number}.png").unlink()
    report = index()
    assert (report.gone, report.offline) == (0, 60 + 80)
    (tmp_path / "unplugged").rename(tmp_path / "two")
    for number in range(60):
        (tmp_path / "two" / f"{number}.png").unlink()
    report = index()
    assert (report.gone, report.offline) == (0, 120)


def test_a_part_that_its_root_leaves_out_is_a_root_of_its_own(tmp_path, index, place, toy):
    draw_image(tmp_path / "p" / "a.png", "red")
    draw_image(tmp_path / "p" / ".hidden" / "b.png", "green")
    draw_image(tmp_path / "p" / "out" / "c.png", "blue")
    index(tmp_path / "p", exclude=["out"])
    index(tmp_path / "p" / ".hidden")
    index(tmp_path / "p" / "out")
    report = index()
    assert (report.unchanged, report.gone) == (3, 0)
    assert len(found(place, toy, "red")) == 3


def test_a_folder_and_its_part_are_one_run_of_both(tmp_path, index):
    draw_image(tmp_path / "p" / "a.png", "red")
    draw_image(tmp_path / "p" / "sub" / "b.png", "green")
    report = index(tmp_path / "p", tmp_path / "p" / "sub")
    assert (report.added, report.updated, report.unchanged) == (2, 0, 0)
    assert index(tmp_path / "p", tmp_path / "p" / "sub").unchanged == 2


def test_a_file_moved_onto_the_place_of_one_that_is_gone_is_moved(tmp_path, index):
    draw_image(tmp_path / "p" / "a.png", "red")
    draw_image(tmp_path / "p" / "b.png", "green")
    index(tmp_path / "p")
    (tmp_path / "p" / "b.png").unlink()
    index(tmp_path / "p")
    (tmp_path / "p" / "a.png").rename(tmp_path / "p" / "b.png")
    report = index(tmp_path / "p")
    assert (report.moved, report.added, report.gone) == (1, 0, 0)


def test_auto_goes_back_to_choosing_by_size(tmp_path, index, place, toy):
    many(tmp_path / "p", 60)
    write_text(tmp_path / "p" / "notes.txt", "red\n\ngreen")
    index(tmp_path / "p", index_method="ivf")
    index(index_method="auto")
    with Library.open(place, embedder=toy) as library:
        assert {file.method for file in library.status().space.indexes} == {"flat"}


def test_a_kind_with_nothing_new_keeps_its_index(tmp_path, index, place, toy):
    many(tmp_path / "p", 60)
    index(tmp_path / "p")
    with Library.open(place, embedder=toy) as library:
        (before,) = library.status().space.indexes
    write_text(tmp_path / "p" / "notes.txt", "\n\n".join(f"red {n}" for n in range(30)))
    index()
    with Library.open(place, embedder=toy) as library:
        image, text = library.status().space.indexes
        assert image == before
        assert text.count == 30


def test_everything_purged_leaves_no_index(folder, index, place, toy):
    from indexer import forget, verify_library

    index(folder)
    forget(folder, library=place, purge=True)
    with Library.open(place, embedder=toy) as library:
        assert library.status().space.indexes == ()
        assert library.search("red") == []
    assert list((place / "indexes").iterdir()) == []
    assert verify_library(place).errors == []


def test_the_brake_counts_files_that_changed_as_there(tmp_path, index):
    many(tmp_path / "p", 256)
    for number in range(200):
        draw_image(tmp_path / "p" / "b" / f"{number}.png", (9, number, 200))
    index(tmp_path / "p")
    for number in range(60):
        (tmp_path / "p" / f"{number}.png").unlink()
    for number in range(60, 256):
        os.utime(tmp_path / "p" / f"{number}.png", (7, 7))
    report = index()
    assert (report.gone, report.offline) == (60, 0)
