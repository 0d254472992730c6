"""Ctrl-C and SIGTERM end `clew index` within seconds; indexed files are kept, and a note says what to do."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time

import pytest

from retrieval import Library
from retrieval.cli import group
from retrieval.cli.interrupts import MESSAGE
from retrieval.export import files
from retrieval.media.av import clip
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image
from tests.support.video_files import write_video


def hanging_image(folder):
    """Write an image whose decoder never answers."""
    draw_image(folder / "hanging.png")
    with (folder / "hanging.png").open("ab") as file:
        file.write(b"fail:sleep")


def large_file(folder):
    """Write a file that takes minutes to hash."""
    with (folder / "large.mp4").open("wb") as file:
        file.truncate(400_000_000_000)


@pytest.mark.parametrize(
    ("write", "number"),
    [(hanging_image, signal.SIGINT), (large_file, signal.SIGINT), (hanging_image, signal.SIGTERM)],
)
def test_interrupt_ends_within_seconds_and_keeps_indexed_files(write, number, tmp_path):
    folder, library = tmp_path / "media", tmp_path / "library"
    for red in range(20):
        draw_image(folder / f"{red}.png", (red, 9, 9))
    failing = REPOSITORY_ROOT / "tests" / "support" / "failing_decoders"
    command = [sys.executable, "-c", "from indexer.cli.main import main; main()", "index", folder]
    write(folder)
    child = subprocess.Popen(
        [*command, "--library", library, "--model", "builtin"],
        env={**os.environ, "PYTHONPATH": f"{failing}:{REPOSITORY_ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (library.exists() and _count(library) >= 16):
        time.sleep(0.2)
    child.send_signal(number)
    started = time.monotonic()
    stderr = child.communicate(timeout=30)[1]
    assert time.monotonic() - started < 4  # 2 s on an idle machine
    assert child.returncode == 128 + number
    assert "Interrupted. Indexed files are kept; `clew index` resumes." in stderr
    assert "Traceback" not in stderr
    assert _count(library) >= 16


def _count(library):
    """Return the number of indexed images."""
    try:
        with Library.open(library) as opened:
            return opened.status().segments.get("image", 0)
    except Exception:  # not yet created
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_ends_with_a_message_and_the_code_of_the_signal(number, clew, folder, tmp_path):
    assert clew("index", folder).exit_code == 0

    def interrupt(*_):
        signal.raise_signal(number)
        raise AssertionError  # the signal ends the statement before

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", interrupt)
        done = clew("backup", tmp_path / "backup.tar")
    assert (done.exit_code, done.stdout, done.stderr) == (128 + number, "", f"{MESSAGE}\n")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not (tmp_path / "backup.tar").exists()


def test_command_that_only_reads_ends_with_130_after_an_interrupt(clew, folder, monkeypatch):
    assert clew("index", folder).exit_code == 0
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    done = clew("search", "red")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("arguments", [["status"], ["search", "red"], ["serach"], ["help", "index"], ["red"]])
def test_interrupt_while_a_command_or_a_model_is_imported_ends_with_130(clew, arguments, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "import_module", interrupt)
    monkeypatch.setattr(group, "_is_word", interrupt)
    done = clew(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize(
    ("arguments", "module", "name"),
    [(["clip", "dog.mp4 @ 00:00.0"], clip, "_move"), (["export"], files, "write_numpy")],
    ids=["clip", "export"],
)
def test_terminated_command_that_writes_for_others_leaves_no_files(
    clew, folder, tmp_path, monkeypatch, arguments, module, name
):
    def interrupt(*_):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError  # the signal ends the statement before

    write_video(folder / "dog.mp4", [("red", 1.0)])
    assert clew("index", folder).exit_code == 0
    (out := tmp_path / "out").mkdir()
    monkeypatch.setattr(module, name, interrupt)
    monkeypatch.chdir(folder)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        done = clew(*arguments, out / ("dog.mp4" if module is clip else "vectors.npy"))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert (done.exit_code, done.stdout, done.stderr) == (143, "", "Interrupted.\n")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("is_alone", [True, False])
def test_search_of_a_server_that_never_answers_ends_at_once(is_alone, library, tmp_path):
    del library  # only its folder is needed
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        places = [f"--library={place}" for place in (address, *[tmp_path / "library"] * (not is_alone))]
        child = subprocess.Popen(
            [sys.executable, "-m", "indexer", "search", "kind:image", *places],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        server.settimeout(30)
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            child.send_signal(signal.SIGINT)
            started = time.monotonic()
            out = child.communicate(timeout=60)
    assert (child.returncode, *out) == (130, "", "Interrupted.\n")
    assert time.monotonic() - started < 10  # the server has 30 s to answer
