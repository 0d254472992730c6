"""`clew search` asks a running `clew serve` of its library, with the same output as without one."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from threading import Thread

import pytest
import uvicorn

from indexer.store.writer import LibraryWriter
from retrieval.cli.serving import socket_client
from retrieval.cli.serving.serve import open_user_socket
from retrieval.errors import QueryError
from retrieval.library import Library
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from retrieval.system import server_socket
from tests.support.files import draw_image, write_text


@pytest.fixture
def place(tmp_path, clew, monkeypatch):
    """Index a library, and use a cache folder with a short path, as the path of a socket is short."""
    cache = tempfile.mkdtemp(prefix="clew-", dir="/tmp")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    for number, color in enumerate(("red", "green", "blue", "yellow")):
        draw_image(tmp_path / "in" / f"{color}.png", color)
        write_text(tmp_path / "in" / f"{number}.md", f"a {color} wall\n\nand text")
    assert clew("index", "in", "--model", "builtin").exit_code == 0
    assert clew("save", "wall", "wall kind:text").exit_code == 0
    yield tmp_path / "library"
    shutil.rmtree(cache)


@contextmanager
def serving(place, token=None):
    """Run the server of a library in a thread, on its socket only."""
    with open_user_socket(place) as sockets:
        app = create_app(Library.open(place), ServerOptions(token=token))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = Thread(target=server.run, kwargs={"sockets": sockets})
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


QUERIES = [
    ["wall"],
    ["red", "--json"],
    ["@wall", "--why"],
    ["a red wall | kind:text blue", "--nl"],
    ["kind:image", "--csv"],
    ["red", "--group", "--kind", "image", "-k", "2", "--all"],
    ["xqzvw kjhgf", "--kind", "image"],
    ["tag:missing", "wall"],
]


def test_output_is_that_of_the_command_alone(clew, place, monkeypatch):
    alone = [clew(*query) for query in QUERIES]
    answers = []
    ask = socket_client.ask_server
    monkeypatch.setattr(socket_client, "ask_server", lambda *call: answers.append(ask(*call)) or answers[-1])
    with serving(place):
        served = [clew(*query) for query in QUERIES]
    assert [(done.output, done.exit_code) for done in served] == [
        (done.output, done.exit_code) for done in alone
    ]
    assert len(answers) == len(QUERIES)
    assert None not in answers


def test_hits_and_errors_come_from_the_server(place):
    with serving(place, token="secret"):  # which the user of the socket need not know
        answer = socket_client.ask_server(place, parse("@wall + red"), (), 3, SearchOptions(why=True))
        assert [hit.path.suffix for hit in answer.hits] == [".md"] * 3
        assert str(answer.query) == str(parse("wall + red kind:text"))
        assert answer.hits[0].why
        with pytest.raises(QueryError, match="Unknown kind"):
            socket_client.ask_server(place, parse("wall kind:none"), (), 3, SearchOptions())
        second = open_user_socket(place)
        with second as sockets:
            assert sockets == []
        assert server_socket(place).exists()
    assert not server_socket(place).exists()


@pytest.mark.parametrize(
    "query",
    ["./red.png", "a - file:red.png", "wall under:./in", "wall -under:~/in", "wall not:./red.png"],
)
def test_search_that_depends_on_the_current_folder_is_not_sent(place, query):
    with serving(place):
        assert socket_client.ask_server(place, parse(query), (), 3, SearchOptions()) is None
        assert socket_client.ask_server(place, parse("red"), (), 3, SearchOptions(under=("./in",))) is None


@pytest.mark.parametrize("query", ["wall file:in/red.png", "wall under:./in", "not:./none.png"])
def test_saved_search_of_an_older_version_that_depends_on_the_current_folder_is_not_answered(place, query):
    with LibraryWriter(place) as writer, writer.db.atomic():
        writer.db.execute("INSERT INTO saved_searches VALUES ('older', ?)", (query,))
    with serving(place):
        assert socket_client.ask_server(place, parse("@older"), (), 3, SearchOptions()) is None
        assert socket_client.ask_server(place, parse("@wall"), (), 3, SearchOptions()) is not None


def test_socket_that_others_could_have_made_is_not_used(place):
    with serving(place):
        server_socket(place).parent.chmod(0o777)
        assert socket_client.ask_server(place, parse("red"), (), 3, SearchOptions()) is None
        server_socket(place).parent.chmod(0o700)
        assert socket_client.ask_server(place, parse("red"), (), 3, SearchOptions()) is not None


def test_socket_of_a_killed_server_is_replaced_and_never_waited_for(clew, place):
    address = server_socket(place)
    address.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_user_socket(place) as (listener,):
        os.link(address, address.with_suffix(".kept"))
    address.with_suffix(".kept").rename(address)
    assert listener.fileno() == -1
    assert clew("wall", "--paths").exit_code == 0
    with open_user_socket(place) as sockets:
        assert len(sockets) == 1


def test_route_of_the_socket_is_not_on_the_network(place):
    from starlette.testclient import TestClient

    with TestClient(
        create_app(Library.open(place), ServerOptions()), base_url="http://127.0.0.1:8765"
    ) as client:
        assert client.post("/terminal/search", json={"query": "red"}).status_code == 404
