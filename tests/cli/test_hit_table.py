"""The table of hits: one line per hit, within the width of the terminal."""

from io import StringIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from retrieval.cli.console import relative_path
from retrieval.cli.hits.snippets import snippet
from retrieval.cli.hits.table import (
    COLUMN_GAP,
    MIN_TEXT_WIDTH,
    divide_width,
    file_uri,
    print_table,
    shorten_path,
)
from retrieval.types import Hit


def hit(path: str, *, kind="image", **fields) -> Hit:
    id_ = hash((path, fields.get("text"))) % 100
    return Hit(id=id_, score=0.25, kind=kind, path=Path(path), space="toy", confidence=0.9, **fields)


def printed(hits, width=80, terminal=True, words="") -> str:
    buffer = StringIO()
    console = Console(file=buffer, width=width, force_terminal=terminal, no_color=True, legacy_windows=False)
    print_table(hits, [hit.text or "" for hit in hits], words, console)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("path", "width", "shortened"),
    [
        ("Photos/2022/Sea/beach.jpg", 25, "Photos/2022/Sea/beach.jpg"),
        ("Photos/2022/Sea/beach.jpg", 24, "Photos/…/Sea/beach.jpg"),
        ("Photos/2022/Sea/beach.jpg", 18, "Photos/…/beach.jpg"),
        ("/home/ada/Sea/beach.jpg", 17, "/home/…/beach.jpg"),
        ("Photos/2022/Sea/beach.jpg", 17, "…/beach.jpg"),
        ("Photos/beach.jpg", 15, "…/beach.jpg"),
        ("Photos/beach at night.jpg", 15, "beach a…ght.jpg"),
        ("写真/夏の旅行/海辺.jpg", 15, "写真/…/海辺.jpg"),
        ("写真/夏の旅行/海辺の犬.jpg", 10, "海辺….jpg"),
        ("beach.jpg", 1, "…"),
        ("beach.jpg", -3, "…"),
    ],
)
def test_long_path_is_shortened_in_the_middle(path, width, shortened):
    assert shorten_path(path, width) == shortened


@given(st.text(st.sampled_from("ab/é写 ."), min_size=1, max_size=40), st.integers(1, 30))
def test_shortened_path_never_exceeds_its_width(path, width):
    assert cell_len(shorten_path(path, width)) <= width


@given(st.text(st.sampled_from("ab写 "), max_size=40), st.integers(1, 30))
def test_shortened_text_never_exceeds_its_width(text, width):
    assert snippet(text, "a dog", width).cell_len <= width


@pytest.mark.parametrize(
    ("paths", "texts", "available", "widths"),
    [
        (30, 0, 50, (30, 0)),
        (60, 0, 50, (50, 0)),
        (20, 20, 50, (20, 20)),
        (20, 90, 50, (20, 28)),
        (90, 10, 50, (38, 10)),
        (90, 90, 50, (32, 16)),  # a third to the text
        (90, 90, 150, (90, 58)),
        (190, 90, 150, (150 - COLUMN_GAP - MIN_TEXT_WIDTH, MIN_TEXT_WIDTH)),
    ],
)
def test_width_is_divided_between_paths_and_texts(paths, texts, available, widths):
    assert divide_width(paths, texts, available) == widths


@pytest.mark.parametrize("width", [59, 60, 80, 200])
def test_every_hit_is_one_line_within_the_width(width):
    folder = "/media/photos/" + "long/" * 30
    hits = [
        hit(folder + "dog.jpg", text="a dog on a beach " * 9),
        hit(folder + "犬の写真.jpg", text="砂浜の犬" * 20),
        hit(folder + "walk.mp4", kind="video", start=83.4, timed=True, offline=True),
    ]
    lines = printed(hits, width, terminal=False).splitlines()
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= width
    assert "@ 01:23.4 (offline)" in lines[3]


@pytest.mark.parametrize(
    ("fields", "suffix"),
    [
        ({"kind": "page", "page": 12}, " p. 12"),
        ({"kind": "video", "start": 3683.4, "timed": True}, " @ 1:01:23.4"),
        ({"kind": "text", "start": 120.0}, ":120"),
        ({"box": (0, 300, 1200, 900)}, " [1200x900+0+300]"),
        ({"more": (hit("/b.jpg"), hit("/c.jpg"))}, " +2"),
    ],
)
def test_location_in_a_file_is_never_cut(fields, suffix):
    line = printed([hit("/media/" + "folder/" * 20 + "a very long name " * 5, **fields)], 60, False)
    assert f"{suffix}\n" in line.replace(" \n", "\n")


def test_kind_is_shown_only_if_hits_differ_in_it():
    same = printed([hit("/a.jpg"), hit("/b.jpg")], terminal=False)
    mixed = printed([hit("/a.jpg"), hit("/b.pdf", kind="page")], terminal=False)
    assert "kind" not in same
    assert "kind" in mixed and " page " in mixed


def test_narrow_terminal_shows_no_text():
    assert "sand" in printed([hit("/a.jpg", text="sand")], 60)
    assert "sand" not in printed([hit("/a.jpg", text="sand")], 59)


def test_path_links_to_the_file_only_in_a_terminal(tmp_path):
    hits = [hit(str(tmp_path / "a photo.jpg"))]
    assert f";{(tmp_path / 'a photo.jpg').as_uri()}\x1b\\" in printed(hits)
    assert "\x1b" not in printed(hits, terminal=False)


def test_link_of_an_archive_member_is_the_archive(tmp_path):
    ZipFile(tmp_path / "album.zip", "w").close()
    assert file_uri(tmp_path / "album.zip" / "a.jpg") == (tmp_path / "album.zip").as_uri()


def test_no_hits_print_nothing():
    assert printed([]) == ""


def test_relative_path_is_used_if_it_is_shorter(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert relative_path(tmp_path / "here" / "a.jpg") == "a.jpg"
    assert relative_path(tmp_path / "there" / "a.jpg") == "../there/a.jpg"
    assert relative_path("/a.jpg") == "/a.jpg"


@pytest.mark.parametrize(
    ("text", "words", "width", "shown", "marked"),
    [
        ("a dog on a beach", "dog", 40, "a dog on a beach", ["dog"]),
        ("a dog on a beach", "a", 40, "a dog on a beach", ["a", "a"]),
        ("a dog on a beach", "a dog", 40, "a dog on a beach", ["dog"]),
        ("hotdogs and DOGS, Dog.", "dog", 40, "hotdogs and DOGS, Dog.", ["Dog"]),
        ("word " * 20 + "the drain pump is clogged", "drain pump", 30, None, ["drain", "pump"]),
        ("the drain, pump", '"drain pump"', 30, "the drain, pump", ["drain, pump"]),
        ("Café d’été", "cafe", 30, "Café d’été", ["Café"]),
        ("한국여행사진", "여행", 30, "한국여행사진", ["여행"]),
        ("年" * 40 + "旅行写真", "旅行", 30, None, ["旅行"]),
        ("two\n\nlines", "lines", 30, "two lines", ["lines"]),
        ("nothing here", "dog", 30, "nothing here", []),
    ],
)
def test_snippet_shows_and_marks_the_words_of_the_query(text, words, width, shown, marked):
    result = snippet(text, words, width)
    assert shown is None or result.plain == shown
    assert [result.plain[span.start : span.end] for span in result.spans] == marked
    assert result.cell_len <= width


def test_words_are_bold_in_a_terminal_only():
    hits = [hit("/a.pdf", text="the drain pump")]
    assert "\x1b[1mdrain\x1b[0m" in printed(hits, words="drain")
    assert "\x1b" not in printed(hits, words="drain", terminal=False)


def test_id_is_shown_and_a_listing_shows_dates():
    listed = Hit(id=7, score=0.0, kind="image", path=Path("/a.jpg"), space="toy", time="2021-06-30T18:00:00")
    assert printed([listed], terminal=False).split() == [
        "#",
        "id",
        "date",
        "path",
        "1",
        "#7",
        "2021-06-30",
        "/a.jpg",
    ]


def test_date_of_a_server_is_escaped():
    listed = Hit(id=7, score=0.0, kind="image", path=Path("/a.jpg"), space="toy", time="\x1b[2J")
    assert "\x1b[2J" not in printed([listed], terminal=False)
