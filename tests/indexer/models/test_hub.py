"""Weights come from a hub, here one of our own on loopback; without one, that is known within seconds."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.files import draw_image
from tests.support.model_checkpoints import SMALL_ARCHITECTURES, make_checkpoint, register_architectures

HUB = """
import json, sys
from indexer import update_library
from indexer.models import resolve
resolve.RECOMMENDED_MODEL, resolve._RECOMMENDED_REPO = "hf-hub:someone/small", "someone/small"
said = []
begun = __import__("time").monotonic()
update_library([sys.argv[1]], library=sys.argv[2], notify=said.append)
took = __import__("time").monotonic() - begun
from retrieval import Library
with Library.open(sys.argv[2]) as library:
    print(json.dumps({"space": library.status().space.name, "said": said, "seconds": took,
                      "hits": len(library.search("a dog"))}))
"""

CLAP = dict.fromkeys(
    ("config.json", "preprocessor_config.json", "vocab.json", "merges.txt", "pytorch_model.bin"), b"{}"
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Return the files of a repository: settings and weights."""
    place = tmp_path_factory.mktemp("repository")
    register_architectures(place)
    weights = make_checkpoint("small-vit", place / "weights", seed=21)
    config = {"model_cfg": SMALL_ARCHITECTURES["small-vit"], "preprocess_cfg": {"resize_mode": "squash"}}
    return {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_model.safetensors": weights.read_bytes(),
    }


@pytest.fixture
def hub(repository):
    """Serve the repository someone/small as the hub does, and note what was asked for."""
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, *, body):
            asked.append((self.command, self.path))
            repo, _, name = self.path.strip("/").partition("/resolve/main/")
            data = {"someone/small": repository, "someone/clap": CLAP}.get(repo, {}).get(name)
            if data is None:
                self.send_response(404)
                self.send_header(
                    "X-Error-Code", "EntryNotFound" if repo.startswith("someone/") else "RepoNotFound"
                )
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def run(*command, endpoint, home, **more):
    """Run a process that asks this hub."""
    surroundings = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), **more}
    surroundings |= {"XDG_CACHE_HOME": str(home / "cache"), "HF_HUB_DISABLE_XET": "1"}
    if not more:
        surroundings.pop("HF_HUB_OFFLINE")
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=surroundings
    )


CLEW = ("-c", "import sys; from indexer.cli.main import main; main(sys.argv[1:])")


def test_a_model_of_the_hub_is_fetched_once_and_then_needs_no_hub(hub, tmp_path):
    endpoint, asked = hub
    done = run(*CLEW, "prepare", "hf-hub:someone/small", endpoint=endpoint, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "48 dimensions, 64 x 64 pixels" in done.stdout
    assert ("GET", "/someone/small/resolve/main/open_clip_model.safetensors") in asked
    assert "Downloading someone/small/open_clip_model.safetensors, 13." in done.stderr
    asked.clear()
    draw_image(tmp_path / "pictures" / "red.png", "red")
    library = tmp_path / "library"
    done = run(
        *CLEW, "index", tmp_path / "pictures", "--library", library, "--model", "hf-hub:someone/small",
        endpoint=endpoint, home=tmp_path, HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ask = ["a dog", "--all", "--library", library]
    done = run(*CLEW, *ask, endpoint=endpoint, home=tmp_path, HF_HUB_OFFLINE="1")
    assert done.stdout.count("\n") == 1
    assert asked == []
    listed = run(*CLEW, "models", "someone", endpoint=endpoint, home=tmp_path, HF_HUB_OFFLINE="1")
    assert "prepared" in listed.stdout


@pytest.mark.large
def test_auto_takes_the_recommended_model_where_the_hub_has_it(hub, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    done = run("-c", HUB, tmp_path / "pictures", tmp_path / "library", endpoint=hub[0], home=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["space"], found["hits"]) == ("hf-hub:someone/small", 1)
    assert any("MB" in line for line in found["said"])


def test_what_the_hub_lacks_is_said_with_its_name(hub, tmp_path):
    done = run(*CLEW, "prepare", "hf-hub:someone/else", endpoint=hub[0], home=tmp_path)
    assert done.returncode == 2
    assert "someone/else" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("way", ["refused", "silent", "offline"])
def test_a_hub_that_is_not_there_costs_three_seconds(way, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    with socket.socket() as quiet:  # takes calls and says nothing
        quiet.bind(("127.0.0.1", 0))
        if way == "silent":
            quiet.listen()
        endpoint = f"http://127.0.0.1:{quiet.getsockname()[1]}"
        more = {"HF_HUB_OFFLINE": "1"} if way == "offline" else {}
        begun = time.monotonic()
        done = run(
            "-c", HUB, tmp_path / "pictures", tmp_path / "library", endpoint=endpoint, home=tmp_path, **more
        )
        assert time.monotonic() - begun < 60
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["space"] == "builtin"
    (line,) = found["said"]
    assert "clew switch hf-hub:someone/small" in line
    assert ("HF_HUB_OFFLINE" in line) == (way == "offline")
    assert found["seconds"] < 3 + 3  # and the indexing itself


def test_a_sound_model_of_the_hub_is_fetched_once_and_says_nothing(hub, tmp_path):
    endpoint, asked = hub
    fetch = (
        "import sys; from indexer.enrich.clap import _hub_model_folder; print(_hub_model_folder(sys.argv[1]))"
    )
    done = run("-c", fetch, "someone/clap", endpoint=endpoint, home=tmp_path)
    assert done.stderr == ""
    folder = Path(done.stdout.strip())
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == CLAP
    asked.clear()
    again = run("-c", fetch, "someone/clap", endpoint=endpoint, home=tmp_path, HF_HUB_OFFLINE="1")
    assert (again.stdout, asked) == (done.stdout, [])
    lacking = run("-c", fetch, "nobody/clap", endpoint=endpoint, home=tmp_path)
    assert f"The sound model nobody/clap cannot be used: {endpoint} says 404" in lacking.stderr
