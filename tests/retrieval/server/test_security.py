"""Requests of other sites, wrong tokens, large bodies and hostile names are refused or are data."""

import asyncio
import json

import pytest

from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from retrieval.server.security import SecurityMiddleware
from tests.support.files import draw_image

PAGE = "http://127.0.0.1:8765"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8765", "127.0.0.1.evil.example:8765", "localhost.evil.example"),
        *("127.0.0.1:8765@evil.example", "evil.example#127.0.0.1:8765", "", "192.168.1.5:8765", "[::2]:8765"),
        *("127.0.0.1:99999", "127.0.0.1:http", "0.0.0.0:8765", "127.0.0.1:8765,evil.example", "2130706433"),
    ],
)
def test_other_host_is_refused(shared_client, host):
    answer = shared_client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 403
    assert "library" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "127.0.0.1", "LOCALHOST"])
def test_host_of_this_machine_is_answered(shared_client, host):
    assert shared_client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:8765", "file://"),
        *("http://127.0.0.1:8765.evil.example", "http://127.0.0.1", "", "http://127.0.0.1:8765/"),
        "chrome-extension://abc",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origin_is_refused(shared_client, origin, method):
    answer = shared_client.request(method, "/api/search", headers={"Origin": origin}, content="{}")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_is_answered(shared_client):
    assert shared_client.post("/api/search", headers={"Origin": PAGE}, json={"q": "red"}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_picture_that_another_site_embeds_is_refused(client, segment_of, site):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    path = f"/api/segments/{segment_of('red.png')}/media"
    assert client.get(path, headers=headers).status_code == 403
    frame = headers | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert client.get("/", headers=frame).status_code == 403


def test_link_of_another_site_opens_the_page(shared_client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert shared_client.get("/docs", headers=headers).status_code == 200


def test_named_origin_may_call_the_api(library, serve):
    client = serve(origins=("https://friend.example",))
    answer = client.get("/api/status", headers={"Origin": "https://friend.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_named_origin_may_send_json_and_a_token(library, serve):
    client = serve(origins=("https://friend.example",), token="s3cret")
    origin = {"Origin": "https://friend.example"}
    answer = client.options("/api/search", headers=origin | PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert {"Authorization", "Content-Type", "MCP-Protocol-Version", "Mcp-Session-Id"} <= set(
        answer.headers["access-control-allow-headers"].split(", ")
    )
    assert client.post("/api/search", headers=origin, json={"q": "red"}).status_code == 401
    token = {"Authorization": "Bearer s3cret"}
    answer = client.post("/api/search", headers=origin | token, json={"q": "red"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"


def test_other_origin_gets_no_permission_to_send(library, serve):
    client = serve(origins=("https://friend.example",))
    answer = client.options("/api/search", headers={"Origin": "https://evil.example"} | PREFLIGHT)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/api/status", "/docs", "/nowhere", "/api/search?q=%22"])
def test_every_answer_has_the_security_headers(shared_client, path):
    headers = shared_client.get(path).headers
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_token_is_required_in_header_or_cookie(library, serve):
    client = serve(token="s3cret-ü")
    assert client.get("/api/status").status_code == 401
    assert client.get("/healthz").status_code == 200
    encoded = "Bearer s3cret-ü".encode()
    assert client.get("/api/status", headers={"Authorization": encoded}).status_code == 200
    assert client.get("/api/status", headers={"Authorization": "Bearer s3cret"}).status_code == 401
    assert client.get("/api/status", headers={"Authorization": "Basic s3cret-u"}).status_code == 401
    assert client.get("/api/status", params={"token": "s3cret-ü"}).status_code == 401


def test_token_in_the_address_of_the_page_becomes_a_cookie(library, serve):
    client = serve(token="s3cret")
    answer = client.get("/", params={"token": "s3cret"}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/status").status_code == 200


def test_wrong_tokens_are_limited(library, serve):
    client = serve(token="s3cret", max_failed_tokens=3)
    wrong = {"Authorization": "Bearer wrong"}
    assert [client.get("/api/status", headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]
    answer = client.get("/api/status", headers={"Authorization": "Bearer s3cret"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "60"


def test_cookie_of_a_server_at_another_port_is_no_wrong_token(library, serve):
    one, other = serve(token="one", max_failed_tokens=3), serve(token="other")
    one.get("/", params={"token": "one"}, headers={"Host": "127.0.0.1:8765"}, follow_redirects=False)
    answer = other.get(
        "/", params={"token": "other"}, headers={"Host": "127.0.0.1:9000"}, follow_redirects=False
    )
    one.cookies.update(answer.cookies)  # a browser sends the cookies of all ports
    for _ in range(5):
        assert one.get("/api/status", headers={"Host": "127.0.0.1:8765"}).status_code == 200
        assert one.get("/api/status", headers={"Host": "127.0.0.1:9000"}).status_code == 401
    for _ in range(3):
        one.get("/api/status", headers={"Host": "127.0.0.1:9000"})


def test_page_with_an_old_cookie_is_counted_once_and_guesses_by_cookies_are_limited(library, serve):
    client = serve(token="s3cret", max_failed_tokens=3)

    def status(token):
        return client.get("/api/status", headers={"Cookie": f"clew_token_8765={token}"}).status_code

    assert [status("old") for _ in range(5)] == [401] * 5
    assert status("s3cret") == 200
    assert [status(f"guess{number}") for number in range(4)] == [401, 401, 429, 429]


@pytest.mark.parametrize("other", ['a={"x":1}', "a(b)=c", "name=José", "foo bar=1", "foo", "expires=1"])
def test_cookie_of_another_program_does_not_hide_the_token(library, serve, other):
    client, own = serve(token="s3cret-ü"), "clew_token_8765=s3cret-%C3%BC"
    for cookie in (f"{other}; {own}", f"{own}; {other}"):
        headers = {"Cookie": cookie.encode("latin-1")}
        assert client.get("/api/status", headers=headers).status_code == 200


def test_address_that_sends_no_token_is_not_remembered(library, place, toy):
    app = create_app(Library.open(place, embedder=toy), ServerOptions())
    security = SecurityMiddleware(app, ServerOptions(token="s3cret"))
    assert asyncio.run(call(security, [])) == 401
    assert not security._failures
    assert asyncio.run(call(security, [], [(b"authorization", b"Bearer wrong")])) == 401
    assert list(security._failures) == ["127.0.0.1"]
    app.state.worker.close()


def test_large_body_is_refused_by_its_length_and_by_its_bytes(library, serve):
    client = serve(max_body_bytes=10_000)
    assert client.post("/api/search", content=b"x" * 20_000).status_code == 413
    chunks = (b"x" * 1_000 for _ in range(100))
    assert client.post("/api/search", content=chunks).status_code == 413
    headers = {"Content-Length": "-1"}
    assert client.post("/api/search", content=b"{}", headers=headers).status_code == 413


async def call(app, messages, headers=()):
    """Return the status of a request whose body comes as these messages; None waits for ever."""
    pending, sent = list(messages), []

    async def receive():
        message = pending.pop(0) if pending else None
        if message is None:
            await asyncio.sleep(60)
        return message

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/search", "raw_path": b"/api/search",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765),
        "headers": [(b"host", b"127.0.0.1:8765"), *headers],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"]


def test_slow_body_is_refused(library, place, toy):
    app = create_app(Library.open(place, embedder=toy), ServerOptions(max_body_seconds=0.1))
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert asyncio.run(call(app, [part])) == 408
    app.state.worker.close()


def test_body_larger_than_its_length_is_refused(library, place, toy):
    app = create_app(Library.open(place, embedder=toy), ServerOptions(max_body_bytes=1_000))
    part = {"type": "http.request", "body": b"x" * 600, "more_body": True}
    assert asyncio.run(call(app, [part, part, None], [(b"content-length", b"2")])) == 413
    app.state.worker.close()


TRAVERSALS = [
    f"/page/{prefix}{step * 8}{target}"
    for prefix in ("", "x/", "%2e/")
    for step in ("../", "..%2f", "%2e%2e/", "..%5c", "..%252f", "....//", "%c0%ae%c0%ae/", "..;/", ".%00./")
    for target in ("etc/passwd", "app.py", "__init__.py")
] + [
    "/page//etc/passwd",
    "/page/index.html%00.js",
    "/page/../app.py",
    "/page/.hidden.js",
    "/page/C:/x.js",
    "/api/segments/..%2f..%2fetc%2fpasswd/media",
    "/api/segments/1%00/media",
    "/api/timeline/..%2f2020-01",
    "/api/timeline/2020-01'--",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_page(shared_client, path):
    answer = shared_client.get(path)
    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text
    assert "import" not in answer.text


HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</title><svg onload=alert(1)>",
    "{{7*7}}${7*7}",
    "a\nSet-Cookie: x=1",
    "\u202egnp.exe",
    "\u2028line",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_name_is_data(index, serve, tmp_path, name):
    draw_image(tmp_path / "media" / "red.png", "red")
    (tmp_path / "media" / "red.png").rename(tmp_path / "media" / f"{name.replace('/', '_')}.png")
    index(tmp_path / "media")
    client = serve()
    answer = client.get("/api/search")
    [item] = answer.json()["items"]
    assert item["name"] == f"{name.replace('/', '_')}.png"
    assert answer.headers["content-type"] == "application/json"
    media = client.get(f"/api/segments/{item['id']}/media?download=1")
    assert media.headers["content-type"] == "image/png"
    assert "set-cookie" not in media.headers
    disposition = media.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="')
    assert "\n" not in disposition
    assert disposition.isascii()


def test_name_that_is_not_utf8_is_escaped(index, serve, tmp_path):
    draw_image(tmp_path / "media" / "red.png", "red")
    (tmp_path / "media" / "red.png").rename(f"{tmp_path}/media/caf\udce9.png")
    index(tmp_path / "media")
    client = serve()
    answer = client.get("/api/search")
    assert b"caf\\udce9.png" in answer.content
    item = json.loads(answer.content)["items"][0]
    assert client.get(f"/api/segments/{item['id']}/media").status_code == 200


def test_error_shows_no_traceback(client, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("retrieval.server.routes.search.items_of", fail)
    answer = client.get("/api/search", params={"q": "red"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_health_is_told_by_head(shared_client):
    assert shared_client.head("/healthz").status_code == 200
    assert shared_client.head("/v1/embeddings").status_code == 405


def test_unknown_address_and_method_are_answered_as_json(shared_client):
    assert shared_client.get("/api/nothing").json()["error"]
    answer = shared_client.delete("/api/search")
    assert answer.status_code == 405
    assert answer.json()["error"]
