"""Sounds are found by what they say of themselves, and by what is said in them, at its second."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexer import IndexOptions, forget, switch_library, update_library, verify_library
from indexer.decode.audio import stream
from indexer.decode.audio.decoder import UNTAGGED_TEXT, decode, describe_tags
from indexer.decode.audio.stream import SAMPLE_RATE, audio_chunks
from indexer.decode.context import DecodeContext
from indexer.decode.text.chunking import Chunker
from indexer.enrich.base import AnalysisPass
from indexer.enrich.speech import TranscriptSegment, transcript_passages
from retrieval import Library
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryError, MediaError
from retrieval.formatting import format_location as place_of
from retrieval.media.av.container import MEDIA_FORMATS, open_container
from tests.support.audio_files import (
    CODECS,
    TONE_WORDS,
    ToneTranscriber,
    add_cover,
    tone_samples,
    write_audio,
)
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.toy_embedder import ReversedToyEmbedder, ToyEmbedder, cosine_similarity

TAGS = {"title": "Red Song", "artist": "The Larks", "album": "Meadow", "genre": "Jazz", "date": "1999-05-01"}
SAYS = "Red Song by The Larks, from Meadow, Jazz, 1999"
KEPT = {".aac": UNTAGGED_TEXT, ".aiff": "Red Song"}  # what other formats keep of it


def read(path: Path):
    with path.open("rb") as file:
        return decode(file, path.suffix, DecodeContext(ToyEmbedder()))


def held(place: Path, query: str = 'SELECT kind, text, start, "end" FROM segments ORDER BY id'):
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("suffix", sorted(set(CODECS) - {".mp4"}))
def test_a_sound_of_every_format_says_its_tags_and_how_long_it_is(suffix, tmp_path):
    decoded = read(write_audio(tmp_path / f"song{suffix}", 1.5, tags=TAGS))
    (draft,) = decoded.drafts
    assert (draft.kind, draft.text) == ("audio", KEPT.get(suffix, SAYS))
    assert draft.start == 0
    assert draft.end == decoded.properties.duration == pytest.approx(1.5, abs=0.1)


def test_tags_make_a_sentence_of_what_is_there():
    assert describe_tags({"artist": "The Larks"}) == "The Larks"
    assert describe_tags({"title": " Night\n drive ", "album_artist": "Ada"}) == "Night drive by Ada"
    assert describe_tags({"album": "Meadow", "date": "May 7"}) == "from Meadow"
    assert describe_tags({"title": "--- 12"}) == describe_tags({}) == UNTAGGED_TEXT
    assert len(describe_tags(dict.fromkeys(("title", "artist", "album"), "word " * 1000))) < 350


def test_a_sound_is_found_by_its_tags_its_name_and_its_genre(tmp_path, index, place, toy):
    song = write_audio(tmp_path / "music" / "a.mp3", tags=TAGS)
    memo = write_audio(tmp_path / "music" / "dentist_monday.wav")
    assert index(tmp_path / "music").kinds == {"audio": 2}
    with Library.open(place, embedder=toy) as library:
        hit = library.search("larks", by="keyword")[0]
        assert (hit.path, hit.kind, hit.start, hit.timed) == (song, "audio", 0, True)
        assert library.search("dentist")[0].path == memo
        assert [hit.path for hit in library.search("red", tag="jazz")] == [song]
        (red,) = library.search("red", by="meaning", tag="jazz")
        assert red.score == pytest.approx(cosine_similarity(toy, "red", SAYS), abs=1e-3)


def test_comments_and_lyrics_are_passages_and_a_cover_is_its_thumbnail(tmp_path):
    tags = {**TAGS, "comment": "recorded in a barn", "lyrics": "green green grass of home"}
    song = write_audio(tmp_path / "song.mp3", tags=tags)
    drafts = read(song).drafts
    assert [draft.text for draft in drafts] == [SAYS, "recorded in a barn", "green green grass of home"]
    assert drafts[0].thumbnail is None
    file = BytesIO()
    Image.new("RGB", (640, 640), "red").save(file, "PNG")
    cover = read(add_cover(write_audio(tmp_path / "b.mp3"), file.getvalue())).drafts[0].thumbnail
    with Image.open(BytesIO(cover)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (320, 320))
        assert np.abs(np.array(picture.getpixel((9, 9))) - (255, 0, 0)).max() < 12
    assert read(add_cover(write_audio(tmp_path / "c.mp3"), b"no picture")).drafts[0].thumbnail is None


def test_a_broken_sound_gives_what_can_be_read_or_says_why_not(tmp_path, index, place, toy):
    folder = tmp_path / "music"
    whole = write_audio(folder / "whole.mp3", 4, [(0, 4, 400)], TAGS)
    (folder / "cut.mp3").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    flac = write_audio(folder / "whole.flac", 4, [(0, 4, 400)])
    (folder / "cut.flac").write_bytes(flac.read_bytes()[: flac.stat().st_size // 3])
    (folder / "empty.wav").touch()
    (folder / "text.ogg").write_text("no sound at all")
    report = index(folder)
    assert (report.added, report.failed, report.kinds) == (4, 2, {"audio": 4})
    with Library.open(place, embedder=toy) as library:
        reasons = {failure.path.name: failure.reason for failure in library.failures()}
    assert reasons["empty.wav"] == "empty file"
    assert reasons["text.ogg"] == "not a sound: it seems to be text"


@pytest.mark.parametrize(
    "start", ["v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n", "ffconcat version 1.0\n"]
)
def test_a_playlist_by_a_sounds_name_opens_no_other_file_and_no_socket(tmp_path, start):
    write_audio(tmp_path / "other.wav")
    (tmp_path / "a.mp3").write_text(f"{start}file {tmp_path / 'other.wav'}\n")
    with pytest.raises(MediaError, match="not audio: it begins with"):
        read(tmp_path / "a.mp3")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_are_fatal(data):
    start = SAMPLE[data.draw(st.sampled_from(sorted(SAMPLE)))]
    broken = bytearray(start[: data.draw(st.integers(0, len(start)))])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=40)):
        if at < len(broken):
            broken[at] = byte
    try:
        decoded = decode(BytesIO(bytes(broken)), ".mp3", DecodeContext(ToyEmbedder()))
    except MediaError as error:
        assert str(error)
    else:
        assert 0 <= decoded.properties.duration < 1e8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "MAX_CHUNK_SECONDS", 0.5)
        try:
            with open_container(BytesIO(bytes(broken)), MEDIA_FORMATS) as container:
                made = list(audio_chunks(container))
        except MediaError:
            return
    assert [part.next_start is None for part in made] == [False] * (len(made) - 1) + [True]
    assert all(np.isfinite(part.samples).all() for part in made)


@pytest.fixture(scope="module", autouse=True)
def _samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    for suffix in (".mp3", ".wav", ".flac", ".ogg", ".m4a"):
        SAMPLE[suffix] = write_audio(folder / f"a{suffix}", 0.5, tags=TAGS).read_bytes()


SAMPLE: dict[str, bytes] = {}


def test_what_is_said_is_found_at_its_second(tmp_path, index, place, toy):
    talk = write_audio(tmp_path / "memos" / "talk.mp3", 12, [(2, 3, 400), (7.5, 9, 1600)])
    write_audio(tmp_path / "memos" / "other.wav", 2, [(0.5, 1.5, 800)])
    report = index(tmp_path / "memos", transcriber=ToneTranscriber())
    assert report.kinds == {"audio": 2, "text": 3}
    assert report.notes == ["Speech: found in 2 of 2 files."]
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        hit = library.search("blue lamp", kind="text")[0]
        assert (hit.path, hit.text) == (talk, "blue lamp.")
        assert (hit.start, hit.end) == (pytest.approx(7.5, abs=0.1), pytest.approx(9, abs=0.1))
        assert place_of(hit) == f"{talk} @ 00:07.5"
        assert hit.score == pytest.approx(cosine_similarity(toy, "blue lamp", "blue lamp."), abs=1e-3)
        assert library.search("apples", by="keyword")[0].start == pytest.approx(2, abs=0.1)


def test_the_sound_track_of_a_video_is_heard_too(tmp_path, index, place, toy):
    clip = write_audio(tmp_path / "clips" / "clip.mp4", 6, [(4, 5, 800)])
    report = index(tmp_path / "clips", transcriber=ToneTranscriber())
    assert (report.notes, report.kinds["text"]) == (["Speech: found in 1 of 1 file."], 1)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("green boat", kind="text")[0]
    assert (hit.path, hit.text, hit.timed) == (clip, "green boat.", True)
    assert hit.start == pytest.approx(4, abs=0.1)
    assert verify_library(place).errors == []


def test_a_long_sound_is_heard_in_stretches_and_from_any_second(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_CHUNK_SECONDS", 5.0)
    monkeypatch.setattr(stream, "QUIET_SEARCH_SECONDS", 2.0)
    long = write_audio(tmp_path / "long.ogg", 17, [(n + 0.25, n + 0.75, 400) for n in range(17)])
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        parts = list(audio_chunks(container))
    assert len(parts) == 5
    for part, following in pairwise(parts):
        assert (
            part.next_start == following.start == pytest.approx(part.start + len(part.samples) / SAMPLE_RATE)
        )
        assert abs(part.samples[-800:]).max() < 0.1  # it is cut where nothing is said
    assert sum(len(part.samples) for part in parts) / SAMPLE_RATE == pytest.approx(17, abs=0.1)
    with long.open("rb") as file, open_container(file, MEDIA_FORMATS) as container:
        rest = list(audio_chunks(container, after=parts[2].start))
    assert rest[0].start == pytest.approx(parts[2].start, abs=1e-3)
    assert sum(len(part.samples) for part in rest) == pytest.approx(
        sum(len(p.samples) for p in parts[2:]), abs=SAMPLE_RATE / 100
    )


def test_phrases_become_whole_sentences_as_far_as_they_belong_together():
    phrases = [
        *(
            TranscriptSegment(0, 1, "so we went"),
            TranscriptSegment(1, 2, "to the market."),
            TranscriptSegment(2, 3, "It rained"),
        ),
        *(
            TranscriptSegment(9, 10, "all day"),
            TranscriptSegment(10, 11, "a b c d e f g"),
            TranscriptSegment(11, 12, "h i"),
        ),
    ]
    joined = [(p.start, p.end, p.text) for p in transcript_passages(phrases, Chunker(ToyEmbedder()))]
    assert joined == [
        (0, 2, "so we went to the market."),
        (2, 3, "It rained"),  # six seconds of silence follow
        (9, 10, "all day"),  # nine words are more than eight
        (10, 11, "a b c d e f g"),
        (11, 12, "h i"),
    ]


class Stopped(ToneTranscriber):
    """Stops the run, as Ctrl-C does, when it has heard so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def transcribe(self, samples):
        if len(self.durations) == self.times:
            raise KeyboardInterrupt
        return super().transcribe(samples)


def test_ctrl_c_between_and_within_sounds_costs_what_was_in_hand(tmp_path, index, place, monkeypatch):
    monkeypatch.setattr(stream, "MAX_CHUNK_SECONDS", 4.0)
    monkeypatch.setattr(stream, "QUIET_SEARCH_SECONDS", 1.0)
    monkeypatch.setattr(AnalysisPass, "commit_interval", 0.0)
    for number in range(3):
        write_audio(
            tmp_path / "memos" / f"{number}.wav", 10 + number, [(1, 2, 400), (5, 6, 800), (8, 9, 1600)]
        )
    assert index(tmp_path / "memos", transcriber=Stopped(4)).interrupted
    assert verify_library(place).errors == []
    before = len(held(place))
    rest = ToneTranscriber()
    report = index(tmp_path / "memos", transcriber=rest)
    assert not report.interrupted
    assert sum(rest.durations) < 33 - 6  # what was heard is not heard again
    said = [row for row in held(place) if row[0] == "text"]
    assert before > 3
    assert sorted(row[1] for row in said) == sorted(3 * list(TONE_WORDS.values()))
    assert index(tmp_path / "memos", transcriber=Stopped(0)).notes == []  # nothing is left to hear
    assert verify_library(place).errors == []


def test_another_model_hears_all_again_and_what_the_old_one_heard_is_gone(tmp_path, index, place, toy):
    write_audio(tmp_path / "memos" / "a.wav", 3, [(1, 2, 400)])
    index(tmp_path / "memos", transcriber=ToneTranscriber())
    other = ToneTranscriber("better", {400: "yellow pears."})
    report = index(tmp_path / "memos", transcriber=other)
    assert (len(other.durations), report.kinds) == (1, {"text": 1})
    assert [row[1] for row in held(place)] == [UNTAGGED_TEXT, "yellow pears."]
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert library.search("apples", by="keyword") == []
        assert library.search("pears", by="keyword")[0].text == "yellow pears."


def test_sounds_and_what_is_said_in_them_follow_a_switch_and_a_purge(tmp_path, index, place, toy):
    write_audio(tmp_path / "memos" / "a.mp3", 3, [(1, 2, 400)], TAGS)
    write_audio(tmp_path / "memos" / "b.wav", 3, [(1, 2, 800)])
    index(tmp_path / "memos", transcriber=ToneTranscriber())
    switched = switch_library("blue", library=place, embedder=ReversedToyEmbedder())
    assert (switched.embedded, switched.waiting, switched.answers) == (4, 0, True)
    assert verify_library(place).errors == []
    with Library.open(place, embedder=ReversedToyEmbedder()) as library:
        best = library.search("green boat", kind="text", by="meaning")[0]
        assert (best.text, best.space) == ("green boat.", "blue")
    later = write_audio(tmp_path / "memos" / "c.wav", 3, [(1, 2, 1600)])
    update_library(
        [tmp_path / "memos"],
        library=place,
        embedder=ReversedToyEmbedder(),
        options=IndexOptions(transcriber=ToneTranscriber()),
    )
    later.unlink()
    (tmp_path / "memos" / "b.wav").unlink()
    update_library(
        [tmp_path / "memos"],
        library=place,
        embedder=ReversedToyEmbedder(),
        options=IndexOptions(transcriber=ToneTranscriber()),
    )
    assert forget(library=place, purge=True) == (0, 4)
    assert held(place, "SELECT count(*) FROM analyses WHERE analysis = 'speech'") == [(1,)]
    assert verify_library(place).errors == []
    switch_library("toy", library=place, embedder=toy)
    assert verify_library(place).errors == []


CHILD = """
import sys
from indexer import IndexOptions, update_library
from indexer.enrich.base import AnalysisPass
from tests.support.audio_files import ToneTranscriber
from tests.support.toy_embedder import ToyEmbedder
AnalysisPass.commit_interval = 0.0
print("go", flush=True)
options = IndexOptions(transcriber=ToneTranscriber())
update_library([sys.argv[1]], library=sys.argv[2], embedder=ToyEmbedder(), options=options)
"""


def test_killed_while_it_hears_a_library_is_whole_and_goes_on(tmp_path):
    folder, place = tmp_path / "memos", tmp_path / "library"
    for number in range(40):
        write_audio(folder / f"{number}.wav", 2 + number / 100, [(0.5, 1, 400), (1.2, 1.6, 800)])
    kills, counts = 0, [0]
    while kills < 3 and counts[-1] < 120:
        command = [sys.executable, "-c", CHILD, str(folder), str(place)]
        child = subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"go\n"
        target = counts[-1] + 15
        while child.poll() is None and count(place) < target:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
        counts.append(count(place))
        assert verify_library(place).errors == []
    assert counts == sorted(counts)
    update_library(
        [folder], library=place, embedder=ToyEmbedder(), options=IndexOptions(transcriber=ToneTranscriber())
    )
    said = [row[1] for row in held(place) if row[0] == "text"]
    assert sorted(said) == sorted(40 * ["red apples.", "green boat."])
    assert verify_library(place).errors == []


def count(place: Path) -> int:
    """Count the segments that are committed."""
    try:
        return len(held(place))
    except sqlite3.OperationalError:  # there is no library yet
        return 0


def test_without_a_model_it_is_said_once_how_to_have_one(tmp_path, index, place):
    for number in range(3):
        write_audio(tmp_path / "memos" / f"{number}.wav", 1 + number)
    (note,) = index(tmp_path / "memos").notes
    assert note.startswith("3 audio files")
    assert "clew index --speech-model small" in note
    assert index(tmp_path / "memos").notes == []


def test_without_the_extra_it_is_named_once_and_what_waits_is_counted(tmp_path, clew, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    write_audio(tmp_path / "memos" / "a.wav", 1)
    write_audio(tmp_path / "memos" / "b.wav", 2)
    done = clew("index", tmp_path / "memos", "--model", "builtin", "--speech-model", "small")
    assert done.exit_code == 0
    assert done.stdout.count('pip install "clew-search[audio]"') == 1
    assert "2 files: Hearing what is said" in done.stdout
    assert clew("index").stdout.count("[audio]") == 1  # it is remembered
    assert "Reads    speech, by small\n" in clew("status").stdout
    assert "[audio]" not in clew("index", "--speech-model", "").stdout
    assert "Reads" not in clew("status").stdout


def test_a_model_that_is_not_there_is_said(tmp_path, index, place, clew):
    write_audio(tmp_path / "memos" / "a.wav", 1)
    with pytest.raises(LibraryError, match=r"There is no folder \./nowhere"):
        index(tmp_path / "memos", speech_model="./nowhere")
    (note,) = index(tmp_path / "memos", speech_model="small").notes
    assert "HF_HUB_OFFLINE is set" in note
    (note,) = index(tmp_path / "memos", speech_model="nonsense").notes
    assert note.startswith("There is no speech model nonsense; there are tiny")
    (tmp_path / "bare").mkdir()
    (note,) = index(speech_model=str(tmp_path / "bare")).notes
    assert "model.bin" in note
    assert held(place, "SELECT count(*) FROM analyses WHERE analysis = 'speech'") == [(0,)]


@pytest.mark.large
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_a_whisper_model_of_a_folder_hears_and_is_remembered(tmp_path, index, place, capfd):
    """The model is drawn, so that what it hears is nonsense; its times are within the sound."""
    from indexer.enrich.whisper import Whisper
    from tests.support.whisper_model import make_whisper_model

    model = make_whisper_model(tmp_path / "whisper")
    phrases = list(Whisper(str(model)).transcribe(tone_samples(5, [(0, 5, 400)], SAMPLE_RATE)))
    assert all(isinstance(phrase.text, str) and 0 <= phrase.start <= phrase.end for phrase in phrases)
    write_audio(tmp_path / "memos" / "a.wav", 5, [(0, 5, 400)])
    capfd.readouterr()
    report = index(tmp_path / "memos", speech_model=str(model))
    assert report.notes[0].startswith("Speech: found in ")
    assert held(place, "SELECT analysis, version, progress FROM analyses") == [("speech", str(model), None)]
    assert all(start is None or 0 <= start <= end <= 5 for _, _, start, end in held(place))
    assert index().notes == []
    assert capfd.readouterr() == ("", "")
