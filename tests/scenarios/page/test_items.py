"""How the page shows hits of each kind, in the grid and in the lightbox."""

from urllib.parse import parse_qs, urlsplit

from tests.support.browser import (
    THOUSANDS,
    answer,
    hit,
    month_columns,
    picture,
    reply,
    until,
    wait_for_pictures,
)

BOX = [20, 30, 60, 15]


def query_of(request):
    return parse_qs(urlsplit(request.url).query).get("q", [""])[0]


def routes_of(*items, **details):
    """Return routes that answer each search with these items, and ask nothing of the library."""
    by_id = {item["id"]: item | {"details": details, "why": [], "scenes": []} for item in items}
    return [
        (r"/thumbnail|/media", picture),
        (r"/api/search", reply(answer(*items))),
        (r"/api/segments/\d+/text", reply({"passages": []})),
        (
            r"/api/segments/\d+(\?|$)",
            reply(lambda request: by_id[int(urlsplit(request.url).path.rpartition("/")[2])]),
        ),
    ]


def video(number, confidence, **keys):
    keys = {
        "kind": "video",
        "timed": True,
        "ratio": 1.78,
        "duration": 100.0,
        "start": 10.0,
        "end": 20.0,
    } | keys
    return hit(number, confidence, name=f"{number}.mp4", **keys)


def test_only_matching_moments_of_a_video_are_lit(open_page):
    moments = [
        {"id": 2, "start": 40.0, "end": 50.0, "confidence": 0.8},
        {"id": 3, "start": 60.0, "end": 70.0, "confidence": 0.1},
    ]
    page = open_page("/?q=dog", routes=routes_of(video(1, 0.95, moments=moments)))
    assert page.locator(".tile .moments b").count() == 2
    page.locator(".tile .open").click()
    page.wait_for_selector(".moms li")
    assert page.locator(".seek .m").count() == page.locator(".moms li").count() == 2


def test_badge_of_a_narrow_video_has_one_line(open_page):
    page = open_page("/?q=dog", routes=routes_of(video(1, 0.95, ratio=0.56)))
    tile, badge = page.locator(".tile").bounding_box(), page.locator(".badge").bounding_box()
    assert badge["x"] + badge["width"] <= tile["x"] + tile["width"]
    assert page.locator(".badge").inner_text() == "0:10"


def test_text_in_an_image_is_shown_as_the_image_with_its_box(open_page):
    sign = hit(1, 0.95, kind="text", text="The Market Gallery", box=BOX)
    recognized = [{"text": "The Market Gallery", "box": BOX}, {"text": "Exit", "box": [0, 0, 9, 9]}]
    routes = routes_of(sign, width=300, height=200, recognized=recognized, media="/api/segments/1/media")
    page = open_page("/?q=market", routes=routes)
    page.wait_for_selector(".tile:not(.text) .open > img")
    assert "Notes 1" in " ".join(page.locator(".kinds").inner_text().split())
    page.locator(".tile .open").click()
    page.wait_for_selector(".ocr.hit")
    assert page.locator(".ocr").count() == 2
    assert page.locator("button[title^=Boxes]").is_visible()
    page.keyboard.press("b")
    assert page.locator(".ocr.hit").is_hidden()


def test_photo_without_boxes_has_no_button_for_them(open_page):
    page = open_page("/?q=market", routes=routes_of(hit(1, 0.95), width=300, height=200))
    page.locator(".tile .open").click()
    page.wait_for_selector(".facts")
    assert page.locator("button[title^=Boxes]").is_hidden()


def test_passage_of_a_page_names_it_and_opens_its_picture(open_page):
    passage = hit(
        1, 0.95, kind="text", text="A dog ran ahead.", page=3, name="hikes.pdf", ratio=None, length=5
    )
    page = open_page("/?q=dog", routes=routes_of(passage, media="/api/segments/1/media?page=3"))
    assert page.locator(".tile .src").inner_text().split() == ["hikes.pdf", "p.", "3"]
    page.locator(".tile .open").click()
    page.wait_for_selector(".pic figure img")
    assert page.locator(".side mark").inner_text() == "dog"
    assert "Page 3 of 5" in page.locator(".facts").inner_text()


def test_counts_of_kinds_are_those_without_the_chosen_kind(open_page):
    photos, notes = [hit(1, 0.95)], [hit(2, 0.95, kind="text", text="dog", ratio=None), hit(3, 0.3)]

    def search(request):
        return answer(*photos) if "kind:" in query_of(request) else answer(*photos, *notes)

    page = open_page("/?q=dog kind:image", routes=[(r"/thumbnail", picture), (r"/api/search", reply(search))])
    until(page, "document.querySelectorAll('.kinds button').length === 3")
    assert page.locator(".kinds").inner_text().split() == ["All", "2", "Photos", "1", "Notes", "1"]


def test_order_by_date_needs_no_other_search(open_page):
    items = [hit(n, 0.95, time=f"2022-0{n}-01T12:00:00") for n in range(1, 6)] + [hit(9, 0.2)]
    asked = []

    def search(request):
        asked.append(request.url)
        return answer(*items)

    page = open_page("/?q=dog", routes=[(r"/thumbnail", picture), (r"/api/search", reply(search))])
    page.wait_for_selector("h2:has-text('Strong')")
    page.locator("[data-order=date]").click()
    page.wait_for_selector("h2:has-text('May 2022')")
    assert page.locator("h2").all_inner_texts()[0].startswith("May 2022")
    assert len(asked) == 1


def test_order_by_date_waits_for_all_confident_hits(open_page):
    asked = []

    def search(request):
        asked.append(parse_qs(urlsplit(request.url).query))
        if "cursor" in asked[-1]:
            return answer(hit(3, 0.95, time="2024-01-01T12:00:00"), hit(4, 0.2))
        return answer(hit(1, 0.99), hit(2, 0.98), cursor="next")

    page = open_page("/?q=dog&order=date", routes=[(r"/thumbnail", picture), (r"/api/search", reply(search))])
    page.wait_for_selector("h2:has-text('January 2024')")
    assert page.evaluate("clew.grid.items()[0].id") == 3
    assert [each["count"] for each in asked] == [["100"], ["900"]]  # before the grid is drawn


def test_labels_of_days_do_not_overlap(open_page):
    def month(request):
        columns = month_columns(urlsplit(request.url).path[-7:], 40)
        return columns | {"folder": ["A folder whose name is longer than the pictures of its day"] * 40}

    routes = [each for each in THOUSANDS if "timeline/" not in each[0]]
    page = open_page(routes=[*routes, (r"/api/timeline/\d", reply(month))])
    wait_for_pictures(page)
    overlaps = page.evaluate(
        """[...document.querySelectorAll('.row')].flatMap(row => {
            const boxes = [...row.querySelectorAll('.day')].map(day => day.getBoundingClientRect());
            return boxes.slice(1).filter((box, i) => boxes[i].right > box.left);
        }).length"""
    )
    assert page.locator(".row .day ~ .day").count() > 0
    assert overlaps == 0


def test_words_are_marked_on_a_page_in_the_lightbox(open_page):
    page = open_page("/?q=report year kind:page")
    page.locator(".tile .open").first.click()
    page.wait_for_selector(".ocr.word", state="attached")
    assert page.locator(".ocr.word").count() == 2
    page.keyboard.press("b")
    assert page.locator(".ocr.word").first.is_hidden()


def test_words_in_a_video_are_shown_as_the_video_at_their_moment(open_page):
    page = open_page("/?q=heron speaks")
    page.wait_for_selector(".tile.v .badge")
    assert page.locator(".tile.v .badge").first.inner_text().split() == ["0:01", "of", "0:04"]
    page.locator(".tile.v .open").first.click()
    page.wait_for_selector(".pic video")
    assert page.locator(".side mark").all_inner_texts() == ["heron", "speaks"]
    assert "t=1" in page.url


def test_sound_has_the_controls_of_a_video(open_page):
    page = open_page("/?q=kind:audio")
    page.locator(".tile .open").click()
    page.wait_for_selector(".time:has-text('of 0:03')")
    assert page.locator(".seek .m").count() == 0  # without words nothing matches
    page.keyboard.press("Shift+ArrowRight")
    until(page, "document.querySelector('audio').currentTime === 3")
    page.keyboard.press("[")
    assert page.locator(".cutting").is_visible()
    assert page.locator("button[title^='Full screen']").count() == 0


def test_stack_is_spread_from_the_lightbox(open_page):
    stack = hit(1, 0.95, more=[hit(2, 0.94), hit(3, 0.93)])
    page = open_page("/?q=dog", routes=routes_of(stack, hit(2, 0.94), hit(3, 0.93)))
    page.evaluate("clew.grid.focusItem(1)")
    page.keyboard.press("Enter")
    page.wait_for_selector(".film li")
    page.keyboard.press("e")
    page.wait_for_selector("[role=dialog]", state="detached")
    until(page, "document.querySelectorAll('.tile.stack').length === 0")
    assert page.evaluate("clew.grid.items().map(item => item.id)")[:3] == [1, 2, 3]
