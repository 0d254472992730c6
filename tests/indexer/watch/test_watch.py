"""A watched folder: what is saved is found, what is half-written waits, what goes is told."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import IndexOptions, update_library, watch_library
from indexer.scan.rules import ScanOptions
from indexer.scan.sidecars import name_stem
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import ScanIssues, walk
from indexer.store.lock import library_lock
from indexer.store.writer import LibraryWriter
from indexer.watch.fs_events import file_system_type
from indexer.watch.watcher import EmbedderCache
from indexer.watch.write_detection import PendingWrites, is_being_written
from retrieval import Library
from retrieval.types import Space
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder

PATIENCE = 60  # seconds; a machine may be busy
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")


def until(found, what="it"):
    """Wait until a question is answered with yes, and return the answer."""
    end = time.monotonic() + PATIENCE
    while not (answer := found()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return answer


class Told:
    """What a watch in a thread has told so far."""

    def __init__(self, place):
        self.place, self.changes, self.said, self.error = place, [], [], None
        self.stop, self.begun = Event(), Event()

    def told(self, change, path):
        """Wait for a change of this path."""
        return until(
            lambda: next((c for c in self.changes if (c.change, c.path) == (change, path)), None),
            f"{change} {path}: {self.changes} {self.said} {self.error}",
        )

    def paths(self, words="red", **how):
        """Return the paths of all hits, best first."""
        with Library.open(self.place, embedder=ToyEmbedder()) as library:
            return [hit.path for hit in library.search(words, count=1_000, **how)]


def age(*folders):
    """Make files old, so that the first scan need not wait to see whether they are whole."""
    for folder in folders:
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - 3_600,) * 2)


@contextmanager
def watching(place, *folders, **how):
    """Watch folders in a thread, with the toy model, from the end of the first scan on."""
    told = Told(place)
    age(*(folder for folder in folders if isinstance(folder, Path)))

    def run():
        try:
            watch_library(
                folders,
            library=place,
            embedder=ToyEmbedder(),
            on_change=told.changes.append,
            notify=told.said.append,
                on_initial_scan=lambda report: told.begun.set(), stop=told.stop, **how,
            )  # fmt: skip
        except BaseException as error:
            told.error = error

    thread = Thread(target=run)
    thread.start()
    try:
        until(lambda: told.begun.is_set() or told.error, "the first scan")
        yield told
    finally:
        told.stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert told.error is None


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Wait less for a file to be whole; the command is tested with its own patience."""
    monkeypatch.setattr("indexer.watch.write_detection.QUIET_SECONDS", 0.2)


def test_what_is_saved_is_found(folder, place):
    with watching(place, folder) as told:
        assert len(told.paths()) == 7
        new = draw_image(folder / "new" / "deep" / "pink.png", (255, 60, 60))
        told.told("added", new)
        assert new in told.paths()[:3]
        write_text(folder / "notes.md", "magenta")
        told.told("added", folder / "notes.md")
        assert told.paths("magenta", kind="text") == [folder / "notes.md"]
        write_text(folder / "red.txt", "cyan")
        told.told("added", folder / "red.txt")
        assert told.paths("cyan", kind="text")[0] == folder / "red.png"
        (folder / "red.png").unlink()
        told.told("gone", folder / "red.png")
        assert told.paths("cyan", kind="text")[0] == folder / "red.txt"
    assert Counter(change.change for change in told.changes) == {
        "added": 3,
        "gone": 1,
        "updated": 1,
    }  # red.txt is a note now


def test_what_is_saved_anew_is_found_as_it_is_now(folder, place):
    with watching(place, folder) as told:
        draw_image(folder / "red.png", "blue", size=(30, 20))
        told.told("updated", folder / "red.png")
        assert set(told.paths("blue")[:2]) == {folder / "red.png", folder / "blue.png"}
        (folder / "red.png").write_bytes(b"no picture")
        change = told.told("failed", folder / "red.png")
        assert "not an image" in change.reason
        assert folder / "red.png" not in told.paths("blue")
    assert len(told.changes) == 2


@linux
def test_a_file_that_is_still_written_waits_until_it_is_whole_and_comes_once(folder, place, tmp_path):
    data = draw_image(tmp_path / "whole.png", (200, 0, 0), size=(400, 300)).read_bytes()
    with watching(place, folder) as told:
        with (folder / "slow.png").open("wb") as file, (folder / "slow.txt").open("w") as text:
            for number, part in enumerate((data[:100], data[100:300], data[300:])):
                file.write(part)
                file.flush()
                text.write(f"yellow {number}\n")
                text.flush()
                other = draw_image(folder / f"other{number}.png", (number, 0, 9))
                told.told("added", other)  # the folder was looked at, and the slow ones were not taken
                assert not {folder / "slow.png", folder / "slow.txt"} & set(told.paths())
        told.told("added", folder / "slow.png")
        told.told("added", folder / "slow.txt")
        assert len(told.paths("yellow", kind="text")) == 3
    assert Counter(change.path.stem for change in told.changes)["slow"] == 2
    assert {change.change for change in told.changes} == {"added"}


def test_moved_renamed_and_deleted_files_and_folders_are_told_as_such(folder, place):
    draw_image(folder / "trip" / "day" / "one.png", (1, 99, 99))
    draw_image(folder / "trip" / "two.png", (2, 99, 99))
    with watching(place, folder) as told:
        (folder / "red.png").rename(folder / "trip" / "rouge.png")
        assert told.told("moved", folder / "trip" / "rouge.png").was == folder / "red.png"
        (folder / "trip").rename(folder / "holiday")
        assert told.told("moved", folder / "holiday" / "day" / "one.png").was == folder / "trip/day/one.png"
        told.told("moved", folder / "holiday" / "two.png")
        told.told("moved", folder / "holiday" / "rouge.png")
        (folder / "blue.png").unlink()
        told.told("gone", folder / "blue.png")
        (folder / "holiday" / "day" / "one.png").unlink()
        (folder / "holiday" / "day").rmdir()
        told.told("gone", folder / "holiday" / "day" / "one.png")
        assert folder / "holiday" / "rouge.png" in told.paths()
        assert len(told.paths()) == 6 + 1
    assert Counter(change.change for change in told.changes) == {"moved": 4, "gone": 2}


def test_a_burst_of_files_is_found_to_the_last_and_each_told_once(folder, place):
    with watching(place, folder) as told:
        burst = {draw_image(folder / f"{n % 3}" / f"{n}.png", (n, 255 - n, 77)) for n in range(200)}
        until(lambda: len(told.changes) >= 200, "200 files")
        assert burst <= set(told.paths())
    assert {(change.change, change.path) for change in told.changes} == {("added", path) for path in burst}
    assert len(told.changes) == 200


def test_many_deletions_at_once_look_like_a_drive_and_are_kept(folder, place):
    for number in range(60):
        draw_image(folder / "drive" / f"{number}.png", (number, 50, 50))
    with watching(place, folder) as told:
        (folder / "drive").rename(folder.parent / "away")
        until(lambda: len(told.changes) >= 60, "60 files")
        assert {change.change for change in told.changes} == {"offline"}
        assert any("--confirm-gone" in line for line in told.said)
        (folder.parent / "away").rename(folder / "drive")
        told.told("back", folder / "drive" / "59.png")


def test_a_folder_that_goes_away_is_kept_and_heard_of_again_when_it_is_back(folder, place):
    with watching(place, folder) as told:
        folder.rename(folder.with_name("elsewhere"))
        until(lambda: any("kept as offline" in line for line in told.said), "offline")
        with Library.open(place, embedder=ToyEmbedder()) as library:
            assert library.status().roots[0].state == "offline"
        folder.with_name("elsewhere").rename(folder)
        until(lambda: any("available again" in line for line in told.said), "back")
        new = draw_image(folder / "new.png", (9, 9, 200))
        told.told("added", new)
        with Library.open(place, embedder=ToyEmbedder()) as library:
            assert library.status().roots[0].state == "present"
        assert len(told.paths()) == 8
    assert [change.change for change in told.changes] == ["added"]


def test_while_another_writes_it_waits_and_says_so(folder, place):
    with watching(place, folder) as told:
        with library_lock(place):
            draw_image(folder / "new.png", (9, 9, 200))
            until(lambda: any("Trying again" in line for line in told.said), "busy")
            assert told.changes == []
        told.told("added", folder / "new.png")


def test_between_two_changes_others_can_write(folder, place):
    with watching(place, folder) as told:
        told.told("added", draw_image(folder / "new.png", (9, 9, 200)))
        until(lambda: not (place / "writer.locked-by").exists(), "the lock")
        assert update_library(library=place, embedder=ToyEmbedder()).unchanged == 8
        told.told("added", draw_image(folder / "newer.png", (9, 99, 200)))


def test_what_is_left_out_or_hidden_or_the_librarys_own_is_not_looked_at(folder):
    place = folder / "library"
    with watching(place, folder, options=IndexOptions(exclude="Private", hidden=False)) as told:
        draw_image(folder / "Private" / "a.png", "red")
        draw_image(folder / ".hidden" / "b.png", "red")
        draw_image(folder / ".c.png", "red")
        told.told("added", draw_image(folder / "new.png", (9, 9, 200)))
        before = (place / "catalogue.sqlite").stat().st_mtime_ns
        time.sleep(1.0)  # its own writing must not wake it
        assert (place / "catalogue.sqlite").stat().st_mtime_ns == before
    assert len(told.changes) == 1
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM roots").fetchone() == (1,)


def test_only_a_part_of_a_root_may_be_watched_and_a_root_inside_one_is_its_own(folder, place):
    draw_image(folder / "part" / "a.png", (1, 2, 200))
    draw_image(folder / "inner" / "b.png", (1, 2, 100))
    update_library(folder / "inner", library=place, embedder=ToyEmbedder())
    update_library(folder, library=place, embedder=ToyEmbedder())
    with watching(place, folder / "part", folder / "inner") as told:
        draw_image(folder / "unseen.png", (70, 70, 200))
        told.told("added", draw_image(folder / "part" / "c.png", (1, 80, 200)))
        told.told("added", draw_image(folder / "inner" / "d.png", (1, 90, 200)))
        assert folder / "unseen.png" not in told.paths()
    with watching(place) as told:
        assert folder / "unseen.png" in told.paths()
        told.told("added", draw_image(folder / "inner" / "e.png", (50, 90, 200)))
        told.told("added", draw_image(folder / "f.png", (50, 20, 200)))
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert [root.path for root in library.status().roots] == [folder, folder / "inner"]


@requires_non_utf8_names
def test_names_that_are_no_utf8_are_found_too(folder, place):
    with watching(place, folder) as told:
        os.mkdir(os.fsencode(folder) + b"/d\xe9")
        draw_image(folder / "spare.png", (3, 4, 200)).rename(
            os.fsdecode(os.fsencode(folder) + b"/d\xe9/p\xe9.png")
        )
        until(lambda: any(b"d\xe9/p\xe9" in os.fsencode(change.path) for change in told.changes), "it")


@requires_non_utf8_names
def test_what_cannot_be_heard_is_found_by_the_next_scan_of_everything(tmp_path, place):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")
    os.mkdir(folder)
    with watching(place, folder, rescan_seconds=0.5) as told:
        assert any(line.startswith("Cannot watch") for line in told.said)
        draw_image(tmp_path / "spare.png", "red").rename(folder + "/new.png")
        until(lambda: told.changes, "the scan")
        assert len(told.paths()) == 1


def test_a_network_mount_is_looked_at_again_and_again(folder, place, monkeypatch):
    monkeypatch.setattr(
        "indexer.watch.fs_events.NETWORK_FILE_SYSTEMS", {file_system_type(os.fsencode(folder))}
    )
    with watching(place, folder) as told:
        assert any(line.startswith("Polling") for line in told.said)
        told.told("added", draw_image(folder / "deep" / "new.png", (9, 9, 200)))
        (folder / "red.png").unlink()
        told.told("gone", folder / "red.png")


def test_the_file_system_of_a_folder_is_that_of_the_innermost_mount(tmp_path):
    real = os.path.realpath(tmp_path)
    (tmp_path / "a b").mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\nserver:/x {real} nfs4 rw 0 0\nme@there: {real}/a\\040b fuse.sshfs rw 0 0\n"
    )
    assert file_system_type(os.fsencode(tmp_path / "a b" / "c"), mounts) == "sshfs"
    assert file_system_type(os.fsencode(tmp_path / "other"), mounts) == "nfs4"
    assert file_system_type(b"/", mounts) == "ext4"
    assert file_system_type(b"/", tmp_path / "none") == ""


@linux
def test_a_file_that_is_open_for_writing_is_told_from_one_that_is_not(tmp_path):
    path = os.fsencode(tmp_path / "file")
    with open(path, "wb"):
        assert is_being_written(path)
    with open(path, "rb"):
        assert is_being_written(path) is False
    assert is_being_written(path + b"none") is None


@pytest.mark.parametrize("clock", [3_600, -3_600, 0], ids=["ahead", "behind", "right"])
def test_where_nothing_tells_who_writes_a_change_of_size_or_time_does(tmp_path, clock):
    """Whatever another machine's clock says."""
    path = os.fsencode(write_text(tmp_path / "file", "a"))
    if clock:
        os.utime(path, (time.time() + clock,) * 2)
    files = PendingWrites(lambda path: None)
    if clock < 0:
        assert files.check(path)  # nobody has touched it for an hour
        return
    assert not files.check(path)
    for text in "bc":
        with open(path, "a") as file:
            file.write(text)
        assert not files.check(path)
    assert until(files.completed) == [path]
    assert files.check(path)  # by what was seen, until it is forgotten
    assert len(files) == 0
    files.check(path)
    os.unlink(path)
    assert files.check(path)


def test_the_model_stays_until_another_space_answers():
    def space(fingerprint):
        return Space(1, "toy", "toy", fingerprint, 3)

    asked = []

    def choose(space):
        asked.append(space)
        return ToyEmbedder()

    loaded = EmbedderCache(choose, choose)
    one = loaded(None)
    assert loaded(space("toy-1")) is one
    assert loaded(space("another")) is not one
    assert len(asked) == 2


NAMES = st.lists(
    st.builds(lambda stem, suffix: stem + suffix, st.sampled_from(("a", "a b", "a-b", "b", "c.d", ".a")),
              st.sampled_from((".jpg", ".jpg.txt", ".txt", ".json", ".b.jpg", ".md", ".x"))), max_size=9,
)  # fmt: skip


@given(names=NAMES, here=NAMES, hidden=st.booleans())
def test_a_look_at_some_names_sees_what_a_look_at_the_folder_sees_of_them(names, here, hidden):
    with TemporaryDirectory() as top:
        for name in names:
            write_text(Path(top) / "in" / name, "red")
            write_text(Path(top) / "in" / "a" / name, "red")
        heads = {name_stem(name.encode()) for name in here}
        options = ScanOptions(hidden=hidden)
        target = ScanTarget(0, os.fsencode(top), options, b"in", recursive=False)
        every = walk(target, ScanIssues())
        some = list(walk(target._replace(name_stems=frozenset(heads)), ScanIssues()))
        assert some == [f for f in every if not heads or name_stem(os.path.basename(f.path)) in heads]
        for caption in some:
            assert (
                caption.sidecar_of is None
                or name_stem(os.path.basename(caption.sidecar_of)) in heads
                or not heads
            )


def test_what_is_known_of_some_names_is_what_is_known_of_the_folder(folder, place):
    for name in ("a.jpg", "a-b.jpg", "a b.jpg", "ab.jpg", "a.b.jpg", "a/c.jpg", "a-b/a.jpg"):
        draw_image(folder / name, (len(name), 1, 2))
    update_library(folder, library=place, embedder=ToyEmbedder())
    with LibraryWriter(place) as writer:
        for below, path in ((b"", folder), (b"a-b", folder / "a-b")):
            whole = writer.roots.target_at(os.fsencode(path), recursive=False)
            assert whole.subpath == below
            for heads in ({b"a"}, {b"a-b", b"a"}, {b"ab", b"none"}):
                some = [
                    known.path
                    for known in writer.roots.catalog_files(whole._replace(name_stems=frozenset(heads)))
                ]
                names = (known.path for known in writer.roots.catalog_files(whole))
                assert some == [name for name in names if name_stem(os.path.basename(name)) in heads]


def started(place, folder, *words):
    age(folder)
    command = [sys.executable, "-c", "from indexer.cli.main import main; main()", *words, str(folder)]
    child = subprocess.Popen(
        [*command, "--library", str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = []
    while not lines or not lines[-1].startswith("Watching"):
        lines.append(child.stderr.readline())
        assert lines[-1], lines
    return child, lines


def test_the_command_tells_each_change_as_json_and_ctrl_c_ends_it(folder, place):
    child, lines = started(place, folder, "watch", "--json")
    assert any("7 images" in line for line in lines)
    draw_image(folder / "new.png", (9, 9, 200))
    first = json.loads(child.stdout.readline())
    assert first == {"change": "added", "path": str(folder / "new.png"), "was": None, "reason": None}
    (folder / "new.png").rename(folder / "newer.png")
    assert json.loads(child.stdout.readline())["was"] == str(folder / "new.png")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out, err) == (130, "", "Stopped. Indexed files are kept.\n")


def test_index_goes_on_watching_and_ends_when_it_is_told_to(folder, place):
    child, _ = started(place, folder, "index", "--watch", "--model", "builtin")
    assert child.stdout.readline().startswith("7 images in ")
    draw_image(folder / "new.png", (9, 9, 200))
    assert child.stderr.readline() == f"added    {folder / 'new.png'}\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 0


def test_misuse_is_said(clew, folder):
    assert "clew watch ~/Pictures" in clew("watch").stderr
    for words in (["--every", "soon"], ["--every", "0s"], [folder / "none"]):
        done = clew("watch", *words, "--library", folder.parent / "library")
        assert done.exit_code == 2, words
    assert set(COLORS) == {path.stem for path in folder.iterdir()}
