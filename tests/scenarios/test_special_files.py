"""Pipes, sockets, devices, links out of the root and /proc neither stop a run nor are they read."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval import Library
from tests.scenarios.helpers import start_index_process
from tests.support.files import draw_image, write_text

SECONDS = 60  # after which a run that waits for a pipe is ended


def run_within(folder, place):
    """Index a folder in another process, which must end."""
    child = start_index_process(folder, place)
    try:
        output, _ = child.communicate(timeout=SECONDS)
    finally:
        child.kill()
    assert (child.returncode, output.splitlines()[-1]) == (0, "done"), output


def indexed(place, toy):
    """Return the names of the indexed files, and of those that failed."""
    with Library.open(place, embedder=toy) as library:
        hits = library.search("kind:image | kind:text", count=100)
        return sorted({hit.path.name for hit in hits}), [failure.path.name for failure in library.failures()]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a folder with an image, and special files with names of media."""
    root = draw_image(tmp_path / "root" / "good.png", "red").parent
    for name in ("pipe.png", "pipe.txt", "pipe.csv", "pipe.zip", "pipe.mp4"):
        os.mkfifo(root / name)
    monkeypatch.chdir(root)
    for name in ("socket.png", "socket.pdf"):
        with socket.socket(socket.AF_UNIX) as server:  # a closed socket keeps its file
            server.bind(name)
    for name, target in {
        "zero.txt": "/dev/zero",
        "random.jpg": "/dev/urandom",
        "null.csv": "/dev/null",
        "terminal.md": "/dev/tty",
        "fd.txt": "/proc/self/fd/0",
        "memory.txt": "/proc/self/mem",
        "loop.png": "loop.png",
        "pipe link.mp3": "pipe.mp4",
        "folder.png": "/proc/self/fdinfo",
    }.items():
        (root / name).symlink_to(target)
    return root


def test_pipes_sockets_and_devices_are_skipped(root, place, toy):
    run_within(root, place)
    names, failures = indexed(place, toy)
    assert names == ["good.png"]
    assert set(failures) <= {"memory.txt"}  # a regular file of /proc that cannot be read


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_device_nodes_are_skipped(tmp_path, place, toy):
    root = draw_image(tmp_path / "root" / "good.png", "red").parent
    try:
        os.mknod(root / "zero.png", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(root / "loop.txt", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    except PermissionError:
        pytest.skip("this container makes no devices")
    run_within(root, place)
    assert indexed(place, toy) == (["good.png"], [])


def test_file_that_is_replaced_by_a_pipe_after_the_scan_is_not_opened(
    tmp_path, index, place, toy, monkeypatch
):
    from indexer.scan import walker

    root = draw_image(tmp_path / "root" / "good.png", "red").parent
    write_text(root / "notes.txt", "red")
    make_entry = walker._file_entry

    def replace_after_listing(fields):
        if fields[0] == b"notes.txt":
            (root / "notes.txt").unlink()
            os.mkfifo(root / "notes.txt")
        return make_entry(fields)

    monkeypatch.setattr(walker, "_file_entry", replace_after_listing)
    signal.alarm(SECONDS)  # ends a run that waits for a writer of the pipe
    try:
        report = index(root)
    finally:
        signal.alarm(0)
    assert (report.added, report.failed) == (1, 1)
    assert indexed(place, toy) == (["good.png"], ["notes.txt"])


def test_links_out_of_the_root_are_files_of_the_root(tmp_path, index, place, toy):
    draw_image(tmp_path / "elsewhere" / "sub" / "a.png", "red")
    root = draw_image(tmp_path / "root" / "good.png", "blue").parent
    (root / "a.png").symlink_to(tmp_path / "elsewhere" / "sub" / "a.png")
    (root / "up").symlink_to(tmp_path)  # above the root: not followed
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "sub" / "..")
    assert (index(root).added, index(root).unchanged) == (3, 3)
    with Library.open(place, embedder=toy) as library:
        paths = {hit.path for hit in library.search("red", count=10)}
    assert all(path.is_relative_to(root) for path in paths)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_process_folder_is_scanned_to_its_end(tmp_path, place):
    (tmp_path / "empty").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], cwd=tmp_path / "empty", stdin=subprocess.PIPE
    )
    try:
        run_within(Path(f"/proc/{process.pid}"), place)
    finally:
        process.communicate(b"\n")
