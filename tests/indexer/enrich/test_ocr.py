"""Pictures are found by the text on them: read once, after all else, and never fetched for."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from indexer import IndexOptions, switch_library, update_library, verify_library
from indexer.decode.text.chunking import Chunker
from indexer.enrich import ocr
from indexer.enrich.ocr import OcrAnalyzer, OcrImage
from indexer.enrich.text_layout import Line, reading_order, text_blocks
from indexer.store.analyses import PendingContent
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.system import cores
from tests.support.files import draw_image
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import write_video

RECEIPT = (
    ("Sourdough loaf", "4.20"),
    ("Cinnamon bun", "2.80"),
    ("Oat flat white", "3.90"),
    ("TOTAL", "10.90"),
)
MAIL = ("Your flight to Lisbon is delayed.", "The new departure time is 18:45.", "We are sorry for that.")
SIGN = "BEWARE OF THE GOAT"


def page(size: tuple[int, int], texts, height: int = 24, colour="white") -> Image.Image:
    """Draw texts, ((x, y), text) each."""
    picture = Image.new("RGB", size, colour)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(height)
    for place, text in texts:
        pen.text(place, text, fill="black", font=font)
    return picture


def photo_with_sign() -> Image.Image:
    """Draw a large photo with a small sign at (1500, 300)."""
    picture = Image.radial_gradient("L").resize((2400, 1800)).convert("RGB")
    picture.paste(page((420, 60), [((10, 12), SIGN)], 30), (1500, 300))
    return picture


def save_pictures(folder: Path) -> Path:
    folder.mkdir()
    rows = [
        ((x, 60 + 44 * row), text)
        for row, pair in enumerate(RECEIPT)
        for x, text in zip((40, 380), pair, strict=True)
    ]
    page((500, 700), [((150, 10), "CORNER BAKERY"), *rows]).save(folder / "receipt.png")
    page((900, 500), [((80, 120 + 40 * n), text) for n, text in enumerate(MAIL)]).save(folder / "shot.png")
    turned = photo_with_sign().transpose(Image.Transpose.ROTATE_90)  # as a camera that was held upright
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "sign.jpg", quality=90, exif=exif)
    lines = [((10, 15 + 60 * n), f"message number {n} of chat") for n in range(20)]
    page((320, 1_200), lines, 20).save(folder / "long.png")
    return draw_image(folder / "plain.png", "green", (320, 240)).parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Index the pictures with the built-in model; returns their folder, the library and the report."""
    top = tmp_path_factory.mktemp("ocr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rapidocr.utils.download_file.DownloadFile.run", _never)
        patch.setattr("socket.socket.connect", _never)
        report = update_library(
            save_pictures(top / "pictures"),
            library=top / "library",
            model="builtin",
            options=IndexOptions(ocr=True),
        )
    return top / "pictures", top / "library", report


def _never(*given: object) -> None:
    raise AssertionError("something is fetched")


@pytest.fixture
def opened(made):
    with Library.open(made[1]) as library:
        yield library


@pytest.fixture
def copied(made, tmp_path):
    """Copy the library, to be written to."""
    shutil.copytree(made[1], tmp_path / "library")
    return tmp_path / "library"


def rows(place: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


def test_every_picture_is_looked_at_once_and_said(made):
    _, place, report = made
    assert report.notes == ["Text in images: found in 4 of 5 files."]
    assert report.kinds["image"] == 5
    query = "SELECT version, progress, count(*) FROM analyses WHERE analysis = 'ocr' GROUP BY 1, 2"
    assert rows(place, query) == [(ocr.VERSION, None, 5)]
    assert verify_library(place).errors == []


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
def test_a_picture_is_found_by_what_it_says(opened, made, words, name):
    hit = opened.search(words, by="keyword")[0]
    assert (hit.path, hit.kind, hit.words) == (made[0] / name, "text", 1.0)
    assert opened.search(words)[0].path == made[0] / name


@pytest.mark.parametrize(
    ("words", "name"), [("a plane that is late", "shot.png"), ("bread and coffee", "receipt.png")]
)
def test_a_picture_is_found_by_what_it_means(opened, made, words, name):
    hit = opened.search(words, by="meaning", kind="text")[0]
    assert hit.path == made[0] / name
    model = BuiltinEmbedder()
    said = float(model.embed_texts([words])[0] @ model.embed_texts([hit.text])[0])
    assert hit.score == pytest.approx(said, abs=2e-3)


def test_a_thing_and_its_price_are_one_row(opened):
    (text,) = {hit.text for hit in opened.search("sourdough", by="keyword") if hit.path.name == "receipt.png"}
    assert text == "CORNER BAKERY Sourdough loaf 4.20 Cinnamon bun 2.80 Oat flat white 3.90 TOTAL 10.90"


def test_a_box_is_where_the_text_is_on_the_upright_picture(opened):
    (hit,) = [hit for hit in opened.search("goat", by="keyword") if hit.kind == "text"]
    assert hit.path.name == "sign.jpg"
    assert near(hit.box, SIGN, (1510, 312))


def near(box: tuple[int, int, int, int], text: str, place: tuple[int, int]) -> bool:
    """Say whether a box is where a text of 30 pixels was drawn."""
    pen, (left, top, width, height) = ImageDraw.Draw(Image.new("RGB", (1, 1))), box
    drawn = pen.textbbox(place, text, font=ImageFont.load_default(30))
    return max(abs(np.subtract((left, top, left + width, top + height), drawn))) < 20


def test_a_long_picture_is_read_whole_and_each_line_once(made):
    said = " ".join(
        row[0] for row in rows(made[1], "SELECT text FROM segments ORDER BY content, ordinal") if row[0]
    )
    assert [said.count(f"message number {n} of chat") for n in range(20)] == [1] * 20
    assert said.index("number 3 of") < said.index("number 17 of")


def test_what_was_looked_at_is_not_looked_at_again_but_new_pictures_are(made, copied, tmp_path, monkeypatch):
    monkeypatch.setattr(ocr, "_load_engine", _never)
    assert update_library(library=copied).notes == []  # it is remembered, and nothing is due
    monkeypatch.undo()
    more = tmp_path / "more"
    more.mkdir()
    page((400, 100), [((20, 30), "Museum ticket 7751")]).save(more / "ticket.png")
    draw_image(more / "copy.png", "green", (320, 240))  # of which the library knows the content
    report = update_library(more, library=copied)
    assert (report.added, report.notes) == (2, ["Text in images: found in 1 of 1 file."])
    with Library.open(copied) as library:
        assert library.search("ticket 7751", by="keyword")[0].path == more / "ticket.png"
    page((400, 100), [((20, 30), "Nobody reads this")]).save(more / "last.png")
    assert update_library(library=copied, options=IndexOptions(ocr=False)).notes == []
    assert len(rows(copied, "SELECT 1 FROM analyses WHERE analysis = 'ocr'")) == 6


def test_a_newer_version_reads_again_and_replaces(copied, monkeypatch):
    query = "SELECT content, ordinal, text, box{} FROM segments WHERE text IS NOT NULL ORDER BY 1, 2"
    before, ids = rows(copied, query.format("")), rows(copied, query.format(", id"))
    monkeypatch.setattr(ocr, "VERSION", "2")
    assert update_library(library=copied).notes == ["Text in images: found in 4 of 5 files."]
    assert rows(copied, query.format("")) == before
    assert not set(rows(copied, query.format(", id"))) & set(ids)
    assert rows(copied, "SELECT version, count(*) FROM analyses WHERE analysis = 'ocr' GROUP BY 1") == [
        ("2", 5)
    ]
    assert verify_library(copied).errors == []
    with Library.open(copied) as library:
        assert library.search("goat", by="keyword")[0].path.name == "sign.jpg"


def test_the_text_on_pictures_follows_a_switch(copied):
    switched = switch_library("toy", library=copied, embedder=ToyEmbedder())
    assert switched.waiting == 0
    assert switched.embedded == len(rows(copied, "SELECT 1 FROM segments"))
    assert verify_library(copied).errors == []
    with Library.open(copied, embedder=ToyEmbedder()) as library:
        hit = library.search("cinnamon", by="keyword")[0]
        assert (hit.path.name, hit.space) == ("receipt.png", "toy")


def test_a_picture_that_cannot_be_read_now_is_neither_fatal_nor_forgotten(made, copied, monkeypatch):
    monkeypatch.setattr(ocr, "VERSION", "2")
    away = made[0].rename(made[0].with_name("away"))
    try:
        report = update_library(library=copied)
        assert report.offline == 5
        assert rows(copied, "SELECT DISTINCT version FROM analyses WHERE analysis = 'ocr'") == [("1",)]
    finally:
        away.rename(made[0])

    def fail(*picture, **how):
        raise ValueError("a bug of rapidocr")

    monkeypatch.setattr(ocr, "_load_engine", lambda threads: fail)
    (note,) = update_library(library=copied).notes
    assert note == "Text in images: failed for every file, and will be retried: a bug of rapidocr"
    assert rows(copied, "SELECT DISTINCT version FROM analyses WHERE analysis = 'ocr'") == [("1",)]


def test_the_pages_of_a_document_that_are_pictures_are_read_with_their_number(tmp_path, index, place, toy):
    folder = tmp_path / "scans"
    folder.mkdir()
    first, second = (
        page((620, 877), [((80, 90), text)], 30) for text in ("Rental contract", "Signed by Ada")
    )
    first.save(folder / "scan.pdf", save_all=True, append_images=[Image.new("RGB", (9, 9), "white"), second])
    fax = [picture.copy() for picture in (first, second)]  # Pillow leaves in those what a PDF needs
    fax[0].save(folder / "fax.tiff", save_all=True, append_images=fax[1:], compression="tiff_lzw")
    assert index(folder, ocr=True).notes == ["Text in images: found in 2 of 2 files."]
    with Library.open(place, embedder=toy) as library:
        hits = {hit.path.name: hit for hit in library.search("signed", by="keyword")}
    assert (hits["scan.pdf"].page, hits["scan.pdf"].box) == (3, None)
    assert hits["fax.tiff"].page == 2
    assert near(hits["fax.tiff"].box, "Signed by Ada", (80, 90))
    assert verify_library(place).errors == []
    reader = OcrAnalyzer(toy, lambda content: [])
    for name in ("scan.pdf", "fax.tiff"):  # from where it was stopped
        with (folder / name).open("rb") as file:
            source = PendingContent(1, b"", "picture" if name == "fax.tiff" else "document", b"", 1)
            parts = list(reader.work_units(file, source))
        assert [part.progress for part in parts] == [hits[name].page, None]
        assert [draft.text for part in parts for draft in part.analyze()] == ["Signed by Ada"]
    assert reader.threads <= cores()


def test_text_in_a_video_is_found_at_its_moment(tmp_path, index, place, toy):
    scenes = [("black HELLO", 3.0), ("black BICYCLE", 2.0), ("black INVOICE", 3.0)]
    write_video(tmp_path / "talk" / "slides.mp4", scenes, rotation=90)
    write_video(tmp_path / "talk" / "plain.mp4", [("red", 1.0)])
    assert index(tmp_path / "talk", ocr=True).notes == ["Text in images: found in 1 of 2 files."]
    with Library.open(place, embedder=toy) as library:
        (hit,) = library.search("bicycle", by="keyword")
        assert (hit.start, hit.end, hit.timed, hit.kind) == (3.0, 5.0, True, "text")
        left, top, width, height = hit.box
        assert 0 <= left < left + width <= 180
        assert 0 <= top < top + height <= 320
        assert [one.start for one in library.search("invoice", by="keyword")] == [5.0]
    moments = [(0.0, 3.0), (3.0, 5.0), (5.0, 8.0)]
    with (tmp_path / "talk" / "slides.mp4").open("rb") as file:  # from where it was stopped
        parts = list(
            OcrAnalyzer(toy, lambda content: moments).work_units(
                file, PendingContent(1, b"", "video", b"", 3.0)
            )
        )
        assert [part.progress for part in parts] == [5.0, 8.0, None]
        assert [draft.text for part in parts for draft in part.analyze()] == ["BICYCLE", "INVOICE"]


def test_without_the_extra_it_is_named_once_and_what_waits_is_counted(tmp_path, clew, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    draw_image(tmp_path / "pictures" / "a.png")
    draw_image(tmp_path / "pictures" / "b.png", "blue")
    done = clew("index", tmp_path / "pictures", "--model", "builtin", "--ocr")
    assert done.exit_code == 0
    assert '2 files: Text recognition requires an extra: pip install "clew-search[ocr]"' in done.stdout
    assert clew("index").stdout.count("[ocr]") == 1
    assert "[ocr]" not in clew("index", "--no-ocr").stdout


def test_the_reader_of_text_prints_nothing(made, tmp_path, capfd):
    reader = OcrAnalyzer(ToyEmbedder(), lambda content: [])
    assert [
        draft.text for draft in reader.recognize(OcrImage(page((300, 80), [((20, 20), "Quiet please")])))
    ] == ["Quiet please"]
    assert reader.recognize(OcrImage(Image.new("RGB", (1, 3000)))) == []
    assert reader.recognize(OcrImage(Image.new("RGB", (2000, 2000), "blue"))) == []
    assert capfd.readouterr() == ("", "")


def line(text: str, left: float, top: float, height: float = 20) -> Line:
    return Line(text, left, top, left + 10 * len(text), top + height)


def test_columns_are_read_one_after_the_other_and_prices_beside_their_things():
    columns = [
        *(
            line("A column of running", 0, 60),
            line("text is read down to", 0, 84),
            line("its last line.", 0, 108),
        ),
        *(line("Then comes the column", 300, 62), line("that stands beside it,", 300, 86)),
    ]
    title = line("Title over both of the columns", 50, 0)
    read = [row.text for row in reading_order([*reversed(columns), title])]
    assert read == [title.text, *(each.text for each in columns)]
    prices = [
        line("Milk", 0, 0),
        line("1.29", 300, 2),
        line("Bread and butter", 0, 30),
        line("3.10", 300, 29),
    ]
    assert [row.text for row in reading_order(prices)] == ["Milk 1.29", "Bread and butter 3.10"]


places = st.floats(0, 2_000, width=32)
lines_ = st.builds(
    lambda text, left, top, width, height: Line(text, left, top, left + width, top + height),
    *(st.text("abc1 ", min_size=1, max_size=30), places, places, st.floats(0, 500), st.floats(0, 200)),
)


@given(st.lists(lines_, max_size=30))
def test_no_line_is_lost_or_read_twice(lines):
    joined = " ".join(row.text for row in reading_order(lines))
    assert sorted(joined.replace(" ", "")) == sorted("".join(each.text for each in lines).replace(" ", ""))
    for words in text_blocks(lines, Chunker(ToyEmbedder())):
        left, top, width, height = words.box
        assert left >= 0 and top >= 0 and width > 0 and height > 0
        assert 0 < ToyEmbedder().count_tokens(words.text) <= 8
