"""Markup in file names, metadata and captions is text in the answers of the API and in the page."""

import json
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import pytest

from indexer import IndexOptions, update_library
from tests.support.attack_payloads import MARKUP
from tests.support.browser import LONG_MS, launched_browser, serving
from tests.support.connections import send
from tests.support.files import write_text
from tests.support.metadata_files import exif, jpeg, write_file, xmp
from tests.support.toy_embedder import ToyEmbedder

DESCRIPTION, MAKE, MODEL = 0x010E, 0x010F, 0x0110
DOCUMENTS = {  # files that run scripts if a browser shows them as what they are
    "page.html": "<!doctype html><p>red</p><script>alert(1)</script>",
    "page.xhtml": '<html xmlns="http://www.w3.org/1999/xhtml">red<script>alert(1)</script></html>',
    "drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script>'
    "</svg>",
    "note.md": "red <script>alert(1)</script>",
    "note.txt": "<html>red<script>alert(1)</script></html>",
}
# Elements and attributes that only the markup of a name could add to the page.
INTRUDERS = r"""() => [...document.querySelectorAll("*")].flatMap(element => {
    const tag = element.tagName.toLowerCase();
    const found = [...element.attributes].filter(({name, value}) =>
        /^on|^srcdoc$|^formaction$/i.test(name)
        || /^(href|src|action|data)$/i.test(name) && !/^([/?#]([^/].*)?|blob:.*|data:image.*)?$/i.test(value)
        || name === "style" && /url(?!\("data:image)|alert/i.test(value));
    const isInBody = /^(script|style|link|meta|title)$/.test(tag) && element.closest("body");
    const isForeign = /^(iframe|object|embed|marquee|math|base|template|animate|isindex)$/.test(tag);
    const isIntruder = found.length || isForeign || isInBody && !element.closest("svg");
    return isIntruder ? [element.outerHTML.slice(0, 300)] : [];
})"""


def file_name(number: int, markup: str) -> str:
    """Return a name that contains markup; a file name has no slash and at most 255 bytes."""
    return f"{number}{markup.replace('/', ' ')[:150]}.jpg"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve a library of photos and documents with markup; yield its address and folder."""
    folder = tmp_path_factory.mktemp("markup")
    for number, markup in enumerate(MARKUP):
        name = f"{MARKUP[number % 9].replace('/', ' ')}/{file_name(number, markup)}"
        metadata = exif({DESCRIPTION: markup, MAKE: "Canon", MODEL: markup})
        packet = xmp(("dc:subject", [escape(markup)]), ("dc:description", [escape(markup)]))
        color = (200, number, 3 * number)
        data = jpeg((90, 60), color, exif=metadata, xmp=packet.encode())
        path = write_file(folder / "media" / name, data)
        write_text(path.with_suffix(".txt"), f"red {markup}")
    for name, text in DOCUMENTS.items():
        write_text(folder / "media" / name, text)
    library = folder / "library"
    update_library([folder / "media"], library=library, embedder=ToyEmbedder(), options=IndexOptions())
    with serving(library, ToyEmbedder()) as address:
        yield address


@pytest.fixture(scope="module")
def items(served):
    """Return the photos and documents, by the first part of their names."""
    answer = send(urlsplit(served).port, "/api/search?count=1000&group=0")
    return json.loads(answer.body)["items"]


def test_answers_of_the_api_contain_markup_as_values_of_json(served, items):
    port = urlsplit(served).port
    photos = {item["name"]: item["id"] for item in items if item["kind"] == "image"}
    for number, markup in enumerate(MARKUP):
        segment = photos[file_name(number, markup)]
        answer = send(port, f"/api/segments/{segment}?q=red")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert markup.strip("\u2028\u202e") in " ".join(json.loads(answer.body)["details"]["captions"])
        media = send(port, f"/api/segments/{segment}/media")
        assert media.headers["content-type"] == "image/jpeg"
        assert "<" not in media.headers["content-disposition"].partition('";')[2]
    for path in ("/api/search?q=red", "/api/facets", "/api/timeline", "/api/status"):
        assert send(port, path).headers["content-type"] == "application/json"
    assert not any(b"alert(1)" in send(port, path).body for path in ("/docs", "/metrics", "/openapi.json"))


@pytest.fixture(scope="module")
def browser():
    with launched_browser() as started:
        yield started


def is_problem(message) -> bool:
    """Return True for an error, such as of the policy; filters without a value are answered with 400."""
    return message.type == "error" and "status of 400" not in message.text


@pytest.fixture
def page(browser, served):
    """Yield a page; afterwards no script of a name has run, and nothing was requested from elsewhere."""
    page, problems = browser.new_page(viewport={"width": 1440, "height": 900}), []
    page.set_default_timeout(LONG_MS)
    page.on("dialog", lambda dialog: (problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: is_problem(message) and problems.append(message.text))
    page.on(
        "request",
        lambda request: request.url.startswith((served, "data:", "blob:")) or problems.append(request.url),
    )
    yield page
    page.close()
    assert problems == []


def test_grid_and_completions_show_markup_as_text(page, served):
    for address in ("/", "/?q=red", "/?q=camera:canon", "/?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E"):
        page.goto(served + address)
        page.wait_for_selector(".tile")
        assert page.evaluate(INTRUDERS) == []
    for key in ("tag:", "camera:", "under:", "@"):
        page.locator("#words").fill(key)
        page.wait_for_timeout(300)
        assert page.evaluate(INTRUDERS) == []


def test_lightbox_shows_markup_of_each_photo_as_text(page, served):
    page.goto(f"{served}/?q=camera:canon")
    page.locator(".tile .open").first.click()
    page.wait_for_selector("[role=dialog]")
    shown = set()
    for _ in range(len(MARKUP) + 10):
        page.wait_for_selector("[role=dialog] .tags a")
        shown.add(page.evaluate("clew.lightbox.item.name"))
        assert page.evaluate(INTRUDERS) == []
        before = page.evaluate("clew.lightbox.item.id")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(20)
        if page.evaluate("clew.lightbox.item.id") == before:
            break
    assert len(shown) >= len(MARKUP)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_opened_in_a_tab_runs_no_script(browser, served, items, name):
    segment = next(item["id"] for item in items if item["name"] == name)
    answer = send(urlsplit(served).port, f"/api/segments/{segment}/media")
    kind = answer.headers["content-type"]
    assert kind in ("application/octet-stream", "text/plain; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    page, dialogs = browser.new_page(), []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    if kind.startswith("text"):
        page.goto(f"{served}/api/segments/{segment}/media")
        assert page.evaluate("document.scripts.length") == 0
    else:
        with page.expect_download():
            page.evaluate(f"location.href = '{served}/api/segments/{segment}/media'")
    page.close()
    assert dialogs == []
