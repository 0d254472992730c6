"""Attacks through a socket: paths out of the library, addresses of this network, and other sites."""

import asyncio
import base64
import json
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest
from mcp.client.client import Client

from indexer import IndexOptions, update_library
from tests.support.attack_payloads import foreign_headers, inner_addresses, traversals
from tests.support.browser import serving
from tests.support.connections import audited_process, recording_server, send
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import ToyEmbedder

SECRET = "the-words-of-a-secret-file"
SIGNS_OF_SUCCESS = (SECRET.encode(), b"root:", b"import ", b"SQLite format 3", b"recorded")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve a library next to a secret file; yield the port, the file and the id of a segment."""
    folder = tmp_path_factory.mktemp("served")
    secret = write_text(folder / "secret.txt", SECRET)
    draw_image(folder / "media" / "red.png", "red")
    update_library(
        [folder / "media"], library=folder / "library", embedder=ToyEmbedder(), options=IndexOptions()
    )
    with serving(folder / "library", ToyEmbedder()) as address:
        port = urlsplit(address).port
        segment = json.loads(send(port, "/api/search").body)["items"][0]["id"]
        yield SimpleNamespace(address=address, port=port, secret=str(secret), segment=segment)


def shows_secret(body: bytes) -> bool:
    return any(sign in body for sign in SIGNS_OF_SUCCESS)


@pytest.mark.parametrize("number", range(len(traversals("/x", "x"))))
def test_no_path_leads_out_of_the_library_and_the_page(served, number):
    target = traversals(served.secret, "app.py")[number]
    answer = send(served.port, target)
    assert answer.status in (400, 404), target
    assert not shows_secret(answer.body)


def test_paths_of_a_body_or_query_are_not_read(served):
    secret, segment = served.secret, served.segment
    up = "../" * 12 + secret.lstrip("/")
    bodies = [
        *(("/api/search", {"q": q}) for q in (f"file:{secret}", secret, f"./{up}", f"pic:{up}", f"~/{up}")),
        *(("/api/search", {"q": "red", "image": path}) for path in (secret, up)),
        *(("/knn-service", {"image": path}) for path in (secret, up)),
        *(("/knn-service", {"image_url": path}) for path in (secret, f"file://{secret}")),
        *(("/v1/embeddings", {"input": path, "modality": "image"}) for path in (secret, f"file://{secret}")),
        ("/metadata", {"ids": [up]}),
        ("/api/export", {"ids": [up], "format": "zip"}),
    ]
    with audited_process() as events:
        answers = [
            send(served.port, path, method="POST", body=json.dumps(body).encode()) for path, body in bodies
        ]
        answers += [
            send(served.port, f"/api/segments/{segment}?q={quote(f'file:{secret}')}"),
            send(served.port, f"/api/segments/{segment}/media?page={quote(up)}"),
        ]
    assert {answer.status for answer in answers} == {400, 404}
    assert not any(map(shows_secret, (answer.body for answer in answers)))
    assert not [event for event in events if secret in event[1]]


def knn_service(served, address):
    return send(served.port, "/knn-service", method="POST", body=json.dumps({"image_url": address}).encode())


def embeddings(served, address):
    body = {"input": [address], "modality": "image"}
    return send(served.port, "/v1/embeddings", method="POST", body=json.dumps(body).encode())


def words(served, address):
    return send(served.port, f"/api/search?q={quote(address, safe='')}")


def picture(served, address):
    body = {"image": address if address.startswith("data:") else base64.b64encode(address.encode()).decode()}
    return send(served.port, "/api/search", method="POST", body=json.dumps(body).encode())


def agent(served, address):
    async def main():
        async with Client(f"{served.address}/mcp") as client:
            return await client.call_tool("search", {"query": address})

    result = asyncio.run(main())
    return SimpleNamespace(status=400 if result.is_error else 200, body=repr(result.content).encode())


@pytest.fixture(scope="module")
def recorder():
    with recording_server() as (port, requests):
        yield SimpleNamespace(port=port, requests=requests)


@pytest.mark.parametrize("name", inner_addresses(0, ""))
@pytest.mark.parametrize("interface", [knn_service, embeddings, words, picture, agent])
def test_no_address_is_connected_to(served, recorder, interface, name):
    recorder.requests.clear()
    address = inner_addresses(recorder.port, served.secret)[name]
    with audited_process() as events:
        answer = interface(served, address)
    assert answer.status in ((200, 400) if interface in (words, agent) else (400,))
    assert not shows_secret(answer.body)
    assert recorder.requests == []
    own = (f"('127.0.0.1', {served.port})", f"('127.0.0.1', '{served.port}')")
    network = [event for event in events if event[0] != "open" and event[1] not in own]
    assert network == []
    assert not [event for event in events if event[0] == "open" and served.secret in event[1]]


def test_record_has_the_connections_that_a_client_opens():
    with recording_server() as (port, requests), audited_process() as events:
        assert send(port, "/a.png").body == b"recorded"
    assert requests == ["connection", "/a.png"]
    assert ("socket.connect", f"('127.0.0.1', {port})") in events


@pytest.mark.parametrize("number", range(len(foreign_headers(1))))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_sites_are_refused(served, number, method):
    headers = foreign_headers(served.port)[number]
    body = b'{"q": "red"}' if method == "POST" else b""
    answer = send(served.port, "/api/search", headers, method, body)
    assert answer.status in (400, 403), headers
    assert b"items" not in answer.body
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_own_requests_are_answered(served):
    own = ("Origin", f"http://127.0.0.1:{served.port}")
    for headers in ([], [own], [own, ("Sec-Fetch-Site", "same-origin")]):
        assert send(served.port, "/api/search", headers).status == 200
