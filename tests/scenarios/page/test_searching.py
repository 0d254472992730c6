"""The page while a line is typed, searched again and read otherwise."""

import time

import pytest

from tests.support.browser import answer, hit, month_columns, picture, reply, until

NOTHING = (r"/api/(search|timeline)\?", reply(answer(undated=0, buckets=[])))  # of a line that is typed


def counting(requests, body):
    """Return a handler that answers with JSON and records the addresses of the requests."""

    def handle(route):
        requests.append(route.request.url)
        reply(body)(route)

    return handle


def test_second_enter_searches_again(open_page):
    found, requests = [hit(1, 0.95)], []
    routes = [(r"/thumbnail", picture), (r"/api/search", counting(requests, lambda _: answer(*found)))]
    page = open_page("/?q=dog", routes=routes)
    until(page, "clew.grid.items().length === 1")
    found.append(hit(2, 0.9))
    before = len(requests)
    page.locator("#words").press("Enter")
    until(page, "clew.grid.items().length === 2")
    assert page.locator(".kinds button").first.inner_text().split() == ["All", "2"]
    assert len(requests) == before + 1


def test_library_by_time_is_requested_again_after_a_search(open_page):
    months = [{"month": "2024-01", "count": 1}]
    counts = {"image": 1}
    routes = [
        (r"/thumbnail", picture),
        (
            r"/api/timeline(\?|$)",
            reply(lambda _: {"total": counts["image"], "undated": 0, "buckets": months}),
        ),
        (r"/api/facets", reply(lambda _: {"kinds": counts})),
        (r"/api/timeline/\d", reply(lambda _: month_columns("2024-01", counts["image"]))),
        (r"/api/search", reply(answer(hit(1, 0.95)))),
    ]
    page = open_page(routes=routes)
    page.wait_for_selector(".kinds:has-text('Everything')")
    page.locator("#words").fill("dog")
    page.wait_for_selector("h2:has-text('Strong')")
    counts["image"] = months[0]["count"] = 2
    page.go_back()  # shows what was there
    until(page, "clew.grid.items().length === 1 && clew.model.total === 1")
    page.locator(".brand").click()
    until(page, "clew.grid.items().length === 2")
    page.wait_for_selector(".kinds:has-text('Everything2')")


def slow_suggestions(route):
    time.sleep(0.15)
    reply({"tokens": ["kind:image"]})(route)


def test_suggestions_are_shown_although_keys_are_faster_than_the_server(open_page):
    page = open_page(routes=[(r"/api/suggest", slow_suggestions), NOTHING])
    page.wait_for_selector(".tile")
    page.locator("#words").press_sequentially("kind:i", delay=80)
    page.wait_for_selector("#suggestions li")


def test_suggestion_replaces_what_was_typed_until_it_was_chosen(open_page):
    suggestions = [(r"caret=6", reply({"tokens": ["kind:image"]})), (r"caret=7", lambda route: None)]
    page = open_page(routes=[*suggestions, NOTHING])
    page.wait_for_selector(".tile")
    page.locator("#words").press_sequentially("kind:i")
    page.wait_for_selector("#suggestions li")
    page.locator("#words").press_sequentially("m")
    page.locator("#suggestions li").click()
    until(page, "clew.box.line === 'kind:image'")


def test_status_is_requested_as_soon_as_a_hidden_page_is_shown(open_page):
    indexing = {"title": "/photos", "done": 1, "total": 3, "rate": None, "seconds_left": None}
    status = {"indexing": indexing, "offline": [], "failures": 0, "map": False}
    requests = []
    page = open_page(routes=[(r"/api/status", counting(requests, status))])
    page.wait_for_selector("text=Indexing: 2 left")
    hide = "value => Object.defineProperty(document, 'hidden', {configurable: true, get: () => value})"
    page.evaluate(hide, True)
    before = len(requests)
    page.wait_for_timeout(3300)  # one status later
    assert len(requests) == before
    indexing["done"] = 2
    page.evaluate(hide, False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("text=Indexing: 1 left")
    page.wait_for_timeout(3300)
    assert len(requests) == before + 2  # one chain of them


@pytest.mark.parametrize(
    ("line", "words", "token", "read"),
    [
        ("party art", "art", "tag:art", "party tag:art"),
        ("party art", "party art", "tag:x", "tag:x"),
        ("a  July 2022 kind:image", "july 2022", "date:2022-07", "a kind:image date:2022-07"),
        ('"art deco" art', "art", "tag:art", '"art deco" tag:art'),
        ("beach - 2020 kind:image", "2020", "date:2020", "beach kind:image -date:2020"),
        ("beach - art 2020", "2020", "date:2020", "beach - art date:2020"),
        ("beach - 2020 art", "2020", "date:2020", "beach - art date:2020"),
        ("party", "art", "tag:art", "party tag:art"),
    ],
)
def test_words_are_read_as_a_filter(open_page, line, words, token, read):
    page = open_page()
    offer = {"words": words, "token": token}
    found = page.evaluate(
        "async ([line, offer]) => (await import('/page/view/states.js')).readAs(line, offer)", [line, offer]
    )
    assert found == read


def test_invalid_value_is_not_complained_about_while_values_are_offered(open_page):
    suggestions = (r"/api/suggest", reply({"tokens": ["kind:image"]}))
    page = open_page("/?q=red", routes=[suggestions])
    page.wait_for_selector(".tile")
    message = {"error": "Unknown kind 'i'. Use image, video, text, page or audio."}
    page.evaluate(
        """answer => {
            const before = fetch;
            window.fetch = async (url, options) => /(search|timeline).*kind%3A(?!image)./.test(url)
                ? new Response(JSON.stringify(answer), {status: 400}) : before(url, options);
        }""",
        message,
    )
    page.locator("#words").focus()
    page.keyboard.press("End")
    page.keyboard.type(" kind:i")
    page.wait_for_selector("#suggestions li")
    page.wait_for_timeout(1000)
    assert page.locator(".complaint").is_hidden()
    page.keyboard.press("Escape")
    page.wait_for_selector(f'.complaint:has-text("{message["error"]}")')
    page.keyboard.press("Backspace")
    page.keyboard.type("image ")
    page.wait_for_selector(".complaint", state="hidden")
