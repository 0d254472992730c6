"""Tests that commands send nothing: no process that clew starts reaches an address outside this machine."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.audio_files import write_audio
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text

CLEW = (sys.executable, "-c", "from indexer.cli.main import main; main()")
INTERRUPTED = 130
# onnxruntime sends its first report 11.5 seconds after it starts
FOR_A_WHILE = ("timeout", "--preserve-status", "--signal=INT", "14")
# Starts a server, reads from it and ends it.
SERVE = """
import re, signal, subprocess, sys, urllib.request
command = [sys.executable, "-c", "from indexer.cli.main import main; main()", "serve", "--port", "0"]
process = subprocess.Popen([*command, "--no-open", *sys.argv[1:]], stderr=subprocess.PIPE, text=True)
address = re.search(r"http://\\S+/", process.stderr.readline())[0]
for path in ("api/search?q=red", "api/timeline", "api/facets", "api/status", "docs", "metrics"):
    urllib.request.urlopen(address + path).read()
process.send_signal(signal.SIGTERM)
assert process.wait(30) == 0
"""
ADDRESS = re.compile(r'(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"')


def contacted(trace: Path) -> set[str]:
    """Return the addresses outside this machine that traced processes connect or send to."""
    calls = [line for line in trace.read_text(errors="replace").splitlines() if "AF_INET" in line]
    return {
        address
        for line in calls
        for address in ADDRESS.findall(line)
        if not address.startswith("127.") and address != "::1"
    }


@pytest.fixture
def strace(tmp_path):
    """Return a function that runs a command under strace and returns the addresses that it contacts."""
    program = shutil.which("strace")
    if not program:
        pytest.skip("needs strace")
    if subprocess.run([program, "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("needs the permission to trace processes")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "HF_", "XDG_"))
    }

    def run(*command: str | Path) -> set[str]:
        trace = Path(tempfile.mkdtemp(dir=tmp_path)) / "trace"
        traced = [program, "-f", "--seccomp-bpf", "-e", "trace=network", "-o", trace, *command]
        process = subprocess.run(
            traced, env=environment | {"HOME": str(home)}, capture_output=True, timeout=300
        )
        assert process.returncode in (0, INTERRUPTED), process.stderr.decode()
        assert not (home / ".cache" / "Microsoft").exists(), "onnxruntime has queued a report"
        return contacted(trace)

    return run


@pytest.fixture
def media(tmp_path) -> Path:
    """Return a folder with a file of each kind."""
    folder = tmp_path / "media"
    for color in ("red", "green", "blue"):
        draw_image(folder / f"{color}.png", color, size=(96, 64))
    write_text(folder / "note.txt", "a red thing\n")
    (folder / "page.pdf").write_bytes(pdf([("red", "a page")]))
    write_audio(folder / "video.mp4")
    write_audio(folder / "tone.wav")
    return folder


def test_trace_shows_an_address_that_is_contacted(strace):
    send = "__import__('socket').socket(type=2).sendto(b'x', ('192.0.2.1', 9))"
    assert "192.0.2.1" in strace(sys.executable, "-c", f"try: {send}\nexcept OSError: pass")


def test_commands_and_server_open_no_connections(strace, media, tmp_path):
    options = ("--library", tmp_path / "library")
    assert not strace(*CLEW, "index", media, "--model", "builtin", "--tiles", "--ocr", *options)
    with ThreadPoolExecutor() as executor:  # the others run while it waits
        watch = executor.submit(strace, *FOR_A_WHILE, *CLEW, "watch", *options)
        assert not strace(*CLEW, "search", "a red thing", *options)
        assert not strace(*CLEW, "similar", media / "red.png", *options)
        assert not strace(*CLEW, "tag", "red", "blue", *options)
        assert not strace(*CLEW, "status", *options)
        assert not strace(sys.executable, "-c", SERVE, *options)
        assert not watch.result()


def test_indexing_with_a_checkpoint_opens_no_connections(strace, media, tmp_path):
    code = f"""
from pathlib import Path
from tests.support.model_checkpoints import make_checkpoint, register_architectures
folder = Path({str(tmp_path)!r}) / "architectures"
folder.mkdir()
register_architectures(folder)
checkpoint = make_checkpoint("small-vit", folder / "weights")
from indexer import IndexOptions, update_library
options = IndexOptions(arch="small-vit")
library = {str(tmp_path / "library")!r}
update_library([{str(media)!r}], library=library, model=str(checkpoint), options=options)
"""
    assert not strace(sys.executable, "-c", code)
    assert not strace(*CLEW, "search", "a red thing", "--library", tmp_path / "library")


def test_python_users_have_no_reports_either():
    code = "import os, retrieval; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.stdout == "1\n"
