"""The progress of an index run by another process is part of the status of a library."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from starlette.testclient import TestClient

from indexer import index_folder
from indexer.store.lock import library_lock
from indexer.types import no_progress
from retrieval.catalog.schema import PROGRESS_FILE
from retrieval.catalog.status import read_progress
from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from tests.support.files import draw_image
from tests.support.paused_run import PAUSE_AT
from tests.support.toy_embedder import COLORS, ToyEmbedder


@pytest.fixture
def built(tmp_path):
    """Return a library of one folder, to which files were added afterwards."""
    draw_image(tmp_path / "Pictures" / "first.png", (9, 9, 9))
    index_folder(tmp_path / "Pictures", library=tmp_path / "library", embedder=ToyEmbedder()).close()
    for color in COLORS:
        draw_image(tmp_path / "Pictures" / f"{color}.png", color)
    return tmp_path / "library"


@pytest.fixture
def paused(built):
    """Yield a process that indexes the new files and is paused at the third one."""
    command = [sys.executable, "-m", "tests.support.paused_run", built.parent / "Pictures", built]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "paused\n"
    yield process
    process.kill()
    process.communicate()


def test_server_and_command_show_the_run_of_another_process_until_it_ends(built, paused, clew):
    app = create_app(Library.open(built, embedder=ToyEmbedder()), ServerOptions())
    with TestClient(app, "http://127.0.0.1:8765") as client:
        run = client.get("/api/status").json()["indexing"]
        assert run["title"] == str(built.parent / "Pictures")
        assert (run["done"], run["total"]) == (PAUSE_AT, len(COLORS))
        assert run["rate"] == pytest.approx(PAUSE_AT / 1.1, rel=0.9)
        assert run["seconds_left"] == pytest.approx((len(COLORS) - PAUSE_AT) / run["rate"], rel=0.1)
        shown = clew("status", "--library", built).output
        assert f"Indexing {built.parent / 'Pictures'}: 3 of 7, 00:0" in shown
        paused.communicate("\n", timeout=60)
        assert paused.returncode == 0
        assert client.get("/api/status").json()["indexing"] is None
        assert client.get("/api/search", params={"q": "red"}).json()["items"][0]["name"] == "red.png"
    assert "Indexing" not in clew("status", "--library", built).output


def test_run_that_was_killed_is_not_shown(built, paused):
    with Library.open(built, embedder=ToyEmbedder()) as library:
        assert library.status().indexing is not None
        paused.send_signal(signal.SIGKILL)
        paused.wait(30)
        assert (built / PROGRESS_FILE).exists()
        assert library.status().indexing is None


def write_progress(folder, age=0, **values):
    run = {"process": os.getpid(), "machine": socket.gethostname(), "time": time.time() - age}
    run |= {"title": "Pictures", "done": 10, "total": 40, "seconds": 5.0} | values
    (folder / PROGRESS_FILE).write_text(json.dumps(run))


def test_rate_and_remaining_time_follow_from_the_counts(tmp_path):
    write_progress(tmp_path)
    run = read_progress(tmp_path)
    assert (run.title, run.done, run.total, run.rate, run.seconds_left) == ("Pictures", 10, 40, 2.0, 15.0)


def test_folder_whose_files_are_counted_has_no_remaining_time(tmp_path):
    write_progress(tmp_path, total=0)
    run = read_progress(tmp_path)
    assert (run.done, run.total, run.seconds_left) == (10, 0, None)


@pytest.mark.parametrize(
    ("values", "is_shown"),
    [
        ({"machine": "another"}, True),
        ({"machine": "another", "age": 600}, False),
        ({"age": 600}, True),
        ({"age": 7_200}, False),
        ({"process": 0}, False),
        ({"process": -1}, False),
        ({"process": 2**30}, False),
        ({"process": 2**70}, False),
        ({"process": "x"}, False),
        ({"done": None}, False),
        ({"seconds": 0}, True),
    ],
    ids=str,
)
def test_progress_of_a_run_that_is_over_is_not_shown(tmp_path, values, is_shown):
    write_progress(tmp_path, **values)
    assert (read_progress(tmp_path) is not None) == is_shown


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"process": 1}', "\0"])
def test_damaged_file_is_no_progress(tmp_path, text):
    (tmp_path / PROGRESS_FILE).write_text(text)
    assert read_progress(tmp_path) is None


def test_progress_is_written_at_most_once_a_second_and_deleted(tmp_path):
    tmp_path.joinpath(PROGRESS_FILE).write_text("of a run that was killed")
    with library_lock(tmp_path) as file:
        assert not (tmp_path / PROGRESS_FILE).exists()
        report = file.shared(no_progress)
        for done in range(1_000):
            report("Pictures", done, 1_000)
        assert read_progress(tmp_path).done == 0
        time.sleep(1.1)
        report("Pictures", 1_000, 1_000)
        assert read_progress(tmp_path).done == 1_000
    assert {path.name for path in tmp_path.iterdir()} <= {"writer.lock"}


def test_folder_that_cannot_be_written_does_not_end_the_run(tmp_path):
    (tmp_path / "library").mkdir()
    with library_lock(tmp_path / "library") as file:
        (tmp_path / "library" / f"{PROGRESS_FILE}.new").mkdir()
        file.shared(no_progress)("Pictures", 1, 2)
        (tmp_path / "library" / f"{PROGRESS_FILE}.new").rmdir()
    assert read_progress(tmp_path / "library") is None
