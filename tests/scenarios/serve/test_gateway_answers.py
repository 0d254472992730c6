"""A gateway answers for its other libraries, whatever one server answers, sends or is asked for."""

import asyncio
import gzip
import json
import os
import socket
import time
import zipfile
from contextlib import ExitStack, contextmanager
from io import BytesIO
from threading import Thread

import pytest
from starlette.testclient import TestClient

from indexer import update_library
from indexer.tag.saved_searches import save_search
from retrieval import Libraries, Library
from retrieval.federation.remote_library import RemoteLibrary
from retrieval.server.gateway import served_library
from retrieval.server.gateway.app import create_gateway
from retrieval.server.gateway.ids import IDS_PER_LIBRARY, joined
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from tests.scenarios.search.test_hostile_servers import ITEM, answering
from tests.support.files import draw_image, write_text
from tests.support.gateways import ADDRESS
from tests.support.toy_embedder import ToyEmbedder

EMPTY = {"items": [], "cursor": None, "note": None, "messages": [], "filters": {}, "total": 0, "facets": None}
EMPTY |= {"offers": {"read_as": [], "narrow_to": []}}
MONTH = {"id": [5], "ratio": [1.0], "placeholder": [None], "kind": ["image"], "duration": [None], "day": [1]}
MONTH |= {"folder": ["f"], "name": ["n"], "thumbnail": [True], "offline": [False], "more": False}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    place = tmp_path_factory.mktemp("home")
    for color in ("red", "blue"):
        draw_image(place / "media" / f"{color}.png", color)
    write_text(place / "media" / "note.md", "the key\n")
    update_library([place / "media"], library=place / "library", embedder=ToyEmbedder())
    return place / "library"


@contextmanager
def gateway(library, *addresses, **options):
    """Yield a client of the server of a library here and of those at addresses."""
    together = {"home": Library.open(library, embedder=ToyEmbedder())}
    together |= {address: RemoteLibrary(address) for address in addresses}
    app = create_gateway(Libraries(together), ServerOptions(**options))
    with TestClient(app, ADDRESS, raise_server_exceptions=False, client=("127.0.0.1", 50_000)) as client:
        yield client


def answers_of(client, path, *messages, headers=()):
    """Send a GET request to the application, with further messages; return its messages."""
    received, sent = iter([{"type": "http.request"}, *messages]), []
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http"},
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765)},
    }

    async def receive():
        return next(received, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    answer = client.app(scope | {"headers": [(b"host", b"127.0.0.1"), *headers]}, receive, send)
    client.portal.call(asyncio.wait_for, answer, served_library.TIMEOUT_SECONDS / 2)
    return sent


def search(client, **values):
    answer = client.get("/api/search", params={"q": "red", **values})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"items": [], "cursor": None}, EMPTY | {"offers": None}, EMPTY | {"offers": {"read_as": [1]}},
        EMPTY | {"facets": {"kinds": 1}}, EMPTY | {"total": "many"}, EMPTY | {"messages": 5}, [],
        EMPTY | {"total": float("nan")}, EMPTY | {"items": [ITEM | {"length": float("inf")}]},
        EMPTY | {"items": [ITEM | {"moments": [{"id": "x"}]}]},
    ],
)  # fmt: skip
def test_search_reports_a_server_whose_answer_lacks_a_key_or_has_a_wrong_one(library, body):
    with answering(body) as (address, _), gateway(library, address) as client:
        answer = search(client, facets=True)
        assert f"{address} is not searched" in answer["note"]
        assert {item["library"] for item in answer["items"]} == {"home"}


@pytest.mark.parametrize("items", [[], [ITEM]])
def test_search_ends_although_a_server_always_names_a_next_page(library, items):
    body = EMPTY | {"items": items, "cursor": "next"}
    with answering(body) as (address, requests), gateway(library, address) as client:
        search(client, count=20)
        assert len(requests) <= 25


BROWSED = ("/api/timeline", "/api/timeline/2024-01", "/api/facets", "/api/suggest?q=kind:", "/api/status")


@pytest.mark.parametrize("path", BROWSED)
@pytest.mark.parametrize(
    "answer",
    [
        {}, [], {"total": "5"}, MONTH | {"name": []}, MONTH | {"day": ["x"]}, MONTH | {"id": ["../1"]},
        MONTH | {"id": [IDS_PER_LIBRARY]}, {"tokens": [None]}, {"tokens": [{"token": 1}]},
    ],
)  # fmt: skip
def test_browsing_leaves_out_a_server_that_answers_wrongly(library, path, answer):
    with gateway(library) as client:
        expected = client.get(path).json()
    data = json.dumps(answer).encode()
    with answering({}, thumbnail=data) as (address, requests), gateway(library, address) as client:
        found = client.get(path)
        assert (found.status_code, found.json()) == (200, expected)
        assert len(requests) == 1


def test_names_that_users_chose_are_not_taken_for_ids(library):
    named = {name: {"id": 5, "media": 1} for name in ("cameras", "folders", "tags", "concepts")}
    dated = {"kinds": {}, "years": {}, "months": {}}
    answer = named | dated | {"saved": {"id": "red", "url": "/api/segments/5/media"}}
    data = json.dumps(answer).encode()
    with answering({}, thumbnail=data) as (address, _), gateway(library, address) as client:
        found = client.get("/api/facets").json()
    assert {name: found[name]["id"] for name in named} == dict.fromkeys(named, 5)
    assert found["saved"] == answer["saved"]


@pytest.mark.parametrize("body", [{}, [], [{}], 7, {"items": [{}]}, {"bytes": "x", "files": 1}])
def test_routes_of_one_library_report_a_server_that_answers_wrongly(library, body):
    data, id_ = json.dumps(body).encode(), joined(1, 5)
    with answering(body, thumbnail=data) as (address, _), gateway(library, address) as client:
        calls = [
            client.post("/api/export", json={"ids": [id_], "format": "size"}),
            client.post("/metadata", json={"ids": [id_]}),
            client.post("/api/segments", json={"ids": [id_]}),
        ]
        if not isinstance(body, dict):
            calls += [client.get(f"/api/segments/{id_}"), client.get(f"/api/segments/{id_}/text")]
            if body != []:
                calls.append(client.post("/knn-service", json={"text": "red", "indice_name": address}))
        for call in calls:
            assert call.status_code in (200, 503), (call.request.url, call.text)
            if call.status_code == 503:
                assert "does not answer as `clew serve` does" in call.json()["error"]
        assert 503 in {call.status_code for call in calls} or body == []


def test_result_of_a_server_has_no_address_of_another(library):
    results = [{"id": 5, "similarity": 0.5, "url": "http://evil.example/a.png"}]
    with answering(results) as (address, _), gateway(library, address) as client:
        body = {"text": "red", "indice_name": address}
        assert client.post("/knn-service", json=body).json() == [results[0] | {"id": joined(1, 5), "url": ""}]


def test_saved_search_of_filters_alone_lists_the_newest_files_of_all(library, tmp_path):
    places = []
    for first, name in enumerate(("old", "new")):
        for number in range(3):
            file = draw_image(tmp_path / f"{name} media" / f"{name}{number}.png", "red")
            os.utime(file, (1e9 + 1e6 * first + number, 1e9 + 1e6 * first + number))
        update_library([tmp_path / f"{name} media"], library=tmp_path / name, embedder=ToyEmbedder())
        save_search("mine", "kind:image", library=tmp_path / name)
        places.append(Library.open(tmp_path / name, embedder=ToyEmbedder()))
    newest = ["new2.png", "new1.png", "new0.png", "old2.png", "old1.png", "old0.png"]
    together = Libraries(dict(zip(("old", "new"), places, strict=True)))
    assert [hit.path.name for hit in together.search("@mine", count=4)] == newest[:4]
    with TestClient(create_gateway(together, ServerOptions()), ADDRESS) as client:
        found = search(client, q="@mine", count=4, group=False)
        rest = search(client, q="@mine", count=4, group=False, cursor=found["cursor"])
    assert [item["name"] for item in (*found["items"], *rest["items"])] == newest


def test_files_are_counted_in_all_libraries_although_a_query_names_a_segment_of_one(library):
    data = json.dumps({"total": 5, "years": {}, "buckets": [], "undated": 5}).encode()
    with answering({}, thumbnail=data) as (address, _), gateway(library, address) as client:
        note = next(item for item in search(client, q="key")["items"] if item["kind"] == "text")
        total = client.get("/api/timeline").json()["total"]
        for q in (f"#{note['id']}", f"key not:#{note['id']}"):
            assert client.get("/api/timeline", params={"q": q}).json()["total"] == total == 8


def test_segments_of_a_server_that_is_lost_are_left_out(library):
    with gateway(library, "http://127.0.0.1:9") as client:
        (item, *_) = search(client)["items"]
        ids = [joined(1, 5), item["id"], IDS_PER_LIBRARY]
        assert [each["id"] for each in client.post("/api/segments", json={"ids": ids}).json()["items"]] == [
            item["id"]
        ]
        assert client.post("/api/segments", json={"ids": [IDS_PER_LIBRARY]}).json() == {"items": []}
        assert client.get(f"/api/segments/{IDS_PER_LIBRARY}").status_code == 404


def test_export_leaves_out_segments_that_a_library_does_not_have(library):
    with answering({"error": "None of these"}, 404) as (address, _), gateway(library, address) as client:
        (item, *_) = search(client)["items"]
        lines = client.post("/api/export", json={"ids": [joined(1, 5), item["id"]]}).text.splitlines()
        assert lines == [item["path"]]
        assert client.post("/api/export", json={"ids": [joined(1, 5)]}).status_code == 404


def test_export_of_a_large_zip_is_not_kept_in_memory(library, monkeypatch):
    with gateway(library) as client:
        item = next(each for each in search(client)["items"] if each["name"] == "red.png")
        monkeypatch.setattr(served_library, "MAX_ANSWER_BYTES", 100)
        answer = client.post("/api/export", json={"ids": [item["id"]], "format": "zip"})
        assert answer.status_code == 200, answer.text
        assert zipfile.ZipFile(BytesIO(answer.content)).namelist() == ["red.png"]
        assert answer.headers["content-disposition"].startswith('attachment; filename="clew.zip"')


def test_export_sends_the_zip_of_a_server(library):
    headers = (
        ("Content-Type", "application/zip"),
        ("Content-Disposition", 'attachment; filename="clew.zip"'),
    )
    with answering(b"PK", headers=headers) as (address, requests), gateway(library, address) as client:
        answer = client.post("/api/export", json={"ids": [joined(1, 5)], "format": "zip"})
        assert (answer.content, answer.headers["content-disposition"]) == (b"PK", headers[1][1])
        assert json.loads(requests[-1][0]) == {"ids": [5], "format": "zip"}


def test_answer_that_a_server_compresses_unasked_is_not_expanded(library):
    headers = (("Content-Encoding", "gzip, gzip"),)
    data = gzip.compress(gzip.compress(json.dumps(EMPTY).encode()))
    with answering(data, headers=headers) as (address, _), gateway(library, address) as client:
        assert "does not answer as `clew serve` does" in search(client)["note"]


def test_server_that_needs_too_long_for_an_answer_is_left_out(library, monkeypatch):
    monkeypatch.setattr(served_library, "TIMEOUT_SECONDS", 0.0)
    with answering(EMPTY) as (address, _), gateway(library, address) as client:
        answer = search(client)
        assert f"{address} took more than 0 s to answer" in answer["note"]
        assert {item["library"] for item in answer["items"]} == {"home"}


def test_machine_that_is_off_delays_a_search_for_seconds_only(library, monkeypatch):
    monkeypatch.setattr(served_library, "CONNECT_SECONDS", 0.2)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the queue of connections is full, so the next one is not answered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = stack.enter_context(gateway(library, address))
        assert f"Cannot connect to {address}: ConnectTimeout" in search(client)["note"]


def test_long_error_of_a_server_is_reported_as_such(library):
    page = b"<html>" * 10_000
    with answering(page, 401, thumbnail=page) as (address, _), gateway(library, address) as client:
        assert f"{address} needs its token" in search(client)["note"]
        assert client.get(f"/api/segments/{joined(1, 5)}/media").status_code == 503


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/png", "image/png"), ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("image/SVG+xml", None), ("image/png, text/html", None), ("application/zip", None),
    ],
)  # fmt: skip
def test_media_of_a_server_are_shown_only_with_the_types_of_media(library, kind, shown):
    named = "attachment; filename=\"a.docx\"; filename*=UTF-8''ü.docx"
    headers = (("Content-Type", kind), ("Content-Disposition", named.encode().decode("latin-1")))
    with answering({}, headers=headers, thumbnail=b"x") as (address, _), gateway(library, address) as client:
        range_ = (b"range", "bytes=é".encode())
        start, *rest = answers_of(client, f"/api/segments/{joined(1, 5)}/media", headers=[range_])
        assert (start["status"], b"".join(each["body"] for each in rest)) == (200, b"x")
        answered = dict(start["headers"])
        assert answered[b"content-type"].decode() == (shown or "application/octet-stream")
        assert answered[b"content-disposition"] == named.encode()


def test_token_may_have_any_characters(library):
    token = " süß "
    with gateway(library, token=token) as client:
        client.get("/", params={"token": token})
        assert search(client)["items"]


def test_query_with_bytes_of_a_path_that_are_not_utf_8_reaches_each_library(library):
    with answering(EMPTY) as (address, requests), gateway(library, address) as client:
        answer = client.post("/api/search", content=b'{"q": "red under:caf\\udce9"}')
        assert answer.status_code == 200, answer.text
        assert "udce9" in requests[-1][0].decode()


@pytest.mark.parametrize("path", ["/api/timeline", "/api/timeline/2024-01", f"/api/segments/{joined(1, 5)}"])
def test_request_ends_when_its_client_leaves(library, path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with gateway(library, address) as client:
            sent = answers_of(client, path, {"type": "http.disconnect"})
    assert sent[0]["status"] == 499


def test_few_pictures_are_decoded_at_the_same_time(library, monkeypatch):
    running, most = 0, 0

    def add(pictures, data, min_side):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return "token"

    async def add_several(writer):
        await asyncio.gather(*(writer.add_picture(b"") for _ in range(8)))

    monkeypatch.setattr(Pictures, "add", add)
    with gateway(library, threads=2) as client:
        client.portal.call(add_several, client.app.state.gateway.writer)
    assert most <= 2


def test_stream_of_a_server_is_closed_when_the_client_leaves(library):
    received = []

    def send_beginning(listener):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(served_library.TIMEOUT_SECONDS)
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 9\r\n\r\nx")
            received.append(connection.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Thread(target=send_beginning, args=(listener,))
        server.start()
        with gateway(library, f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            answers_of(client, f"/api/segments/{joined(1, 5)}/media", {"type": "http.disconnect"})
            server.join(served_library.TIMEOUT_SECONDS)
            assert received == [b""]
