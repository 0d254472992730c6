"""Subtitles, in a video and beside it: what is said is found at the second at which it is shown."""

import pytest

from indexer.decode.text.subtitle_cues import Cue, join_cues, parse_cues
from retrieval import Library
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


@pytest.mark.parametrize("text", [SRT, SRT.replace("\n", "\r\n"), VTT, SRT.replace(",", ".")])
def test_cues_are_read_without_their_markup(text):
    assert parse_cues(text) == [Cue(0.5, 2.0, "a red thing"), Cue(3.0, 4.25, "green & more")]


def test_what_is_broken_is_left_out():
    text = "7\n00:00:05,0 --> 00:00:04,0\nends before it begins\n\nno time\n00:xx --> 00:01\nlost\n"
    assert parse_cues(text) == [Cue(5.0, 5.0, "ends before it begins\nno time\n00:xx --> 00:01\nlost")]
    assert parse_cues("") == parse_cues("\0\0") == parse_cues("1\n00:00:01,0 --> 00:00:02,0\n\n") == []
    assert parse_cues("WEBVTT\n\n00:01.0 --> 00:02.0\nsprite.jpg#xywh=0,0,160,90\n") == []


def test_a_sentence_over_several_cues_is_one_passage():
    cues = [Cue(1, 2, "We went down"), Cue(2.2, 4, "to the river."), Cue(4.1, 5, "It was cold.")]
    assert join_cues(cues) == [Cue(1, 4, "We went down to the river."), Cue(4.1, 5, "It was cold.")]
    late = [cues[0], Cue(9, 10, "to the river."), cues[2]]
    assert join_cues(late) == late
    plain = [Cue(0, 3, "a red circle"), Cue(3, 6, "a blue square")]  # labels, not parts of a sentence
    assert join_cues(plain) == plain


def test_lines_that_roll_are_read_once():
    cues = [
        Cue(0, 2, "so this is"),
        Cue(2, 4, "so this is\nthe river"),
        Cue(4, 5, "the river"),
        Cue(5, 6, "now"),
    ]
    assert join_cues(cues) == [Cue(0, 2, "so this is"), Cue(2, 5, "the river"), Cue(5, 6, "now")]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_own_subtitles_are_found_at_their_second(tmp_path, index, place, toy, suffix):
    said = [(0.5, 2.0, "yellow bird"), (3.0, 4.25, "cyan magenta")]
    path = write_video(tmp_path / "videos" / f"clip{suffix}", [("red", 5.0)], subtitles=said)
    index(path.parent)
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("cyan magenta", kind="text")
        assert (hit.start, hit.end, hit.text, hit.timed) == (3.0, 4.25, "cyan magenta", True)
        assert shown(hit) == f"{path} @ 00:03.0"
        assert hit.score == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["clip.srt", "clip.en.srt", "clip.mp4.srt", "clip.pt-BR.forced.vtt"])
def test_subtitles_beside_a_video_are_of_it(tmp_path, index, place, toy, name):
    path = write_video(tmp_path / "videos" / "clip.mp4", [("red", 5.0)])
    write_text(path.with_name(name), VTT if name.endswith("vtt") else SRT)
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


def test_subtitles_alone_are_read_too_and_in_old_encodings(tmp_path, index, place, toy):
    path = tmp_path / "texts" / "film.srt"
    path.parent.mkdir()
    path.write_bytes(SRT.replace("green", "größer green").encode("cp1252"))
    write_text(path.with_name("not.vtt"), "only words")
    report = index(path.parent)
    assert (report.added, report.failed, report.segments) == (1, 1, 2)
    with Library.open(place, embedder=toy) as library:
        (hit, *_) = library.search("größer", by="keyword")
        assert shown(hit) == f"{path} @ 00:03.0"
        (failure,) = library.failures()
        assert "00:01:02,500 --> 00:01:04,000" in failure.reason


def test_a_cue_longer_than_the_model_reads_is_cut_into_passages(tmp_path, index, place):
    long = " ".join(["red"] * 10 + ["green"] * 10)
    write_text(tmp_path / "texts" / "a.srt", f"1\n00:00:01,0 --> 00:00:09,0\n{long}\n")
    index(tmp_path / "texts")
    with Library.open(place, embedder=ToyEmbedder()) as library:
        hits = library.search("red", kind="text")
        assert len(hits) == 3 and {(hit.start, hit.end) for hit in hits} == {(1.0, 9.0)}
