"""The page shows the progress of an index run by another process."""

import pytest

from tests.support.browser import reply

PATH = "/home/photos/Pictures"


def status(**run):
    keys = {"title": PATH, "done": 314, "total": 15_000, "rate": 40.2, "seconds_left": 365.0} | run
    return (r"/api/status", reply({"indexing": keys, "offline": [], "failures": 0, "map": False}))


@pytest.mark.parametrize(
    ("run", "text"),
    [({}, "Indexing: 14,686 left"), ({"done": 2_400, "total": 0}, "Indexing: 2,400 files found")],
)
def test_bar_shows_how_many_files_are_left(open_page, run, text):
    page = open_page(routes=[status(**run)])
    page.wait_for_selector(".tile")
    page.wait_for_selector(f"text={text}")


@pytest.mark.parametrize(
    ("run", "facts"),
    [
        ({}, "314 searchable 14,686 files left 40 / s rate 6 min left"),
        ({"done": 2_400, "total": 0, "rate": None, "seconds_left": None}, "2,400 files found"),
    ],
)
def test_empty_library_shows_what_is_read(open_page, run, facts):
    empty = {"total": 0, "years": {}, "undated": 0, "buckets": []}
    page = open_page(routes=[status(**run), (r"/api/timeline(\?|$)", reply(empty))])
    page.wait_for_selector("h1:has-text('Indexing Pictures')")
    assert " ".join(page.locator(".nums").inner_text().split()) == facts
