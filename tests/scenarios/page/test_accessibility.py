"""No state of the page has a serious violation that axe-core finds, in both themes and on a phone."""

from pathlib import Path

import pytest

from tests.scenarios.page.test_items import routes_of, video
from tests.scenarios.page.test_map import AROUND_DOGS
from tests.scenarios.page.test_map import ROUTES as MAP
from tests.support.browser import THOUSANDS, hit, picture, reply

PASSAGES = [
    {"id": 1, "start": 1, "end": 2, "text": "A dog ran ahead.", "is_current": True},
    {"id": 2, "start": 3, "end": 4, "text": "The dog came back.", "is_current": False},
]
NOTE = hit(1, 0.95, kind="text", text="A dog ran ahead.", ratio=None, start=1)
MIXED = [
    hit(2, 0.97),
    video(3, 0.96, moments=[{"id": 4, "start": 40.0, "end": 50.0, "confidence": 0.8}]),
    hit(5, 0.8, kind="page", page=2, ratio=0.7, name="hikes.pdf"),
    hit(6, 0.8, kind="audio", duration=60.0, ratio=None, thumbnail=False, name="walk.mp3"),
    hit(7, 0.8, more=[hit(8, 0.8), hit(9, 0.7)]),
    hit(10, 0.8, offline=True),
    *(hit(number, 0.3) for number in range(20, 80)),
    hit(90, 0.2, kind="text", text="A dog too.", ratio=None),
]
OFFLINE = {
    "map": False,
    "indexing": None,
    "offline": [{"root": "/media/Archive", "files": 8112}],
    "failures": 0,
}
SIZE = {"bytes": 14_200_000, "files": 1}
PHOTO = {
    "width": 300,
    "height": 200,
    "recognized": [{"text": "dog", "box": [20, 30, 60, 15]}],
    "tags": ["dog"],
    "caption": "A dog.",
    "captions": ["A dog."],
    "camera": "Canon EOS R8",
    "latitude": 51.3,
    "longitude": 0.2,
    "size_bytes": 3_100_000,
}
STATES = {
    "time": ("/", THOUSANDS, None),
    "selected": (
        "/",
        [*THOUSANDS, (r"/api/export", reply(SIZE))],
        "clew.selection.add([clew.grid.items()[0].id])",
    ),
    "hits": ("/?q=dog date:2019..", routes_of(NOTE, *MIXED), None),
    "by date": ("/?q=dog&order=date", routes_of(NOTE, *MIXED), None),
    "nothing": ("/?q=zither under:Music", routes_of(hit(1, 0.5)), None),
    "none fits": ("/?q=date:2031", (), None),
    "photo": ("/?q=dog&open=2", routes_of(*MIXED, **PHOTO), None),
    "video": ("/?q=dog&open=3", routes_of(*MIXED), None),
    "passage": (
        "/?q=dog&open=1",
        [*routes_of(NOTE), (r"/api/segments/\d+/text", reply({"passages": PASSAGES}))],
        None,
    ),
    "sound": ("/?q=dog&open=6", routes_of(*MIXED), None),
    "map": ("/?view=map", MAP, None),
    "lasso": (f"/?view=map&lasso={AROUND_DOGS}", MAP, None),
    "help": ("/", THOUSANDS, "document.querySelector('.help').click()"),
    "empty": ("/", [(r"/api/timeline", reply({"total": 0, "years": {}, "undated": 0, "buckets": []}))], None),
    "offline": ("/", [*THOUSANDS, (r"/api/status", reply(OFFLINE))], None),
    "invalid": (
        "/?q=dog rating:x",
        routes_of(*MIXED),
        "clew.fail(Object.assign(new Error('Invalid rating.'), {status: 400, column: 4}), null)",
    ),
    "server gone": (
        "/?q=dog",
        routes_of(*MIXED),
        "clew.fail({status: 0, message: 'gone'}, () => clew.run())",
    ),
    "busy": ("/?q=dog", routes_of(*MIXED), "clew.fail({status: 503, retryAfter: 60}, () => clew.run())"),
}


@pytest.fixture(scope="session")
def axe():
    """Return the script of axe-core."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return Path(package.__file__).with_name("axe.min.js").read_text()


def violations(page):
    """Return what axe-core, which is in the page, finds: impact, rule, and the elements."""
    return page.evaluate(
        """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations.map(
            rule => [rule.impact, rule.id, rule.nodes.map(node => node.target.join(" "))]))"""
    )


@pytest.mark.parametrize("state", STATES)
def test_state_has_no_violation(open_page, axe, state):
    path, routes, action = STATES[state]
    page = open_page(path, routes=[(r"/media", picture), *routes])
    page.wait_for_selector(".tile, .say, .none, .map aside h1, [role=dialog]")
    page.wait_for_load_state("networkidle")
    if action:
        page.evaluate(action)
        page.wait_for_timeout(100)
    page.evaluate(axe)
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(100)
    assert violations(page) == []
