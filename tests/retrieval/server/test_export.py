"""Chosen hits as a list of paths, a captions file, or a ZIP file."""

import json
import os
import zipfile
from datetime import datetime
from io import BytesIO

import pytest

from retrieval.server.routes import export
from tests.support.files import draw_image, write_text


@pytest.fixture
def chosen(client, folder, index):
    """Caption an image, add a file of the same name in a folder, and return the ids of all files by path."""
    write_text(folder / "red.txt", "a red wall")
    draw_image(folder / "inner" / "red.png", "pink")
    index(folder)
    items = client.get("/api/search", params={"count": 1000, "group": False}).json()["items"]
    return {item["path"]: item["id"] for item in items}


def test_list_has_the_path_of_each_file_once(client, folder, chosen):
    ids = [chosen[str(folder / name)] for name in ("red.png", "blue.png", "red.png")]
    answer = client.post("/api/export", json={"ids": ids, "format": "list"})
    assert answer.text == f"{folder / 'red.png'}\n{folder / 'blue.png'}\n"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_captions_are_those_of_the_images(client, folder, chosen):
    answer = client.post("/api/export", json={"ids": list(chosen.values()), "format": "captions"})
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"image": str(folder / "red.png"), "captions": ["a red wall"]}
    ]


def test_zip_has_the_files_with_names_of_their_own_and_tells_what_is_missing(client, folder, chosen):
    (folder / "blue.png").unlink()
    ids = [chosen[str(folder / name)] for name in ("red.png", "inner/red.png", "blue.png")]
    size = client.post("/api/export", json={"ids": ids, "format": "size"}).json()
    assert size == {
        "bytes": sum((folder / name).stat().st_size for name in ("red.png", "inner/red.png")),
        "files": 3,
    }
    answer = client.post("/api/export", json={"ids": ids, "format": "zip"})
    with zipfile.ZipFile(BytesIO(answer.content)) as z:
        assert z.namelist() == ["red.png", "red (2).png", "missing.txt"]
        assert z.read("red.png") == (folder / "red.png").read_bytes()
        assert z.read("red (2).png") == (folder / "inner" / "red.png").read_bytes()
        assert "blue.png" in z.read("missing.txt").decode()


def test_zip_that_is_too_large_is_refused(client, chosen, monkeypatch):
    monkeypatch.setattr(export, "MAX_ZIP_BYTES", 10)
    answer = client.post("/api/export", json={"ids": list(chosen.values()), "format": "zip"})
    assert answer.status_code == 400
    assert "Export the list" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [{}, {"ids": []}, {"ids": [0]}, {"ids": ["x"]}, {"ids": [1], "format": "exe"}, {"ids": [2**63]}]
)
def test_invalid_call_is_refused(client, body):
    assert client.post("/api/export", json=body).status_code == 400


def test_unknown_segments_are_not_found(client):
    assert client.post("/api/export", json={"ids": [10**9]}).status_code == 404


@pytest.mark.parametrize(
    ("modified", "dated"),
    [
        (datetime(2021, 5, 4, 3, 2, 8), (2021, 5, 4, 3, 2, 8)),
        (datetime(1969, 5, 4), (1980, 1, 1, 0, 0, 0)),
        (datetime(2200, 5, 4), (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_files_in_a_zip_have_their_times(client, folder, index, segment_of, modified, dated):
    os.utime(folder / "red.png", (modified.timestamp(),) * 2)
    index(folder)
    answer = client.post("/api/export", json={"ids": [segment_of("red.png")], "format": "zip"})
    with zipfile.ZipFile(BytesIO(answer.content)) as z:
        assert z.getinfo("red.png").date_time == dated
