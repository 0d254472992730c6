"""Tests of text recognition (OCR) in images, documents and videos."""

import shutil
import sqlite3
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from starlette.testclient import TestClient

from indexer import IndexOptions, switch_library, update_library, verify_library
from indexer.decode.text.chunking import Chunker
from indexer.enrich import ocr
from indexer.enrich.ocr import OcrAnalyzer, OcrImage
from indexer.enrich.runner import ocr_enrichment, run_analyses
from indexer.enrich.text_layout import Line, reading_order, text_blocks
from indexer.store.analyses import PendingContent
from indexer.store.writer import LibraryWriter
from indexer.types import no_progress
from retrieval import Library, SearchOptions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from retrieval.system import cores
from retrieval.types import PAGE_BOX_SIDE
from tests.support.document_files import raw_pdf
from tests.support.files import draw_image
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import write_video

RECEIPT_ROWS = (
    ("Sourdough loaf", "4.20"),
    ("Cinnamon bun", "2.80"),
    ("Oat flat white", "3.90"),
    ("TOTAL", "10.90"),
)
EMAIL = ("Your flight to Lisbon is delayed.", "The new departure time is 18:45.", "We are sorry for that.")
SIGN = "BEWARE OF THE GOAT"


def draw_text(size: tuple[int, int], texts, height: int = 24, color="white") -> Image.Image:
    """Return an image with black texts, each given as ((x, y), text)."""
    image = Image.new("RGB", size, color)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(height)
    for position, text in texts:
        pen.text(position, text, fill="black", font=font)
    return image


def photo_with_sign() -> Image.Image:
    """Return a large photo with a small sign at (1500, 300)."""
    photo = Image.radial_gradient("L").resize((2400, 1800)).convert("RGB")
    photo.paste(draw_text((420, 60), [((10, 12), SIGN)], 30), (1500, 300))
    return photo


def save_images(folder: Path) -> Path:
    """Write five images, four of them with text, and return their folder."""
    folder.mkdir()
    rows = [
        ((x, 60 + 44 * row), text)
        for row, pair in enumerate(RECEIPT_ROWS)
        for x, text in zip((40, 380), pair, strict=True)
    ]
    draw_text((500, 700), [((150, 10), "CORNER BAKERY"), *rows]).save(folder / "receipt.png")
    draw_text((900, 500), [((80, 120 + 40 * n), text) for n, text in enumerate(EMAIL)]).save(
        folder / "shot.png"
    )
    rotated = photo_with_sign().transpose(Image.Transpose.ROTATE_90)  # EXIF orientation 6 undoes it
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(folder / "sign.jpg", quality=90, exif=exif)
    lines = [((10, 15 + 60 * n), f"message number {n} of chat") for n in range(20)]
    draw_text((320, 1_200), lines, 20).save(folder / "long.png")
    return draw_image(folder / "plain.png", "green", (320, 240)).parent


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Index the images with the built-in model; return their folder, the library and the report."""
    top = tmp_path_factory.mktemp("ocr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rapidocr.utils.download_file.DownloadFile.run", _never)
        patch.setattr("socket.socket.connect", _never)
        report = update_library(
            save_images(top / "images"),
            library=top / "library",
            model="builtin",
            options=IndexOptions(ocr=True),
        )
    return top / "images", top / "library", report


def _never(*args: object) -> None:
    raise AssertionError("must not be called")


@pytest.fixture
def opened(indexed):
    with Library.open(indexed[1]) as library:
        yield library


@pytest.fixture
def copied(indexed, tmp_path):
    """Return a copy of the library that a test may change."""
    shutil.copytree(indexed[1], tmp_path / "library")
    return tmp_path / "library"


def run_ocr(library: Path, *, version=ocr.VERSION, load_engine=ocr.load_engine) -> list[str]:
    """Recognize the text of pending images as a version of the analysis does; return the notes."""
    with LibraryWriter(library, lambda space: BuiltinEmbedder()) as writer:
        enrichment = ocr_enrichment(writer, load_engine)._replace(version=version)
        return run_analyses(writer, [enrichment], no_progress).notes


def rows(library: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(library / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


def test_every_image_is_analyzed_once_and_reported(indexed):
    _, library, report = indexed
    assert report.notes == ["Text in images: found in 4 of 5 files."]
    assert report.kinds["image"] == 5
    query = "SELECT version, progress, count(*) FROM analyses WHERE analysis = 'ocr' GROUP BY 1, 2"
    assert rows(library, query) == [(ocr.VERSION, None, 5)]
    assert verify_library(library).errors == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("cinnamon bun", "receipt.png"),
        ("total 10.90", "receipt.png"),
        ("flight to Lisbon", "shot.png"),
        ("18:45", "shot.png"),
        ("beware goat", "sign.jpg"),
        ("message number 13", "long.png"),
    ],
)
def test_image_is_found_by_keywords_in_its_text(opened, indexed, words, name):
    hit = opened.search(words, options=SearchOptions(by="keyword"))[0]
    assert (hit.path, hit.kind, hit.words) == (indexed[0] / name, "text", 1.0)
    assert opened.search(words)[0].path == indexed[0] / name


@pytest.mark.parametrize(
    ("words", "name"), [("a plane that is late", "shot.png"), ("bread and coffee", "receipt.png")]
)
def test_image_is_found_by_the_meaning_of_its_text(opened, indexed, words, name):
    hit = opened.search(words, kind="text", options=SearchOptions(by="meaning"))[0]
    assert hit.path == indexed[0] / name
    model = BuiltinEmbedder()
    cosine = float(model.embed_texts([words])[0] @ model.embed_texts([hit.text])[0])
    assert hit.score == pytest.approx(cosine, abs=2e-3)


def test_item_and_its_price_are_read_as_one_row(opened):
    (text,) = {
        hit.text
        for hit in opened.search("sourdough", options=SearchOptions(by="keyword"))
        if hit.path.name == "receipt.png"
    }
    assert text == "CORNER BAKERY Sourdough loaf 4.20 Cinnamon bun 2.80 Oat flat white 3.90 TOTAL 10.90"


def test_box_is_in_coordinates_of_the_upright_image(opened):
    (hit,) = [hit for hit in opened.search("goat", options=SearchOptions(by="keyword")) if hit.kind == "text"]
    assert hit.path.name == "sign.jpg"
    assert near(hit.box, SIGN, (1510, 312))


def near(box: tuple[int, int, int, int], text: str, position: tuple[int, int]) -> bool:
    """Return True if a box, (left, top, width, height), is where a text of 30 pixels was drawn."""
    pen, (left, top, width, height) = ImageDraw.Draw(Image.new("RGB", (1, 1))), box
    drawn = pen.textbbox(position, text, font=ImageFont.load_default(30))
    return max(abs(np.subtract((left, top, left + width, top + height), drawn))) < 20


def test_long_image_is_read_completely_and_each_line_once(indexed):
    text = " ".join(
        row[0] for row in rows(indexed[1], "SELECT text FROM segments ORDER BY content, ordinal") if row[0]
    )
    assert [text.count(f"message number {n} of chat") for n in range(20)] == [1] * 20
    assert text.index("number 3 of") < text.index("number 17 of")


def test_only_new_images_are_analyzed_by_the_next_run(indexed, copied, tmp_path):
    assert run_ocr(copied, load_engine=_never) == []  # nothing is pending
    assert update_library(library=copied).notes == []  # OCR is saved as enabled
    more = tmp_path / "more"
    more.mkdir()
    draw_text((400, 100), [((20, 30), "Museum ticket 7751")]).save(more / "ticket.png")
    draw_image(more / "copy.png", "green", (320, 240))  # a content of the library
    report = update_library(more, library=copied)
    assert (report.added, report.notes) == (2, ["Text in images: found in 1 of 1 file."])
    with Library.open(copied) as library:
        assert (
            library.search("ticket 7751", options=SearchOptions(by="keyword"))[0].path == more / "ticket.png"
        )
    draw_text((400, 100), [((20, 30), "Not read")]).save(more / "last.png")
    (note,) = update_library(library=copied, options=IndexOptions(ocr=False)).notes
    assert note.endswith("removed, because this analysis is off now.")
    assert rows(copied, "SELECT 1 FROM analyses WHERE analysis = 'ocr'") == []


def test_new_analysis_version_replaces_the_results(copied):
    query = "SELECT content, ordinal, text, box{} FROM segments WHERE text IS NOT NULL ORDER BY 1, 2"
    before, ids = rows(copied, query.format("")), rows(copied, query.format(", id"))
    assert run_ocr(copied, version="2") == ["Text in images: found in 4 of 5 files."]
    assert rows(copied, query.format("")) == before
    assert not set(rows(copied, query.format(", id"))) & set(ids)
    assert rows(copied, "SELECT version, count(*) FROM analyses WHERE analysis = 'ocr' GROUP BY 1") == [
        ("2", 5)
    ]
    assert verify_library(copied).errors == []
    with Library.open(copied) as library:
        assert library.search("goat", options=SearchOptions(by="keyword"))[0].path.name == "sign.jpg"


def test_text_of_images_follows_a_model_switch(copied):
    switched = switch_library("toy", library=copied, embedder=ToyEmbedder())
    assert switched.waiting == 0
    assert switched.embedded == len(rows(copied, "SELECT 1 FROM segments"))
    assert verify_library(copied).errors == []
    with Library.open(copied, embedder=ToyEmbedder()) as library:
        hit = library.search("cinnamon", options=SearchOptions(by="keyword"))[0]
        assert (hit.path.name, hit.space) == ("receipt.png", "toy")


def test_unreadable_image_is_retried_later(indexed, copied):
    away = indexed[0].rename(indexed[0].with_name("away"))
    try:
        report = update_library(library=copied)
        assert report.offline == 5
        assert run_ocr(copied, version="2") == []
        assert rows(copied, "SELECT DISTINCT version FROM analyses WHERE analysis = 'ocr'") == [("1",)]
    finally:
        away.rename(indexed[0])

    def fail(*args, **kwargs):
        raise ValueError("a bug of rapidocr")

    assert update_library(library=copied).unchanged == 5
    (note,) = run_ocr(copied, version="2", load_engine=lambda threads: fail)
    assert note == "Text in images: failed for every file, and will be retried: a bug of rapidocr"
    assert rows(copied, "SELECT DISTINCT version FROM analyses WHERE analysis = 'ocr'") == [("1",)]


def test_scanned_pages_are_read_with_their_page_number(tmp_path, index, place, toy):
    folder = tmp_path / "scans"
    folder.mkdir()
    first, second = (
        draw_text((620, 877), [((80, 90), text)], 30) for text in ("Rental contract", "Signed by Ada")
    )
    first.save(folder / "scan.pdf", save_all=True, append_images=[Image.new("RGB", (9, 9), "white"), second])
    fax = [page.copy() for page in (first, second)]  # saving a PDF leaves its data in the originals
    fax[0].save(folder / "fax.tiff", save_all=True, append_images=fax[1:], compression="tiff_lzw")
    assert index(folder, ocr=True).notes == ["Text in images: found in 2 of 2 files."]
    with Library.open(place, embedder=toy) as library:
        hits = {hit.path.name: hit for hit in library.search("signed", options=SearchOptions(by="keyword"))}
    assert hits["scan.pdf"].page == 3
    scale = PAGE_BOX_SIDE / 877
    assert near([round(length / scale) for length in hits["scan.pdf"].box], "Signed by Ada", (80, 90))
    app = create_app(Library.open(place, embedder=toy), ServerOptions())
    with TestClient(app, "http://127.0.0.1:8765") as client:
        path = f"/api/segments/{hits['scan.pdf'].id}/words"
        left, top, width, height = client.get(path, params={"word": "sign"}).json()["passages"][0]
        shown = [
            round(share * side)
            for share, side in zip((left, top, width, height), (620, 877) * 2, strict=True)
        ]
        assert near(shown, "Signed by Ada", (80, 90))
        assert client.get(path, params={"word": ["igned", "rental"]}).json() == {"boxes": [], "passages": []}
    assert hits["fax.tiff"].page == 2
    assert near(hits["fax.tiff"].box, "Signed by Ada", (80, 90))
    assert verify_library(place).errors == []
    analyzer = OcrAnalyzer(toy, lambda content: [])
    for name in ("scan.pdf", "fax.tiff"):  # resume after the first page
        with (folder / name).open("rb") as file:
            source = PendingContent(1, b"", "picture" if name == "fax.tiff" else "document", b"", 1)
            parts = list(analyzer.work_units(file, source))
        assert [part.progress for part in parts] == [hits[name].page, None]
        assert [draft.text for part in parts for draft in part.analyze()] == ["Signed by Ada"]
    assert analyzer.threads <= cores()


def stamped_page(image: Image.Image, text: str) -> bytes:
    """Return a PDF of an image that fills the page, with a line of text above it."""
    file = BytesIO()
    image.save(file, "JPEG", quality=95)
    content = b"q 620 0 0 877 0 0 cm /I Do Q BT /F 9 Tf 60 860 Td (%s) Tj ET" % text.encode()
    return raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 620 877]/Contents 4 0 R"
            b"/Resources<</Font<</F 5 0 R>>/XObject<</I 6 0 R>>>>>>",
            b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB/BitsPerComponent 8"
            b"/Filter/DCTDecode/Length %d>>stream\n%s\nendstream"
            % (*image.size, file.tell(), file.getvalue()),
        ]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Case 1:20-cv-01234 Document 1 Filed 01/01/20 Page 1 of 1", ["Rental contract"]),
        ("A page of text. " * 20, []),
    ],
)
def test_scan_with_a_stamp_is_read_without_the_stamp(toy, text, expected):
    page = draw_text((1240, 1754), [((160, 400), "Rental contract")], 50)
    analyzer = OcrAnalyzer(toy, lambda content: [])
    source = PendingContent(1, b"", "document", b"")
    parts = list(analyzer.work_units(BytesIO(stamped_page(page, text)), source))
    assert [draft.text for part in parts for draft in part.analyze()] == expected


def test_page_with_little_text_and_a_small_image_is_no_scan(toy):
    page = stamped_page(draw_text((1240, 1754), [((160, 400), "Rental contract")], 50), "Case 1:20-cv-01234")
    small = page.replace(b"q 620 0 0 877 0 0 cm", b"q 200 0 0 250 0 0 cm")
    parts = list(
        OcrAnalyzer(toy, lambda content: []).work_units(
            BytesIO(small), PendingContent(1, b"", "document", b"")
        )
    )
    assert [part.progress for part in parts] == [None]


def test_text_in_a_video_is_found_at_its_scene(tmp_path, index, place, toy):
    scenes = [("black HELLO", 3.0), ("black BICYCLE", 2.0), ("black INVOICE", 3.0)]
    write_video(tmp_path / "talk" / "slides.mp4", scenes, rotation=90)
    write_video(tmp_path / "talk" / "plain.mp4", [("red", 1.0)])
    assert index(tmp_path / "talk", ocr=True).notes == ["Text in images: found in 1 of 2 files."]
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("bicycle", options=SearchOptions(by="keyword"))
        assert (hit.start, hit.end, hit.timed, hit.kind) == (3.0, 5.0, True, "text")
        left, top, width, height = hit.box
        assert 0 <= left < left + width <= 180
        assert 0 <= top < top + height <= 320
        assert [hit.start for hit in library.search("invoice", options=SearchOptions(by="keyword"))] == [5.0]
    scene_ranges = [(0.0, 3.0), (3.0, 5.0), (5.0, 8.0)]
    with (tmp_path / "talk" / "slides.mp4").open("rb") as file:  # resume after the first scene
        parts = list(
            OcrAnalyzer(toy, lambda content: scene_ranges).work_units(
                file, PendingContent(1, b"", "video", b"", 3.0)
            )
        )
        assert [part.progress for part in parts] == [5.0, 8.0, None]
        assert [draft.text for part in parts for draft in part.analyze()] == ["BICYCLE", "INVOICE"]


def test_missing_extra_is_an_error_before_anything_runs(tmp_path, clew, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    draw_image(tmp_path / "images" / "a.png")
    done = clew("index", tmp_path / "images", "--model", "builtin", "--ocr")
    assert done.exit_code == 2
    assert 'Text recognition requires an extra: pip install "clew-search[ocr]"' in done.stderr
    assert not place.exists()


def test_extra_that_was_uninstalled_is_reported_once_with_the_number_of_files(tmp_path, clew, monkeypatch):
    assert clew("index", tmp_path, "--model", "builtin", "--ocr").exit_code == 0
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    draw_image(tmp_path / "a.png")
    draw_image(tmp_path / "b.png", "blue")
    done = clew("index")
    assert done.exit_code == 0
    assert '2 files: Text recognition requires an extra: pip install "clew-search[ocr]"' in done.stdout
    assert clew("index").stdout.count("[ocr]") == 1
    assert 'text in images (OCR) (not now: pip install "clew-search[ocr]")' in clew("status").stdout
    assert "[ocr]" not in clew("index", "--no-ocr").stdout


def test_results_are_removed_when_recognition_is_turned_off(copied):
    count = rows(copied, "SELECT count(*) FROM segments WHERE origin = 'ocr'")[0][0]
    report = update_library(library=copied, options=IndexOptions(ocr=False))
    assert count > 1
    assert report.notes == [f"{count} passages of text in images removed, because this analysis is off now."]
    assert rows(copied, "SELECT count(*) FROM segments WHERE origin = 'ocr'") == [(0,)]
    assert rows(copied, "SELECT count(*) FROM analyses WHERE analysis = 'ocr'") == [(0,)]
    assert verify_library(copied).errors == []
    assert update_library(library=copied, options=IndexOptions(ocr=False)).notes == []
    again = update_library(library=copied, options=IndexOptions(ocr=True))
    assert again.kinds["text"] == count


@pytest.mark.parametrize(
    "name",
    ["Screenshot 2024-06-11 at 08.03.40.png", "Screenshots/a.jpg", "Bildschirmfoto 3.png", "IMG_0042.PNG"],
)
def test_unread_screenshots_are_hinted(name, folder, index):
    draw_image(folder / name)
    draw_image(folder / "IMG_0042.jpg", "blue")
    assert index(folder).notes == ["1 screenshot was not read for text. To read: `clew index --ocr`."]
    assert index(folder).notes == []


def test_recognition_prints_nothing(indexed, tmp_path, capfd):
    analyzer = OcrAnalyzer(ToyEmbedder(), lambda content: [])
    assert [
        draft.text
        for draft in analyzer.recognize(OcrImage(draw_text((300, 80), [((20, 20), "Quiet please")])))
    ] == ["Quiet please"]
    assert analyzer.recognize(OcrImage(Image.new("RGB", (1, 3000)))) == []
    assert analyzer.recognize(OcrImage(Image.new("RGB", (2000, 2000), "blue"))) == []
    assert capfd.readouterr() == ("", "")


def line(text: str, left: float, top: float, height: float = 20) -> Line:
    return Line(text, left, top, left + 10 * len(text), top + height)


def test_columns_are_read_in_order_and_table_rows_stay_together():
    columns = [
        *(
            line("A column of running", 0, 60),
            line("text is read down to", 0, 84),
            line("its last line.", 0, 108),
        ),
        *(line("Then comes the column", 300, 62), line("to the right of it,", 300, 86)),
    ]
    title = line("Title over both of the columns", 50, 0)
    texts = [row.text for row in reading_order([*reversed(columns), title])]
    assert texts == [title.text, *(row.text for row in columns)]
    prices = [
        line("Milk", 0, 0),
        line("1.29", 300, 2),
        line("Bread and butter", 0, 30),
        line("3.10", 300, 29),
    ]
    assert [row.text for row in reading_order(prices)] == ["Milk 1.29", "Bread and butter 3.10"]


COORDINATES = st.floats(0, 2_000, width=32)
LINES = st.builds(
    lambda text, left, top, width, height: Line(text, left, top, left + width, top + height),
    *(
        st.text("abc1 ", min_size=1, max_size=30),
        COORDINATES,
        COORDINATES,
        st.floats(0, 500),
        st.floats(0, 200),
    ),
)


@given(st.lists(LINES, max_size=30))
def test_reading_order_contains_every_line_once(lines):
    joined = " ".join(row.text for row in reading_order(lines))
    assert sorted(joined.replace(" ", "")) == sorted("".join(line.text for line in lines).replace(" ", ""))
    for block in text_blocks(lines, Chunker(ToyEmbedder())):
        left, top, width, height = block.box
        assert left >= 0 and top >= 0 and width > 0 and height > 0
        assert 0 < ToyEmbedder().count_tokens(block.text) <= 8
