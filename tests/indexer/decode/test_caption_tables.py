"""Captions in tables belong to the images that they name."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import forget, switch_library
from indexer.decode.context import DecodeContext
from indexer.decode.text import caption_table
from indexer.decode.text.caption_rows import has_captions
from retrieval import Library, SearchOptions
from retrieval.errors import MediaError
from retrieval.formatting import format_location as shown
from retrieval.media.limits import DecodeLimits
from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import RotatedToyEmbedder, ToyEmbedder


def captions(text: str | bytes, suffix: str = ".csv") -> list[tuple[bytes, str, float]]:
    data = text if isinstance(text, bytes) else text.encode()
    made = caption_table.decode(io.BytesIO(data), suffix, DecodeContext(ToyEmbedder()))
    return [(draft.caption_target, draft.text, draft.start) for draft in made.drafts]


@pytest.fixture
def photos(tmp_path):
    for name, color in (("a", "red"), ("b", "green"), ("c", "blue")):
        draw_image(tmp_path / "photos" / "sub" / f"{name}.png", color)
    return tmp_path / "photos"


def search(place, words, **how):
    with Library.open(place, embedder=ToyEmbedder()) as library:
        return library.search(words, **how)


# Parsing


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("image,caption\na.png,red sky\n", ".csv"),
        ("\ufeffImage ; Caption\r\na.png ; red sky\r\n", ".csv"),
        ('"id","file_name","Text"\n1,a.png,"red sky"', ".csv"),
        ("img\ttitle\na.png\tred sky\n", ".tsv"),
        ("\n\nfilename| comment\na.png| red  sky\n", ".csv"),
        ('{"image": "a.png", "captions": ["red sky", 3, ""]}\n', ".jsonl"),
        ('\ufeff{"id": 1, "path": "a.png", "caption": "red sky"}\r\n\r\n', ".ndjson"),
    ],
)
def test_columns_are_recognized_by_name(text, suffix):
    assert [(one[0], one[1]) for one in captions(text, suffix)] == [(b"a.png", "red sky")]
    assert has_captions(text.encode(), suffix)


def test_odd_quoting_keeps_the_lines_of_rows():
    text = (
        'image,caption\na.png,"red, ""green""\nblue"\n\nb.png,five"quotes\n,none\nc.png\nd.png,\ne.png,"end'
    )
    assert captions(text) == [
        *((b"a.png", 'red, "green" blue', 2), (b"b.png", 'five"quotes', 5), (b"e.png", "end", 9)),
    ]


def test_unclosed_quote_loses_a_limited_part():
    rows = "".join(f"{n}.png,red\n" for n in range(30_000))
    found = captions(f'image,caption\na.png,red\nb.png,"green\n{rows}')
    assert found[0] == (b"a.png", "red", 2)
    assert found[-1] == (b"29999.png", "red", 30_003)
    assert 10_000 < len(found) < 30_000


def test_several_and_long_captions_become_several_segments():
    words = "red green blue yellow. cyan white red green blue"
    found = captions(f"path,description,title\na.png,{words},red\n")
    assert [text for _, text, _ in found] == ["red", "red green blue yellow.", "cyan white red green blue"]
    assert {(image, line) for image, _, line in found} == {(b"a.png", 2)}


@pytest.mark.parametrize(
    "text", ["date,amount\n1,2\n", "image,size\na.png,3\n", "caption\nred\n", "", '"', "[1]\n"]
)
def test_table_without_captions_is_refused(text):
    for suffix in (".csv", ".jsonl"):
        assert not has_captions(text.encode(), suffix)
        with pytest.raises(MediaError, match="expected columns image and caption"):
            captions(text, suffix)


def test_captions_are_limited():
    table = io.BytesIO(b"image,caption\n" + b"a.png,red\n" * 50)
    context = DecodeContext(ToyEmbedder(), limits=DecodeLimits(max_passages=10))
    decoded = caption_table.decode(table, ".csv", context)
    assert len(decoded.drafts) == 10
    assert decoded.note == "only the first 10 passages are read (the limit)"


@given(st.text(alphabet='",;|\t\n\r ab\u2028\0', max_size=80), st.sampled_from([".csv", ".tsv", ".jsonl"]))
def test_any_table_is_read_or_refused(text, suffix):
    try:
        captions("image,caption\n" + text, suffix)
        captions('{"image": "a", "caption": "b"}\n' + text, suffix)
    except MediaError as error:
        assert str(error)


# Search


def test_caption_hit_has_the_path_of_its_image(index, photos, place):
    write_text(photos / "captions.csv", "image,caption\nsub/a.png,cyan white\nsub\\b.png,cyan white\n")
    report = index(photos)
    assert (report.added, report.failed, report.notes) == (4, 0, [])
    hits = search(place, "cyan white", kind="text")
    assert [hit.path for hit in hits] == [photos / "sub" / "a.png", photos / "sub" / "b.png"]
    assert {hit.source for hit in hits} == {photos / "captions.csv"}
    assert [hit.start for hit in hits] == [2, 3]
    assert all(hit.score > 0.999 for hit in hits)
    assert shown(hits[0]) == str(photos / "sub" / "a.png")
    mixed = search(place, "cyan white", options=SearchOptions(by="meaning"))  # captions and images
    assert sorted(hit.path.name for hit in mixed) == ["a.png", "b.png", "c.png"]


def test_filters_apply_to_the_captioned_image(index, photos, place):
    write_text(photos / "captions.csv", "image,caption\nsub/a.png,cyan\nsub/b.png,cyan\n")
    draw_image(photos / "other" / "wide.png", "white", size=(90, 10))
    write_text(photos / "other" / "t.csv", "image,caption\n../sub/c.png,cyan\nwide.png,cyan\n")
    index(photos)
    assert [
        hit.path.name for hit in search(place, "cyan", kind="text", options=SearchOptions(under="sub"))
    ] == [
        "a.png",
        "b.png",
        "c.png",
    ]
    assert [
        hit.path.name for hit in search(place, "cyan", kind="text", options=SearchOptions(under="other"))
    ] == ["wide.png"]
    assert [
        hit.path.name for hit in search(place, "cyan", kind="text", options=SearchOptions(size="50x5"))
    ] == ["wide.png"]


def test_captions_of_one_image_from_several_files_group_to_one_hit(index, photos, place):
    write_text(photos / "sub" / "a.txt", "cyan white")
    write_text(photos / "one.csv", "image,caption\nsub/a.png,cyan white\nsub/a.png,white cyan\n")
    write_text(photos / "two.jsonl", json.dumps({"image": "sub/a.png", "captions": ["cyan white"]}))
    index(photos)
    texts = search(place, "cyan white", kind="text", options=SearchOptions(by="meaning"))
    assert {hit.source.name for hit in texts} == {"a.txt", "one.csv", "two.jsonl"}
    assert {hit.path.name for hit in texts} == {"a.png"}
    assert len(search(place, "cyan white", options=SearchOptions(by="meaning"))) == 3  # images
    assert len(search(place, "cyan white", kind="text", options=SearchOptions(group=True))) == 1


def test_captions_of_missing_images_wait_for_them(index, photos, place):
    rows = "sub/a.png,cyan\nsub/new.png,cyan\n../out.png,cyan\n/etc/x.png,cyan\n.,cyan\n"
    write_text(photos / "captions.csv", "image,caption\n" + rows)
    assert index(photos).notes == [
        "captions.csv: 4 of 5 named images are missing; the captions are kept until the files exist."
    ]
    assert [hit.path.name for hit in search(place, "cyan", kind="text")] == ["a.png"]
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert (library.status().segments, library.status().kept) == ({"image": 3, "text": 1}, 0)
    draw_image(photos / "sub" / "new.png", "white")
    assert index(photos).notes == []
    assert [hit.path.name for hit in search(place, "cyan", kind="text")] == ["a.png", "new.png"]
    (photos / "sub" / "a.png").unlink()
    index(photos)
    assert [hit.path.name for hit in search(place, "cyan", kind="text")] == ["new.png"]
    assert [hit.path.name for hit in search(place, "cyan", options=SearchOptions(by="keyword"))] == [
        "new.png"
    ]


def test_captions_follow_a_table_that_moves_or_changes(index, photos, place):
    write_text(photos / "captions.csv", "image,caption\na.png,cyan\nsub/b.png,cyan\n")
    index(photos)
    assert [hit.path.name for hit in search(place, "cyan", kind="text")] == ["b.png"]
    (photos / "captions.csv").rename(photos / "sub" / "captions.csv")
    assert index(photos).moved == 1
    hit = search(place, "cyan", kind="text")[0]
    assert (hit.path, hit.source) == (photos / "sub" / "a.png", photos / "sub" / "captions.csv")
    write_text(photos / "sub" / "captions.csv", "image,caption\nc.png,yellow cyan\n")
    index(photos)
    assert [(hit.path.name, hit.text) for hit in search(place, "cyan", kind="text")] == [
        ("c.png", "yellow cyan")
    ]
    write_text(photos / "sub" / "captions.csv", "a,b\n1,2\n")
    report = index(photos)
    assert (report.gone, report.failed, report.updated, report.skipped) == (0, 0, 1, {})
    assert [hit.text for hit in search(place, "cyan", kind="text")] == []


def test_tables_without_captions_are_texts_and_json_lines_are_skipped(index, photos, place):
    write_text(photos / "sums.csv", "date,amount\n2021,3\n")
    write_text(photos / "log.jsonl", '{"time": 3}\n')
    report = index(photos)
    assert (report.added, report.failed, report.skipped) == (4, 0, {".jsonl": 1})
    assert report.kinds["text"] == 1
    assert index(photos).unchanged == 4


def test_keyword_search_combines_image_name_and_caption(index, photos, place):
    draw_image(photos / "sub" / "harbour.png", "white")
    rows = "sub/a.png,a boat\nsub/b.png,a tree\nsub/c.png,a car\nsub/harbour.png,a boat\n"
    write_text(photos / "captions.csv", "image,caption\n" + rows)
    index(photos)
    first = search(place, "boat harbour", kind="text", options=SearchOptions(by="keyword"))[0]
    assert (first.path.name, first.words) == ("harbour.png", 1.0)
    assert (
        search(place, "captions", options=SearchOptions(by="keyword")) == []
    )  # the name of the table is not that of an image


def test_exclusion_of_an_image_excludes_its_captions(index, photos, place):
    for n in range(9):
        draw_image(photos / "more" / f"{n}.png", (90 + n, 90, 90))
    write_text(photos / "captions.csv", "image,caption\nsub/a.png,cyan thing\nsub/b.png,cyan thing\n")
    index(photos)
    assert [hit.path.name for hit in search(place, "cyan not:red", kind="text")] == ["b.png"]


def test_switching_the_model_embeds_captions(index, photos, place):
    write_text(photos / "captions.csv", "image,caption\nsub/a.png,yellow\n")
    index(photos)
    other = RotatedToyEmbedder()
    assert switch_library("other", library=place, embedder=other).waiting == 0
    with Library.open(place, embedder=other) as library:
        hit = library.search("yellow", kind="text", count=1)[0]
    assert (hit.path.name, round(hit.score, 3)) == ("a.png", 1.0)


def test_forgotten_tables_leave_no_captions(index, photos, place):
    write_text(photos / "captions.csv", "image,caption\nsub/a.png,cyan\nnone.png,cyan\n")
    index(photos)
    forget([photos], library=place)
    assert forget([], library=place, purge=True)[1] == 5
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert library._catalog.db.execute("SELECT count(*) FROM captions").fetchone()[0] == 0
