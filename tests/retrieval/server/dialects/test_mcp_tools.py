"""Agents search through MCP: in the process, through HTTP, and with clients of both protocols."""

import asyncio
import base64
import io
import json
import os
from contextlib import contextmanager
from threading import current_thread

import numpy as np
import pytest
from mcp.client.client import Client
from PIL import Image

from retrieval.library import Library
from retrieval.server.cursors import Cursors
from retrieval.server.dialects import agent_answers as answers
from retrieval.server.dialects.contact_sheet import contact_sheet
from retrieval.server.dialects.mcp_tools import create_mcp_server
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from retrieval.server.routes.search import Services
from retrieval.server.worker import Worker
from tests.support.document_files import pdf
from tests.support.files import draw_image
from tests.support.interpreter import imported_modules
from tests.support.metadata_files import exif, gps, jpeg, write_file
from tests.support.toy_embedder import COLORS, ToyEmbedder

TOOLS = {"search", "look", "similar", "facets", "details", "status"}
MODES = ("legacy", "auto", "2026-07-28")


@contextmanager
def mcp_server(library):
    worker, pictures = Worker(Library.open(library, embedder=ToyEmbedder()), ServerOptions()), Pictures(1)
    yield create_mcp_server(Services(worker, Cursors(10), pictures))
    worker.close()
    pictures.close()


@pytest.fixture
def server(library, place):
    with mcp_server(place) as server:
        yield server


@pytest.fixture
def call(server):
    """Return a function that calls a tool and returns its content."""
    return caller(server)


@pytest.fixture(scope="module")
def shared_call(shared_library):
    """Return a function that calls a tool of a server of the shared library."""
    with mcp_server(shared_library) as server:
        yield caller(server)


def caller(server):
    def run(tool: str, **arguments):
        async def main():
            async with Client(server) as client:
                return await client.call_tool(tool, arguments)

        return asyncio.run(main())

    return run


def hits_of(result) -> list[dict]:
    assert not result.is_error, result.content
    return result.structured_content["hits"]


def picture_of(result) -> Image.Image:
    [_, content] = result.content
    assert content.mime_type == "image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


def id_of(call, name: str) -> int:
    [found] = [hit for hit in hits_of(call("search", query="kind:image", k=100)) if name in hit["path"]]
    return found["id"]


@pytest.mark.parametrize("mode", MODES)
def test_six_tools_only_read_and_have_parameters(server, mode):
    async def main():
        async with Client(server, mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == TOOLS
            for tool in tools:
                assert tool.annotations.read_only_hint is True
                assert tool.annotations.destructive_hint is False
                assert tool.description
                assert tool.input_schema["properties"]
            found = await client.call_tool("search", {"query": "red", "k": 1})
            assert found.structured_content["hits"][0]["path"].endswith("red.png")

    asyncio.run(main())


@pytest.mark.parametrize("mode", MODES)
def test_server_has_the_tools_at_its_address(address, mode):
    async def main():
        async with Client(f"{address}/mcp", mode=mode) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            found = await client.call_tool("search", {"query": "red", "k": 1})
            assert found.structured_content["hits"][0]["path"].endswith("red.png")

    asyncio.run(main())


def test_other_sites_cannot_call_tools(client):
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    assert client.post("/mcp", json=call, headers=accept | {"Origin": "https://a.org"}).status_code == 403
    assert client.post("/mcp", json=call, headers=accept | {"Host": "a.org"}).status_code == 403


def test_hits_are_those_of_a_search_in_python(call, library):
    hits = hits_of(call("search", query="red", k=3))
    assert [hit["id"] for hit in hits] == [hit.id for hit in library.search("red", count=3)]
    assert hits[0]["kind"] == "image"
    assert hits[0]["time"]


def test_cursor_continues_a_list(call):
    first = call("search", query="red", k=3)
    second = call("search", query="red", k=100, cursor=first.structured_content["cursor"])
    ids = [hit["id"] for hit in [*hits_of(first), *hits_of(second)]]
    assert len(set(ids)) == len(ids) == len(COLORS)
    assert "cursor" not in second.structured_content


def test_filters_that_were_applied_are_returned(call):
    assert call("search", query="red kind:image").structured_content["filters"] == {"kinds": ["image"]}


def test_place_of_a_photo_is_returned(index, call, folder):
    write_file(folder / "here.jpg", jpeg(exif=exif(gps=gps(52.5, 13.4))))
    index(folder)
    [hit] = [each for each in hits_of(call("search", query="kind:image", k=100)) if "here" in each["path"]]
    assert hit["place"] == pytest.approx([52.5, 13.4], abs=0.01)


def test_similar_leaves_out_the_hit_itself(call):
    red = id_of(call, "red")
    assert red not in [hit["id"] for hit in hits_of(call("similar", id=red, k=100))]


def test_single_picture_is_shown_large(index, call, tmp_path):
    draw_image(tmp_path / "large" / "large.png", "red", size=(1_600, 800))
    index(tmp_path / "large")
    with picture_of(call("look", ids=[id_of(call, "large")])) as picture:
        assert picture.size == (1_024, 512)


def test_several_pictures_are_one_sheet(call):
    colors = ["red", "blue", "green", "cyan"]
    ids = [id_of(call, color) for color in colors]
    result = call("look", ids=ids)
    assert result.content[0].text == f"In reading order: {' '.join(f'#{id_}' for id_ in ids)}."
    with picture_of(result) as sheet:
        width, height = sheet.width // 2, sheet.height // 2
        for place, color in enumerate(colors):
            at = (place % 2 * width + width // 2, place // 2 * height + height // 2)
            assert sheet.getpixel(at) == pytest.approx(COLORS[color], abs=12)


def test_page_of_a_document_is_shown_large(index, call, tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.pdf").write_bytes(pdf([("red", "first"), ("blue", "second")]))
    index(tmp_path / "papers")
    pages = {hit["page"]: hit["id"] for hit in hits_of(call("search", query="kind:page", k=100))}
    number, id_ = pages.popitem()
    with picture_of(call("look", ids=[id_])) as picture:
        assert max(picture.size) == 1_024
        assert picture.getpixel((9, 9)) == pytest.approx(COLORS["red" if number == 1 else "blue"], abs=12)


@pytest.mark.parametrize("is_detailed", [False, True])
def test_sheet_of_thirty_pictures_keeps_their_size_and_is_small_enough_for_clients(is_detailed):
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 255, (320, 320, 3) if is_detailed else (20, 20, 3), dtype=np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).resize((320, 320), Image.Resampling.NEAREST).save(stored, "WEBP", lossless=True)
    jpeg = contact_sheet([(f"#{number}", stored.getvalue()) for number in range(1, 31)])
    assert len(base64.b64encode(jpeg)) < 1_000_000
    with Image.open(io.BytesIO(jpeg)) as sheet:
        assert sheet.size == (6 * 324, 5 * 350)
        reduced = sheet.convert("L").resize((sheet.width // 2, sheet.height // 2))
        label = reduced.crop((0, 0, 40, 12)).getextrema()
        assert label[1] - label[0] > 120  # the number is still bright on its dark ground
        if not is_detailed:
            original = Image.fromarray(pixels).resize((320, 320), Image.Resampling.NEAREST)
            shown = np.asarray(sheet.crop((2, 28, 322, 348)), np.int16)
            assert np.abs(shown - np.asarray(original, np.int16)).mean() < 12


def test_changed_file_is_shown_by_its_thumbnail(call, folder):
    red = id_of(call, "red")
    (folder / "red.png").write_bytes(b"no picture")
    result = call("look", ids=[red])
    assert "has changed" in result.content[0].text
    with picture_of(result) as picture:
        assert picture.getpixel((picture.width // 4, picture.height // 2))[0] > 200


def test_details_facets_and_status_count_and_describe(call, folder):
    found = call("details", id=id_of(call, "red")).structured_content
    assert found["path"] == str(folder / "red.png")
    assert found["width"]
    assert call("facets").structured_content["kinds"] == {"image": len(COLORS)}
    assert call("facets", query="date:1990").structured_content.get("kinds", {}) == {}
    status = call("status").structured_content
    assert status["segments"]["image"] == len(COLORS)
    assert status["folders"][0]["path"] == str(folder)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {"query": ""}),
        ("search", {"query": 'red "sea'}),
        ("search", {"query": "file:/etc/passwd"}),
        ("search", {"query": "https://example.org/x.png"}),
        ("search", {"query": "red", "k": 0}),
        ("search", {"query": "red", "cursor": "none"}),
        ("search", {}),
        ("look", {"ids": []}),
        ("look", {"ids": [10**9]}),
        ("look", {"ids": list(range(1, 40))}),
        ("similar", {"id": 10**9}),
        ("details", {"id": 10**9}),
        ("details", {"id": -1}),
        ("status", {"failures": -1}),
    ],
    ids=str,
)
def test_invalid_call_has_an_error_without_a_traceback(shared_call, tool, arguments):
    result = shared_call(tool, **arguments)
    if tool == "search" and arguments == {"query": ""}:  # every file, newest first
        assert len(hits_of(result)) == len(COLORS)
        return
    assert result.is_error
    assert "Traceback" not in result.content[0].text


def test_names_that_are_not_utf8_do_not_fail(index, call, folder):
    os.rename(os.fsencode(folder / "red.png"), os.fsencode(folder) + b"/red\xff.png")
    index(folder)
    assert "red" in hits_of(call("search", query="red", k=1))[0]["path"]
    assert json.dumps(call("details", id=id_of(call, "red")).structured_content)


def test_server_starts_without_the_library_of_mcp():
    assert "mcp" not in imported_modules("from retrieval.server.app import create_app")


def test_address_does_not_exist_without_the_extra(library, serve, monkeypatch):
    monkeypatch.setattr("retrieval.server.dialects.mount.find_spec", lambda name: None)
    assert serve().post("/mcp", json={}).status_code == 404


def test_picture_is_drawn_beside_searches(call, monkeypatch):
    threads, draw = [], answers.draw

    def recorded(*arguments):
        threads.append(current_thread().name.partition("_")[0])
        return draw(*arguments)

    monkeypatch.setattr(answers, "draw", recorded)
    picture_of(call("look", ids=[id_of(call, "red.png")]))
    assert threads == ["server-media"]
