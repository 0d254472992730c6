"""PDF, HTML and office files are decoded to pages and passages; broken and hostile ones within limits."""

import io
import os
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import switch_library
from indexer.decode.context import DecodeContext
from indexer.decode.documents import html, message, office
from indexer.decode.documents import pdf as document
from indexer.decode.documents.html_text import extract_paragraphs
from indexer.decode.documents.pdf_process import open_pdf, pdf_pool
from indexer.decode.documents.rtf import rtf_to_text
from indexer.decode.text import caption_table, plain, sidecar_captions, subtitles
from indexer.decode.text.records import calendar_records, table_records
from retrieval import Library, SearchOptions
from retrieval.errors import MediaError
from retrieval.formatting import format_location as shown
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandboxed_calls import decoder_pool
from tests.support.document_files import (
    DRAWING_NAMESPACE,
    WORD_NAMESPACE,
    docx,
    epub,
    odt,
    odt_text,
    pdf,
    pptx,
    raw_pdf,
    relationships_xml,
    strict,
    with_members,
    xlsx,
    zip_bytes,
)
from tests.support.toy_embedder import COLORS, RotatedToyEmbedder, ToyEmbedder

COLORED = [("red", "green words"), ("blue", ""), ("white", "cyan cyan"), ("white", "")]


def put(path, data: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read(data: bytes, decoder=document, suffix=".pdf", **limits):
    context = DecodeContext(ToyEmbedder(), limits=DecodeLimits(**limits))
    return decoder.decode(io.BytesIO(data), suffix, context)


def texts_of(decoded) -> list[tuple[object, ...]]:
    return [(draft.text, draft.start, draft.page) for draft in decoded.drafts if draft.kind == "text"]


def reason(data: bytes, decoder=document, suffix=".pdf", **limits) -> str:
    with pytest.raises(MediaError) as error:
        read(data, decoder, suffix, **limits)
    return str(error.value)


@pytest.fixture
def answers(index, place, toy, tmp_path):
    """Index files into a library and search it."""

    def answers_(files: dict[str, bytes], words: str, **how):
        for name, data in files.items():
            put(tmp_path / "docs" / name, data)
        report = index(tmp_path / "docs")
        assert not report.failed
        with Library.open(place, embedder=toy) as library:
            return library.search(words, **how)

    return answers_


# PDF


def test_pdf_page_is_found_by_its_image_and_its_text(answers, tmp_path):
    files = {"paper.pdf": pdf(COLORED)}
    hit = answers(files, "blue", kind="page", count=1)[0]
    assert (hit.path, hit.page, hit.kind, hit.text) == (tmp_path / "docs" / "paper.pdf", 2, "page", None)
    assert hit.score > 0.999
    assert shown(hit).endswith("paper.pdf p. 2")
    hit = answers(files, "cyan", kind="text", count=1)[0]
    assert (hit.page, hit.text, hit.start, hit.source) == (3, "cyan cyan", None, None)
    assert hit.score > 0.999
    assert shown(hit).endswith("paper.pdf p. 3")


def test_pdf_page_and_its_text_are_one_hit(answers):
    hits = answers(
        {"paper.pdf": pdf([("red", "red red"), ("green", "red red")])},
        "red",
        options=SearchOptions(by="meaning"),
    )
    assert sorted(hit.page for hit in hits) == [1, 2]


def test_exclusion_of_a_page_image_excludes_its_text(answers, toy):
    pages = [("red", "cyan thing"), ("white", "cyan thing")]
    more = {f"{n}.pdf": pdf([("green", "yellow")], created=str(n)) for n in range(9)}
    hits = answers({"paper.pdf": pdf(pages), **more}, "cyan not:red", kind="text", count=2)
    assert [hit.page for hit in hits if hit.path.name == "paper.pdf"] == [2]


def test_scan_without_text_is_found_by_its_image(answers):
    file = io.BytesIO()
    scans = [Image.new("RGB", (90, 120), COLORS[name]) for name in ("green", "red", "white")]
    scans[0].save(file, "PDF", save_all=True, append_images=scans[1:])
    hits = answers({"scan.pdf": file.getvalue()}, "red", count=9)
    assert [hit.page for hit in hits] == [2, 1]  # not the blank page


def test_blank_pages_are_skipped_unless_all_are_blank():
    decoded = read(pdf(COLORED))
    assert [draft.page for draft in decoded.drafts if draft.kind == "page"] == [1, 2, 3]
    decoded = read(pdf([("white", ""), ("white", "")]))
    assert [(draft.kind, draft.page) for draft in decoded.drafts] == [("page", 1)]


def test_page_image_has_a_thumbnail_of_its_colors():
    decoded = read(pdf([("red", "")]))
    with Image.open(io.BytesIO(decoded.drafts[0].thumbnail)) as picture:
        assert picture.size == (240, 320)
        assert picture.convert("RGB").getpixel((9, 300)) == pytest.approx((255, 0, 0), abs=8)


def test_pdf_time_is_its_creation_date(answers, tmp_path):
    files = {
        "old.pdf": pdf([("red", "")], created="D:20090630180501+02'00'"),
        "new.pdf": pdf([("red", "")], created="D:20210630180501Z"),
        "odd.pdf": pdf([("red", "")], created="D:99999999999999"),
    }
    assert {
        hit.path.name: hit.time for hit in answers(files, "red", options=SearchOptions(before="2015"))
    } == {"old.pdf": "2009-06-30T18:05:01"}
    assert {hit.path.name for hit in answers(files, "red", options=SearchOptions(date="2021"))} == {"new.pdf"}
    assert read(files["old.pdf"]).properties.zone == "+02:00"
    assert read(files["new.pdf"]).properties.zone == "+00:00"
    assert read(files["odd.pdf"]).properties.taken is None


@pytest.mark.parametrize(
    ("created", "taken", "zone"),
    [
        ("D:20150607", "2015-06-07T00:00:00", None),
        ("D:201506071230+02'00'", "2015-06-07T12:30:00", "+02:00"),
        ("D:2015060712Z", "2015-06-07T12:00:00", "+00:00"),
        ("D:20150631", None, None),
        ("D:2015", None, None),
    ],
)
def test_pdf_time_may_lack_its_later_parts(created, taken, zone):
    properties = read(pdf([("red", "")], created=created)).properties
    assert (properties.taken, properties.zone) == (taken, zone)


def test_words_split_at_line_ends_are_joined():
    assert document._clean_text("exam\x02\r\nple of\r\n\ufb01nding\0") == "example of\nfinding"
    assert document._clean_text("Contents . . . . . . 12").split() == ["Contents", "12"]


def test_long_pdf_is_embedded_in_batches():
    decoded = read(pdf([("red", "a"), ("blue", "b"), ("green", "c")]), pages_in_memory=2)
    assert [draft.page for draft in decoded.drafts] == [1, 2, 3, 1, 2, 3]
    assert [draft.pixels is None for draft in decoded.drafts[:3]] == [True, True, False]
    assert decoded.drafts[1].vector @ ToyEmbedder().embed_texts(["blue"])[0] > 0.999


def test_switching_the_model_embeds_pages_and_passages(index, place, tmp_path):
    words = "red blue green yellow cyan white red blue"
    pages = [("red", words), ("blue", ""), ("green", "yellow"), ("yellow", words), ("red", "")]
    pages += [("red", "")] * DEFAULT_LIMITS.pages_in_memory  # the first come with vectors, others with pixels
    put(tmp_path / "docs" / "paper.pdf", pdf(pages))
    put(tmp_path / "docs" / "notes.docx", docx("red", "blue"))
    index(tmp_path / "docs")
    other = RotatedToyEmbedder()
    assert switch_library("other", library=place, embedder=other).waiting == 0
    with Library.open(place, embedder=other) as library:
        hits = library.search("green", kind="page", count=5)
        assert (hits[0].page, round(hits[0].score, 3)) == (3, 1.0)
        hits = library.search("yellow", kind="text", count=1)
        assert (hits[0].page, round(hits[0].score, 3)) == (3, 1.0)


# Broken and hostile PDF files


def test_unreadable_pdf_has_a_reason():
    assert reason(b"") == "empty file"
    assert reason(b"GIF89a and so on") == "not a PDF: it begins with b'GIF89a a'"
    assert reason(b"%PDF-1.7\nnothing") == "damaged: it begins as a PDF but is not valid"
    assert reason(pdf([])) == "no pages in it"


def test_encrypted_pdf_needs_a_password():
    locked = b"/Filter/Standard/V 1/R 2/P -4/O(%s)/U(%s)" % (b"o" * 32, b"u" * 32)
    data = pdf([("red", "")]).replace(b"/Root 1 0 R", b"/Root 1 0 R/ID[(a)(a)]/Encrypt<<%s>>" % locked)
    assert reason(data) == "needs a password"


def test_truncated_pdf_keeps_its_complete_pages():
    complete = pdf([("red", "green"), ("blue", "cyan"), ("green", "white")])
    decoded = read(complete[: complete.index(b"8 0 obj")])
    assert [(draft.kind, draft.page) for draft in decoded.drafts] == [
        *(("page", 1), ("page", 2)),
        *(("text", 1), ("text", 2)),
    ]
    assert decoded.note == "damaged: only complete pages are read"


@pytest.mark.parametrize(
    "box", ["0 0 100000 10", "0 0 1e9 1e9", "0 0 0 0", "-1 -1 nan nan", "0 0 0.001 9999"]
)
def test_page_of_absurd_size_is_rendered_small(box):
    decoded = read(pdf([("red", "green")], box=box))
    assert [draft.kind for draft in decoded.drafts] in (["page", "text"], ["page"])


def test_pdf_pages_are_limited():
    leaf = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<>>>>"
    drawn = b"1 0 0 rg 0 0 9 9 re f"
    data = raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[%s]/Count 30000>>" % (b"3 0 R " * 30_000),
            leaf,
            b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        ]
    )
    decoded = read(data, max_pages=20)
    assert len(decoded.drafts) == 20
    assert decoded.note == "the first 20 of 30,000 pages are read, which is the limit"


def test_pdf_characters_are_limited():
    decoded = read(pdf([("red", "red green"), ("red", "red blue")]), max_characters=12)
    assert texts_of(decoded) == [("red green", None, 1), ("red", None, 2)]
    assert decoded.note == "the first 12 letters are read, which is the limit"


def test_page_that_takes_too_long_is_the_only_one_lost():
    squeeze = zlib.compressobj(9)
    much = [squeeze.compress(b"0 0 600 700 re f\n" * 2000) for _ in range(1000)]
    contents = [(b"1 0 0 rg 0 0 99 99 re f", b""), (b"".join(much) + squeeze.flush(), b"/Filter/FlateDecode")]
    leaf = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents %d 0 R/Resources<<>>>>"
    data = raw_pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R 4 0 R 3 0 R]/Count 3>>",
            *(leaf % 5, leaf % 6),
            *(b"<</Length %d%s>>stream\n%s\nendstream" % (len(one), how, one) for one, how in contents),
        ]
    )
    assert len(data) < 100_000
    decoded = read(data, max_sandbox_seconds=1)
    assert [draft.page for draft in decoded.drafts] == [1, 3]
    assert decoded.note.startswith("1 of 3 pages cannot be read (")


def heavy_pdf(count: int) -> bytes:
    """Return a PDF of pages that share one content, which takes a while to draw."""
    squeeze = zlib.compressobj(9)
    content = squeeze.compress(b"0 0 600 700 re f\n" * 1_000) + squeeze.flush()
    leaf = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<<>>>>"
    kids = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b"3 0 R " * count, count)
    stream = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(content), content)
    return raw_pdf([b"<</Type/Catalog/Pages 2 0 R>>", kids, leaf, stream])


def test_time_of_a_pdf_is_limited():
    data = heavy_pdf(50)
    decoded = read(data, pdf_seconds=0.1, pdf_page_seconds=0.001)
    assert 0 < len(decoded.drafts) < 50
    skipped = 50 - len(decoded.drafts)
    assert decoded.note == (
        f"{skipped} of 50 pages cannot be read (skipped, because the pages before took the time limit "
        "of 0.15 seconds)"
    )
    assert len(read(data, pdf_seconds=0.1, pdf_page_seconds=5).drafts) == 50
    limits = DecodeLimits(pdf_seconds=0.005, pdf_page_seconds=0)
    with open_pdf(io.BytesIO(data), limits) as opened, pytest.raises(MediaError, match="time limit"):
        for _ in range(50):
            opened.read_page(1, min_side=32, min_long_side=64)


@pytest.mark.parametrize(("pages", "seconds"), [(1, 22), (12, 44), (300, 620), (5_000, 900), (10**9, 900)])
def test_time_limit_of_a_pdf_grows_with_its_pages(pages, seconds):
    assert DEFAULT_LIMITS.max_pdf_seconds(pages) == seconds


def test_slow_embedding_loses_no_page_of_a_pdf():
    class SlowEmbedder(ToyEmbedder):
        def embed_images(self, images):
            time.sleep(1.2)
            return super().embed_images(images)

    limits = DecodeLimits(max_sandbox_seconds=1, pages_in_memory=64, pdf_seconds=1, pdf_page_seconds=0.005)
    data = pdf([("red", "")] * 300)
    decoded = document.decode(io.BytesIO(data), ".pdf", DecodeContext(SlowEmbedder(), limits=limits))
    assert (len(decoded.drafts), decoded.note) == (300, None)


def test_pdf_of_endless_pages_is_given_up():
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A %d 0 R>>>>/Length 11>>"
    nested = [form % (5 + n) + b"stream\n/A Do /A Do\nendstream" for n in range(30)]
    leaf = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</A 4 0 R>>>>>>"
    kids = b"<</Type/Pages/Kids[%s]/Count 50>>" % (b"3 0 R " * 50)
    data = raw_pdf([b"<</Type/Catalog/Pages 2 0 R>>", kids, leaf, *nested])
    assert reason(data, max_sandbox_seconds=1).startswith("damaged: none of")


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_pdf_with_wrong_bytes_is_read_or_refused(data):
    complete = bytearray(pdf(COLORED))
    for _ in range(data.draw(st.integers(1, 8))):
        complete[data.draw(st.integers(0, len(complete) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read(bytes(complete)).drafts
    except MediaError as error:
        assert len(str(error)) < 200


# HTML


PAGE = """<!DOCTYPE html><html><head><title>Red &amp; green</title><style>p { color: blue }</style>
<script>if (a < b) document.write("</p>cyan")</script></head><body>
<h1>yellow
white</h1><!-- hidden > -->
<p>one <b>w</b>ord<br>two <p hidden>secret <p>three <span style="display: none">no <span>no</span></span>four
<ul><li>a<li>b</ul><img alt=">"><noscript>no</noscript><template>no</template>&nbsp;caf&eacute; 3 < 4
<script>never closed"""


def test_html_paragraphs_are_the_visible_text_with_lines():
    texts = [(" ".join(text.split()), line) for text, line in extract_paragraphs(PAGE)]
    assert [one for one in texts if one[0]] == [
        *(("Red & green", 1), ("yellow white", 3), ("one word two", 5), ("three four", 5)),
        *(("a b", 6), ("café 3 < 4", 6)),
    ]
    assert texts_of(read(PAGE.encode(), html, ".html"))[:2] == [
        ("Red & green", 1, None),
        ("yellow white", 3, None),
    ]


@pytest.mark.parametrize(
    ("attributes", "is_hidden"),
    [
        ("hidden", True),
        ("HIDDEN", True),
        ('id="a"hidden', True),
        ('id=a hidden=""', True),
        ('hidden="until-found"', True),
        ("hidden/", False),  # of an element that has no content
        ('style="display:none"', True),
        ("class='x' STYLE='color: red; Display : None'", True),
        ("style=visibility:hidden", True),
        ('title="The hidden life of trees"', False),
        ("data-title='a hidden gem'", False),
        ('class="a hidden b"', False),
        ("class='hidden b'", False),
        ('aria-hidden="true"', False),
        ("data-hidden", False),
        ('x-style="display:none"', False),
        ('title="style=display:none"', False),
        ('style="color:red" title="display:none"', False),
        ("title=hidden", False),
        ("alt = hidden", False),
        ('data-x="' + "y " * 5_000 + '" hidden', True),
    ],
)
def test_html_is_hidden_by_an_attribute_and_not_by_a_word_in_one(attributes, is_hidden):
    page = f"<p>before</p><article {attributes}><h1>trees</h1> grow</article><p>after</p>"
    texts = [" ".join(text.split()) for text, _ in extract_paragraphs(page)]
    assert texts == ["before", *(["trees", "grow"] * (not is_hidden)), "after"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            "<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>の<ruby>勉<rp>(</rp><rt>べん</rt><rp>)</rp></ruby>をする",
            "漢字の勉をする",
        ),
        ("<ruby>漢<rt>かん</ruby>の<ruby>字<rp>(<rt>じ<rp>)</ruby>をする", "漢の字をする"),
        ("<ruby>漢<rb>字<rtc><rt>かん<rt>じ</rtc></ruby>をする", "漢字をする"),
    ],
)
def test_readings_of_words_in_html_are_not_text(page, expected):
    assert [paragraph.text for paragraph in extract_paragraphs(f"<p>{page}</p>")] == [expected]


@pytest.mark.parametrize(
    "element", ["<ul><li hidden>red</ul>", "<div><p hidden>red</div>", "<table><tr><td hidden>red</table>"]
)
def test_hidden_element_without_an_end_tag_ends_with_its_parent(element):
    assert [paragraph.text for paragraph in extract_paragraphs(f"{element}blue")] == ["blue"]


def test_html_page_is_found_with_its_line(answers, tmp_path):
    hit = answers({"page.html": PAGE.encode()}, "yellow white", count=1)[0]
    assert shown(hit) == f"{tmp_path / 'docs' / 'page.html'}:3"
    assert hit.score > 0.999


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        *(("utf-8", ""), ("cp1252", ""), ("utf-16", ""), ("utf-8-sig", "koi8-r")),
        *(("iso-8859-5", "iso-8859-5"), ("shift_jis", "Shift_JIS"), ("gb18030", "gb2312x")),
    ],
)
def test_html_is_decoded_as_declared_or_detected(encoding, declared):
    word = {"iso-8859-5": "привет", "shift_jis": "こんにちは"}.get(encoding, "café")
    page = f"<meta charset={declared!r}><p>{word} end"
    text = texts_of(read(page.encode(encoding), html, ".html"))[0][0]
    assert text.endswith(" end")
    assert (text == f"{word} end") == (encoding != "gb18030")  # a wrong declaration of a Latin text


@pytest.mark.parametrize("encoding", ["punycode", "idna", "zip", "base64", "unicode_escape", "undefined"])
def test_invalid_declared_encodings_are_ignored(encoding):
    page = f"<meta charset={encoding}><p>red \xe9".encode("latin-1")
    assert texts_of(read(page, html, ".html")) == [("red é", 1, None)]


def test_mhtml_archive_is_read():
    archive = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="x"\r\n\r\n--x\r\n'
        b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"<p>r=\r\ned caf=C3=A9</p>\r\n--x\r\nContent-Type: image/png\r\n\r\nPNG\r\n--x--\r\n"
    )
    assert texts_of(read(archive, html, ".mhtml")) == [("red café", 1, None)]
    assert reason(b"red", html, ".mht") == "no web page in it"
    binary = b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>red\0"
    assert reason(binary, html, ".mht") == "not text: it holds zero bytes"


def test_html_without_text_has_a_reason():
    assert reason(b"<script>red</script>", html, ".html") == "no text in it"
    assert reason(b"<p>red\0", html, ".html") == "not text: it holds zero bytes"


@pytest.mark.parametrize(
    "piece",
    [
        *("<!--", "<a ", "<a x='", "</", "<!", "<div hidden>", "<script>", "<p", "&", "&#999999999999;"),
        *("<a x=\"y'>", " style=a", "<!-->", "<svg><script>", "<![CDATA[", "<div>", "<b>"),
    ],
)
def test_hostile_html_is_read_in_linear_time(piece):
    begun = time.process_time()
    assert len(list(extract_paragraphs("<p>red</p>" + piece * 20_000))) <= 2
    assert len(list(extract_paragraphs("<a" + " style=a" * 20_000 + piece + "><p>red"))) <= 2
    assert time.process_time() - begun < 20  # quadratic time is minutes


@given(st.text(alphabet="<>/!-='\" ahpscript\n&;#x9", max_size=200))
def test_any_html_is_read(text):
    for paragraph in extract_paragraphs(text):
        assert 1 <= paragraph.line <= 1 + text.count("\n")


# Office files and EPUB


def test_paragraphs_of_docx_and_odt_are_read_in_order():
    box = "<w:p><w:r><w:t>with </w:t><w:tab/><w:t>box</w:t></w:r></w:p>"
    gone = "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    away = "<w:p><w:moveFrom><w:r><w:t>too</w:t></w:r></w:moveFrom></w:p>"
    decoded = read(docx("red title", "", "green one. blue two", body=box + gone + away), office, ".docx")
    assert texts_of(decoded) == [
        ("red title", 1, None),
        ("green one. blue two", 2, None),
        ("with box", 3, None),
    ]
    gone = "<t:tracked-changes><t:p>gone</t:p></t:tracked-changes>"
    text = f"<o:text>{gone}<t:h>red title</t:h><t:p>a<t:s/>b<t:span>c</t:span></t:p></o:text>"
    assert texts_of(read(odt(text), office, ".odt")) == [("red title", 1, None), ("a bc", 2, None)]


def test_slides_are_pages_in_presentation_order():
    decoded = read(pptx("red first", "blue second", order=(2, 1)), office, ".pptx")
    assert texts_of(decoded) == [("blue second", None, 1), ("red first", None, 2)]
    slides = (
        "<o:presentation><d:page><t:p>red</t:p></d:page><d:page><t:p>blue</t:p></d:page></o:presentation>"
    )
    assert texts_of(read(odt(slides), office, ".odp")) == [("red", None, 1), ("blue", None, 2)]


def test_epub_is_read_chapter_by_chapter():
    book = epub("The red book", b="<h1>one</h1><p>blue &nbsp;sky</p><script src='x'/>", a="<p>two</p>")
    assert texts_of(read(book, office, ".epub")) == [
        *(("The red book", 1, None), ("one", 2, None), ("blue sky", 3, None), ("two", 4, None)),
    ]


def test_slide_is_found(answers):
    hit = answers({"talk.pptx": pptx("red", "blue green")}, "blue green", count=1)[0]
    assert (hit.page, hit.text) == (2, "blue green")
    assert hit.score > 0.999


def test_rtf_is_read_without_its_hidden_groups():
    text = rb"""{\rtf1\ansi\ansicpg1251{\fonttbl{\f0 Arial;}}{\*\generator x;}{\info{\title y}}
{\b red} caf\'e9\par \uc1\u1087?\u-3? \{x\}{\pict 00ff}\'ef\'f0\tab z\par}"""
    assert rtf_to_text(text) == "red cafй\nп\ufffd {x}пр z\n".replace("\ufffd", chr(65533))
    assert texts_of(read(text, office, ".docx"))[0] == ("red cafй", 1, None)  # the suffix does not matter


def test_unreadable_office_file_has_a_reason():
    assert reason(b"", office, ".docx") == "empty file"
    assert reason(b"GIF89a", office, ".docx") == "not a document: it starts with b'GIF89a'"
    assert reason(zip_bytes({"a.txt": "red"}), office, ".docx") == "not a document: another zip file"
    sheet = zip_bytes({"_rels/.rels": relationships_xml(rId1=("officeDocument", "xl/workbook.xml"))})
    assert reason(sheet, office, ".docx") == "no text in it"
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    assert reason(ole, office, ".docx").startswith("of an old Office format")
    assert reason(ole + "EncryptedPackage".encode("utf-16-le"), office, ".docx") == "needs a password"
    assert reason(odt("", manifest="<encryption-data/>"), office, ".odt") == "needs a password"
    assert reason(docx(""), office, ".docx") == "no text in it"
    assert reason(docx("red")[:200], office, ".docx") == "damaged: truncated before its text"


def test_truncated_office_file_is_read_up_to_its_end():
    decoded = read(zip_bytes({"content.xml": odt_text("<t:p>red</t:p><t:p>blue")[:-36]}), office, ".odt")
    assert texts_of(decoded) == [("red", 1, None)]
    assert decoded.note == "damaged: truncated, and read up to there"
    decoded = read(docx("red")[:-30], office, ".docx")
    assert texts_of(decoded) == [("red", 1, None)]
    assert decoded.note == "damaged: truncated, and read up to there"


def test_notes_of_a_limit_and_of_damage_are_both_reported():
    decoded = read(docx("red", "blue")[:-30], office, ".docx", max_characters=3)
    assert texts_of(decoded) == [("red", 1, None)]
    assert (
        decoded.note
        == "only the first 3 characters are read (the limit); damaged: truncated, and read up to there"
    )


def test_numbers_of_footnotes_and_slides_are_not_text():
    note = (
        "<t:note><t:note-citation>1</t:note-citation><t:note-body><t:p>red wool</t:p></t:note-body></t:note>"
    )
    page = "<t:p>page <t:page-number>3</t:page-number></t:p>"
    found = texts_of(read(odt(f"<t:p>The sheep{note} grazes.</t:p>{page}"), office, ".odt"))
    assert [each[0] for each in found] == ["red wool", "The sheep grazes.", "page"]
    fields = (f'<a:fld type="{name}"><a:t>May</a:t></a:fld>' for name in ("slidenum", "datetime1"))
    slide = f"red </a:t></a:r>{''.join(fields)}<a:r><a:t>"
    only_number = '</a:t></a:r><a:fld type="slidenum"><a:t>2</a:t></a:fld><a:r><a:t>'
    assert texts_of(read(pptx(slide, only_number), office, ".pptx")) == [("red May", None, 1)]


def test_readings_of_words_in_office_files_are_not_text():
    run, reading = (
        "<w:r><w:t>{}</w:t></w:r>",
        "<w:r><w:ruby><w:rt>{}</w:rt><w:rubyBase>{}</w:rubyBase></w:ruby></w:r>",
    )
    body = reading.format(run.format("とう"), run.format("東")) + run.format("京")
    assert texts_of(read(docx(body=f"<w:p>{body}</w:p>"), office, ".docx")) == [("東京", 1, None)]
    ruby = "<t:ruby><t:ruby-base>東</t:ruby-base><t:ruby-text>とう</t:ruby-text></t:ruby>"
    assert texts_of(read(odt(f"<t:p>{ruby}京</t:p>"), office, ".odt")) == [("東京", 1, None)]


def test_headers_and_footers_are_read_once_after_the_text():
    parts = {
        "rId1": ("header", "header1.xml"),
        "rId2": ("header", "header2.xml"),
        "rId3": ("footer", "foot.xml"),
    }
    paragraph = "<w:hdr {}><w:p><w:r><w:t>{}</w:t></w:r></w:p><w:p><w:r><w:t>7</w:t></w:r></w:p></w:hdr>"
    members = {
        "word/_rels/document.xml.rels": relationships_xml(**parts),
        "word/header1.xml": paragraph.format(WORD_NAMESPACE, "green school"),
        "word/header2.xml": paragraph.format(WORD_NAMESPACE, "green school"),
        "word/foot.xml": paragraph.format(WORD_NAMESPACE, "blue page"),
    }
    found = texts_of(read(with_members(docx("red"), members), office, ".docx"))
    assert [text for text, *_ in found] == ["red", "green school", "blue page"]
    broken = with_members(docx("red"), {**members, "word/header1.xml": "no XML"})
    assert [text for text, *_ in texts_of(read(broken, office, ".docx"))] == [
        "red",
        "green school",
        "blue page",
    ]
    members = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "styles.xml": odt_text("<t:header><t:p>green school</t:p></t:header>"),
    }
    found = texts_of(read(with_members(odt("<t:p>red</t:p>"), members), office, ".odt"))
    assert [text for text, *_ in found] == ["red", "green school"]


def test_diagrams_are_read_after_the_text_of_their_slide():
    paragraph = "<a:p><a:r><a:t>green box</a:t></a:r></a:p>"
    diagram = f"<dataModel {DRAWING_NAMESPACE}><pt><t>{paragraph}</t></pt></dataModel>"
    slides = with_members(
        pptx("red", "blue"),
        {
            "ppt/slides/_rels/slide1.xml.rels": relationships_xml(
                rId1=("diagramData", "../diagrams/data1.xml")
            ),
            "ppt/diagrams/data1.xml": diagram,
        },
    )
    assert texts_of(read(slides, office, ".pptx")) == [
        *(("red", None, 1), ("green box", None, 1), ("blue", None, 2)),
    ]
    report = with_members(
        docx("red"),
        {
            "word/_rels/document.xml.rels": relationships_xml(rId1=("diagramData", "diagrams/data1.xml")),
            "word/diagrams/data1.xml": diagram,
        },
    )
    assert [text for text, *_ in texts_of(read(report, office, ".docx"))] == ["red", "green box"]


def test_strict_office_files_are_read():
    slides = pptx("red", "blue", order=[2, 1])
    assert texts_of(read(strict(slides), office, ".pptx")) == [("blue", None, 1), ("red", None, 2)]
    assert texts_of(read(strict(docx("red", "blue")), office, ".docx")) == [
        ("red", 1, None),
        ("blue", 2, None),
    ]


def test_rows_of_spreadsheets_are_passages_with_their_sheet():
    rows = [["#1", 12, "red"], [2020, 7], ["#0"]]
    data = xlsx(rows, [["green"]], shared=["blue &amp; white", "cyan"])
    expected = [("cyan, 12, red", None, 1), ("blue & white", None, 1), ("green", None, 2)]
    assert texts_of(read(data, office, ".xlsx")) == expected
    assert texts_of(read(strict(data), office, ".xlsx")) == expected
    cells = "<t:table-cell><t:p>{}</t:p></t:table-cell>"
    table = f"<t:table><t:table-row>{cells.format('red')}{cells.format('7')}</t:table-row></t:table>"
    sheets = zip_bytes(
        {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": odt_text(2 * table)}
    )
    assert texts_of(read(sheets, office, ".ods")) == [("red, 7", None, 1), ("red, 7", None, 2)]
    many = read(xlsx([["red"]] * 100), office, ".xlsx", max_table_passages=30)
    assert (len(many.drafts), many.note) == (30, "only the first 30 passages are read (the limit)")
    broken = xlsx([["#9", "#x", "red"]], shared=["blue"])
    assert texts_of(read(broken, office, ".xlsx"))[0][0].endswith("red")


DATE_STYLES = """<styleSheet>
    <numFmts><numFmt numFmtId="164" formatCode="[$-407]d. mmm yyyy\\ hh:mm"/>
             <numFmt numFmtId="165" formatCode="0.0 &quot;days&quot;"/>
             <numFmt numFmtId="166" formatCode="[h]:mm"/></numFmts>
    <cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
    <cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/>
             <xf numFmtId="20"/></cellXfs></styleSheet>"""


@pytest.mark.parametrize(
    ("value", "style", "expected"),
    [
        *((45362, 1, "2024-03-11"), (45362.4375, 2, "2024-03-11 10:30"), (45362, 2, "2024-03-11")),
        *((1, 1, "1900-01-01"), (61, 1, "1900-03-01"), (0.4375, 5, "10:30"), (1e12, 1, "1000000000000.0")),
        *((45362, 0, "45362"), (45362, 3, "45362"), (45362, 4, "45362"), (45362, 9, "45362")),
    ],
)
def test_numbers_of_spreadsheets_with_the_style_of_a_date_are_dates(value, style, expected):
    data = xlsx([["Rent", (value, style)]], styles=DATE_STYLES)
    assert texts_of(read(data, office, ".xlsx")) == [(f"Rent, {expected}", None, 1)]


def test_dates_of_spreadsheets_may_count_from_1904():
    data = xlsx([["Rent", (43900, 1)]], styles=DATE_STYLES, workbook='<workbookPr date1904="1"/>')
    assert texts_of(read(data, office, ".xlsx")) == [("Rent, 2024-03-11", None, 1)]
    data = xlsx([["Rent", (43900, 1)]], styles="no XML")
    assert texts_of(read(data, office, ".xlsx")) == [("Rent, 43900", None, 1)]


EMAIL = """From: Ann =?utf-8?q?Gr=C3=BCn?= <ann@example.org>
To: bob@example.org
Subject: The red kite
Date: Tue, 02 Jan 2024 10:20:30 +0100
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="x"

--x
Content-Type: multipart/alternative; boundary="y"

--y
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

It flies =C3=BCber the green hill.
--y
Content-Type: text/html

<p>It flies as HTML.</p>
--y--
--x
Content-Type: text/plain
Content-Disposition: attachment; filename="kite plan.txt"

secret
--x--
"""


def test_message_is_read_with_its_people_text_and_attachments():
    decoded = read(EMAIL.encode(), message, ".eml")
    text = " | ".join(text for text, *_ in texts_of(decoded))
    assert text.startswith("The red kite | From Ann Grün")
    assert "To bob@example.org" in text and "It flies über the green hill." in text
    assert text.endswith(" | kite plan.txt") and "HTML" not in text and "secret" not in text
    assert (decoded.properties.taken, decoded.properties.zone) == ("2024-01-02T10:20:30", "+01:00")
    only_html = "Subject: a\nContent-Type: text/html\n\n<p>red <b>blue</b></p>"
    assert texts_of(read(only_html.encode(), message, ".eml"))[-1][0] == "red blue"
    assert reason(b"words", message, ".eml").startswith("not a message")


def multipart(subtype: str, *parts: str) -> str:
    """Return a MIME part of parts, each with its headers."""
    inner = "".join(f"\n--{subtype}\n{part}" for part in parts)
    return f'Content-Type: multipart/{subtype}; boundary="{subtype}"\n{inner}\n--{subtype}--\n'


PLAIN, HTML = "Content-Type: text/plain\n\n", "Content-Type: text/html\n\n"
INVITATION = "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nSUMMARY:cyan\n"
FORWARDED = f"Content-Type: message/rfc822\n\nSubject: white\nFrom: ann@b.org\n{HTML}<p>blue"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (multipart("mixed", f"{HTML}<p>red", f"{PLAIN}footer"), ["red", "footer"]),
        (multipart("alternative", f"{PLAIN} \n", f"{HTML}<p>red"), ["red"]),
        (multipart("alternative", f"{HTML}<p>red", INVITATION), ["red"]),
        (multipart("alternative", f"{HTML}<p>red", f"{PLAIN}green"), ["green"]),
        (multipart("alternative", f"{PLAIN}", multipart("related", f"{HTML}<p>red")), ["red"]),
        (multipart("mixed", f"{HTML}<p>red", f"Content-Disposition: attachment\n{PLAIN}log"), ["red"]),
        (multipart("mixed", f"{PLAIN}red", FORWARDED), ["red", "white", "From ann@b.org", "blue"]),
        ('Content-Type: text/plain; name="body.txt"\n\nred', ["red", "body.txt"]),
    ],
)
def test_message_body_is_every_part_but_attachments_and_alternatives(body, expected):
    found = texts_of(read(f"Subject: mail\n{body}".encode(), message, ".eml"))
    assert [text.strip() for text, *_ in found] == ["mail", *expected]


@pytest.mark.parametrize("start", ["\ufeff", "\r\n", "\ufeff \n\n"])
def test_message_headers_may_follow_a_byte_order_mark_and_blank_lines(start):
    found = texts_of(read(f"{start}Subject: red\n\nblue".encode(), message, ".eml"))
    assert [text for text, *_ in found] == ["red", "blue"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_message_with_wrong_bytes_is_read_or_refused(data):
    complete = bytearray(EMAIL.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        complete[data.draw(st.integers(0, len(complete) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read(bytes(complete), message, ".eml").drafts
    except MediaError as error:
        assert str(error)


CALENDAR = """BEGIN:VCALENDAR\r
BEGIN:VEVENT\r
DTSTART;TZID=Europe/Berlin:20240102T102000\r
SUMMARY:Red kite\\, a walk to\r
 gether\r
LOCATION;LANGUAGE=en:Green hill\r
DESCRIPTION:Bring blue\\nshoes\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20240505\r
SUMMARY:White day\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_events_of_a_calendar_are_passages_with_their_lines():
    found = texts_of(read(CALENDAR.encode(), plain, ".ics"))
    assert " ".join(text for text, line, _ in found if line == 2) == (
        "Red kite, a walk together 2024-01-02 10:20 Green hill Bring blue shoes"
    )
    assert found[-1] == ("White day 2024-05-05", 9, None)


def test_calendar_values_follow_quoted_parameters_and_are_not_those_of_alarms():
    alarm = "BEGIN:VALARM\nDESCRIPTION:Reminder\nEND:VALARM"
    event = f"""BEGIN:VEVENT\nSUMMARY:red\nDTSTART;TZID="(UTC+01:00) Berlin, Rome":20240311T100000\n{alarm}
DESCRIPTION;ALTREP="cid:a@b.org":blue\nLOCATION;X="a:green\nEND:VEVENT\n"""
    assert list(calendar_records(event)) == [("red\n2024-03-11 10:00\ngreen\nblue", 1)]


def test_rows_with_words_of_a_table_without_captions_are_passages(tmp_path, index, answers):
    table = b'name;age\n"red; tall\nman";7\n1;2\ngreen;8\n'
    found = texts_of(read(table, plain, ".csv"))
    assert found == [("name, age", 1, None), ("red; tall man, 7", 2, None), ("green, 8", 5, None)]
    assert read(b"red\n" * 50, plain, ".tsv", max_table_passages=20).drafts[-1].start == 20
    (hit,) = answers({"people.csv": table}, "green", count=1)
    assert shown(hit) == f"{tmp_path / 'docs' / 'people.csv'}:5"


@given(st.text(alphabet='",;|\t\n\r ab1\u2028\0', max_size=80))
def test_any_table_has_records(text):
    lines = text.count("\n") + text.count("\r") + 1
    assert all(record.text and 1 <= record.line <= lines for record in table_records(text))
    assert list(calendar_records(f"BEGIN:VEVENT\n{text}\nEND:VEVENT")) == []


MANY_SUBTITLES = b"".join(b"00:00:%d,0 --> 00:00:%d,9\nred %d.\n\n" % (n, n, n) for n in range(10, 60))


@pytest.mark.parametrize(
    ("data", "decoder", "suffix"),
    [
        (docx(*["red"] * 100), office, ".docx"),
        (odt("<t:p>red</t:p>" * 100), office, ".odt"),
        (epub("red", a="<p>red" * 50, b="<p>red" * 50), office, ".epub"),
        (b"{\\rtf1 " + b"red\\par " * 100 + b"}", office, ".rtf"),
        (b"<p>red" * 100, html, ".html"),
        (b"red\n\n" * 100, plain, ".txt"),
        (b"red\n" * 100, sidecar_captions, ".txt"),
        (b"image,caption\n" + b"a.jpg,red\n" * 100, caption_table, ".csv"),
        (MANY_SUBTITLES, subtitles, ".srt"),
        (pdf([("red", "red")] * 30), document, ".pdf"),
    ],
)
def test_passages_of_every_format_are_limited(data, decoder, suffix):
    decoded = read(data, decoder, suffix, max_passages=20)
    assert len(texts_of(decoded)) == 20
    assert decoded.note == "only the first 20 passages are read (the limit)"
    complete = read(data, decoder, suffix, max_passages=1_000)
    assert complete.note is None and len(texts_of(complete)) > 20


def test_passages_beyond_the_limit_are_not_computed():
    split = []

    class RecordingEmbedder(ToyEmbedder):
        def count_tokens(self, text):
            split.append(text)
            return super().count_tokens(text)

    words = [f"w{number}" for number in range(1_000)]
    context = DecodeContext(RecordingEmbedder(), limits=DecodeLimits(max_passages=10))
    for data, decoder in ((docx(*words), office), ("\n\n".join(words).encode(), plain)):
        split.clear()
        assert len(decoder.decode(io.BytesIO(data), "", context).drafts) <= 10
        assert len(split) < 100


def test_zip_bombs_are_limited_or_refused():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE d [<!ENTITY l0 "lol">{laughs}]><d>&l9;</d>'
    assert reason(zip_bytes({"content.xml": bomb}), office, ".odt").startswith("its XML defines entities")
    decoded = read(docx(*["red"] * 20_000), office, ".docx", max_document_bytes=300_000)
    assert 0 < len(decoded.drafts) < 20_000
    assert decoded.note == "only the first 300,000 bytes of its content are read (the limit)"
    decoded = read(docx(*["red"] * 2_000), office, ".docx", max_characters=3_000)
    assert len(decoded.drafts) == 1_000
    assert decoded.note == "only the first 3,000 characters are read (the limit)"
    data = zip_bytes({f"{n}": "" for n in range(20)})
    assert "more members" in reason(data, office, ".docx", max_document_directory_bytes=900)


def test_deep_xml_is_read_or_refused():
    deep = "<o:a>" * 100_000
    assert reason(odt(deep), office, ".odt") == "damaged: truncated before its text"
    assert texts_of(read(odt("<t:p>red</t:p>" + "<t:p>" * 50_000), office, ".odt")) == [("red", 1, None)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_office_file_with_wrong_bytes_is_read_or_refused(data):
    document = data.draw(st.sampled_from([docx("red", "blue"), pptx("red"), epub("red", a="<p>blue</p>")]))
    complete = bytearray(document)
    for _ in range(data.draw(st.integers(1, 6))):
        complete[data.draw(st.integers(0, len(complete) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read(bytes(complete[: data.draw(st.integers(1, len(complete)))]), office, ".docx").drafts
    except MediaError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\\ansicpg1251 \xef\xf0", "пр"),  # bytes of the code page that are not escaped
        (b"\\uc1\\u-10179?\\u-8704?", "\U0001f600"),
        (b"\\u-10179? x", "\ufffd x"),
        (b"\\u-99999? x", chr(-99999 % 0x10000) + " x"),
        (b"\\ansicpg99999 caf\\'e9", "café"),
        (b"a\0b", "ab"),
    ],
)
def test_odd_rtf_is_read(body, text):
    assert rtf_to_text(b"{\\rtf1\\ansi " + body + b"}") == text


def test_pages_with_many_open_elements_are_read_in_linear_memory():
    page = "<p>" + "".join(f"<b id={n}>" for n in range(3_000)) + "<p>x" * 3_000
    assert len(list(extract_paragraphs(page))) == 3_000  # 9 million nodes in a tree of HTML 5


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        (0, "cp1252", "café"),
        (204, "cp1251", "мост"),
        (161, "cp1253", "γέφυρα"),
        (238, "cp1250", "žluť"),
        (128, "cp932", "橋ソ"),
        (134, "gbk", "桥梁"),
        (77, "mac_roman", "pâté"),
    ],
)
def test_bytes_of_rtf_have_the_character_set_of_their_font(charset, encoding, text):
    fonts = rb"{\fonttbl{\f0\fnil Arial;}{\f7\fswiss\fcharset%d Other;}}" % charset
    quoted = b"".join(b"\\'%02x" % byte for byte in text.encode(encoding))
    body = fonts + rb"\'ef {\f7 " + quoted + rb"} \'ef \f7 " + quoted + rb"\plain  \'ef"
    assert rtf_to_text(rb"{\rtf1\ansi\ansicpg1251\deff0" + body + b"}") == f"п {text} п {text} п"


def test_font_of_rtf_with_a_code_page_or_no_known_character_set():
    fonts = rb"{\fonttbl{\f1\fcharset1\cpg1251 A;}{\f2\fcharset2 Symbol;}{\f3\fcharset999 B;}}"
    text = rb"{\rtf1\ansi\ansicpg1252" + fonts + rb"\f1\'ef\f2\'e9\f3\'e9\f9\'e9}"
    assert rtf_to_text(text) == "пééé"


def test_character_of_two_bytes_in_rtf_may_end_with_an_ascii_letter():
    fonts = rb"{\fonttbl{\f0\fcharset128 Mincho;}}"
    assert rtf_to_text(rb"{\rtf1\deff0" + fonts + rb"\'83A\'83\'41\uc2\u12450\'83\'41!}") == "アアア!"


@given(st.binary(max_size=100).map(lambda data: b"{\\rtf" + data))
def test_any_rtf_is_read(data):
    assert rtf_to_text(data).encode() is not None  # no lone surrogate


# All formats


def test_indexing_leaves_no_file_open(index, tmp_path):
    put(tmp_path / "docs" / "a.pdf", pdf(COLORED))
    put(tmp_path / "docs" / "b.pdf", b"%PDF-1.4 broken")
    put(tmp_path / "docs" / "c.docx", docx("red"))
    put(tmp_path / "docs" / "d.epub", epub("red", a="b")[:-10])
    pools = pdf_pool(), decoder_pool(DEFAULT_LIMITS)
    for pool in pools:
        pool.close()
    before = len(os.listdir("/dev/fd"))
    report = index(tmp_path / "docs")
    assert (report.added, report.failed) == (2, 2)
    for pool in pools:
        pool.close()
    assert len(os.listdir("/dev/fd")) == before


def test_truncated_documents_are_reported(index_within, tmp_path):
    put(tmp_path / "docs" / "a.pdf", pdf(COLORED))
    report = index_within(DecodeLimits(max_pages=1), tmp_path / "docs")
    assert report.notes == ["a.pdf: the first 1 of 4 pages are read, which is the limit."]


def test_image_vector_of_a_pdf_is_that_of_its_first_page(tmp_path):
    from indexer.embed.files import embed_files
    from indexer.types import FileEntry

    place = os.fsencode(put(tmp_path / "a.pdf", pdf([("red", "green"), ("blue", "")])))
    embedded, failures = embed_files(
        ToyEmbedder(), [FileEntry(place, 1, 1, "document")], lambda done, total: None
    )
    assert not failures
    assert embedded[place].image @ ToyEmbedder().embed_texts(["red"])[0] > 0.999
    assert len(embedded[place].texts) == 1
