"""Subtitles in videos and in separate files: parsing, joining, and search by their times."""

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.decode.context import DecodeContext
from indexer.decode.text import subtitles
from indexer.decode.text.subtitle_cues import Cue, clean_cue_text, join_cues, substation_text
from indexer.decode.text.subtitle_formats import MAX_CUES, lacks_frame_rate, parse_cues
from indexer.decode.video import decoder as video
from retrieval import Library, SearchOptions
from retrieval.errors import MediaError
from retrieval.formatting import format_location as shown
from tests.support.files import write_text
from tests.support.toy_embedder import ToyEmbedder
from tests.support.video_files import write_video

SRT = """1
00:00:00,500 --> 00:00:02,000
<i>a red thing</i>

2
00:00:03,000 --> 00:00:04,250 X1:40 Y1:20
{\\an8}green &amp; more

"""
VTT = """WEBVTT - words

STYLE
::cue { color: red }

NOTE a note
in two lines

first
00:00.500 --> 00:02.000 align:start
<v Anna>a red thing</v>

00:03.000 --> 00:04.250
green &amp; more
"""
ASS = """[Script Info]
Title: words

[V4+ Styles]
Format: Name, Fontname, PrimaryColour
Style: Default,Arial,&Hbroken

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,a comment
Dialogue: 0,0:00:03.00,0:00:04.25,Default,,0,0,0,,{\\an8}green & more
Dialogue: 0,0:00:00.50,0:00:02.00,Default,,0,0,0,,{\\i1}a red{\\i0}\\Nthing
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}
Dialogue: 0,soon,later,Default,,0,0,0,,no time
"""
SSA = ASS.replace("Format: Layer, Start", "Format: Marked, Start").replace(
    "Dialogue: 0", "Dialogue: Marked=0"
)
SUB = "{1}{1}20.0\n{10}{40}{y:i}a red|thing\n{60}{85}green & more\n"


@pytest.mark.parametrize("text", [SRT, SRT.replace("\n", "\r\n"), VTT, SRT.replace(",", ".")])
def test_srt_and_vtt_cues_are_parsed_without_markup(text):
    assert parse_cues(text) == [Cue(0.5, 2.0, "a red thing"), Cue(3.0, 4.25, "green & more")]


@pytest.mark.parametrize("text", [ASS, SSA, SUB], ids=["ass", "ssa", "sub"])
def test_substation_and_microdvd_cues_are_parsed_without_markup(text):
    assert parse_cues(text) == [Cue(0.5, 2.0, "a red\nthing"), Cue(3.0, 4.25, "green & more")]


def test_srt_times_need_no_hours():
    assert parse_cues("00:01,5 --> 00:02,25\nred\n") == [Cue(1.5, 2.25, "red")]


def test_vtt_comments_and_names_of_cues_are_not_text():
    red, blue = "00:01.000 --> 00:02.000\nred\n\n", "intro\n00:03.000 --> 00:04.000\nblue\n"
    assert parse_cues(f"WEBVTT\n\n{red}NOTE a\nnote\n\n{blue}") == [
        Cue(1, 2, "red"),
        Cue(3, 4, "blue"),
    ]


def test_vtt_readings_of_words_are_not_text():
    cue = "<ruby>漢<rt>かん</rt>字<rt.small>じ</ruby>の<c.big>本</c>"
    assert [cue.text for cue in parse_cues(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{cue}\n")] == ["漢字の本"]


def test_srt_numbers_between_cues_are_not_text_but_the_last_line_is():
    text = "1\n00:00:01,0 --> 00:00:02,0\nred\n1999\n2\n00:00:03,0 --> 00:00:04,0\nin\n2001\n"
    assert [cue.text for cue in parse_cues(text)] == ["red\n1999", "in\n2001"]


def test_substation_drawings_have_no_text():
    assert substation_text("{\\an7\\p1}m 0 0 l 1 1") == ""
    assert substation_text("{\\pos(1,2)}a\\Nb\\hc") == "{\\pos(1,2)}a\nb c"
    assert clean_cue_text("{\\pos(1,2)}a\n<b>b </b>") == "a\nb"


def test_microdvd_without_a_frame_rate_assumes_that_of_films():
    text = SUB.partition("\n")[2]
    assert lacks_frame_rate(text) and not any(map(lacks_frame_rate, (SUB, SRT, VTT, ASS, "")))
    assert [round(cue.start * 23.976) for cue in parse_cues(text)] == [10, 60]
    decoded = subtitles.decode(io.BytesIO(text.encode()), ".sub", DecodeContext(ToyEmbedder()))
    assert (decoded.note, decoded.assumption) == (None, subtitles.FRAME_RATE_NOTE)
    decoded = subtitles.decode(io.BytesIO(SUB.encode()), ".sub", DecodeContext(ToyEmbedder()))
    assert (decoded.note, decoded.assumption) == (None, None)


def test_subtitles_of_a_dvd_are_refused():
    with pytest.raises(MediaError, match="VobSub"):
        subtitles.decode(io.BytesIO(b"\0\0\1\xba" + bytes(99)), ".sub", DecodeContext(ToyEmbedder()))


@pytest.mark.parametrize(
    "piece", ["\n", "<a", "{", "1\n", "00:00:01,0 --> 00:00:02,0\n", "Dialogue: ,", "{1}{1}", "WEBVTT\n", " "]
)
def test_hostile_subtitles_are_parsed_in_linear_time(piece):
    begin = time.process_time()
    assert len(parse_cues(SRT + piece * 300_000)) <= MAX_CUES
    assert len(parse_cues(ASS + piece * 300_000)) <= MAX_CUES
    assert time.process_time() - begin < 20  # quadratic time is hours


@given(st.text(alphabet="01:,.->\n {}[]Dialogue\\Np<i>", max_size=200))
def test_any_text_is_parsed_as_subtitles(text):
    for start in (
        "",
        "WEBVTT\n",
        "00:00:01,0 --> 00:00:02,0\n",
        "Dialogue: 0,0:00:01.0,0:00:02.0,",
        "{1}{1}0\n{3}{4}",
    ):
        assert all(cue.text and 0 <= cue.start <= cue.end for cue in parse_cues(start + text))


def test_broken_cues_are_skipped():
    text = "7\n00:00:05,0 --> 00:00:04,0\nends before it begins\n\nno time\n00:xx --> 00:01\nlost\n"
    assert parse_cues(text) == [Cue(5.0, 5.0, "ends before it begins\nno time\n00:xx --> 00:01\nlost")]
    assert parse_cues("") == parse_cues("\0\0") == parse_cues("1\n00:00:01,0 --> 00:00:02,0\n\n") == []
    assert parse_cues("WEBVTT\n\n00:01.0 --> 00:02.0\nsprite.jpg#xywh=0,0,160,90\n") == []


def test_cues_of_one_sentence_are_joined():
    cues = [Cue(1, 2, "We went down"), Cue(2.2, 4, "to the river."), Cue(4.1, 5, "It was cold.")]
    assert join_cues(cues) == [Cue(1, 4, "We went down to the river."), Cue(4.1, 5, "It was cold.")]
    late = [cues[0], Cue(9, 10, "to the river."), cues[2]]
    assert join_cues(late) == late
    plain = [Cue(0, 3, "a red circle"), Cue(3, 6, "a blue square")]  # labels, not parts of a sentence
    assert join_cues(plain) == plain


def test_rolling_captions_keep_each_line_once():
    cues = [
        Cue(0, 2, "so this is"),
        Cue(2, 4, "so this is\nthe river"),
        Cue(4, 5, "the river"),
        Cue(5, 6, "now"),
    ]
    assert join_cues(cues) == [Cue(0, 2, "so this is"), Cue(2, 5, "the river"), Cue(5, 6, "now")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_subtitle_tracks_of_a_video_are_found_with_their_times(tmp_path, index, place, toy, suffix):
    said = [(0.5, 2.0, "yellow bird"), (3.0, 4.25, "cyan magenta")]
    path = write_video(tmp_path / "videos" / f"clip{suffix}", [("red", 5.0)], subtitles=said)
    index(path.parent)
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("cyan magenta", kind="text")
        assert (hit.start, hit.end, hit.text, hit.timed) == (3.0, 4.25, "cyan magenta", True)
        assert shown(hit) == f"{path} @ 00:03.0"
        assert hit.score == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_subtitle_tracks_of_two_languages_are_joined_separately(tmp_path, suffix):
    english = [(0.5, 2.0, "When young"), (2.0, 4.0, "we lived by the sea.")]
    german = [(0.6, 2.1, "als ich jung war,"), (2.1, 4.0, "wohnten wir am Meer.")]
    tracks = [german, english]
    path = write_video(tmp_path / f"clip{suffix}", [("red", 5.0)], subtitles=english, more_subtitles=tracks)
    with path.open("rb") as file:
        drafts = video.decode(file, suffix, DecodeContext(ToyEmbedder())).drafts
    assert [draft.text for draft in drafts if draft.kind == "text"] == [
        "When young we lived by the sea.",
        "als ich jung war, wohnten wir am Meer.",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "clip.srt",
        "clip.en.srt",
        "clip.mp4.srt",
        "clip.pt-BR.forced.vtt",
        "clip.ass",
        "clip.de.ssa",
        "clip.sub",
    ],
)
def test_subtitle_files_belong_to_the_video_of_their_name(tmp_path, index, place, toy, name):
    path = write_video(tmp_path / "videos" / "clip.mp4", [("red", 5.0)])
    write_text(path.with_name(name), {"vtt": VTT, "ass": ASS, "ssa": SSA, "sub": SUB}.get(name[-3:], SRT))
    index(path.parent)
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("green", kind="text")
        assert (hit.start, hit.text, hit.path, hit.source) == (
            3.0,
            "green & more",
            path,
            path.with_name(name),
        )
        assert shown(hit) == f"{path} @ 00:03.0"
        assert {hit.kind for hit in library.search("red green")} == {"video", "text"}


def test_subtitles_without_a_video_are_indexed_in_any_encoding(tmp_path, index, place, toy):
    path = tmp_path / "texts" / "film.srt"
    path.parent.mkdir()
    path.write_bytes(SRT.replace("green", "größer green").encode("cp1252"))
    write_text(path.with_name("not.vtt"), "only words")
    report = index(path.parent)
    assert (report.added, report.failed, report.segments) == (1, 1, 2)
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("größer", options=SearchOptions(by="keyword"))
        assert shown(hit) == f"{path} @ 00:03.0"
        (failure,) = library.failures()
        assert "00:01:02,500 --> 00:01:04,000" in failure.reason


def test_cue_longer_than_the_model_context_becomes_several_passages(tmp_path, index, place):
    long = " ".join(["red"] * 10 + ["green"] * 10)
    write_text(tmp_path / "texts" / "a.srt", f"1\n00:00:01,0 --> 00:00:09,0\n{long}\n")
    index(tmp_path / "texts")
    with Library.open(place, embedder=ToyEmbedder()) as library:
        hits = library.search("red", kind="text")
        assert len(hits) == 3 and {(hit.start, hit.end) for hit in hits} == {(1.0, 9.0)}
