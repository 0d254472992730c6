"""Names with line breaks, escape sequences, invalid UTF-8 and the like are the same in every output."""

import csv
import io
import json
import os

import pytest
from starlette.testclient import TestClient

from indexer import IndexOptions, update_library
from retrieval import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from tests.support.files import requires_non_utf8_names
from tests.support.hostile_names import HOSTILE_NAMES, draw_hostile_files
from tests.support.terminal import raw_terminal_output

pytestmark = requires_non_utf8_names
ADDRESS = "http://127.0.0.1:8765"
# Bytes that no terminal may get, apart from line breaks and tabs: C0, DEL, and C1 in UTF-8.
CONTROLS = [
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x200F, 0x202E, 0x2067) if code not in (9, 10)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of images with hostile names, and a library of them next to it."""
    folder = tmp_path_factory.mktemp("hostile") / "images"
    draw_hostile_files(folder)
    report = update_library(
        [folder], library=folder.parent / "library", model="builtin", options=IndexOptions(hidden=True)
    )
    assert (report.added, report.failed, len(set(HOSTILE_NAMES))) == (40, 0, 40)
    return folder


@pytest.fixture
def library(folder, monkeypatch, clew):
    monkeypatch.setenv("CLEW_LIBRARY", str(folder.parent / "library"))
    return folder.parent / "library"


@pytest.fixture
def client(library):
    app = create_app(Library.open(library), ServerOptions())
    with TestClient(app, ADDRESS, client=("127.0.0.1", 50_000)) as client:
        yield client


def names(folder, paths):
    """Return the paths below a folder as bytes, relative to it."""
    return {os.path.relpath(os.fsencode(path), bytes(folder)) for path in paths}


def test_python_api_returns_the_names(folder, library):
    with Library.open(library) as opened:
        hits = opened.search("kind:image", count=100)
        assert names(folder, [hit.path for hit in hits]) == set(HOSTILE_NAMES)
        assert all(opened.details(hit.path).path == hit.path for hit in hits)


def test_paths_separated_by_nul_are_the_names(folder, library, clew):
    done = clew("search", "kind:image", "--count", 100, "-0")
    assert names(folder, done.stdout_bytes.split(b"\0")[:-1]) == set(HOSTILE_NAMES)


@pytest.mark.parametrize("option", ["--json", "--nl"])
def test_json_has_the_names(option, folder, library, clew):
    data = clew("search", "kind:image", "--count", 100, option).stdout_bytes
    hits = json.loads(data) if option == "--json" else list(map(json.loads, data.splitlines()))
    assert names(folder, [hit["path"] for hit in hits]) == set(HOSTILE_NAMES)
    assert not any(control in data.decode("utf-8") for control in CONTROLS)


def test_csv_has_the_names(folder, library, clew):
    text = os.fsdecode(clew("search", "kind:image", "--count", 100, "--csv").stdout_bytes)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert names(folder, [row["path"] for row in rows]) == set(HOSTILE_NAMES)


@pytest.mark.parametrize(
    "option", [None, "--paths", "--json", "--nl", "--csv", "--group", "--why", "--preview"]
)
def test_terminal_gets_no_control_character_of_a_name(option, folder, library):
    options = [] if option is None else [option]
    output = raw_terminal_output(
        ["search", "kind:image", "--count", "100", *options], folder, columns=400, TERM="dumb"
    )
    assert output.count("png") >= (38 if option != "--group" else 10)
    assert "Traceback" not in output
    assert [control for control in CONTROLS if control in output] == []


@pytest.mark.parametrize("command", ["duplicates", "status", "show"])
def test_other_commands_print_no_control_character_of_a_name(command, folder, library):
    with Library.open(library) as opened:
        paths = [hit.path for hit in opened.search("kind:image", count=100)]
    for path in paths[:1] if command != "show" else paths[::5]:
        arguments = [command, "--", path] if command == "show" else [command]
        output = raw_terminal_output(arguments, folder, columns=400, TERM="dumb")
        assert output
        assert [control for control in CONTROLS if control in output] == []


def test_http_api_has_the_names_and_the_media(folder, library, client):
    items = client.get("/api/search", params={"q": "kind:image", "count": 100, "group": False}).json()[
        "items"
    ]
    assert names(folder, [item["path"] for item in items]) == set(HOSTILE_NAMES)
    for item in items:
        path = os.fsencode(item["path"])
        answer = client.get(f"/api/segments/{item['id']}/media")
        with open(path, "rb") as file:
            assert (answer.status_code, answer.content) == (200, file.read())
        header = answer.headers.get("content-disposition", "")
        assert header.isascii() and header.isprintable()


@pytest.mark.parametrize(("form", "end"), [("list", b"\n"), ("null", b"\0")])
def test_exported_list_has_the_names(form, end, folder, library, client):
    items = client.get("/api/search", params={"q": "kind:image", "count": 100, "group": False}).json()[
        "items"
    ]
    answer = client.post("/api/export", json={"ids": [item["id"] for item in items], "format": form})
    expected = {bytes(folder) + b"/" + name + end for name in HOSTILE_NAMES}
    left = answer.content
    for path in sorted(expected, key=len, reverse=True):
        assert left.count(path) == 1
        left = left.replace(path, b"")
    assert left == b""
    if form == "null":
        assert names(folder, answer.content.split(b"\0")[:-1]) == set(HOSTILE_NAMES)


def test_rescan_finds_every_name_unchanged(folder, library):
    report = update_library([folder], library=library, options=IndexOptions(hidden=True))
    assert (report.unchanged, report.added, report.gone) == (40, 0, 0)
