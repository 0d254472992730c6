"""Files change, move, disappear and return; no file is embedded twice and no drive is taken for deleted."""

import os
import shutil
from contextlib import nullcontext

import pytest

from indexer import forget, verify_library
from indexer.decode import reader
from indexer.operations.pipeline import IndexRun
from indexer.scan.pattern_paths import patterns_below
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import Catalog
from retrieval.errors import LibraryError
from tests.scenarios.helpers import draw_images, hit_names, index_in_batches
from tests.support.files import draw_image, write_text


def test_changed_file_is_read_again(folder, index, place, toy):
    index(folder)
    shutil.copyfile(folder / "blue.png", folder / "red.png")
    report = index(folder)
    assert (report.updated, report.unchanged, report.segments) == (
        1,
        6,
        0,
    )  # the content of blue.png is known
    draw_image(folder / "red.png", (250, 120, 0))
    assert index(folder).segments == 1
    assert hit_names(place, toy, "red", count=1) == ["red.png"]


def test_moved_copied_and_renamed_files_are_not_embedded_again(folder, index, place, toy):
    index(folder)
    image_count = toy.image_count
    (folder / "sub").mkdir()
    (folder / "red.png").rename(folder / "sub" / "rouge.png")
    (folder / "blue.png").rename(folder / "BLUE.png")
    shutil.copy2(folder / "green.png", folder / "vert.png")
    report = index(folder)
    assert (report.moved, report.added, report.gone, report.unchanged) == (2, 1, 0, 5)
    assert toy.image_count == image_count
    assert hit_names(place, toy, "red", count=1) == ["rouge.png"]
    assert hit_names(place, toy, "green", count=9).count("green.png") == 1  # copies are one hit
    assert "vert.png" not in hit_names(place, toy, "green", count=9)


def test_files_that_swap_names_keep_their_vectors(folder, index, place, toy):
    index(folder)
    image_count = toy.image_count
    (folder / "red.png").rename(folder / "x.png")
    (folder / "blue.png").rename(folder / "red.png")
    (folder / "x.png").rename(folder / "blue.png")
    os.utime(folder / "red.png", (1, 1))
    os.utime(folder / "blue.png", (2, 2))
    index(folder)
    assert toy.image_count == image_count
    assert hit_names(place, toy, "red", count=1, options=SearchOptions(by="meaning")) == ["blue.png"]


def test_deleted_file_is_not_found_and_returns_without_embedding(folder, index, place, toy):
    index(folder)
    image_count = toy.image_count
    (folder / "red.png").rename(folder.parent / "away.png")
    assert index(folder).gone == 1
    assert "red.png" not in hit_names(place, toy, count=20)
    (folder.parent / "away.png").rename(folder / "red.png")
    assert index(folder).unchanged == 7
    assert hit_names(place, toy)[0] == "red.png"
    assert toy.image_count == image_count


def test_files_after_many_deleted_ones_are_found_without_reading_those(
    tmp_path, index, place, toy, monkeypatch
):
    folder = tmp_path / "notes"
    for number in range(700):
        write_text(folder / f"{number}.txt", f"red {'white ' * (number // 100)}{number}")
    index(folder)
    wanted = hit_names(place, toy, "red", count=700, options=SearchOptions(by="meaning"))
    for name in wanted[:650]:
        (folder / name).unlink()
    assert index(folder, confirm_gone=True).gone == 650
    read, hits = [], Catalog.hits

    def count_read(self, scored_ids, *arguments):
        read.append(len(scored_ids))
        return hits(self, scored_ids, *arguments)

    monkeypatch.setattr(Catalog, "hits", count_read)
    assert hit_names(place, toy, "red", count=10, options=SearchOptions(by="meaning")) == wanted[650:660]
    assert sum(read) < 400
    assert hit_names(place, toy, "red", count=99, options=SearchOptions(by="meaning")) == wanted[650:]


def test_missing_root_is_offline_and_returns_without_embedding(folder, index, place, toy):
    index(folder)
    image_count = toy.image_count
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
    assert toy.image_count == image_count
    with Library.open(place, embedder=toy) as library:
        assert not library.search("red")[0].offline


def test_run_for_one_folder_marks_other_missing_roots_as_offline(tmp_path, index, place, toy):
    draw_images(tmp_path / "pictures\x1b[31m", 3)
    index(tmp_path / "pictures\x1b[31m")
    (tmp_path / "pictures\x1b[31m").rename(tmp_path / "photos")
    report = index(tmp_path / "photos")
    assert (report.added, report.offline, len(report.notes)) == (3, 3, 1)
    assert "is missing" in report.notes[0]
    assert "\x1b" not in report.notes[0]
    with Library.open(place, embedder=toy) as library:
        assert library.search("red")[0].path.parent == tmp_path / "photos"


def test_confirmed_files_of_a_missing_root_are_gone_if_they_are_elsewhere(tmp_path, index, place, toy):
    draw_images(tmp_path / "pictures", 3)
    shutil.make_archive(tmp_path / "pictures" / "packed", "zip", tmp_path / "pictures", "0.png")
    draw_image(tmp_path / "pictures" / "only here.png", (9, 200, 90))
    index(tmp_path / "pictures", archives=True)
    pictures, photos = tmp_path / "pictures", tmp_path / "photos"
    shutil.copytree(pictures, photos)
    away = pictures.rename(tmp_path / "away")
    (photos / "only here.png").unlink()
    assert index(photos, archives=True).offline == 5
    report = index(confirm_gone=True)
    assert (report.gone, report.offline) == (4, 1)  # the drive of the other file may be away
    assert "kept as offline" in report.notes[0]
    shutil.copyfile(away / "only here.png", photos / "only here.png")
    report = index(confirm_gone=True)
    assert (report.gone, report.offline) == (1, 0)
    assert f"clew forget {pictures}" in report.notes[0]
    image_count = toy.image_count
    away.rename(pictures)
    assert (index().unchanged, toy.image_count) == (10, image_count)
    with Library.open(place, embedder=toy) as library:
        assert [root.present for root in library.status().roots] == [5, 5]


def test_many_missing_files_are_offline_until_confirmed(tmp_path, index, place, toy):
    draw_images(tmp_path / "drive", 80)
    index(tmp_path / "drive")
    for number in range(60):
        (tmp_path / "drive" / f"{number}.png").unlink()
    report = index()
    assert (report.offline, report.gone, report.unchanged) == (60, 0, 20)
    assert "--confirm-gone" in report.notes[0]
    assert index().gone == 0
    report = index(confirm_gone=True)
    assert report.gone == 60
    assert len(hit_names(place, toy, count=100)) == 20


def test_many_missing_copies_are_offline_until_confirmed(tmp_path, index):
    draw_images(tmp_path / "images" / "photos", 60)
    shutil.copytree(tmp_path / "images" / "photos", tmp_path / "images" / "backup")
    index(tmp_path / "images")
    (tmp_path / "images" / "backup").rename(tmp_path / "unplugged")
    report = index()
    assert (report.gone, report.offline, report.moved) == (0, 60, 0)
    assert "--confirm-gone" in report.notes[0]
    (tmp_path / "images" / "photos").rename(tmp_path / "images" / "pictures")
    assert index().moved == 60
    (tmp_path / "unplugged").rename(tmp_path / "images" / "backup")
    assert index().unchanged == 120
    shutil.rmtree(tmp_path / "images" / "backup")
    assert index(confirm_gone=True).gone == 60


def test_few_missing_files_or_a_small_share_are_gone(tmp_path, index):
    draw_images(tmp_path / "few", 60)
    index(tmp_path / "few")
    for number in range(50):
        (tmp_path / "few" / f"{number}.png").unlink()
    assert index().gone == 50
    draw_images(tmp_path / "share", 255)
    index(tmp_path / "share")
    for number in range(51):
        (tmp_path / "share" / f"{number}.png").unlink()
    assert index().gone == 51


def test_files_of_a_renamed_folder_are_moved(tmp_path, index, toy):
    draw_images(tmp_path / "root" / "old", 80)
    index(tmp_path / "root")
    image_count = toy.image_count
    (tmp_path / "root" / "old").rename(tmp_path / "root" / "new")
    report = index()
    assert (report.moved, report.offline, report.gone, report.added) == (80, 0, 0, 0)
    assert toy.image_count == image_count


def test_files_below_an_empty_mount_point_are_offline(folder, index, monkeypatch):
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == os.fsencode(folder) or ismount(path))
    index(folder)
    monkeypatch.setattr(os.path, "ismount", ismount)
    for file in list(folder.iterdir()):
        file.unlink()
    report = index()
    assert (report.offline, report.gone) == (7, 0)


def test_files_in_a_folder_that_cannot_be_listed_are_offline(folder, index, monkeypatch):
    draw_image(folder / "locked" / "grey.png", (50, 50, 50))
    index(folder)
    scandir = os.scandir
    monkeypatch.setattr(
        os,
        "scandir",
        lambda p: scandir(p) if not p.endswith(b"locked") else (_ for _ in ()).throw(OSError(5, "x")),
    )
    report = index()
    assert (report.unchanged, report.offline, report.gone) == (8, 0, 0)
    assert report.notes == [f"Cannot read {folder / 'locked'}. 1 known file in there is kept unchanged."]
    monkeypatch.undo()
    assert index().unchanged == 8


def test_contents_of_a_forgotten_folder_are_kept_until_they_are_purged(folder, index, place, toy):
    index(folder)
    image_count = toy.image_count
    assert forget([folder], library=place) == (7, 0)
    assert hit_names(place, toy) == []
    with Library.open(place, embedder=toy) as library:
        assert library.status().kept == 7
    index(folder)
    assert toy.image_count == image_count
    (folder / "red.png").unlink()
    index(folder)
    assert forget(library=place, purge=True) == (0, 1)
    assert len(hit_names(place, toy, count=20)) == 6
    with pytest.raises(LibraryError, match="not an indexed folder"):
        forget([place], library=place)


def test_newly_excluded_files_are_gone_without_confirmation(tmp_path, index):
    draw_images(tmp_path / "images", 120)
    index(tmp_path / "images")
    report = index(tmp_path / "images", exclude=["?.png", "??.png"])
    assert (report.gone, report.offline, report.unchanged) == (100, 0, 20)
    assert index(tmp_path / "images", exclude=[]).unchanged == 120


def test_offline_files_are_gone_only_when_confirmed(tmp_path, index):
    draw_images(tmp_path / "drive", 100)
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
    draw_images(tmp_path / "one", 80)
    draw_image(tmp_path / "two" / "x.png", (1, 1, 1))
    index(tmp_path / "one")
    index(tmp_path / "two")
    image_count = toy.image_count
    for number in range(60):
        (tmp_path / "one" / f"{number}.png").rename(tmp_path / "two" / f"{number}.png")
    report = index()
    assert (report.moved, report.added, report.offline, report.gone, report.notes) == (60, 0, 0, 0, [])
    assert toy.image_count == image_count


def test_interrupted_run_after_a_rename_leaves_no_file_offline(tmp_path, index, place, toy):
    draw_images(tmp_path / "images" / "old", 120)
    index(tmp_path / "images")
    (tmp_path / "images" / "old").rename(tmp_path / "images" / "new")

    def stop(folder, done_count, total, size=0):
        if done_count >= 60:
            raise KeyboardInterrupt

    assert index_in_batches(BatchLimits(segments=10), [], place, toy, progress=stop).interrupted
    report = index()
    assert (report.offline, report.notes) == (0, [])
    assert index().unchanged == 120


def test_one_of_two_equal_files_is_moved_and_the_other_gone(tmp_path, index):
    draw_image(tmp_path / "images" / "a.png", "red")
    shutil.copyfile(tmp_path / "images" / "a.png", tmp_path / "images" / "b.png")
    index(tmp_path / "images")
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "c.png")
    (tmp_path / "images" / "b.png").unlink()
    report = index()
    assert (report.added, report.moved, report.gone) == (0, 1, 1)


class EntryWithoutStatus:
    """A folder entry on a disk that lists names but returns no file status."""

    def __init__(self, entry):
        self.name, self.is_dir, self.is_symlink = entry.name, entry.is_dir, entry.is_symlink

    def stat(self):
        raise OSError(5, "Input/output error")


def test_files_without_status_are_offline(folder, index, monkeypatch):
    index(folder)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: nullcontext(map(EntryWithoutStatus, scandir(path))))
    report = index()
    assert (report.unchanged, report.offline, report.gone) == (7, 0, 0)
    monkeypatch.undo()
    assert index().unchanged == 7


def test_read_error_keeps_the_known_content(folder, index, place, toy, monkeypatch):
    index(folder)
    os.utime(folder / "red.png", (5, 5))
    open_file = os.open

    def fail(path, *arguments, **options):
        if os.fsencode(path).endswith(b"red.png"):
            raise OSError(5, "Input/output error")
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(os, "open", fail)
    assert index().failed == 1
    assert hit_names(place, toy, "red", count=1) == ["red.png"]  # its old content
    monkeypatch.undo()
    report = index()
    assert (report.failed, report.updated, report.segments) == (0, 1, 0)


def test_file_that_changes_while_it_is_read_is_read_again(folder, index, place, toy, monkeypatch):
    decode, decoded = reader.DECODERS["text"], []

    def write_meanwhile(file, suffix, context):
        decoded.append(file.name)
        if len(decoded) == 1:
            write_text(folder / "a.txt", "green green green")
        return decode(file, suffix, context)

    monkeypatch.setitem(reader.DECODERS, "text", write_meanwhile)
    write_text(folder / "a.txt", "red")
    index(folder)
    assert len(decoded) == 2
    write_text(folder / "b.txt", "red")
    index(folder)
    with Library.open(place, embedder=toy) as library:
        texts = {hit.path.name: hit.text for hit in library.search("red", kind="text")}
    assert texts == {"a.txt": "green green green", "b.txt": "red"}


def test_former_mount_point_with_files_is_scanned(folder, index, monkeypatch):
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == os.fsencode(folder) or ismount(path))
    index(folder)
    monkeypatch.setattr(os.path, "ismount", ismount)
    assert index().unchanged == 7


def test_copies_on_an_offline_drive_do_not_count_as_moved(tmp_path, index):
    draw_images(tmp_path / "one", 80)
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


def test_file_moved_to_the_path_of_a_gone_file_is_moved(tmp_path, index):
    draw_image(tmp_path / "images" / "a.png", "red")
    draw_image(tmp_path / "images" / "b.png", "green")
    index(tmp_path / "images")
    (tmp_path / "images" / "b.png").unlink()
    index(tmp_path / "images")
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "b.png")
    report = index(tmp_path / "images")
    assert (report.moved, report.added, report.gone) == (1, 0, 0)


def test_changed_files_count_as_present_for_the_missing_share(tmp_path, index):
    draw_images(tmp_path / "images", 256)
    for number in range(200):
        draw_image(tmp_path / "images" / "b" / f"{number}.png", (9, number, 200))
    index(tmp_path / "images")
    for number in range(60):
        (tmp_path / "images" / f"{number}.png").unlink()
    for number in range(60, 256):
        os.utime(tmp_path / "images" / f"{number}.png", (7, 7))
    report = index()
    assert (report.gone, report.offline) == (60, 0)


@pytest.fixture
def mount_list(tmp_path, monkeypatch):
    """Return the file that lists the mount points; at first there are none."""
    file = tmp_path / "mounts"
    file.write_text("")
    monkeypatch.setattr("retrieval.file_systems.MOUNTS_FILE", file)
    return file


def mount(mount_list, tmp_path, folder):
    """Copy a drive with 3 images to its mount point."""
    drive = tmp_path / "drive"
    if not drive.exists():
        draw_images(drive, 3)
    shutil.copytree(drive, folder, dirs_exist_ok=True)
    mount_list.write_text(f"/dev/sdb1 {folder} ext4 rw 0 0\n")


def unmount(mount_list, folder):
    shutil.rmtree(folder)
    folder.mkdir()
    mount_list.write_text("")


@pytest.mark.parametrize("leftover", ["empty", "placeholder", "missing"])
def test_files_of_a_drive_below_the_root_are_offline(leftover, folder, tmp_path, index, place, mount_list):
    mount(mount_list, tmp_path, folder / "usb")
    index(folder)
    unmount(mount_list, folder / "usb")
    if leftover == "placeholder":
        write_text(folder / "usb" / "NOT_MOUNTED.txt", "nothing here")
    elif leftover == "missing":
        (folder / "usb").rmdir()
    report = index(folder)
    assert (report.offline, report.gone, report.unchanged) == (3, 0, 7)
    assert f"The drive of {folder / 'usb'} is not connected." in report.notes[0]
    if leftover == "empty":
        assert index(folder / "usb").offline == 3  # as a part of the root
    assert forget(library=place, purge=True) == (0, 0)
    mount(mount_list, tmp_path, folder / "usb")
    assert index(folder).unchanged == 10 + (leftover == "placeholder")
    unmount(mount_list, folder / "usb")
    assert index(folder, confirm_gone=True).gone == 3 + (leftover == "placeholder")


def test_former_mount_point_below_the_root_is_a_folder(folder, tmp_path, index, mount_list):
    mount(mount_list, tmp_path, folder / "usb")
    index(folder)
    mount_list.write_text("")  # the same files, on the disk of the root
    (folder / "usb" / "0.png").unlink()
    assert index(folder).gone == 1
    (folder / "usb" / "1.png").unlink()
    (folder / "usb" / "2.png").unlink()
    assert index(folder).gone == 2


@pytest.mark.parametrize("target", ["drive/pics", "drive"])
def test_files_behind_a_link_to_a_missing_drive_are_offline(target, folder, tmp_path, index, place, toy):
    draw_images(tmp_path / "drive" / "pics" / "sub", 3)
    (folder / "link").symlink_to(tmp_path / target)
    draw_image(tmp_path / "drive" / "one.png", (1, 2, 3))
    (folder / "one.png").symlink_to(tmp_path / "drive" / "one.png")
    count = index(folder).added - 7
    (tmp_path / "drive").rename(tmp_path / "away")
    for part in (folder / "link", folder / "link" / "sub"):  # as `clew watch` scans them after an event
        with LibraryWriter(place, lambda space: toy) as writer:
            run = IndexRun(writer)
            run.scan([writer.roots.target_at(os.fsencode(part), recursive=True)])
        assert run.report.gone == 0
    report = index(folder)
    assert (report.offline, report.gone, report.unchanged) == (count, 0, 7)
    (tmp_path / "away").rename(tmp_path / "drive")
    assert index(folder).unchanged == 7 + count
    (folder / "link").unlink()
    assert index(folder).gone == count - 1  # not one.png in the root


def test_files_behind_a_link_to_an_empty_mount_point_are_offline(folder, tmp_path, index, mount_list):
    mount(mount_list, tmp_path, tmp_path / "usb")
    (folder / "link").symlink_to(tmp_path / "usb")
    index(folder)
    unmount(mount_list, tmp_path / "usb")
    report = index(folder)
    assert (report.offline, report.gone) == (3, 0)
    (folder / "link").unlink()
    assert index(folder, confirm_gone=True).gone == 3


def test_root_that_links_to_an_empty_mount_point_is_offline(tmp_path, index, mount_list):
    mount(mount_list, tmp_path, tmp_path / "usb")
    (tmp_path / "root").symlink_to(tmp_path / "usb")
    index(tmp_path / "root")
    unmount(mount_list, tmp_path / "usb")
    report = index()
    assert (report.offline, report.gone) == (3, 0)


def test_forget_of_a_subfolder_says_how_to_exclude_it(folder, index, place):
    draw_image(folder / "sub" / "a.png", (1, 2, 3))
    index(folder)
    with pytest.raises(LibraryError, match=f"clew index {folder} --exclude {folder}/sub"):
        forget([folder / "sub"], library=place)
    assert index(folder, exclude=str(folder / "sub")).gone == 1


@pytest.fixture
def linked(tmp_path, index):
    """Index a root with a link to a folder outside of it; return the root."""
    draw_images(tmp_path / "elsewhere", 3)
    draw_images(tmp_path / "root" / "sub", 2)
    (tmp_path / "root" / "first").symlink_to(tmp_path / "elsewhere")
    assert index(tmp_path / "root").added == 5
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["a", "second", "sub/deeper"])  # before and after the first one
def test_second_link_to_a_folder_adds_nothing_in_a_part_and_in_the_root(linked, index, name):
    (linked / name).symlink_to(linked.parent / "elsewhere")
    for folder in ((linked / name), (linked / name).parent):
        report = index(folder)
        assert (report.added, report.gone, report.moved) == (0, 0, 0)
    report = index(linked / name)
    assert report.notes == [
        f"{linked / name} is a link to {linked.parent / 'elsewhere'}, which is indexed at another path."
    ]
    assert index().unchanged == 5


@pytest.mark.parametrize("target", ["sub", "."])
def test_link_into_the_root_adds_nothing_in_a_part_and_in_the_root(linked, index, target):
    (linked / "alias").symlink_to(target)
    report = index(linked / "alias")
    assert (report.added, report.gone) == (0, 0)
    assert "which is indexed at another path" in report.notes[0]
    assert (index().unchanged, index(linked).unchanged) == (5, 5)


def test_second_link_is_followed_after_the_first_one_is_removed(linked, index, toy):
    (linked / "a").symlink_to(linked.parent / "elsewhere")
    assert index().unchanged == 5
    image_count = toy.image_count
    (linked / "first").unlink()
    report = index()
    assert (report.moved, report.unchanged, report.gone, report.added) == (3, 2, 0, 0)
    assert toy.image_count == image_count
    (linked / "first").symlink_to(linked.parent / "elsewhere")
    assert (index(linked / "first").added, index().unchanged) == (0, 5)


def test_first_link_is_kept_while_its_drive_is_away(linked, index):
    (linked / "a").symlink_to(linked.parent / "elsewhere")
    away = (linked.parent / "elsewhere").rename(linked.parent / "away")
    assert index().offline == 3
    away.rename(linked.parent / "elsewhere")
    assert index().unchanged == 5


@pytest.fixture
def outer(tmp_path, index):
    """Index a root with a folder, a caption, an archive and a table in it; return the root."""
    draw_images(tmp_path / "outer" / "sub", 12)
    draw_images(tmp_path / "outer" / "other", 2)
    write_text(tmp_path / "outer" / "sub" / "3.txt", "blue caption")
    write_text(tmp_path / "outer" / "sub" / "captions.csv", "image,caption\n4.png,yellow caption\n")
    shutil.make_archive(tmp_path / "outer" / "sub" / "packed", "zip", tmp_path / "outer" / "other")
    assert index(tmp_path / "outer", exclude=["/other/1.png", "/sub/5.png"], archives=True).added == 16
    return tmp_path / "outer"


def test_folder_in_an_indexed_folder_gets_its_own_options(outer, index, place, toy):
    image_count = toy.image_count
    report = index(outer / "sub", exclude="1*")
    assert (report.gone, report.added, report.segments) == (4, 0, 0)  # 1, 10 and 11.png, and 1.png in the zip
    assert report.unchanged + report.updated == 11
    assert report.notes == [
        f"{outer / 'sub'} has its own options now, and is no longer indexed with {outer}."
    ]
    report = index()
    assert (report.gone, report.added, report.unchanged) == (0, 0, 12)
    assert toy.image_count == image_count
    with Library.open(place, embedder=toy) as library:
        roots = {root.path: (root.present, tuple(root.exclude)) for root in library.status().roots}
        assert roots == {outer: (1, ("/other/1.png", "/sub/5.png")), outer / "sub": (11, ("/5.png", "1*"))}
        for words in ("blue caption", "yellow caption"):
            assert library.search(words)[0].path.parent == outer / "sub"
            assert library.search(words)[0].path.name in ("3.png", "4.png", "3.txt", "captions.csv")
    assert verify_library(place).errors == []


def test_forgotten_folder_of_its_own_is_a_part_of_the_other_one_again(outer, index, place, toy):
    index(outer / "sub", hidden=True)
    with Library.open(place, embedder=toy) as library:
        assert library.details(outer / "sub" / "7.png").root == outer / "sub"
    forget(outer / "sub", library=place)
    report = index()
    assert (report.added, report.segments) == (15, 0)
    with Library.open(place, embedder=toy) as library:
        assert library.details(outer / "sub" / "7.png").root == outer


def test_options_of_two_folders_of_which_one_contains_the_other_are_of_the_outer_one(tmp_path, index, place):
    draw_images(tmp_path / "outer" / "sub", 3)
    index(tmp_path / "outer" / "sub", tmp_path / "outer", exclude="1.png")
    with Library.open(place) as library:
        assert [root.path for root in library.status().roots] == [tmp_path / "outer"]


def test_patterns_of_a_root_apply_to_a_folder_in_it():
    patterns = ["*.gif", "/sub/private", "sub/x/*.jpg", "/other/y", "*/tmp", "/a*/z", "other/w"]
    expected = ["*.gif", "/private", "/x/*.jpg", "*/tmp", "tmp", "a*/z", "other/w"]
    assert patterns_below(patterns, b"sub") == expected


def test_root_that_is_back_is_present_after_a_run_for_another_folder(tmp_path, index, place, toy):
    draw_images(tmp_path / "one", 2)
    draw_images(tmp_path / "two" / "sub", 3)
    index(tmp_path / "one")
    index(tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "away")
    assert index(tmp_path / "two").offline == 2
    (tmp_path / "one").mkdir()  # an empty folder is none that is back
    index(tmp_path / "two" / "sub")
    (tmp_path / "one").rmdir()
    with Library.open(place, embedder=toy) as library:
        assert [root.state for root in library.status().roots] == ["offline", "present"]
    (tmp_path / "away").rename(tmp_path / "one")
    assert index(tmp_path / "two" / "sub").offline == 0
    with Library.open(place, embedder=toy) as library:
        assert [root.state for root in library.status().roots] == ["present", "present"]
        assert not library.search("red")[0].offline


ESCAPES = "a\x1b[31m\nb"


def test_messages_escape_names_with_line_breaks_and_escape_sequences(tmp_path, index, place, clew):
    folder = tmp_path / ESCAPES
    draw_images(folder / "sub", 60)
    (folder / f"{ESCAPES}.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\nДа, нет\n".encode("cp1251"))
    (folder / f"{ESCAPES}.png").write_bytes(b"damaged")
    commands = [
        ("index", folder, "--exclude", f"{ESCAPES}.gif"),
        ("index", folder / "missing"),
        ("index", folder / "sub", "--exclude", tmp_path / "elsewhere" / ESCAPES),
        ("status",),
        ("status", "--errors"),
        ("forget", folder / "sub"),
        ("verify",),
    ]
    for command in commands:
        done = clew(*map(str, command))
        assert "\x1b" not in done.output, command
        assert "\nb" not in done.output, command
    os.rename(folder / "sub", tmp_path / "away")
    for command in (("index",), ("index", "--confirm-gone"), ("index", tmp_path / "away")):
        done = clew(*map(str, command))
        assert "\x1b" not in done.output
        assert "\nb" not in done.output
