"""Ctrl-C ends `clew index` within seconds, keeps what was indexed and says how to go on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from retrieval import Library
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image


def hanging_image(folder):
    """Write an image whose decoder never answers."""
    draw_image(folder / "hanging.png")
    with (folder / "hanging.png").open("ab") as file:
        file.write(b"fail:sleep")


def large_file(folder):
    """Write a file that takes minutes to hash."""
    with (folder / "large.mp4").open("wb") as file:
        file.truncate(400_000_000_000)


@pytest.mark.parametrize("write", [hanging_image, large_file])
def test_interrupt_ends_within_seconds_and_keeps_indexed_files(write, tmp_path):
    folder, library = tmp_path / "media", tmp_path / "library"
    for number in range(20):
        draw_image(folder / f"{number}.png", (number, 9, 9))
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
    child.send_signal(signal.SIGINT)
    started = time.monotonic()
    stderr = child.communicate(timeout=30)[1]
    assert time.monotonic() - started < 4  # 2 s on an idle machine
    assert child.returncode == 130
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
