"""The map of the page: clusters, the lasso, and the grid of what is inside it."""

import json
from pathlib import Path

from tests.support.browser import answer, hit, picture, query_string, reply, until

POINTS = {"id": [1, 2, 3, 4, 5], "x": [100, 110, 120, 800, 810], "y": [100, 110, 105, 800, 805]}
NAMES = [{"text": "dog", "x": 110, "y": 105, "count": 3}, {"text": "beach", "x": 805, "y": 803, "count": 2}]
AROUND_DOGS = "50,50;200,50;200,200;50,200"
NO_PICTURE = 2  # an item whose thumbnail is missing
YEARS = {1: 2019, 2: 2021, 3: 2024}


def items(request):
    return {"items": [item(number) for number in json.loads(request.post_data)["ids"]]}


def item(number):
    time = f"{YEARS.get(number, 2020)}-06-01T12:00:00"
    return hit(number, 0, time=time) | {"confidence": None, "match": None}


def thumbnail(route):
    if f"/{NO_PICTURE}/" in route.request.url:
        route.fulfill(body="no picture", content_type="image/webp")
    else:
        picture(route)


ROUTES = (
    (r"/thumbnail", thumbnail),
    (r"/api/status", reply({"map": True, "indexing": None, "offline": [], "failures": 0})),
    (r"/api/map", reply({"points": POINTS, "names": NAMES, "sampled": False})),
    (r"/api/segments$", reply(items)),
    (r"/api/search", reply(lambda request: answer(*(hit(n, 0.95) for n in POINTS["id"])))),
)


def shown(page):
    return page.evaluate("clew.grid.items().map(item => item.id)")


def test_cluster_without_a_picture_at_its_middle_has_that_of_a_neighbor(open_page):
    page = open_page("/?view=map", routes=ROUTES)
    until(page, "document.querySelectorAll('.name img').length === 2")
    until(page, "[...document.querySelectorAll('.name img')].every(image => image.naturalWidth)")
    sources = page.eval_on_selector_all(".name img", "images => images.map(image => image.src)")
    assert not any(f"/{NO_PICTURE}/" in source for source in sources)


def test_lasso_tells_which_clusters_and_years_it_has(open_page):
    page = open_page(f"/?view=map&lasso={AROUND_DOGS}", routes=ROUTES)
    page.wait_for_selector("text=Mostly dog (3), 2019 to 2024")
    assert page.locator(".mini .tile").count() == 3


def test_search_inside_is_in_the_address_and_its_chip_is_removable(open_page):
    page = open_page(f"/?view=map&lasso={AROUND_DOGS}", routes=ROUTES)
    page.locator("text=Search inside").click()
    until(page, "clew.grid.items().length === 3")
    assert page.locator(".chip").inner_text() == "in lasso"
    page.keyboard.type("g")  # as words, not as the key of the map
    assert page.locator("#words").input_value() == "g"
    page.keyboard.press("Backspace")
    page.reload()
    until(page, "clew.grid.items().length === 3")
    page.locator("#words").fill("dog")
    until(page, "clew.state.q === 'dog' && clew.model.hasLevels")
    assert shown(page) == [1, 2, 3]
    page.locator(".chip .remove").click()
    until(page, "clew.grid.items().length === 5")
    page.go_back()
    until(page, "clew.grid.items().length === 3")
    page.locator(".clear").click()
    until(page, "document.querySelectorAll('.chip').length === 0")
    assert "lasso" not in query_string(page)


def test_grid_after_the_map_shows_everything(open_page):
    page = open_page(f"/?view=map&lasso={AROUND_DOGS}&q=dog", routes=ROUTES)
    page.wait_for_selector("text=in the lasso")
    page.keyboard.press("g")
    until(page, "clew.state.view === 'grid' && clew.grid.items().length === 5")
    assert page.locator(".chip").count() == 0
    page.keyboard.press("g")
    page.wait_for_selector("text=in the lasso")


def test_map_is_requested_each_time_it_is_opened(open_page):
    points = {"id": [1], "x": [100], "y": [100]}
    routes = [*ROUTES, (r"/api/map", reply({"points": points, "names": NAMES, "sampled": False}))]
    page = open_page("/?view=map", routes=routes)
    page.wait_for_selector("h1:has-text('1 item')")
    page.keyboard.press("g")
    page.wait_for_selector(".map", state="detached")
    points |= POINTS
    page.keyboard.press("g")
    page.wait_for_selector("h1:has-text('5 items')")


def test_paths_of_a_lasso_are_saved_and_a_refusal_is_shown(open_page):
    page = open_page(f"/?view=map&lasso={AROUND_DOGS}", routes=ROUTES)
    page.route("**/api/export", lambda route: route.fulfill(body="/photos/1.jpg\n"))
    with page.expect_download() as download:
        page.locator("text=Export").click()
    assert Path(download.value.path()).read_text() == "/photos/1.jpg\n"
    refusal = """() => { window.fetch = async () =>
        new Response(JSON.stringify({error: "At most 10,000 ids."}), {status: 400}); }"""
    page.evaluate(refusal)
    page.locator("text=Copy paths").click()
    page.wait_for_selector(".toast:has-text('At most 10,000 ids.')")


def test_list_without_confident_hits_in_the_lasso_names_the_best_of_it(open_page):
    hits = reply(answer(hit(4, 0.99), hit(1, 0.58), hit(2, 0.4), confident=1, best=0.99, total=5))
    routes = [*ROUTES[:-1], (r"/api/search", hits)]
    page = open_page(f"/?q=dog&lasso={AROUND_DOGS}", routes=routes)
    page.wait_for_selector("text=The best of 3 items in the lasso reaches 0.58.")
    page.locator(".try-row").click()
    page.wait_for_selector("h2:has-text('Strong')")
    assert query_string(page) == "?q=dog"
