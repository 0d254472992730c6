"""`clew serve` with several libraries answers as one library that has all their files."""

import asyncio
import base64
import json
from collections import Counter
from io import BytesIO

import pytest
from PIL import Image

from retrieval.errors import LibraryError
from retrieval.federation import pages
from retrieval.query.options import SearchOptions
from retrieval.server.gateway.ids import IDS_PER_LIBRARY, joined, split
from retrieval.system import server_socket
from tests.scenarios.search.test_hostile_servers import answering
from tests.support.gateways import ADDRESS, FILES, far_server, gateway, opened, write_libraries


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    return write_libraries(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def address(libraries):
    with far_server(libraries) as started:
        yield started


@pytest.fixture(scope="module")
def client(libraries, address):
    with gateway(libraries, address) as started:
        yield started


def found(client, **parameters):
    answer = client.get("/api/search", params={"count": 200, **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()


def items(client, **parameters):
    return found(client, **parameters)["items"]


def png(color):
    file = BytesIO()
    Image.new("RGB", (300, 200), color).save(file, "PNG")
    return file.getvalue()


def one_of_each(client, **parameters):
    """Return the first item of each library, by its name."""
    first = {}
    for item in items(client, **parameters):
        first.setdefault(item["library"], item)
    return first


def test_ids_of_segments_are_joined_and_split():
    assert split(joined(3, 17)) == (3, 17)
    assert joined(0, 17) == 17
    assert joined(4095, IDS_PER_LIBRARY - 1) < 2**53
    with pytest.raises(LibraryError, match="several libraries itself"):
        joined(1, IDS_PER_LIBRARY)


@pytest.mark.parametrize(
    "q", ["red", "work key", "red | blue", "kind:image", "red kind:image -tag:x", "walk"]
)
def test_hits_are_those_of_a_search_of_several_libraries(client, libraries, address, q):
    with opened(libraries, address) as together:
        hits = together.search(q, count=200, options=SearchOptions(group=True))
    assert len(hits) > 3
    answer = items(client, q=q)
    key = [(item["library"], item["path"], item["kind"], item["confidence"]) for item in answer]
    expected = [
        (hit.library, str(hit.path), hit.kind, None if hit.confidence is None else round(hit.confidence, 4))
        for hit in hits
    ]
    assert Counter(key) == Counter(expected)
    assert [each[3] for each in key] == [each[3] for each in expected]
    assert {item["library"] for item in answer} == {"home", "work", address}


def test_pages_continue_the_list_without_repeats(client):
    whole, parts, cursor = items(client, q="red"), [], None
    for _ in range(100):
        page = found(client, q="red", count=7, cursor=cursor or "")
        parts += page["items"]
        cursor = page["cursor"]
        if cursor is None:
            break
    ids = [item["id"] for item in parts]
    assert len(ids) == len(set(ids))
    assert ids[: len(whole)] == [item["id"] for item in whole]
    assert client.get("/api/search", params={"q": "blue", "cursor": page["cursor"] or "x"}).status_code == 400


@pytest.mark.parametrize("picture", [{}, {"image": base64.b64encode(png("blue")).decode()}])
def test_more_hits_than_a_page_has_are_read_page_by_page(client, picture, monkeypatch):
    def keys():
        answer = client.post("/api/search", json={"q": "red", "count": 80, **picture}).json()
        return [(item["id"], item["score"]) for item in answer["items"]]

    expected = keys()
    monkeypatch.setattr(pages, "MAX_COUNT", 10)
    assert keys() == expected
    assert len(expected) == 80


def test_newest_files_of_all_are_listed_by_date(client):
    for parameters in ({"q": ""}, {"q": "kind:image"}):
        times = [item["time"] for item in items(client, **parameters)]
        assert times == sorted(times, reverse=True)
    by_date = [item["time"] for item in items(client, q="red", order="date") if item["match"] == "confident"]
    assert by_date == sorted(by_date, reverse=True)


def test_files_of_each_library_are_sent(client, libraries):
    for name, item in one_of_each(client, q="red kind:image").items():
        path = f"/api/segments/{item['id']}"
        with open(item["path"], "rb") as file:
            content = file.read()
        media = client.get(f"{path}/media")
        assert (media.content, media.headers["content-type"]) == (content, "image/png"), name
        part = client.get(f"{path}/media", headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, content[5:10])
        assert part.headers["content-range"] == f"bytes 5-9/{len(content)}"
        again = client.get(f"{path}/media", headers={"If-None-Match": media.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        changed = [key for key, value in again.headers.items() if media.headers.get(key) != value]
        assert not changed, name
        part = client.get(f"{path}/media", headers={"Range": "bytes=5-9", "If-Range": '"other"'})
        assert (part.status_code, part.content) == (200, content), name
        assert "sandbox" in media.headers["content-security-policy"]
        assert "attachment" in client.get(f"{path}/media?download=1").headers["content-disposition"]
        for shown in (f"{path}/thumbnail", f"{path}/media?width=32"):
            with Image.open(BytesIO(client.get(shown).content)) as image:
                assert image.format == "WEBP"
        details = client.get(path, params={"q": "red"}).json()
        assert details["library"] == name
        assert details["details"]["media"] == f"{path}/media"
        assert [term["term"] for term in details["why"]] == ["red"]


def test_texts_pages_and_moments_of_each_library_are_sent(client):
    for name, item in one_of_each(client, q="another line kind:text").items():
        answer = client.get(f"/api/segments/{item['id']}/text").json()
        assert answer["id"] == item["id"]
        assert item["id"] in [passage["id"] for passage in answer["passages"]], name
    for item in one_of_each(client, q="report of kind:page").values():
        words = client.get(f"/api/segments/{item['id']}/words", params={"word": "report"}).json()
        assert len(words["boxes"]) == 1
    for name, item in one_of_each(client, q="green kind:video").items():
        details = client.get(f"/api/segments/{item['id']}").json()
        assert {split(scene["id"])[0] for scene in details["scenes"]} == {split(item["id"])[0]}
        clip = client.get(f"/api/segments/{item['id']}/clip", params={"start": 0, "end": 0.5})
        assert (clip.status_code, clip.content[4:8]) == (200, b"ftyp"), name


def test_segments_are_described_in_the_order_of_their_ids(client):
    ids = [item["id"] for item in one_of_each(client, q="red kind:image").values()][::-1]
    answer = client.post("/api/segments", json={"ids": [*ids, 999 * IDS_PER_LIBRARY + 1, 10**9]}).json()
    assert [item["id"] for item in answer["items"]] == ids


@pytest.mark.parametrize("path", ["", "/thumbnail", "/media", "/text", "/words", "/clip"])
def test_segment_of_no_library_is_not_found(client, path):
    for id_ in (joined(77, 1), joined(1, 10**9), joined(2, 10**9)):
        assert client.get(f"/api/segments/{id_}{path}").status_code == 404
    assert client.get(f"/api/similar/{joined(77, 1)}").status_code == 404


def test_segment_is_similar_to_those_of_other_libraries(client, address):
    for item in one_of_each(client, q="red kind:image").values():
        similar = items(client, q=f"#{item['id']} kind:image")
        assert [each["name"] for each in similar if each["id"] == item["id"]] == []
        best = {}
        for each in similar:
            best.setdefault(each["library"], each["name"])
        others = {name: f"red {'far' if name == address else name}.png" for name in ("home", "work", address)}
        assert {name: best[name] for name in best if name != item["library"]} == {
            name: others[name] for name in others if name != item["library"]
        }
        assert client.get(f"/api/similar/{item['id']}").status_code == 200


def test_segment_without_picture_finds_only_in_its_own_library(client):
    item = next(each for each in items(client, q="home key kind:text") if each["library"] == "home")
    answer = found(client, q=f"#{item['id']} + key")
    assert {each["library"] for each in answer["items"]} == {"home"}
    assert answer["note"].count("has no picture, and is in another library") == 2


def test_uploaded_picture_finds_in_each_library(client, address):
    answer = client.post("/api/search", files={"image": ("a.png", png("blue"))}, data={"q": "kind:image"})
    body = answer.json()
    assert {item["name"] for item in body["items"][:3]} == {"blue home.png", "blue work.png", "blue far.png"}
    again = items(client, q=f"kind:image + pic:{body['picture']}", count=5)
    assert [item["id"] for item in again] == [item["id"] for item in body["items"][:5]]
    excluded = found(client, q=f"red kind:image not:pic:{body['picture']}")
    assert "it cannot exclude by one" in excluded["note"]
    assert address not in {item["library"] for item in excluded["items"]}


def test_files_are_counted_if_no_library_has_a_confident_hit(client):
    """One library with confident hits does not count its files; the sum of the others would be wrong."""
    assert found(client, q="red")["total"] is None
    assert found(client, q="kind:video")["total"] == 3


def test_typed_filters_reach_each_library(client):
    body = {"q": "red", "filters": {"kind": {"any": ["video"]}}, "count": 50}
    answer = client.post("/api/search", json=body).json()
    assert {item["kind"] for item in answer["items"]} == {"video"}
    assert len({item["library"] for item in answer["items"]}) == 3
    assert answer["filters"] == {"kinds": ["video"]}


def test_unknown_value_of_a_filter_is_reported_if_no_library_has_it(client, address):
    messages = found(client, q="red under:nowhere")["messages"]
    assert [message.partition(": ")[0] for message in messages] == ["home", "work", address]
    assert all("nowhere" in message for message in messages)
    assert found(client, q='red under:"home media"')["messages"] == []


def test_timeline_has_the_files_of_all(client):
    whole = client.get("/api/timeline").json()
    assert whole["total"] == 3 * FILES
    (month,) = [bucket["month"] for bucket in whole["buckets"]]
    files = client.get(f"/api/timeline/{month}").json()
    assert len(set(files["id"])) == len(files["id"]) == whole["total"]
    assert {split(id_)[0] for id_ in files["id"]} == {0, 1, 2}
    late = client.get(f"/api/timeline/{month}", params={"offset": 5}).json()
    assert (late["id"], late["offset"], late["more"]) == (files["id"][5:], 5, False)


def test_facets_suggestions_and_status_are_sums(client):
    facets = client.get("/api/facets").json()
    assert facets["kinds"]["video"] == 3
    assert sum(name.endswith(" media") for name in facets["folders"]) == 3
    tokens = client.get("/api/suggest", params={"q": "kind:vid"}).json()["tokens"]
    assert tokens == [{"token": "kind:video", "label": "video", "count": 3}]
    status = client.get("/api/status").json()
    assert len(status["roots"]) == 3
    assert status["segments"]["video"] >= 3
    assert status["map"] is False
    answer = found(client, q="kind:video", facets=True)
    assert answer["facets"]["kinds"] == {"video": 3}
    assert answer["total"] == 3


def test_export_has_the_files_of_all(client):
    chosen = one_of_each(client, q="red kind:image")
    ids = [item["id"] for item in chosen.values()]
    paths = client.post("/api/export", json={"ids": ids}).text.splitlines()
    assert paths == [item["path"] for item in chosen.values()]
    size = client.post("/api/export", json={"ids": ids, "format": "size"}).json()
    assert size["files"] == 3
    refused = client.post("/api/export", json={"ids": ids, "format": "zip"})
    assert (refused.status_code, refused.json()["error"].split(".")[0]) == (
        400,
        "A ZIP has the files of one library",
    )
    for id_ in ids:
        assert client.post("/api/export", json={"ids": [id_], "format": "zip"}).content[:2] == b"PK"
    assert client.post("/api/export", json={"ids": [joined(77, 1)]}).status_code == 404


def test_clients_of_clip_retrieval_choose_a_library(client, address):
    names = client.get("/indices-list").json()
    assert names == ["home", "work", address]
    for number, name in enumerate(names):
        body = {"text": "red", "num_images": 3, "indice_name": name}
        results = client.post("/knn-service", content=json.dumps(body)).json()
        assert {split(each["id"])[0] for each in results} == {number}
        assert results[0]["url"] == f"{ADDRESS}/api/segments/{results[0]['id']}/media"
        assert client.get(results[0]["url"]).status_code == 200
        described = client.post("/metadata", content=json.dumps({"ids": [results[0]["id"]]})).json()
        assert described[0]["id"] == results[0]["id"]
        assert described[0]["metadata"]["url"] == results[0]["url"]
    assert client.post("/knn-service", content=b'{"text": "red", "indice_name": "x"}').status_code == 400
    assert client.post("/knn-service", content=b'{"text": "red"}').status_code == 200


def test_first_library_embeds(client):
    body = {"input": ["red"], "encoding_format": "base64"}
    answer = client.post("/v1/embeddings", json=body).json()
    assert answer["model"] == client.get("/v1/models").json()["data"][0]["id"]
    assert len(base64.b64decode(answer["data"][0]["embedding"])) % 4 == 0
    assert client.post("/v1/embeddings", json={"input": []}).status_code == 400


def test_library_that_does_not_answer_is_reported(libraries):
    with gateway(libraries, "http://127.0.0.1:9") as client:
        answer = found(client, q="red")
        assert {item["library"] for item in answer["items"]} == {"home", "work"}
        assert "http://127.0.0.1:9 is not searched: Cannot connect" in answer["note"]
        assert client.get("/api/timeline").status_code == 200
        lost = client.get(f"/api/segments/{joined(2, 1)}/media")
        assert (lost.status_code, lost.headers["retry-after"]) == (503, "5")


def test_wrong_answers_and_errors_of_a_server_are_reported(libraries):
    cases = (
        (b"<html>", 200, "does not answer as `clew serve` does"),
        ({"items": [{"id": 1}], "cursor": None}, 200, "does not answer as `clew serve` does"),
        ({"items": None}, 200, "does not answer as `clew serve` does"),
        ({"error": "no"}, 401, "needs its token. Set CLEW_TOKEN"),
        ({"error": "no"}, 500, "no"),
        (b"", 302, "refers to another address"),
    )
    for body, status, message in cases:
        with answering(body, status) as (address, _), gateway(libraries, address) as client:
            answer = found(client, q="red")
            assert message in answer["note"], (body, answer["note"])
            assert {item["library"] for item in answer["items"]} == {"home", "work"}


def test_syntax_error_is_one_error_with_its_column(client):
    answer = client.get("/api/search", params={"q": 'red "'})
    assert answer.status_code in (200, 400)
    wrong = client.get("/api/search", params={"q": "red date:never"})
    assert wrong.status_code == 400
    assert "never" in wrong.json()["error"]


def test_media_of_a_server_cannot_run_in_the_page(libraries):
    evil = (("Content-Type", "text/html"), ("Set-Cookie", "a=b"), ("Access-Control-Allow-Origin", "*"))
    script = b"<script>alert(1)</script>"
    with answering({}, headers=evil, thumbnail=script) as (address, _), gateway(libraries, address) as client:
        media = client.get(f"/api/segments/{joined(2, 1)}/media")
    assert media.headers["content-type"] == "application/octet-stream"
    assert media.headers["content-disposition"] == "attachment"
    assert media.headers["content-security-policy"].startswith("sandbox")
    assert not {"set-cookie", "access-control-allow-origin"} & set(media.headers)


def test_token_of_the_gateway_and_of_the_server_are_needed(libraries):
    with far_server(libraries, token="far secret") as address:
        with gateway(libraries, address, "far secret", token="own secret") as client:
            assert client.get("/api/search").status_code == 401
            headers = {"Authorization": "Bearer own secret"}
            answer = client.get("/api/search", params={"q": "red", "count": 100}, headers=headers).json()
            first = {item["library"]: item for item in answer["items"]}
            assert set(first) == {"home", "work", address}
            for item in first.values():
                path = f"/api/segments/{item['id']}/media"
                assert client.get(path, headers=headers).status_code == 200
                assert client.get(path).status_code == 401
        with gateway(libraries, address, "wrong") as client:
            assert f"{address} needs its token" in found(client, q="red")["note"]


def test_other_sites_and_names_are_refused(client):
    assert client.get("/api/status", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/api/status", headers={"Origin": "http://evil.example"}).status_code == 403


def test_socket_of_a_library_reaches_only_that_library(libraries, client):
    body = json.dumps({"query": "red", "kind": [], "count": 5, "options": {}}).encode()

    async def ask(name):
        """Send a request as the server does that comes through the socket of a library."""
        parts = []
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"},
            **{"path": "/terminal/search", "raw_path": b"/terminal/search", "query_string": b""},
            **{"scheme": "http", "headers": [(b"host", b"localhost")], "client": None, "root_path": ""},
            "server": (str(server_socket(libraries[name])), None),
        }
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            message = next(messages, None)
            return message or await asyncio.Event().wait()

        async def send(message):
            parts.append(message.get("body", b""))

        await client.app(scope, receive, send)
        return json.loads(b"".join(parts))

    for name in ("home", "work"):
        answer = client.portal.call(ask, name)
        assert {f"{name} media" in hit["path"] for hit in answer["hits"]} == {True}
    assert client.post("/terminal/search", json={}).status_code == 404


def test_metrics_count_the_calls_of_all(client):
    found(client, q="red")
    text = client.get("/metrics").text
    assert 'clew_requests_total{route="/api/search",status="200"}' in text
    assert "clew_libraries 3" in text
    assert client.get("/healthz").json() == {"status": "ok"}


def test_page_and_schema_are_served(client):
    assert "<title>" in client.get("/").text
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/search", "/api/segments/{segment}/media", "/api/timeline/{month}"} <= set(paths)
    assert "/api/search" in client.get("/docs").text
    assert client.get("/api/map").status_code == 404
