"""Tests of downloads from a local server in place of the hub."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from open_clip.tokenizer import HFTokenizer

from indexer.models.checkpoint import find_checkpoint, load_tokenizer
from retrieval.embedders.model_name import parse_model_name
from tests.support.files import draw_image
from tests.support.model_checkpoints import (
    SMALL_ARCHITECTURES,
    make_checkpoint,
    make_tokenizer,
    register_architectures,
)

INDEX_WITH_RECOMMENDED_MODEL = """
import json, sys, time
from huggingface_hub import HfApi  # its import does not wait for the hub
from indexer import update_library
from indexer.models import hub, resolve
from retrieval import Library

resolve.RECOMMENDED_MODEL, resolve._RECOMMENDED_REPO = "hf-hub:someone/small", "someone/small"
messages, seconds, list_files = [], [], hub.list_files

def measure(repo):
    start = time.monotonic()
    try:
        return list_files(repo)
    finally:
        seconds.append(time.monotonic() - start)

hub.list_files = measure
update_library([sys.argv[1]], library=sys.argv[2], notify=messages.append)
with Library.open(sys.argv[2]) as library:
    print(json.dumps({"space": library.status().space.name, "messages": messages, "seconds": seconds,
                      "hits": len(library.search("a dog"))}))
"""
OFFLINE_NOTE = "Using the built-in model (offline). Better: `clew switch auto` when online."
FETCH_CLAP = """
import sys
from indexer.enrich.clap import _hub_model_folder
print(_hub_model_folder(sys.argv[1], lambda message: print(message, file=sys.stderr)))
"""
FETCH_WHISPER = """
import sys
from indexer.enrich.whisper import _hub_folder, _hub_model
print(_hub_folder(_hub_model(sys.argv[1]), lambda message: print(message, file=sys.stderr)))
"""
FETCH_TOKENIZER = """
import sys
from pathlib import Path
from indexer.models.checkpoint import Checkpoint, load_tokenizer
from retrieval.embedders.model_name import parse_model_name

config = {"model_cfg": {"text_cfg": {"hf_tokenizer_name": sys.argv[1]}}}
load_tokenizer(Checkpoint(parse_model_name("hf-hub:someone/small"), config, Path("unused")), print)
"""
COMMAND = "import sys; from indexer.cli.main import main; main(sys.argv[1:])"

CLAP = {
    **dict.fromkeys(("config.json", "preprocessor_config.json", "vocab.json", "merges.txt"), b"{}"),
    "pytorch_model.bin": b"weights",
}
WHISPER = {
    **dict.fromkeys(("config.json", "tokenizer.json", "vocabulary.txt"), b"{}"),
    "model.bin": bytes(12_000_000),
}
NOT_NEEDED = {"README.md": b"Read me.", "onnx/tokenizer.json": b"{}"}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """Return the files of each repository, name -> content."""
    folder = tmp_path_factory.mktemp("repository")
    register_architectures(folder)
    weights = make_checkpoint("small-vit", folder / "weights", seed=21)
    model = SMALL_ARCHITECTURES["small-vit"]
    model = {**model, "text_cfg": {**model["text_cfg"], "hf_tokenizer_name": "someone/tokenizer"}}
    config = {"model_cfg": model, "preprocess_cfg": {"resize_mode": "squash"}}
    (folder / "tokenizer").mkdir()
    make_tokenizer(folder / "tokenizer", lower=False)
    return {
        "someone/small": {
            "open_clip_config.json": json.dumps(config).encode(),
            "open_clip_model.safetensors": weights.read_bytes(),
        },
        "someone/clap": CLAP,
        "someone/whisper": WHISPER,
        "someone/tokenizer": {file.name: file.read_bytes() for file in (folder / "tokenizer").iterdir()},
    }


class LoopbackHub:
    """A server with the part of the hub's API that downloads use, which records the requests."""

    def __init__(self, repositories):
        self.repositories = repositories
        self.requests = []  # (method, path)
        self.cut_after = None  # bytes after which the next large answer breaks off
        self.ranges = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.answer(self, with_body=False)

            def do_GET(self):
                hub.answer(self, with_body=True)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler, *, with_body):
        path = handler.path.partition("?")[0].strip("/")
        self.requests.append((handler.command, path))
        if path.startswith("api/models/"):
            repo, name = path.removeprefix("api/models/"), None
        else:
            repo, _, name = path.partition("/resolve/main/")
        files = self.repositories.get(repo)
        if files is None or (name is not None and name not in files):
            handler.send_response(404)
            handler.send_header("X-Error-Code", "RepoNotFound" if files is None else "EntryNotFound")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        data = self.listing(repo) if name is None else files[name]
        etag, size, status = hashlib.sha256(data).hexdigest(), len(data), 200
        if "Range" in handler.headers and with_body:
            start = int(re.fullmatch(r"bytes=(\d+)-.*", handler.headers["Range"])[1])
            self.ranges.append(start)
            data, status = data[start:], 206
            handler_range = f"bytes {start}-{size - 1}/{size}"
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", handler_range)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", f'"{etag}"')
        handler.send_header("X-Repo-Commit", "0" * 40)
        handler.end_headers()
        if with_body and self.cut_after is not None and len(data) > self.cut_after:
            handler.wfile.write(data[: self.cut_after])
            self.cut_after = None
            handler.close_connection = True
        elif with_body:
            handler.wfile.write(data)

    def listing(self, repo):
        files = {**self.repositories[repo], **NOT_NEEDED}
        siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
        return json.dumps({"id": repo, "sha": "0" * 40, "siblings": siblings}).encode()

    def downloaded(self):
        return [
            path.partition("/resolve/main/")[2]
            for method, path in self.requests
            if method == "GET" and not path.startswith("api/")
        ]


@pytest.fixture
def hub(repositories):
    hub = LoopbackHub(repositories)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


def run(code, *arguments, endpoint, home, offline=False):
    """Run code in a new process with this hub and an empty cache in `home`."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf")}
    environment |= {"XDG_CACHE_HOME": str(home / "cache"), "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HUB_OFFLINE"] = "1" if offline else "0"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def test_open_clip_model_is_downloaded_once_with_its_tokenizer_and_then_works_offline(
    hub, tmp_path, monkeypatch
):
    where = {"endpoint": hub.endpoint, "home": tmp_path}
    done = run(COMMAND, "prepare", "hf-hub:someone/small", **where)
    assert done.returncode == 0, done.stderr
    assert "48 dimensions, 64 x 64 pixels" in done.stdout
    assert hub.downloaded()[:2] == ["open_clip_config.json", "open_clip_model.safetensors"]
    assert sorted(hub.downloaded()[2:]) == ["tokenizer.json", "tokenizer_config.json"]
    assert re.search(r"Downloading someone/small \(13\.\d MB\)", done.stderr)
    hub.requests.clear()
    draw_image(tmp_path / "pictures" / "red.png", "red")
    library = tmp_path / "library"
    options = ["--library", library, "--model", "hf-hub:someone/small"]
    done = run(COMMAND, "index", tmp_path / "pictures", *options, **where, offline=True)
    assert done.returncode == 0, done.stderr
    done = run(COMMAND, "a dog", "--all", "--library", library, **where, offline=True)
    assert done.stdout.count("\n") == 1
    assert hub.requests == []
    assert "prepared" in run(COMMAND, "models", "someone", **where, offline=True).stdout
    # This process is offline. It loads from the cache what another preparation would need.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    checkpoint = find_checkpoint(parse_model_name("hf-hub:someone/small"), pytest.fail)
    for name, data in hub.repositories["someone/tokenizer"].items():
        (tmp_path / name).write_bytes(data)
    expected = HFTokenizer(str(tmp_path), context_length=77)(["a photo of a dog"])
    assert load_tokenizer(checkpoint, pytest.fail)(["a photo of a dog"]).tolist() == expected.tolist()


@pytest.mark.large
def test_recommended_model_is_downloaded_for_a_new_library(hub, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    folders = tmp_path / "pictures", tmp_path / "library"
    done = run(INDEX_WITH_RECOMMENDED_MODEL, *folders, endpoint=hub.endpoint, home=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["space"], result["hits"]) == ("hf-hub:someone/small", 1)
    assert any("MB" in message for message in result["messages"])


def test_missing_repository_is_an_error_that_names_it(hub, tmp_path):
    done = run(COMMAND, "prepare", "hf-hub:someone/else", endpoint=hub.endpoint, home=tmp_path)
    assert done.returncode == 2
    assert "someone/else" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file_is_an_error_that_names_it(hub, tmp_path):
    done = run(COMMAND, "prepare", "hf-hub:someone/clap", endpoint=hub.endpoint, home=tmp_path)
    assert done.returncode == 2
    assert "someone/clap contains no open_clip_config.json" in done.stderr
    assert hub.downloaded() == []


@pytest.mark.parametrize("failure", ["refused", "silent", "offline"])
def test_unreachable_hub_costs_at_most_three_seconds(failure, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    folders = tmp_path / "pictures", tmp_path / "library"
    with socket.socket() as server:  # accepts connections at most
        server.bind(("127.0.0.1", 0))
        if failure == "silent":
            server.listen()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        start = time.monotonic()
        done = run(
            INDEX_WITH_RECOMMENDED_MODEL,
            *folders,
            endpoint=endpoint,
            home=tmp_path,
            offline=failure == "offline",
        )
        assert time.monotonic() - start < 60
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["space"] == "builtin"
    assert result["messages"] == [OFFLINE_NOTE]
    named = run(
        COMMAND,
        *("prepare", "hf-hub:someone/small"),
        endpoint=endpoint,
        home=tmp_path,
        offline=failure == "offline",
    )
    assert ("HF_HUB_OFFLINE is set." in named.stderr) == (failure == "offline")
    assert (f"{endpoint} " in named.stderr) == (failure != "offline")
    (seconds,) = result["seconds"]  # the hub is tried once
    assert seconds < 3 + 1


def test_note_on_a_missing_recommended_model_names_the_answer_of_the_hub(hub, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    folders = tmp_path / "pictures", tmp_path / "library"
    code = INDEX_WITH_RECOMMENDED_MODEL.replace("someone/small", "someone/else")
    done = run(code, *folders, endpoint=hub.endpoint, home=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["space"] == "builtin"
    (message,) = result["messages"]
    assert f"Using the built-in model ({hub.endpoint} reports 404" in message


@pytest.mark.parametrize(
    ("code", "repo", "files"),
    [(FETCH_CLAP, "someone/clap", CLAP), (FETCH_WHISPER, "someone/whisper", WHISPER)],
)
def test_audio_model_is_downloaded_once_and_then_works_offline(code, repo, files, hub, tmp_path):
    done = run(code, repo, endpoint=hub.endpoint, home=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    assert hub.downloaded()[-1] == max(files, key=lambda name: len(files[name]))  # the weights come last
    note = "Downloading someone/whisper (12.0 MB) ...\n" if files is WHISPER else ""  # CLAP's is tiny here
    assert done.stderr == note
    hub.requests.clear()
    again = run(code, repo, endpoint=hub.endpoint, home=tmp_path, offline=True)
    assert (again.stdout, again.stderr, hub.requests) == (done.stdout, "", [])


@pytest.mark.parametrize(("code", "kind"), [(FETCH_CLAP, "sound"), (FETCH_WHISPER, "speech")])
def test_missing_audio_model_is_an_error_that_names_it(code, kind, hub, tmp_path):
    done = run(code, "nobody/model", endpoint=hub.endpoint, home=tmp_path)
    assert f"The {kind} model nobody/model cannot be used: {hub.endpoint} reports 404" in done.stderr


def test_missing_tokenizer_is_an_error_that_names_it(hub, tmp_path):
    missing = run(FETCH_TOKENIZER, "nobody/tokenizer", endpoint=hub.endpoint, home=tmp_path)
    assert "The tokenizer nobody/tokenizer cannot be used" in missing.stderr
    assert "`clew prepare hf-hub:someone/small`" in missing.stderr


def test_repository_is_listed_once_before_a_download(hub, tmp_path):
    run(FETCH_WHISPER, "someone/whisper", endpoint=hub.endpoint, home=tmp_path)
    assert hub.requests.count(("GET", "api/models/someone/whisper")) == 1


def test_interrupted_download_is_resumed(hub, tmp_path):
    hub.cut_after = 11_000_000  # huggingface_hub writes chunks of 10 MB
    done = run(FETCH_WHISPER, "someone/whisper", endpoint=hub.endpoint, home=tmp_path)
    if done.returncode:  # the connection was lost for good; the next run continues
        done = run(FETCH_WHISPER, "someone/whisper", endpoint=hub.endpoint, home=tmp_path)
    assert (Path(done.stdout.strip()) / "model.bin").read_bytes() == WHISPER["model.bin"]
    assert hub.ranges
    assert min(hub.ranges) > 0


def test_names_of_speech_models_are_those_of_faster_whisper():
    from faster_whisper.utils import _MODELS

    from indexer.enrich.whisper import REPOSITORIES

    assert REPOSITORIES == _MODELS
