"""How the page shows hits of each kind, in the grid and in the lightbox."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.browser import (
    THOUSANDS,
    answer,
    hit,
    month_columns,
    picture,
    query_string,
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
    page.wait_for_selector(".tile .moments b", state="attached")
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
    assert page.locator(".date-thread").count() == 5  # of the confident ones
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


def test_words_are_marked_on_the_tile_of_a_page(open_page):
    page = open_page("/?q=report year kind:page")
    page.wait_for_selector(".sheet b", state="attached")
    marks = page.locator(".sheet b")
    assert marks.count() == 2
    sheet, mark = page.locator(".sheet").bounding_box(), marks.first.bounding_box()
    assert sheet["x"] <= mark["x"] <= mark["x"] + mark["width"] <= sheet["x"] + sheet["width"]
    assert sheet["y"] <= mark["y"] <= mark["y"] + mark["height"] <= sheet["y"] + sheet["height"]


@pytest.mark.parametrize("ratio", [0.4, 0.77, 1.78, 3.0])
def test_page_on_a_tile_is_complete(open_page, ratio):
    paper = hit(1, 0.95, kind="page", page=1, name="slides.pdf", ratio=ratio)
    page = open_page("/?q=dog", routes=[*routes_of(paper), (r"/words", reply({"boxes": [], "passages": []}))])
    sheet, tile = page.locator(".sheet").bounding_box(), page.locator(".tile").bounding_box()
    assert sheet["width"] / sheet["height"] == pytest.approx(ratio, rel=0.03)
    assert tile["x"] + 8 < sheet["x"]
    assert sheet["x"] + sheet["width"] < tile["x"] + tile["width"] - 8


def test_pages_are_marked_a_few_at_a_time(open_page):
    asked, most = [], []

    def words(route):
        asked.append(route)
        most.append(len(asked))

    def forget(request):  # which the page has given up, as it lays out again
        asked[:] = [route for route in asked if route.request != request]

    papers = [hit(n, 0.95, kind="page", page=n, name="hikes.pdf", ratio=0.77) for n in range(1, 7)]
    page = open_page("/?q=dog", routes=[*routes_of(*papers), (r"/words", words)])
    page.on("requestfailed", forget)
    for _ in range(100):
        page.wait_for_timeout(100)  # so that all requests at a time have arrived
        while asked:
            asked.pop().fulfill(json={"boxes": [[0.1, 0.1, 0.2, 0.02]], "passages": []})
        if page.locator(".sheet b").count() == 6:
            break
    assert page.locator(".sheet b").count() == 6
    assert max(most) == 2


def test_recognized_passage_of_a_scanned_page_is_lit_in_the_lightbox(open_page):
    letter = hit(
        1,
        0.95,
        kind="text",
        text="A dog ran ahead.",
        page=3,
        name="scan.pdf",
        ratio=None,
        box=[100, 50, 300, 40],
    )
    recognized = [
        {"text": "A dog ran ahead.", "box": letter["box"]},
        {"text": "Page 3", "box": [300, 950, 90, 20]},
    ]
    routes = routes_of(letter, recognized=recognized, media="/api/segments/1/media?page=3")
    page = open_page("/?q=dog", routes=[*routes, (r"/words", reply({"boxes": [], "passages": []}))])
    page.locator(".tile .open").click()
    page.wait_for_selector(".ocr.hit", state="attached")
    assert page.locator(".ocr").count() == 2
    figure, box = page.locator(".pic figure").bounding_box(), page.locator(".ocr.hit").bounding_box()
    assert figure["width"] / figure["height"] == pytest.approx(1.5, rel=0.02)  # of `picture`: 1,000 by 667
    assert (box["x"] - figure["x"]) / figure["width"] == pytest.approx(0.1, abs=0.01)
    assert (box["y"] - figure["y"]) / figure["height"] == pytest.approx(0.075, abs=0.01)


def test_buttons_of_a_passage_leave_its_first_words_readable(open_page):
    text = "The first words of a passage are what a person reads, so that nothing covers them. " * 3
    page = open_page("/?q=dog", routes=routes_of(hit(1, 0.95, kind="text", text=text, ratio=None)))
    page.locator(".tile").hover()
    words = page.evaluate(
        """() => {
            const range = document.createRange(), node = document.querySelector('.tile .words').firstChild;
            range.selectNodeContents(node);
            return [...range.getClientRects()].slice(0, 3).map(box => [box.top, box.bottom]);
        }"""
    )
    for name in (".acts", ".pick"):
        box = page.locator(f".tile {name}").bounding_box()
        assert all(bottom <= box["y"] or top >= box["y"] + box["height"] for top, bottom in words)


@pytest.mark.parametrize("width", [390, 900, 1440])
def test_passage_shows_complete_lines_with_its_first_match(open_page, width):
    text = "Words before the match that fill a tile. " * 4 + "Then a heron came. " + "More words follow. " * 9
    notes = [hit(n, 0.95, kind="text", text=text, ratio=None) for n in range(1, 8)]
    photos = [hit(n, 0.95, ratio=(1.5, 0.6, 2.0)[n % 3]) for n in range(8, 14)]
    items = [each for pair in zip(notes, photos, strict=False) for each in pair]
    page = open_page("/?q=heron", routes=routes_of(*items), viewport={"width": width, "height": 900})
    page.wait_for_selector(".tile.text mark")
    found = page.evaluate(
        """() => [...document.querySelectorAll('.tile.text')].map(tile => {
            const words = tile.querySelector('.words'), box = words.getBoundingClientRect();
            const line = parseFloat(getComputedStyle(words).lineHeight);
            const mark = words.querySelector('mark').getBoundingClientRect();
            return [box.height / line, (mark.top - box.top) / line];
        })"""
    )
    assert found
    for lines, first in found:
        assert lines == pytest.approx(round(lines), abs=0.05)
        assert first < min(2, lines)


def test_list_with_a_null_after_each_path_is_saved(open_page):
    page = open_page("/?q=red kind:image")
    page.wait_for_selector(".tile .open")
    page.evaluate("clew.grid.focusItem(clew.grid.items()[0].id)")
    page.keyboard.press("x")
    with page.expect_download() as saved:
        page.locator(".selbar button:has-text('List, NUL')").click()
    content = Path(saved.value.path()).read_bytes()
    assert content.endswith(b".png\0")
    assert content.count(b"\0") == 1
    assert b"\n" not in content


@pytest.mark.parametrize(("matches", "shown"), [(7, "7 likely matches"), (400, "100+ likely matches")])
def test_lines_that_may_help_count_all_their_matches(open_page, matches, shown):
    def search(request):
        line, count = query_of(request), int(parse_qs(urlsplit(request.url).query).get("count", ["40"])[0])
        if "kind:" in line:
            return answer(hit(1, 0.3), confident=0, best=0.3)
        return answer(confident=min(count, matches))

    page = open_page("/?q=dog kind:page", routes=[(r"/thumbnail", picture), (r"/api/search", reply(search))])
    page.wait_for_selector(".try-row em")
    assert page.locator(".try-row em").first.inner_text() == shown


def test_words_in_a_video_are_shown_as_the_video_at_their_moment(open_page):
    page = open_page("/?q=heron speaks")
    page.wait_for_selector(".tile.v .badge")
    assert page.locator(".tile.v .badge").first.inner_text().split() == ["0:01", "of", "0:04"]
    page.locator(".tile.v .open").first.click()
    page.wait_for_selector(".pic video")
    assert page.locator(".side mark").all_inner_texts() == ["heron", "speaks"]
    assert "t=1" in query_string(page)


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
    page.wait_for_selector(".tile")
    page.evaluate("clew.grid.focusItem(1)")
    page.keyboard.press("Enter")
    page.wait_for_selector(".film li")
    page.keyboard.press("e")
    page.wait_for_selector("[role=dialog]", state="detached")
    until(page, "document.querySelectorAll('.tile.stack').length === 0")
    assert page.evaluate("clew.grid.items().map(item => item.id)")[:3] == [1, 2, 3]
