"""Several libraries, also of servers, are searched as one list."""

import json
import os
import signal
import time
from io import BytesIO
from threading import Event, Thread, Timer, current_thread

import pytest
from PIL import Image

from indexer import update_library
from retrieval import Libraries, Library, SearchOptions
from retrieval.errors import LibraryError, LibraryMissing, QueryError
from retrieval.federation import pages
from retrieval.federation.remote_library import RemoteLibrary
from tests.support.browser import serving
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import RotatedToyEmbedder, ToyEmbedder


def draw_colors(folder, first, count):
    """Draw images of many colors, and one red and one blue image."""
    for number in range(first, first + count):
        color = ((37 * number) % 256, (91 * number) % 256, (151 * number) % 256)
        draw_image(folder / f"{number}.png", color)
    for color in ("red", "blue"):
        draw_image(folder / f"{color}{first}.png", color)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return two libraries of different folders, and of models with different vectors."""
    tmp_path, places = tmp_path_factory.mktemp("two"), {}
    for name, embedder, first in (("home", ToyEmbedder(), 0), ("work", RotatedToyEmbedder(), 100)):
        draw_colors(tmp_path / f"{name} media", first, 60)
        write_text(tmp_path / f"{name} media" / "note.md", f"the {name} key")
        update_library([tmp_path / f"{name} media"], library=tmp_path / name, embedder=embedder)
        places[str(tmp_path / name)] = embedder
    return places


@pytest.fixture
def libraries(two):
    members = {name: Library.open(name, embedder=embedder) for name, embedder in two.items()}
    with Libraries(members) as opened:
        yield opened


def levels(hits):
    return [(not hit.has_words, -(hit.confidence or 0.0)) for hit in hits]


def test_hits_of_libraries_are_ordered_by_words_and_confidence(libraries, two):
    every = libraries.search("red", kind="image", count=1_000)
    parts = {
        name: library.search("red", kind="image", count=1_000) for name, library in libraries.members.items()
    }
    assert {(hit.library, hit.id, hit.confidence) for hit in every} == {
        (name, hit.id, hit.confidence) for name, hits in parts.items() for hit in hits
    }
    assert levels(every) == sorted(levels(every))
    assert {hit.library for hit in every[:2]} == set(two)
    assert {hit.path.name for hit in every[:2]} == {"red0.png", "red100.png"}
    assert libraries.search("red", kind="image", count=7) == every[:7]


def test_hits_with_the_words_come_first_from_any_library(libraries):
    hits = libraries.search("work key", count=5)
    assert hits[0].text == "the work key"
    assert libraries.text(hits[0]) == hits[0].text
    assert libraries.thumbnail(libraries.search("red", kind="image")[0]) is not None


def test_filters_alone_list_the_newest_files_of_all(libraries, two):
    names = [
        hit.path.name for hit in libraries.search("kind:image", count=30, options=SearchOptions(sort="name"))
    ]
    assert names == sorted(names)
    assert len(libraries.search("kind:image", count=1_000)) == 2 * 62
    times = [hit.time for hit in libraries.search("kind:image", count=50)]
    assert times == sorted(times, reverse=True)


@pytest.fixture
def small(two, tmp_path):
    """Return a library of two images, too few to be calibrated, next to a large one of the same model."""
    for color in ("yellow", "magenta"):
        draw_image(tmp_path / "media" / f"{color}.png", color)
    name, embedder = str(tmp_path / "small"), ToyEmbedder()
    update_library([tmp_path / "media"], library=name, embedder=embedder)
    large = next(iter(two))
    members = {place: Library.open(place, embedder=embedder) for place in (large, name)}
    with Libraries(members) as opened:
        yield opened


def test_match_of_a_library_without_calibration_comes_before_weak_hits(small):
    by_meaning = SearchOptions(by="meaning")
    hits = small.search("yellow", count=20, options=by_meaning)
    assert (hits[0].path.name, hits[0].confidence) == ("yellow.png", None)
    assert hits.have_good_match
    names = [hit.path.name for hit in small.search("red", kind="image", count=100, options=by_meaning)]
    assert names[0] == "red0.png"
    assert 1 < names.index("magenta.png") < len(names) - 1


def test_sorting_keeps_the_best_hits(libraries):
    best = libraries.search("red", count=8)
    by_name = libraries.search("red", count=8, options=SearchOptions(sort="name"))
    assert {(hit.library, hit.id) for hit in by_name} == {(hit.library, hit.id) for hit in best}
    assert [hit.path.name for hit in by_name] == sorted(hit.path.name for hit in best)


def test_single_example_is_one_example(libraries, tmp_path):
    path = draw_image(tmp_path / "query.png", "blue")
    single = libraries.search(like=str(path), count=5)
    assert len(single) == 5
    assert single == libraries.search(like=[path], count=5)


class ReadingThreads(BytesIO):
    """A file in memory that records which threads read it."""

    def __init__(self, data):
        super().__init__(data)
        self.threads = set()

    def read(self, size=-1):
        self.threads.add(current_thread())
        return super().read(size)


@pytest.mark.parametrize("inputs", [["image"], ["like"], ["like", "unlike"]], ids="+".join)
def test_image_of_a_program_is_decoded_once(libraries, tmp_path, inputs):
    """A Pillow image is decoded when it is used, and two threads cannot decode it at the same time."""
    colors = {"image": "blue", "like": "blue", "unlike": "red"}
    paths = {name: draw_image(tmp_path / f"{name}.jpg", colors[name]) for name in inputs}
    files = {name: ReadingThreads(path.read_bytes()) for name, path in paths.items()}
    hits = libraries.search(**{name: Image.open(file) for name, file in files.items()}, count=5)
    assert [hit.id for hit in hits] == [hit.id for hit in libraries.search(**paths, count=5)]
    assert hits[0].path.name.startswith("blue")
    assert [file.threads for file in files.values()] == [{current_thread()}] * len(inputs)


def test_file_of_two_libraries_is_found_once(tmp_path, toy):
    draw_colors(tmp_path / "media", 0, 60)
    for name in ("a", "b"):
        update_library([tmp_path / "media"], library=tmp_path / name, embedder=toy)
    members = {name: Library.open(tmp_path / name, embedder=toy) for name in ("a", "b")}
    with Libraries(members) as opened:
        assert len(opened.search("red", count=1_000)) == 62


def test_id_is_refused(libraries):
    calls = [
        lambda: libraries.search("#1 + red"),
        lambda: libraries.search("red", like=["#1"]),
        lambda: libraries.search("red not:#1"),
        lambda: libraries.search("red | blue - #1"),
    ]
    for call in calls:
        with pytest.raises(QueryError, match="An id belongs to one library"):
            call()


def test_library_that_cannot_answer_is_named_and_the_others_answer(libraries, two):
    libraries.members["http://127.0.0.1:9"] = RemoteLibrary("http://127.0.0.1:9")
    hits = libraries.search("red", count=3)
    assert hits[0].path.name.startswith("red")
    assert "http://127.0.0.1:9 is not searched: Cannot connect" in hits.note
    only = Libraries({"http://127.0.0.1:9": RemoteLibrary("http://127.0.0.1:9")})
    with pytest.raises(LibraryError, match="Is `clew serve` running there"):
        only.search("red")


def test_filter_value_is_unknown_if_no_library_has_it(libraries):
    assert libraries.unknown_filter_values('red under:"work media"') == []
    assert libraries.unknown_filter_values('red under:"home media"', found=True) == []
    for query, value in (("red camera:Nikon", "Nikon"), ("red under:work", "'work'")):
        messages = libraries.unknown_filter_values(query)
        assert [message.partition(": ")[0] for message in messages] == list(libraries.members)
        assert all(value in message for message in messages)


def test_missing_library_is_an_error(two, tmp_path):
    with pytest.raises(LibraryMissing):
        Libraries.open([*two, tmp_path / "none"])


@pytest.fixture
def server(two):
    (name, embedder), *_ = two.items()
    with serving(name, embedder, token="secret") as address:
        yield address.rstrip("/"), Library.open(name, embedder=embedder)


@pytest.mark.parametrize(
    ("words", "kind", "options"),
    [
        ("red", "image", SearchOptions()),
        ("home key", None, SearchOptions()),
        ("red | blue", None, SearchOptions(after=2001, group=True)),
        ("red -blue", ["image", "text"], SearchOptions(under=["home media"], size="1x1")),
    ],
)
def test_server_answers_as_its_library(server, words, kind, options):
    address, library = server
    remote = RemoteLibrary(address, "secret")
    query = library.parse(words)
    found = remote.search(query, kind=kind, count=20, options=options)
    own = library.search(words, kind=kind, count=20, options=options)
    assert [(hit.id, hit.path, hit.match, hit.text, hit.time) for hit in found] == [
        (hit.id, hit.path, hit.match, hit.text, hit.time) for hit in own
    ]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in own], abs=1e-6)
    assert [len(hit.more) for hit in found] == [len(hit.more) for hit in own]
    assert remote.thumbnail(found[0]) == library.thumbnail(own[0])


def test_server_is_sent_a_picture(server, tmp_path):
    remote = RemoteLibrary(server[0], "secret")
    hits = remote.search(server[1].parse(""), image=draw_image(tmp_path / "query.png", "blue"), kind="image")
    assert hits[0].path.name == "blue0.png"


@pytest.mark.parametrize(
    ("words", "kind"), [("red", None), ("red | blue -green", "image"), ("kind:image", None), ("", None)]
)
@pytest.mark.parametrize("has_picture", [False, True], ids=["words", "picture"])
def test_more_hits_than_a_page_has_are_read_page_by_page(
    server, words, kind, has_picture, tmp_path, monkeypatch
):
    address, library = server
    remote, query = RemoteLibrary(address, "secret"), library.parse(words)
    image = draw_image(tmp_path / "query.png", "blue") if has_picture else None
    expected = remote.search(query, image=image, kind=kind, count=20)
    monkeypatch.setattr(pages, "MAX_COUNT", 7)
    found = remote.search(query, image=image, kind=kind, count=20)
    assert [(hit.id, hit.path, hit.score) for hit in found] == [
        (hit.id, hit.path, hit.score) for hit in expected
    ]
    assert len(found) == 20


def test_server_with_a_token_says_so(server):
    with pytest.raises(LibraryError, match="Set CLEW_TOKEN"):
        RemoteLibrary(server[0]).search(server[1].parse("red"))


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ("red", SearchOptions(diversity=0.5), "diversity"),
        ("./file.png", SearchOptions(), "--image"),
        ("red date:never", SearchOptions(), "date"),
    ],
)
def test_option_that_a_server_does_not_have_is_an_error(server, words, options, message):
    with pytest.raises(QueryError, match=message):
        RemoteLibrary(server[0], "secret").search(server[1].parse(words), options=options)


@pytest.fixture
def built(tmp_path):
    """Return two libraries of the built-in model, with a note each."""
    for name in ("home", "work"):
        write_text(tmp_path / f"{name} media" / f"{name}.md", f"the {name} key is under the mat")
        update_library([tmp_path / f"{name} media"], library=tmp_path / name, model="builtin")
    return tmp_path / "home", tmp_path / "work"


def test_command_searches_libraries_and_servers(clew, built, monkeypatch):
    home, work = map(str, built)
    monkeypatch.setenv("CLEW_TOKEN", "secret")
    with serving(work, None, token="secret") as address:
        for places in ((home, work), (home, address)):
            result = clew("search", "key", "--json", *(f"--library={place}" for place in places))
            assert (result.exit_code, result.stderr) == (0, "")
            hits = {hit["library"]: hit["path"].rpartition("/")[2] for hit in json.loads(result.stdout)}
            assert hits == dict(zip(places, ("home.md", "work.md"), strict=True))
        lines = clew("search", "key", "--library", home, "--library", address).stdout.splitlines()
        assert sorted(line.split("\t")[-1] for line in lines) == sorted([home, address])
        assert clew("search", "key", "--csv", "--library", address).stdout.startswith("id,score,")
        opened = clew("search", "key", "--open", "1", "--library", address)
        assert "is not a file on this machine" in opened.stderr
        for format_, end in (("--paths", "\n"), ("-0", "\0")):
            result = clew("search", "key", format_, "--library", home, "--library", address)
            own = f"{built[0].parent / 'home media' / 'home.md'}{end}"
            left_out = f"1 hit of {address} left out: --json shows the paths there.\n"
            assert (result.exit_code, result.stdout, result.stderr) == (0, own, left_out)
            result = clew("search", "key", format_, "--library", address)
            assert (result.exit_code, result.stdout, result.stderr) == (1, "", left_out)
    result = clew("search", "key", "--library", home, "--library", address)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert f"{address} is not searched" in result.stderr


def test_models_of_several_libraries_are_loaded_once(built, monkeypatch):
    from retrieval.federation import libraries

    loaded, load = [], libraries.load_space_embedder
    monkeypatch.setattr(libraries, "load_space_embedder", lambda space: loaded.append(space) or load(space))
    with Libraries.open(built) as opened:
        assert len(opened.search("keys under a doormat")) == 2
    assert len(loaded) == 1


def test_library_that_is_spelled_in_several_ways_is_opened_once(clew, built, monkeypatch):
    home, far = built[0], "http://127.0.0.1:9"
    places = (str(home), f"{home}/", far, f"{home.parent}/./{home.name}", f"{far}/")
    with Libraries.open(places) as libraries:
        assert list(libraries.members) == [str(home), far]
    monkeypatch.chdir(home.parent)
    result = clew("search", "key", "--json", "--library", str(home), "--library", home.name)
    assert [hit.get("library") for hit in json.loads(result.stdout)] == [None]


def test_variable_with_spaces_is_one_library(clew, built, monkeypatch, tmp_path):
    (tmp_path / "home").rename(tmp_path / "my home")
    monkeypatch.setenv("CLEW_LIBRARY", str(tmp_path / "my home"))
    assert "home.md" in clew("search", "key").stdout


@pytest.mark.parametrize("is_repeated", [False, True])
def test_interrupt_waits_for_libraries_that_are_searched(is_repeated, libraries, monkeypatch):
    first, second = libraries.members.values()
    begun, ended = Event(), Event()

    def search_slowly(*_, **__):
        begun.set()
        time.sleep(0.5)
        ended.set()

    class InterruptedThread(Thread):
        def start(self):
            super().start()
            begun.wait()
            if is_repeated:
                Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(first, "search", search_slowly)
    monkeypatch.setattr(second, "search", search_slowly)
    monkeypatch.setattr("retrieval.federation.libraries.Thread", InterruptedThread)
    with pytest.raises(KeyboardInterrupt):
        libraries.search("red")
    assert ended.is_set()
