"""Fixtures: a toy library on a real server, and a browser that opens its page."""

import os
import re
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from indexer import IndexOptions, update_library
from tests.support.audio_files import write_audio
from tests.support.browser import LONG_MS, launched_browser, serving
from tests.support.document_files import pdf
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS, ToyEmbedder
from tests.support.video_files import write_video


@pytest.fixture(scope="package")
def media(tmp_path_factory):
    """Return a folder with an image of each color in different months, a video, a note and a document."""
    folder = tmp_path_factory.mktemp("media")
    for number, color in enumerate(COLORS):
        path = draw_image(folder / f"{color}.png", color, size=(300, 200))
        taken = datetime(2022, 1 + number, 12).timestamp()
        os.utime(path, (taken, taken))
    write_video(folder / "walk.mp4", [("green", 2.0), ("yellow", 2.0)])
    write_video(folder / "talk.mkv", [("magenta", 4.0)], subtitles=[(1.0, 3.0, "The heron speaks at last.")])
    write_audio(folder / "tone.wav", seconds=3)
    write_text(folder / "notes.md", "The red boat came home.\n")
    write_text(folder / "blue.txt", "a kingfisher\n")
    (folder / "report.pdf").write_bytes(pdf([("blue", "The report of the year")]))
    return folder


@pytest.fixture(scope="package")
def address(media, tmp_path_factory):
    library, toy = tmp_path_factory.mktemp("library") / "library", ToyEmbedder()
    update_library([media], library=library, embedder=toy, options=IndexOptions())
    with serving(library, toy) as url:
        yield url


@pytest.fixture(scope="package")
def browser():
    with launched_browser() as started:
        yield started


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens the page; afterwards nothing failed and nothing left the origin."""
    contexts, problems, requests = [], [], []

    def start(path="/", *, routes=(), **options):
        options = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"} | options
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LONG_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        for pattern, reply in routes:
            page.route(re.compile(pattern), reply)
        page.goto(address + path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert problems == []
    schemes = {url.partition(":")[0] for url in requests} - {"blob", "data"}
    assert schemes == {"http"}
    assert {urlsplit(url).netloc for url in requests if url.startswith("http")} == {urlsplit(address).netloc}
