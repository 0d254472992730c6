"""The web page in a browser: a real server of a toy library, and answers written here where size matters."""

from urllib.parse import urlsplit

import pytest

from tests.support.browser import (
    PER_MONTH,
    THOUSANDS,
    answer,
    first_in_sight,
    hit,
    month_columns,
    names,
    picture,
    place_of,
    query_string,
    reply,
    until,
    wait_for_pictures,
)

HOSTILE = "<img src=x onerror=alert(1)>.jpg"


def test_library_is_shown_by_month_with_a_scale_of_years(open_page):
    page = open_page()
    page.wait_for_selector("text=July 2022")
    assert page.locator(".rail").get_attribute("role") == "slider"
    assert page.locator(".rail .lab b").first.is_visible()
    page.wait_for_selector(".kinds:has-text('Everything')")  # its counts come after the grid


def test_words_are_searched_while_they_are_typed(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.wait_for_selector("h2:has-text('Strong')")
    until(page, "clew.model.line === 'red'")
    assert {"red.png", "notes.md"} <= set(names(page)[:3])
    assert query_string(page) == "?q=red"
    assert page.locator("[role=status]").first.inner_text().count("strong") == 1


def test_filter_becomes_a_chip_when_the_caret_leaves_it_and_text_again(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    page.locator("#words").press_sequentially("red kind:image")
    assert page.locator(".chip").count() == 0
    page.keyboard.press("Space")
    assert page.locator(".chip").inner_text() == "kind:image"
    until(page, "clew.grid.items().length && clew.grid.items().every(item => item.kind === 'image')")
    page.locator(".chip .edit").click()
    assert page.locator("#words").input_value() == "red kind:image"
    page.locator("#words").press("Enter")
    page.locator(".chip .remove").click()
    until(page, "clew.grid.items().some(item => item.kind === 'text')")
    assert query_string(page) == "?q=red"


def test_invalid_filter_keeps_the_results_and_shows_the_message(open_page):
    page = open_page("/?q=red")
    page.wait_for_selector(".tile")
    before = names(page)
    page.evaluate(
        "clew.fail(Object.assign(new Error('rating: takes a number'), {status: 400, column: 4}), null)"
    )
    assert page.locator(".complaint").inner_text() == "rating: takes a number (column 5)"
    assert names(page) == before


def test_dropped_picture_is_searched(open_page, media):
    page = open_page()
    page.wait_for_selector(".tile")
    page.locator(".file").set_input_files(media / "blue.png")
    page.wait_for_selector(".chip img")
    until(page, "clew.model.items?.[0]?.name === 'blue.png'")
    data = page.evaluate_handle(
        """async () => {
            const data = new DataTransfer();
            const canvas = Object.assign(document.createElement("canvas"), {width: 30, height: 20});
            const context = canvas.getContext("2d");
            context.fillStyle = "rgb(0,255,0)";
            context.fillRect(0, 0, 30, 20);
            const blob = await new Promise(resolve => canvas.toBlob(resolve));
            data.items.add(new File([blob], "green.png", {type: "image/png"}));
            return data;
        }"""
    )
    page.dispatch_event("main", "drop", {"dataTransfer": data})
    until(page, "/green.png|walk.mp4/.test(clew.model.items?.[0]?.name)")
    assert page.locator(".chip").count() == 1


def test_term_of_a_tile_is_added_to_the_line(open_page):
    page = open_page("/?q=red")
    page.wait_for_selector(".tile")
    page.keyboard.press("ArrowDown")
    until(page, "document.activeElement.closest('.tile')")
    number = page.evaluate("document.activeElement.closest('.tile').item.id")
    page.keyboard.press("l")
    page.wait_for_selector(".chip img")
    assert page.locator(".chip").inner_text() == f"- #{number}"
    page.go_back()
    until(page, "document.querySelectorAll('.chip').length === 0")


def test_thousands_scroll_with_few_pictures_and_steady_places(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    page.evaluate("clew.grid.scrollToOffset(clew.grid.height / 2)")
    until(page, "clew.grid.anchor()?.id > 0")
    wait_for_pictures(page)
    assert page.locator(".canvas img").count() <= 60
    assert page.locator(".tile").count() < 200
    number = first_in_sight(page)
    before = place_of(page, number)
    page.evaluate("clew.model.load(clew.grid.sections[2])")  # a month above turns out higher or lower
    until(page, "clew.grid.sections[2].items.length > 0")
    assert place_of(page, number) == before
    for _ in range(10):
        page.mouse.wheel(0, 700)
    page.wait_for_timeout(300)
    assert page.locator(".canvas img").count() <= 60


def test_place_after_a_jump_is_not_a_tile_of_the_place_before(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    jump = "top => { scrollTo({top, behavior: 'instant'}); return clew.grid.anchor(); }"
    assert page.evaluate(jump, page.evaluate("clew.grid.height / 2")).keys() == {"section", "share"}
    until(page, "clew.grid.anchor().id > 0")
    assert page.evaluate(jump, 30_000).keys() == {"section", "share"}  # the tiles are now below


def test_rail_jumps_to_a_month(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    rail = page.locator(".rail .in").bounding_box()
    page.mouse.click(rail["x"] + rail["width"] - 28, rail["y"] + rail["height"] * 0.75)
    until(page, "document.querySelector('.rail').ariaValueText.endsWith('2023 500')")
    page.locator(".rail").press("Home")
    until(page, "scrollY === 0")


def test_back_restores_the_tile_and_its_distance(open_page):
    page = open_page(routes=[*THOUSANDS, (r"/api/search", reply(answer(hit(7, 0.95))))])
    wait_for_pictures(page)
    page.evaluate("clew.grid.scrollToOffset(clew.grid.sections[5].top + 900)")
    until(page, "clew.grid.sections[5].items.length > 0 && clew.grid.anchor()?.id > 0")
    until(page, "/at=/.test(location.search)")
    page.wait_for_timeout(400)
    number = first_in_sight(page)
    before = place_of(page, number)
    page.locator("#words").fill("dog")
    until(page, "clew.grid.items()[0]?.id === 7")
    page.go_back()
    until(page, "clew.grid.items().length > 1")
    assert abs(place_of(page, number) - before) <= 1
    page.reload()
    until(page, f"document.querySelector('.tile[data-id=\"{number}\"]')")
    page.wait_for_timeout(300)
    assert abs(place_of(page, number) - before) <= 1


def test_lightbox_by_keyboard_alone(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('Strong')")
    page.keyboard.press("ArrowDown")
    until(page, "document.activeElement.closest('.tile')")
    first = page.evaluate("document.activeElement.closest('.tile').item.id")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=dialog]")
    assert f"open={first}" in query_string(page)
    assert page.evaluate("document.querySelector('#page').inert")
    page.keyboard.press("ArrowRight")
    until(page, f"clew.lightbox.item.id !== {first}")
    second = page.evaluate("clew.lightbox.item.id")
    page.keyboard.press("i")
    assert "info=0" in query_string(page)
    page.keyboard.press("i")
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=dialog]", state="detached")
    until(page, f"document.activeElement.closest('.tile')?.item.id === {second}")
    page.keyboard.press("x")
    assert page.locator(".selbar b").inner_text() == "1 selected"
    page.keyboard.press("Escape")
    assert page.locator(".selbar").count() == 0


def test_closed_lightbox_leaves_no_step_in_the_history(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    page.locator("#words").fill("red")
    page.wait_for_selector("h2:has-text('Strong')")
    for _ in range(2):
        page.locator(".tile .open").first.click()
        page.wait_for_selector("[role=dialog]")
        page.keyboard.press("ArrowRight")
        until(page, "document.querySelector('.lbtop .pos').textContent.startsWith('2')")
        page.keyboard.press("Escape")
        until(page, "!history.state.isOpened && !clew.lightbox.isOpen")
    page.go_back()
    page.wait_for_selector("h2:has-text('July 2022')")
    page.go_forward()
    page.wait_for_selector("h2:has-text('Strong')")


def test_lightbox_of_an_address_is_closed_in_place(open_page):
    page = open_page("/?q=red")
    page.wait_for_selector(".tile")
    number = page.evaluate("clew.grid.items()[0].id")
    page.goto(page.url + f"&open={number}")
    page.wait_for_selector("[role=dialog]")
    page.keyboard.press("Escape")
    until(page, "location.search === '?q=red'")


def test_video_opens_at_its_moment(open_page):
    page = open_page("/?q=yellow kind:video")
    page.locator(".tile .open").first.click()
    until(page, "document.querySelector('video')?.currentTime >= 1.5")
    assert page.locator(".seek .m").count() >= 1
    assert "t=" in query_string(page)


def test_confidence_rail_shows_where_hits_turn_weak(open_page):
    items = [hit(n, 0.97) for n in range(1, 9)] + [hit(n, 0.8) for n in range(9, 12)]
    items += [hit(n, 0.3) for n in range(12, 72)]
    page = open_page("/?q=dog", routes=[(r"/thumbnail", picture), (r"/api/search", reply(answer(*items)))])
    page.wait_for_selector("h2:has-text('Weaker from here')")
    assert page.locator(".rail .lab b").all_inner_texts() == ["Strong", "Likely", "Weak"]
    assert page.locator(".knot").is_visible() and page.locator("svg.link path").is_visible()
    assert page.locator(".part.weak .tile").count() > 0
    assert page.evaluate("clew.grid.items().length") == 8 + 3 + 40
    page.locator("text=40 more").click()
    until(page, "clew.grid.items().length === 71")
    assert page.locator(".kinds button").first.inner_text().split() == ["All", "11"]


def test_list_without_confident_hits_says_so(open_page):
    page = open_page(
        "/?q=violin",
        routes=[(r"/thumbnail", picture), (r"/api/search", reply(answer(hit(1, 0.58), total=412)))],
    )
    page.wait_for_selector("h1:has-text('Nothing here matches well')")
    assert "The best of 412 items reaches 0.58." in page.locator(".none").inner_text()


def test_hostile_name_is_shown_as_text(open_page):
    item = hit(1, 0.9, name=HOSTILE, folder=HOSTILE, path=f"/{HOSTILE}", text=HOSTILE, kind="text")
    details = item | {"details": {"caption": HOSTILE, "tags": [HOSTILE], "camera": HOSTILE}, "why": []}
    routes = [
        (r"/api/search", reply(answer(item))),
        (r"/api/segments/1(\?|$)", reply(details)),
        (r"/api/segments/1/text", reply({"passages": [{"id": 1, "text": HOSTILE, "is_current": True}]})),
    ]
    page = open_page("/?q=img", routes=routes)
    page.locator(".tile .open").click()
    page.wait_for_selector(f'.tags a:has-text("{HOSTILE}")')
    assert page.locator('img[src="x"]').count() == 0


def test_server_that_does_not_answer_keeps_the_results(open_page):
    page = open_page("/?q=red")
    page.wait_for_selector(".tile")
    before = names(page)
    page.evaluate(
        "() => { window.fetchBefore = fetch; window.fetch = async () => { throw new TypeError(); }; }"
    )
    page.locator("#words").fill("green")
    page.wait_for_selector("h1:has-text('The server does not answer')")
    assert names(page) == before
    page.evaluate("() => { window.fetch = fetchBefore; }")
    page.locator("text=Try now").click()
    page.wait_for_selector(".say", state="detached")
    until(page, "clew.grid.items()[0].name === 'green.png' || clew.grid.items()[0].name === 'walk.mp4'")


def test_place_is_kept_until_the_server_answers_again(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    page.evaluate(
        "() => { window.fetchBefore = fetch; window.fetch = async () => { throw new TypeError(); }; }"
    )
    page.evaluate("clew.grid.scrollToOffset(clew.grid.sections[5].top + 900)")
    page.wait_for_selector("h1:has-text('The server does not answer')", state="attached")
    page.wait_for_selector(".toast:has-text('The server does not answer')")
    page.evaluate("() => { window.fetch = fetchBefore; }")
    page.evaluate("document.querySelector('.say .main').click()")
    until(page, "clew.grid.sections[5].items.length > 0 && clew.grid.anchor()?.id > 0")
    assert str(first_in_sight(page)).startswith("202407")
    assert page.locator(".say").count() == 0


@pytest.mark.parametrize(("scheme", "color"), [("light", "rgb(251, 250, 248)"), ("dark", "rgb(19, 18, 16)")])
def test_theme_follows_the_system(open_page, scheme, color):
    page = open_page(color_scheme=scheme)
    page.wait_for_selector(".tile")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == color


def test_phone_has_chips_in_their_own_row_and_no_sideways_scrolling(open_page):
    page = open_page(
        "/?q=red kind:image", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page.wait_for_selector(".tile")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".chips-row .chip").is_visible()
    assert page.locator(".rail").bounding_box()["width"] == 26
    page.locator(".tile .open").first.tap()
    page.wait_for_selector("[role=dialog]")
    assert page.locator(".handle").is_visible()


def test_phone_has_a_selection_bar_as_wide_as_its_screen(open_page):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.wait_for_selector(".tile")
    page.evaluate("clew.selection.add(clew.grid.items().map((item) => item.id))")
    buttons = page.locator(".selbar button:visible")
    assert buttons.all_inner_texts() == ["", "Copy paths", "List", "ZIP"]
    last = buttons.last.bounding_box()
    assert last["x"] + last["width"] <= 390 - 8


def test_rows_fill_the_width_exactly_and_are_the_same_each_time(open_page):
    page = open_page()
    rows = page.evaluate(
        """async () => {
            const { justify } = await import("/page/logic/layout.js");
            const ratios = Array.from({length: 97}, (_, i) => 0.5 + (i * 37 % 20) / 10.5);
            const rows = justify(ratios, 1304, 160, 6);
            return [rows, JSON.stringify(rows) === JSON.stringify(justify(ratios, 1304, 160, 6))];
        }"""
    )
    assert rows[1]
    for row in rows[0][:-1]:
        assert sum(row["widths"]) + 6 * (len(row["widths"]) - 1) == 1304
        assert 0.75 * 160 <= row["height"] <= 1.35 * 160
    assert [row["to"] for row in rows[0][:-1]] == [row["from"] for row in rows[0][1:]]
    assert rows[0][-1]["to"] == 97


def test_line_is_split_into_words_and_chips(open_page):
    page = open_page()
    lines = {
        "a dog date:2019.. not:people - #31077": ("a dog", ["date:2019..", "not:people", "- #31077"]),
        "dog | cat date:2022": ("dog | cat date:2022", []),
        'tag:"my dog" x': ("x", ['tag:"my dog"']),
        "a + #3 sunset": ("a + #3 sunset", []),  # a chip would move "sunset" away from its sign
        "beach - people @anna": ("beach - people @anna", []),
    }
    for line, (words, chips) in lines.items():
        found = page.evaluate("async line => (await import('/page/logic/query.js')).parseLine(line)", line)
        assert (found["words"], found["chips"]) == (words, chips)


def test_caption_is_shown_as_its_image(open_page):
    page = open_page("/?q=kingfisher")
    tile = page.locator("[role=gridcell]").first
    tile.locator("img").wait_for()
    assert "kingfisher" in tile.locator("a").get_attribute("aria-label")


def test_fast_scrolling_draws_placeholders_without_pictures(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    most_tiles, most_pictures = page.evaluate(
        """() => new Promise(done => {
            const begin = performance.now(), most = [0, 0];
            let slowAt = 0;  // a frame that takes 300 ms ends fast scrolling
            clew.grid.render = function () {
                this.constructor.prototype.render.call(this);
                if (this.speed.value <= 3) slowAt = scrollY;
                if (scrollY < slowAt + 3 * innerHeight) return;
                most[0] = Math.max(most[0], document.querySelectorAll(".tile").length);
                most[1] = Math.max(most[1], document.querySelectorAll(".tile img").length);
            };
            const step = () => {
                scrollTo({top: 18 * (performance.now() - begin), behavior: "instant"});
                scrollY < 40000 || !most[0] ? requestAnimationFrame(step) : done(most);
            };
            step();
        })"""
    )
    assert most_tiles > 0
    assert most_pictures == 0
    wait_for_pictures(page)


def test_last_item_is_focused_although_its_month_is_not_loaded(open_page):
    page = open_page(routes=THOUSANDS)
    wait_for_pictures(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+End")
    until(page, "document.activeElement.closest('.tile')?.item.name === '2023-01-499.jpg'")
    page.keyboard.press("Control+Home")
    until(page, "document.activeElement.closest('.tile')?.item.name === '2024-12-0.jpg'")


def test_down_in_the_box_focuses_the_first_hit_of_its_line(open_page):
    page = open_page("/?q=red")
    page.wait_for_selector(".tile")
    page.locator("#words").fill("blue")
    page.keyboard.press("ArrowDown")
    until(page, "document.activeElement.closest('.tile')?.item.name === 'blue.png'")
    assert query_string(page).startswith("?q=blue")


def test_invalid_filter_is_underlined(open_page):
    message = {"error": "Invalid rating 'high'. Use a minimum from 0 to 5.", "column": None}
    page = open_page("/?q=red date:2022")
    page.wait_for_selector(".tile")
    page.evaluate(
        """answer => { window.fetch = async () => new Response(JSON.stringify(answer), {status: 400}); }""",
        message,
    )
    page.locator("#words").fill("red rating:high")
    page.locator("#words").press("Enter")
    page.wait_for_selector(".chip.wrong:has-text('rating:high')")
    assert page.locator(".chip.wrong").count() == 1
    assert page.locator(".complaint").inner_text() == message["error"]


def test_back_restores_the_selection_that_a_search_cleared(open_page):
    page = open_page()
    page.wait_for_selector(".tile")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector(".selbar b:has-text('2 selected')")  # after the month between them is loaded
    page.keyboard.press("/")
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('Strong')")
    assert page.locator(".selbar").count() == 0
    page.go_back()
    page.wait_for_selector(".selbar b:has-text('2 selected')")
    page.evaluate("clew.grid.focusItem(clew.grid.items().find((item) => item.kind === 'image').id)")
    page.keyboard.press("m")
    page.wait_for_selector(".chip")
    assert page.locator(".selbar").count() == 0
    page.go_back()
    page.wait_for_selector(".selbar b:has-text('2 selected')")


def test_place_of_a_deleted_item_is_that_of_its_neighbor(open_page):
    deleted = 202407000 + 250

    def month(request):
        columns = month_columns(urlsplit(request.url).path[-7:], PER_MONTH)
        kept = [n for n, number in enumerate(columns["id"]) if page is None or number != deleted]
        return {
            key: [value[n] for n in kept] if isinstance(value, list) else value
            for key, value in columns.items()
        }

    page = None
    routes = [
        (r"/api/segments/\d+(\?|$)", reply({"error": "gone"})),
        *THOUSANDS[:2],
        (r"/api/timeline/\d", reply(month)),
    ]
    opened = open_page(routes=routes)
    wait_for_pictures(opened)
    opened.evaluate("clew.model.load(clew.grid.sections[5])")
    until(opened, "clew.grid.sections[5].items.length > 0")
    opened.evaluate(f"clew.grid.scrollToItem({deleted}, 200)")
    until(opened, "/at=202407/.test(location.search)")
    opened.wait_for_timeout(300)
    page = opened
    before = opened.evaluate("scrollY")
    opened.reload()
    until(opened, "clew.grid?.sections[5]?.items.length > 0")
    opened.wait_for_timeout(200)
    assert abs(opened.evaluate("scrollY") - before) < 400
