"""The time line and the values of filters count what a search lists."""

import os
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

import retrieval.server
from indexer.tag.saved_searches import save_search
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS

DATES = {"red": "2022-06-26", "green": "2022-06-02", "blue": "2022-07-01", "yellow": "2021-01-14"}


@pytest.fixture
def dated(index, serve, tmp_path):
    """Return a client of a library whose files were written at DATES, one of them twice."""
    for color, day in DATES.items():
        path = tmp_path / "media" / day[:4] / f"{color}.png"
        draw_image(path, color)
        seconds = datetime.fromisoformat(f"{day}T12:00").timestamp()
        os.utime(path, (seconds, seconds))
    copy = tmp_path / "media" / "copies" / "red.png"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "media" / "2022" / "red.png").read_bytes())
    os.utime(copy, ns=((tmp_path / "media" / "2022" / "red.png").stat().st_mtime_ns,) * 2)
    index(tmp_path / "media")
    return serve()


def test_time_line_counts_each_content_once(dated):
    found = dated.get("/api/timeline").json()
    assert found["total"] == len(DATES)
    assert found["years"] == {"2022": 3, "2021": 1}
    assert found["buckets"] == [
        {"month": "2022-07", "count": 1},
        {"month": "2022-06", "count": 2},
        {"month": "2021-01", "count": 1},
    ]
    assert found["undated"] == 0


def test_month_lists_its_files_newest_first(dated):
    month = dated.get("/api/timeline/2022-06").json()
    assert month["name"] == ["red.png", "green.png"]
    assert month["day"] == [26, 2]
    assert month["more"] is False
    assert {len(values) for values in month.values() if isinstance(values, list)} == {2}
    assert all(month["thumbnail"])


def test_offset_continues_a_month(dated, monkeypatch):
    monkeypatch.setattr("retrieval.catalog.browse.timeline.MAX_LISTED", 1)
    first = dated.get("/api/timeline/2022-06").json()
    second = dated.get("/api/timeline/2022-06", params={"offset": 1}).json()
    assert (first["name"], first["more"]) == (["red.png"], True)
    assert (second["name"], second["more"]) == (["green.png"], False)


@pytest.mark.parametrize(
    "query",
    [
        *("", "kind:image", "date:2022", "under:2021", "kind:video", "date:2022-06", "under:2022"),
        *("-under:copies", "-under:2022", "-date:2021", "kind:image -kind:image"),
    ],
)
def test_counts_agree_with_lists_and_with_the_search(dated, query):
    found = dated.get("/api/timeline", params={"q": query}).json()
    listed = [
        id_
        for bucket in found["buckets"]
        for id_ in dated.get(f"/api/timeline/{bucket['month']}", params={"q": query}).json()["id"]
    ]
    assert len(listed) == found["total"]
    searched = dated.get("/api/search", params={"q": query, "count": 100}).json()["items"]
    assert set(listed) == {item["id"] for item in searched}


def test_kinds_count_files_as_the_time_line_does(index, serve, tmp_path):
    draw_image(tmp_path / "media" / "red.png", "red")
    write_text(
        tmp_path / "media" / "long.txt", "\n\n".join(f"paragraph {n} " + "word " * 7 for n in range(9))
    )
    (tmp_path / "media" / "two.pdf").write_bytes(pdf([("red", "a page"), ("blue", "another page")]))
    index(tmp_path / "media")
    client = serve()
    for query in ("", "under:media"):
        kinds = client.get("/api/facets", params={"q": query}).json()["kinds"]
        assert kinds == {"image": 1, "text": 1, "page": 1}
        for kind, count in kinds.items():
            filters = {"q": f"{query} kind:{kind}"}
            assert client.get("/api/timeline", params=filters).json()["total"] == count


@pytest.mark.parametrize("query", ["under:2022", "-under:copies -under:2021"])
def test_facets_count_folders_of_the_files_that_pass(dated, query):
    folders = dated.get("/api/facets", params={"q": query}).json()["folders"]
    assert {Path(folder).name: count for folder, count in folders.items()} == {"2022": 3}


def test_facets_count_the_values_of_filters(client, folder):
    found = client.get("/api/facets").json()
    assert found["kinds"] == {"image": len(COLORS)}
    assert found["folders"] == {str(folder): len(COLORS)}
    assert found.keys() >= {"years", "months", "cameras", "tags", "concepts", "saved"}
    assert client.get("/api/facets", params={"q": "kind:video"}).json()["kinds"] == {}


def test_saved_searches_are_listed_completed_and_counted(client, place):
    save_search("2021-trip", "kind:video", library=place)
    assert client.get("/api/facets").json()["saved"] == {"2021-trip": "kind:video"}
    [found] = client.get("/api/suggest", params={"q": "red @2021"}).json()["tokens"]
    assert found["token"] == "@2021-trip"
    assert client.get("/api/timeline", params={"q": "@2021-trip"}).json()["total"] == 0
    [token] = client.get("/api/search", params={"q": "@2021-trip"}).json()["tokens"]
    assert token["type"] == "name"


@pytest.mark.parametrize("path", ["timeline", "timeline/2022-06", "facets"])
def test_alternatives_are_not_counted(shared_client, path):
    answer = shared_client.get(f"/api/{path}", params={"q": "kind:text | kind:image"})
    assert answer.status_code == 400
    assert "one set of filters" in answer.json()["error"]


def test_suggestions_complete_the_filter_at_the_caret(client, folder):
    def tokens(q, caret=None):
        answer = client.get("/api/suggest", params={"q": q} | ({} if caret is None else {"caret": caret}))
        return [token["token"] for token in answer.json()["tokens"]]

    assert tokens("a dog kind:im") == ["kind:image"]
    assert tokens("kind:im a dog", 7) == ["kind:image"]
    assert tokens(f"under:{folder.name[:3]}") == [f"under:{folder.name}"]
    assert tokens("a dog -kind:im") == ["-kind:image"]
    assert tokens("a dog") == []


def test_suggested_folder_has_the_files_of_all_folders_with_its_name(client, folder, index):
    for number, place in enumerate(("first/trip", "second/trip", "second/trip")):
        draw_image(folder / place / f"{number}.png", "red", size=(10 + number, 10))
    index(folder)
    [token] = client.get("/api/suggest", params={"q": "under:tri"}).json()["tokens"]
    assert (token["token"], token["count"]) == ("under:trip", 3)
    assert client.get("/api/timeline", params={"q": "under:trip"}).json()["total"] == 3


@pytest.mark.parametrize("month", ["2022", "2022-6", "abcd-ef", "2022-06-01"])
def test_invalid_month_is_refused(shared_client, month):
    assert shared_client.get(f"/api/timeline/{month}").status_code == 400


def test_status_has_the_version_and_the_contents(client):
    status = client.get("/api/status").json()
    assert status["segments"] == {"image": len(COLORS)}
    assert status["version"]
    assert status["offline"] == []
    assert status["failures"] == 0


def test_offline_root_is_reported(client, folder, index):
    folder.rename(folder.with_name("elsewhere"))
    index()
    status = client.get("/api/status").json()
    assert status["offline"] == [{"root": str(folder), "files": len(COLORS)}]
    assert all(item["offline"] for item in client.get("/api/search").json()["items"])


def test_metrics_count_requests(client):
    client.get("/api/search", params={"q": "red"})
    client.get("/api/search", params={"q": '"'})
    text = client.get("/metrics").text
    assert 'clew_requests_total{route="/api/search",status="200"} 1' in text
    assert 'clew_requests_total{route="/api/search",status="400"} 1' in text
    assert 'clew_request_seconds_count{route="/api/search"} 2' in text


def test_documentation_lists_the_routes_without_scripts(shared_client):
    page = shared_client.get("/docs").text
    assert "GET /api/search" in page
    assert "<script" not in page
    assert shared_client.get("/openapi.json").json()["paths"].keys() >= {"/api/search", "/api/timeline"}


def test_page_weighs_at_most_150_kilobytes(shared_client):
    """Compressed, as browsers request it; design of the page, section 10."""
    folder = Path(retrieval.server.__file__).parent / "page"
    weights = Counter[str]()
    for file in folder.rglob("*.*"):
        path = "/" if file.name == "index.html" else f"/page/{file.relative_to(folder).as_posix()}"
        answer = shared_client.get(path, headers={"Accept-Encoding": "gzip"})
        weights[file.suffix] += int(answer.headers["content-length"])
    assert weights.total() <= 150_000
    assert weights[".js"] <= 95_000
    assert weights[".css"] <= 30_000
    assert 0 < weights[".svg"] <= 10_000


def test_page_is_compressed_for_clients_that_accept_it(shared_client):
    plain = shared_client.get("/", headers={"Accept-Encoding": "identity"})
    compressed = shared_client.get("/", headers={"Accept-Encoding": "gzip"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(compressed.headers["content-length"]) < int(plain.headers["content-length"])
    assert compressed.text == plain.text
