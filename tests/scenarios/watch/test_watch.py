"""Watch folders with real events: complete files are indexed and each change is reported once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import IndexOptions, WatchOptions, tag_library, update_library, verify_library, watch_library
from indexer.operations.options import DEFAULT_OPTIONS
from indexer.scan.rules import ScanOptions
from indexer.scan.sidecars import name_stem
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import ScanIssues, walk
from indexer.store.lock import library_lock
from indexer.store.writer import LibraryWriter
from indexer.watch.fs_events import FolderWatcher
from indexer.watch.watcher import EmbedderCache
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.file_systems import file_system_type
from retrieval.types import Space
from tests.support.audio_files import ToneTranscriber, write_audio
from tests.support.catalog import edit_catalog
from tests.support.files import draw_image, requires_non_utf8_names, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder

TIMEOUT_SECONDS = 60  # long, for busy machines
SHORT_QUIET_TIME = WatchOptions(quiet_seconds=0.2)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports open files")


def wait_for(condition, what="the change"):
    """Wait until a condition is true and return its value."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, f"timeout while waiting for {what}"
        time.sleep(0.02)
    return value


class WatchLog:
    """The changes and messages of a watch in a thread."""

    def __init__(self, place):
        self.place, self.changes, self.messages, self.error = place, [], [], None
        self.stop, self.initial_scan_done = Event(), Event()

    def wait_for(self, change, path):
        """Wait for a change of this path and return it."""
        return wait_for(
            lambda: next((c for c in self.changes if (c.change, c.path) == (change, path)), None),
            f"{change} {path}: {self.changes} {self.messages} {self.error}",
        )

    def paths(self, words="red", **options):
        """Return the paths of all hits, best first."""
        with Library.open(self.place, embedder=ToyEmbedder()) as library:
            return [hit.path for hit in library.search(words, count=1_000, **options)]


def age(*folders):
    """Make files old, so that the first scan takes them for complete."""
    for folder in folders:
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - 3_600,) * 2)


@contextmanager
def watching(place, *folders, options=DEFAULT_OPTIONS, watch_options=SHORT_QUIET_TIME):
    """Watch folders in a thread with the toy model, and yield the log after the first scan."""
    log = WatchLog(place)
    age(*(folder for folder in folders if isinstance(folder, Path)))

    def run():
        try:
            watch_library(
                folders,
                library=place,
                embedder=ToyEmbedder(),
                options=options,
                watch_options=replace(
                    watch_options,
                    on_initial_scan=lambda report: log.initial_scan_done.set(),
                    on_change=log.changes.append,
                    stop=log.stop,
                ),
                notify=log.messages.append,
            )
        except BaseException as error:
            log.error = error

    thread = Thread(target=run, name="watch")
    thread.start()
    try:
        wait_for(lambda: log.initial_scan_done.is_set() or log.error, "the first scan")
        yield log
    finally:
        log.stop.set()
        thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()
    assert log.error is None


def test_new_changed_and_deleted_files_and_captions_are_found(folder, place):
    with watching(place, folder) as log:
        assert len(log.paths()) == 7
        new = draw_image(folder / "new" / "deep" / "pink.png", (255, 60, 60))
        log.wait_for("added", new)
        assert new in log.paths()[:3]
        write_text(folder / "notes.md", "magenta")
        log.wait_for("added", folder / "notes.md")
        assert log.paths("magenta", kind="text") == [folder / "notes.md"]
        write_text(folder / "red.txt", "cyan")
        log.wait_for("added", folder / "red.txt")
        assert log.paths("cyan", kind="text")[0] == folder / "red.png"
        (folder / "red.png").unlink()
        log.wait_for("gone", folder / "red.png")
        assert log.paths("cyan", kind="text")[0] == folder / "red.txt"
    assert Counter(change.change for change in log.changes) == {
        "added": 3,
        "gone": 1,
        "updated": 1,
    }  # without its image, red.txt is plain text


def test_overwritten_file_is_updated_or_has_failed(folder, place):
    with watching(place, folder) as log:
        draw_image(folder / "red.png", "blue", size=(30, 20))
        log.wait_for("updated", folder / "red.png")
        assert set(log.paths("blue")[:2]) == {folder / "red.png", folder / "blue.png"}
        (folder / "red.png").write_bytes(b"not an image")
        change = log.wait_for("failed", folder / "red.png")
        assert "not an image" in change.reason
        assert folder / "red.png" not in log.paths("blue")
    assert len(log.changes) == 2


@linux
def test_second_link_to_a_folder_adds_nothing(folder, place, tmp_path):
    draw_image(tmp_path / "elsewhere" / "e.png")
    (folder / "first").symlink_to(tmp_path / "elsewhere")
    age(tmp_path / "elsewhere")
    options = WatchOptions(quiet_seconds=0.2, rescan_seconds=0.5)
    with watching(place, folder, watch_options=options) as log:
        (folder / "a").symlink_to(tmp_path / "elsewhere")
        (folder / "alias").symlink_to(".")
        draw_image(folder / "new.png")
        log.wait_for("added", folder / "new.png")
        time.sleep(1.5)  # two scans of all files
    assert [(change.change, change.path.name) for change in log.changes] == [("added", "new.png")]


@linux
def test_files_behind_a_link_that_is_made_while_watching_are_added(folder, place, tmp_path):
    draw_image(tmp_path / "elsewhere" / "first.png", "cyan")
    age(tmp_path / "elsewhere")
    with watching(place, folder) as log:
        (folder / "late").symlink_to(tmp_path / "elsewhere")
        log.wait_for("added", folder / "late" / "first.png")
        draw_image(tmp_path / "elsewhere" / "second.png", "white")
        log.wait_for("added", folder / "late" / "second.png")


def test_changed_permissions_are_no_change(folder, place):
    with watching(place, folder, watch_options=WatchOptions(quiet_seconds=0.2, rescan_seconds=0.5)) as log:
        (folder / "red.png").chmod(0o600)
        time.sleep(1.5)
    assert log.changes == []


def test_file_that_is_being_written_is_added_once_when_it_is_complete(folder, place, tmp_path):
    data = draw_image(tmp_path / "source.png", (200, 0, 0), size=(400, 300)).read_bytes()
    with watching(place, folder) as log:
        with (folder / "slow.png").open("wb") as file, (folder / "slow.txt").open("w") as text:
            for number, part in enumerate((data[:100], data[100:300], data[300:])):
                file.write(part)
                file.flush()
                text.write(f"yellow {number}\n")
                text.flush()
                other = draw_image(folder / f"other{number}.png", (number, 0, 9))
                log.wait_for("added", other)  # the folder was rescanned without the open files
                assert not {folder / "slow.png", folder / "slow.txt"} & set(log.paths())
        log.wait_for("added", folder / "slow.png")
        log.wait_for("added", folder / "slow.txt")
        assert len(log.paths("yellow", kind="text")) == 3
    assert Counter(change.path.stem for change in log.changes)["slow"] == 2
    assert {change.change for change in log.changes} == {"added"}


def test_moves_and_deletions_of_files_and_folders_are_reported(folder, place):
    draw_image(folder / "trip" / "day" / "one.png", (1, 99, 99))
    draw_image(folder / "trip" / "two.png", (2, 99, 99))
    with watching(place, folder) as log:
        (folder / "red.png").rename(folder / "trip" / "rouge.png")
        assert log.wait_for("moved", folder / "trip" / "rouge.png").was == folder / "red.png"
        (folder / "trip").rename(folder / "holiday")
        assert (
            log.wait_for("moved", folder / "holiday" / "day" / "one.png").was == folder / "trip/day/one.png"
        )
        log.wait_for("moved", folder / "holiday" / "two.png")
        log.wait_for("moved", folder / "holiday" / "rouge.png")
        (folder / "blue.png").unlink()
        log.wait_for("gone", folder / "blue.png")
        (folder / "holiday" / "day" / "one.png").unlink()
        (folder / "holiday" / "day").rmdir()
        log.wait_for("gone", folder / "holiday" / "day" / "one.png")
        assert folder / "holiday" / "rouge.png" in log.paths()
        assert len(log.paths()) == 6 + 1
    assert Counter(change.change for change in log.changes) == {"moved": 4, "gone": 2}


def test_each_of_many_new_files_is_reported_once(folder, place):
    with watching(place, folder) as log:
        burst = {draw_image(folder / f"{n % 3}" / f"{n}.png", (n, 255 - n, 77)) for n in range(200)}
        wait_for(lambda: len(log.changes) >= 200, "200 files")
        assert burst <= set(log.paths())
    assert {(change.change, change.path) for change in log.changes} == {("added", path) for path in burst}
    assert len(log.changes) == 200


def test_many_simultaneous_deletions_are_reported_as_offline(folder, place):
    for number in range(60):
        draw_image(folder / "drive" / f"{number}.png", (number, 50, 50))
    with watching(place, folder) as log:
        (folder / "drive").rename(folder.parent / "away")
        wait_for(lambda: len(log.changes) >= 60, "60 files")
        assert {change.change for change in log.changes} == {"offline"}
        assert any("--confirm-gone" in line for line in log.messages)
        (folder.parent / "away").rename(folder / "drive")
        log.wait_for("back", folder / "drive" / "59.png")


def test_missing_folder_is_offline_and_watched_again_when_it_returns(folder, place):
    with watching(place, folder) as log:
        folder.rename(folder.with_name("elsewhere"))
        wait_for(lambda: any("kept as offline" in line for line in log.messages), "offline")
        with Library.open(place, embedder=ToyEmbedder()) as library:
            assert library.status().roots[0].state == "offline"
        folder.with_name("elsewhere").rename(folder)
        wait_for(lambda: any("available again" in line for line in log.messages), "back")
        new = draw_image(folder / "new.png", (9, 9, 200))
        log.wait_for("added", new)
        with Library.open(place, embedder=ToyEmbedder()) as library:
            assert library.status().roots[0].state == "present"
        assert len(log.paths()) == 8
    assert [change.change for change in log.changes] == ["added"]


def test_watch_waits_for_another_writer_with_a_message(folder, place):
    with watching(place, folder) as log:
        with library_lock(place):
            draw_image(folder / "new.png", (9, 9, 200))
            wait_for(lambda: any("Trying again" in line for line in log.messages), "busy")
            assert log.changes == []
        log.wait_for("added", folder / "new.png")


def test_library_is_unlocked_between_changes(folder, place):
    with watching(place, folder) as log:
        log.wait_for("added", draw_image(folder / "new.png", (9, 9, 200)))
        wait_for(lambda: not (place / "writer.locked-by").exists(), "the lock")
        assert update_library(library=place, embedder=ToyEmbedder()).unchanged == 8
        log.wait_for("added", draw_image(folder / "newer.png", (9, 99, 200)))


def test_excluded_hidden_and_library_files_are_not_scanned(folder):
    place = folder / "library"
    with watching(place, folder, options=IndexOptions(exclude="Private", hidden=False)) as log:
        draw_image(folder / "Private" / "a.png", "red")
        draw_image(folder / ".hidden" / "b.png", "red")
        draw_image(folder / ".c.png", "red")
        log.wait_for("added", draw_image(folder / "new.png", (9, 9, 200)))
        before = (place / "catalogue.sqlite").stat().st_mtime_ns
        time.sleep(1.0)  # writes to the library must not start a rescan
        assert (place / "catalogue.sqlite").stat().st_mtime_ns == before
    assert len(log.changes) == 1
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM roots").fetchone() == (1,)


def test_watch_of_a_subfolder_and_of_nested_roots(folder, place):
    draw_image(folder / "part" / "a.png", (1, 2, 200))
    draw_image(folder / "inner" / "b.png", (1, 2, 100))
    update_library(folder / "inner", library=place, embedder=ToyEmbedder())
    update_library(folder, library=place, embedder=ToyEmbedder())
    with watching(place, folder / "part", folder / "inner") as log:
        draw_image(folder / "unseen.png", (70, 70, 200))
        log.wait_for("added", draw_image(folder / "part" / "c.png", (1, 80, 200)))
        log.wait_for("added", draw_image(folder / "inner" / "d.png", (1, 90, 200)))
        assert folder / "unseen.png" not in log.paths()
    with watching(place) as log:
        assert folder / "unseen.png" in log.paths()
        log.wait_for("added", draw_image(folder / "inner" / "e.png", (50, 90, 200)))
        log.wait_for("added", draw_image(folder / "f.png", (50, 20, 200)))
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert [root.path for root in library.status().roots] == [folder, folder / "inner"]


@requires_non_utf8_names
def test_names_that_are_not_utf8_are_added(folder, place):
    with watching(place, folder) as log:
        os.mkdir(os.fsencode(folder) + b"/d\xe9")
        draw_image(folder / "spare.png", (3, 4, 200)).rename(
            os.fsdecode(os.fsencode(folder) + b"/d\xe9/p\xe9.png")
        )
        wait_for(lambda: any(b"d\xe9/p\xe9" in os.fsencode(change.path) for change in log.changes))


@requires_non_utf8_names
def test_folder_that_cannot_be_watched_is_rescanned_by_timer(tmp_path, place):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")
    os.mkdir(folder)
    with watching(place, folder, watch_options=replace(SHORT_QUIET_TIME, rescan_seconds=0.5)) as log:
        assert any(line.startswith("Cannot watch") for line in log.messages)
        draw_image(tmp_path / "spare.png", "red").rename(folder + "/new.png")
        wait_for(lambda: log.changes, "the scan")
        assert len(log.paths()) == 1


def test_network_file_system_is_polled(folder, place):
    watch_options = replace(SHORT_QUIET_TIME, polled_file_systems={file_system_type(os.fsencode(folder))})
    with watching(place, folder, watch_options=watch_options) as log:
        assert any(line.startswith("Polling") for line in log.messages)
        log.wait_for("added", draw_image(folder / "deep" / "new.png", (9, 9, 200)))
        (folder / "red.png").unlink()
        log.wait_for("gone", folder / "red.png")


def test_embedder_is_loaded_again_only_for_another_space():
    def space(fingerprint):
        return Space(1, "toy", "toy", fingerprint, 3)

    loaded_spaces = []

    def load(space):
        loaded_spaces.append(space)
        return ToyEmbedder()

    embedders = EmbedderCache(load, load)
    first = embedders(None)
    assert embedders(space("toy-1")) is first
    assert embedders(space("another")) is not first
    assert len(loaded_spaces) == 2


NAMES = st.lists(
    st.builds(lambda stem, suffix: stem + suffix, st.sampled_from(("a", "a b", "a-b", "b", "c.d", ".a")),
              st.sampled_from((".jpg", ".jpg.txt", ".txt", ".json", ".b.jpg", ".md", ".x"))), max_size=9,
)  # fmt: skip


@settings(deadline=None)  # it writes files
@given(names=NAMES, changed=NAMES, hidden=st.booleans())
def test_walk_of_name_stems_equals_the_filtered_walk_of_the_folder(names, changed, hidden):
    with TemporaryDirectory() as top:
        for name in names:
            write_text(Path(top) / "in" / name, "red")
            write_text(Path(top) / "in" / "a" / name, "red")
        stems = {name_stem(name.encode()) for name in changed}
        options = ScanOptions(hidden=hidden)
        target = ScanTarget(0, os.fsencode(top), options, b"in", recursive=False)
        complete = walk(target, ScanIssues())
        partial = list(walk(target._replace(name_stems=frozenset(stems)), ScanIssues()))
        assert partial == [
            entry for entry in complete if not stems or name_stem(os.path.basename(entry.path)) in stems
        ]
        for entry in partial:
            assert (
                entry.sidecar_of is None
                or name_stem(os.path.basename(entry.sidecar_of)) in stems
                or not stems
            )


def test_catalog_files_of_name_stems_equal_the_filtered_files_of_the_folder(folder, place):
    for name in ("a.jpg", "a-b.jpg", "a b.jpg", "ab.jpg", "a.b.jpg", "a/c.jpg", "a-b/a.jpg"):
        draw_image(folder / name, (len(name), 1, 2))
    update_library(folder, library=place, embedder=ToyEmbedder())
    with LibraryWriter(place) as writer:
        for subpath, path in ((b"", folder), (b"a-b", folder / "a-b")):
            target = writer.roots.target_at(os.fsencode(path), recursive=False)
            assert target.subpath == subpath
            for stems in ({b"a"}, {b"a-b", b"a"}, {b"ab", b"none"}):
                partial = [
                    row[1] for row in writer.roots.catalog_rows(target._replace(name_stems=frozenset(stems)))
                ]
                names = (row[1] for row in writer.roots.catalog_rows(target))
                assert partial == [name for name in names if name_stem(os.path.basename(name)) in stems]


def start_command(place, folder, *words):
    """Start a command that watches; return its process and messages when it has scanned the folder."""
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


def test_watch_command_prints_changes_as_json_until_ctrl_c(folder, place):
    child, lines = start_command(place, folder, "watch", "--json")
    assert any("7 images" in line for line in lines)
    draw_image(folder / "new.png", (9, 9, 200))
    first = json.loads(child.stdout.readline())
    assert first == {"change": "added", "path": str(folder / "new.png"), "was": None, "reason": None}
    (folder / "new.png").rename(folder / "newer.png")
    assert json.loads(child.stdout.readline())["was"] == str(folder / "new.png")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, out, err) == (130, "", "Stopped. Indexed files are kept.\n")


def test_index_command_watches_until_it_is_terminated(folder, place):
    child, _ = start_command(place, folder, "index", "--watch", "--model", "builtin")
    assert child.stdout.readline().startswith("7 images in ")
    draw_image(folder / "new.png", (9, 9, 200))
    assert child.stderr.readline() == f"added    {folder / 'new.png'}\n"
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=TIMEOUT_SECONDS)
    assert child.returncode == 0


def test_watch_command_rejects_wrong_arguments(clew, folder):
    assert "clew watch ~/Pictures" in clew("watch").stderr
    for words in (["--every", "soon"], ["--every", "0s"], [folder / "none"]):
        result = clew("watch", *words, "--library", folder.parent / "library")
        assert result.exit_code == 2, words
    assert set(COLORS) == {path.stem for path in folder.iterdir()}


@pytest.mark.parametrize("error", [OSError("no inotify instance"), RuntimeError("too many open files")])
def test_watcher_polls_if_the_system_refuses_to_report_events(error, tmp_path, monkeypatch):
    start, calls = FolderWatcher._start, []

    def refuse_once(self):
        calls.append(self)
        if len(calls) == 1:
            raise error
        start(self)

    monkeypatch.setattr(FolderWatcher, "_start", refuse_once)
    watcher = FolderWatcher(os.fsencode(tmp_path), Queue())
    watcher.close()
    assert str(error) in watcher.polling_reason
    assert watcher.poll_seconds >= 1


class PausedTranscriber(ToneTranscriber):
    """A transcriber that waits in each file until it may continue."""

    def __init__(self):
        super().__init__("paused")
        self.begun, self.may_continue = Event(), Event()

    def transcribe(self, samples):
        self.begun.set()
        self.may_continue.wait(TIMEOUT_SECONDS)
        return super().transcribe(samples)


@pytest.fixture
def transcriber():
    paused = PausedTranscriber()
    yield paused
    paused.may_continue.set()


def test_saved_files_are_answered_while_speech_is_transcribed(folder, place, transcriber):
    for number in range(3):
        write_audio(folder / f"talk {number}.wav", 2 + number, [(0.5, 1.5, 400)])
    with watching(place, folder, options=IndexOptions(transcriber=transcriber)) as log:
        assert transcriber.begun.wait(TIMEOUT_SECONDS)
        draw_image(folder / "new.png", "magenta")
        log.wait_for("added", folder / "new.png")
        with library_lock(place):  # another command can write meanwhile
            assert not any("Speech" in message for message in log.messages)
        transcriber.may_continue.set()
        wait_for(lambda: any("Speech: found in 3 of 3 files" in message for message in log.messages))
        (folder / "new.png").unlink()
        log.wait_for("gone", folder / "new.png")
        assert len([path for path in log.paths("apples", kind="text") if path.suffix == ".wav"]) == 3


def test_watch_ends_while_speech_is_transcribed(folder, place, transcriber):
    write_audio(folder / "talk.wav", 2, [(0.5, 1.5, 400)])
    with watching(place, folder, options=IndexOptions(transcriber=transcriber)) as log:
        assert transcriber.begun.wait(TIMEOUT_SECONDS)
        started = time.monotonic()
        log.stop.set()
        wait_for(lambda: not any(thread.name == "watch" for thread in threading.enumerate()))
    assert time.monotonic() - started < 2.5


def test_analysis_starts_again_after_a_change_of_settings(folder, place, transcriber):
    write_audio(folder / "talk.wav", 2, [(0.5, 1.5, 400)])
    with watching(place, folder, options=IndexOptions(transcriber=transcriber)) as log:
        assert transcriber.begun.wait(TIMEOUT_SECONDS)
        update_library(library=place, embedder=ToyEmbedder(), options=IndexOptions(tiles=True))
        transcriber.may_continue.set()
        wait_for(lambda: log.paths("apples", kind="text"))
        assert log.error is None


@pytest.mark.parametrize("work", ["tiles", "metadata", "vectors"])
def test_saved_files_are_answered_while_files_are_decoded_again(folder, place, monkeypatch, work):
    """The library is locked only while results are written."""
    from indexer.enrich import tiles
    from indexer.maintenance import backfill_vectors, refresh_metadata

    update_library(folder, library=place, embedder=ToyEmbedder())
    with edit_catalog(place) as db:
        (known,) = db.execute("SELECT max(id) FROM contents").fetchone()
        if work == "metadata":
            db.execute("UPDATE analyses SET version = '0' WHERE analysis = 'metadata'")
        elif work == "vectors":
            db.execute("UPDATE spaces SET complete = 0")
            db.execute("DELETE FROM vectors_1")
    modules = {"tiles": tiles, "metadata": refresh_metadata, "vectors": backfill_vectors}
    name = "redecode_tiles" if work == "tiles" else "redecode"
    original, begun, may_continue = getattr(modules[work], name), Event(), Event()

    def paused(*args, **keywords):
        begun.set()
        may_continue.wait(TIMEOUT_SECONDS)
        return original(*args, **keywords)

    monkeypatch.setattr(modules[work], name, paused)
    options = IndexOptions(tiles=True) if work == "tiles" else DEFAULT_OPTIONS
    with watching(place, folder, options=options) as log:
        assert begun.wait(TIMEOUT_SECONDS)
        new = draw_image(folder / "new.png", (255, 60, 60))
        log.wait_for("added", new)
        tag_library(["red"], library=place, embedder=ToyEmbedder())
        may_continue.set()
        wait_for(lambda: not pending(place, work, known), f"{work}: {log.messages} {log.error}")
    assert verify_library(place).errors == []


def pending(place, work, last) -> int:
    """Count the contents up to an id that have no tiles, metadata or vectors yet."""
    condition = {
        "tiles": """decoder = 'picture' AND NOT EXISTS
                    (SELECT 1 FROM analyses a WHERE a.content = c.id AND a.analysis = 'tiles')""",
        "metadata": """EXISTS (SELECT 1 FROM analyses a
                                 WHERE a.content = c.id AND a.analysis = 'metadata' AND a.version = '0')""",
        "vectors": """EXISTS (SELECT 1 FROM segments s WHERE s.content = c.id AND NOT EXISTS
                              (SELECT 1 FROM vectors_1 v WHERE v.segment = s.id))""",
    }[work]
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(
            f"SELECT count(*) FROM contents c WHERE id <= ? AND {condition}", (last,)
        ).fetchone()[0]
