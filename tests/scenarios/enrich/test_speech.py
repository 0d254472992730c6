"""Tests of the speech analysis of audio files and videos."""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from indexer import IndexOptions, forget, switch_library, update_library, verify_library
from indexer.decode.audio.stream import SAMPLE_RATE
from indexer.decode.text.chunking import Chunker
from indexer.enrich import speech
from indexer.enrich.speech import TranscriptSegment, transcript_passages
from indexer.types import BatchLimits
from retrieval import Library, SearchOptions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryError, MediaError
from retrieval.formatting import format_location
from retrieval.media.limits import DecodeLimits
from tests.support.audio_files import (
    TONE_WORDS,
    ToneTranscriber,
    exceed_memory,
    exceed_time_limit,
    tone_samples,
    write_audio,
)
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.toy_embedder import ReversedToyEmbedder, ToyEmbedder, cosine_similarity

TAGS = {"title": "Red Song", "artist": "The Larks", "album": "Meadow", "genre": "Jazz", "date": "1999-05-01"}


def rows_of(place: Path, query: str = 'SELECT kind, text, start, "end" FROM segments ORDER BY id'):
    with closing(sqlite3.connect(place / CATALOG_FILE)) as db:
        return db.execute(query).fetchall()


def test_speech_is_found_at_its_time(tmp_path, index, place, toy):
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
        assert format_location(hit) == f"{talk} @ 00:07.5"
        assert hit.score == pytest.approx(cosine_similarity(toy, "blue lamp", "blue lamp."), abs=1e-3)
        assert library.search("apples", options=SearchOptions(by="keyword"))[0].start == pytest.approx(
            2, abs=0.1
        )


def test_audio_track_of_a_video_is_transcribed(tmp_path, index, place, toy):
    clip = write_audio(tmp_path / "clips" / "clip.mp4", 6, [(4, 5, 800)])
    report = index(tmp_path / "clips", transcriber=ToneTranscriber())
    assert (report.notes, report.kinds["text"]) == (["Speech: found in 1 of 1 file."], 1)
    with Library.open(place, embedder=toy) as library:
        hit = library.search("green boat", kind="text")[0]
    assert (hit.path, hit.text, hit.timed) == (clip, "green boat.", True)
    assert hit.start == pytest.approx(4, abs=0.1)
    assert verify_library(place).errors == []


def test_phrases_are_joined_to_sentences_without_long_pauses():
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
        (2, 3, "It rained"),  # before six seconds of silence
        (9, 10, "all day"),  # nine words exceed the limit of eight
        (10, 11, "a b c d e f g"),
        (11, 12, "h i"),
    ]


class InterruptedTranscriber(ToneTranscriber):
    """Raises KeyboardInterrupt after a number of calls."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def transcribe(self, samples):
        if len(self.durations) == self.times:
            raise KeyboardInterrupt
        return super().transcribe(samples)


def test_interrupted_transcription_resumes_within_a_file(tmp_path, index_within, place):
    limits = DecodeLimits(audio_chunk_seconds=4.0, quiet_search_seconds=1.0)
    batches = BatchLimits(seconds=0)
    for number in range(3):
        write_audio(
            tmp_path / "memos" / f"{number}.wav", 10 + number, [(1, 2, 400), (5, 6, 800), (8, 9, 1600)]
        )
    transcriber = InterruptedTranscriber(4)
    report = index_within(limits, tmp_path / "memos", batch_limits=batches, transcriber=transcriber)
    assert report.interrupted
    assert verify_library(place).errors == []
    before = len(rows_of(place))
    rest = ToneTranscriber()
    report = index_within(limits, tmp_path / "memos", transcriber=rest)
    assert not report.interrupted
    assert sum(rest.durations) < 33 - 6  # committed parts are not transcribed again
    transcripts = [row for row in rows_of(place) if row[0] == "text"]
    assert before > 3
    assert sorted(row[1] for row in transcripts) == sorted(3 * list(TONE_WORDS.values()))
    report = index_within(limits, tmp_path / "memos", transcriber=InterruptedTranscriber(0))
    assert report.notes == []  # nothing is pending
    assert verify_library(place).errors == []


def test_another_model_replaces_the_transcripts(tmp_path, index, place, toy):
    write_audio(tmp_path / "memos" / "a.wav", 3, [(1, 2, 400)])
    index(tmp_path / "memos", transcriber=ToneTranscriber())
    other = ToneTranscriber("better", {400: "yellow pears."})
    report = index(tmp_path / "memos", transcriber=other)
    assert (len(other.durations), report.kinds) == (1, {"text": 1})
    assert [row[1] for row in rows_of(place)] == [None, "yellow pears."]
    assert verify_library(place).errors == []
    with Library.open(place, embedder=toy) as library:
        assert library.search("apples", options=SearchOptions(by="keyword")) == []
        assert library.search("pears", options=SearchOptions(by="keyword"))[0].text == "yellow pears."


def test_transcripts_follow_a_model_switch_and_a_purge(tmp_path, index, place, toy):
    write_audio(tmp_path / "memos" / "a.mp3", 3, [(1, 2, 400)], TAGS)
    write_audio(tmp_path / "memos" / "b.wav", 3, [(1, 2, 800)])
    index(tmp_path / "memos", transcriber=ToneTranscriber())
    switched = switch_library("blue", library=place, embedder=ReversedToyEmbedder())
    assert (switched.embedded, switched.waiting, switched.answers) == (3, 0, True)  # b.wav has no tags
    assert verify_library(place).errors == []
    with Library.open(place, embedder=ReversedToyEmbedder()) as library:
        best = library.search("green boat", kind="text", options=SearchOptions(by="meaning"))[0]
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
    assert rows_of(place, "SELECT count(*) FROM analyses WHERE analysis = 'speech'") == [(1,)]
    assert verify_library(place).errors == []
    switch_library("toy", library=place, embedder=toy)
    assert verify_library(place).errors == []


CHILD = """
import sys
from pathlib import Path
from indexer import IndexOptions
from indexer.types import BatchLimits
from tests.scenarios.helpers import index_in_batches
from tests.support.audio_files import ToneTranscriber
from tests.support.toy_embedder import ToyEmbedder
folder, place = map(Path, sys.argv[1:])
print("go", flush=True)
options = IndexOptions(transcriber=ToneTranscriber())
index_in_batches(BatchLimits(seconds=0), [folder], place, ToyEmbedder(), options=options)
"""


def test_killed_transcription_leaves_a_valid_library_and_resumes(tmp_path):
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
    transcripts = [row[1] for row in rows_of(place) if row[0] == "text"]
    assert sorted(transcripts) == sorted(40 * ["red apples.", "green boat."])
    assert verify_library(place).errors == []


def count(place: Path) -> int:
    """Count the committed segments."""
    try:
        return len(rows_of(place))
    except sqlite3.OperationalError:  # the library does not exist yet
        return 0


def test_missing_model_is_noted_once(tmp_path, index, place):
    for number in range(3):
        write_audio(tmp_path / "memos" / f"{number}.wav", 1 + number)
    (note,) = index(tmp_path / "memos").notes
    assert note.startswith("3 audio files")
    assert "clew index --speech-model small" in note
    assert index(tmp_path / "memos").notes == []


def test_missing_extra_is_an_error_before_anything_runs(tmp_path, clew, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    write_audio(tmp_path / "memos" / "a.wav", 1)
    done = clew("index", tmp_path / "memos", "--model", "builtin", "--speech-model", "small")
    assert done.exit_code == 2
    assert done.stderr.count('pip install "clew-search[audio]"') == 1
    assert not place.exists()


def test_extra_that_was_uninstalled_is_reported_once_with_the_number_of_files(tmp_path, clew, monkeypatch):
    (tmp_path / "memos").mkdir()
    clew("index", tmp_path / "memos", "--model", "builtin", "--speech-model", "small")
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    write_audio(tmp_path / "memos" / "a.wav", 1)
    write_audio(tmp_path / "memos" / "b.wav", 2)
    done = clew("index")
    assert done.exit_code == 0
    assert "2 files: Speech recognition" in done.stdout
    assert clew("index").stdout.count("[audio]") == 1  # the model is saved
    assert 'Reads    speech, by small (not now: pip install "clew-search[audio]")' in clew("status").stdout
    assert "[audio]" not in clew("index", "--speech-model", "").stdout
    assert "Reads" not in clew("status").stdout


def test_results_are_removed_when_speech_is_turned_off(tmp_path, index, place):
    write_audio(tmp_path / "memos" / "talk.mp3", 12, [(2, 3, 400), (7.5, 9, 1600)])
    index(tmp_path / "memos", transcriber=ToneTranscriber())
    before = rows_of(place)
    (note, *_) = index(speech_model="").notes
    assert note == "2 passages of speech removed, because this analysis is off now."
    assert rows_of(place) == [row for row in before if row[0] == "audio"]
    assert verify_library(place).errors == []


def test_unusable_model_is_noted(tmp_path, index, place, clew):
    write_audio(tmp_path / "memos" / "a.wav", 1)
    with pytest.raises(LibraryError, match=r"Folder \./nowhere does not exist"):
        index(tmp_path / "memos", speech_model="./nowhere")
    (note,) = index(tmp_path / "memos", speech_model="small").notes
    assert "HF_HUB_OFFLINE is set" in note
    (note,) = index(tmp_path / "memos", speech_model="nonsense").notes
    assert note.startswith("Speech model 'nonsense' not found. Choose one of tiny")
    (tmp_path / "bare").mkdir()
    (note,) = index(speech_model=str(tmp_path / "bare")).notes
    assert "model.bin" in note
    assert rows_of(place, "SELECT count(*) FROM analyses WHERE analysis = 'speech'") == [(0,)]


@pytest.mark.parametrize(
    ("fail", "reason"),
    [(exceed_time_limit, "takes more than 20.3 seconds"), (exceed_memory, "no more memory")],
)
def test_file_whose_audio_cannot_be_read_now_is_reported_and_retried(
    fail, reason, tmp_path, index, place, monkeypatch
):
    memo = write_audio(tmp_path / "memos" / "memo.wav", 3, [(1, 2, 400)])
    with monkeypatch.context() as patch:
        patch.setattr(speech, "read_audio_chunks", fail)
        (note,) = index(tmp_path / "memos", transcriber=ToneTranscriber()).notes
    assert note.startswith(f"Speech: 1 file not analyzed, and retried by the next run: {memo}: ")
    assert reason in note
    assert rows_of(place, "SELECT count(*) FROM analyses WHERE analysis = 'speech'") == [(0,)]
    assert index(transcriber=ToneTranscriber()).notes == ["Speech: found in 1 of 1 file."]


def test_video_without_sound_is_analyzed_once_and_not_reported(tmp_path, index, monkeypatch):
    def no_audio(*arguments, **options):
        raise MediaError("no audio in it that can be decoded")

    write_audio(tmp_path / "memos" / "memo.wav", 3, [(1, 2, 400)])
    monkeypatch.setattr(speech, "iterate_sandboxed", no_audio)
    report = index(tmp_path / "memos", transcriber=ToneTranscriber())
    assert report.notes == ["Speech: found in 0 of 1 file."]
    assert index(transcriber=ToneTranscriber()).notes == []


def test_failed_part_of_a_transcript_is_reported(tmp_path, index):
    class FailingTranscriber(ToneTranscriber):
        def transcribe(self, samples):
            if self.durations:
                raise MemoryError("too little memory")
            yield from super().transcribe(samples)

    write_audio(tmp_path / "memos" / "a.wav", 3, [(1, 2, 400)])
    write_audio(tmp_path / "memos" / "b.wav", 4, [(1, 2, 800)])
    assert index(tmp_path / "memos", transcriber=FailingTranscriber()).notes == [
        "Speech: nothing found in 1 part of files, which failed: too little memory",
        "Speech: found in 1 of 2 files.",
    ]


@pytest.mark.large
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_whisper_model_in_a_folder_is_used_and_saved(tmp_path, index, place, capfd):
    """The model has random weights, so only the types and the time ranges of its output are checked."""
    from indexer.enrich.whisper import Whisper
    from tests.support.whisper_model import make_whisper_model

    model = make_whisper_model(tmp_path / "whisper")
    phrases = list(Whisper(str(model)).transcribe(tone_samples(5, [(0, 5, 400)], SAMPLE_RATE)))
    assert all(isinstance(phrase.text, str) and 0 <= phrase.start <= phrase.end for phrase in phrases)
    write_audio(tmp_path / "memos" / "a.wav", 5, [(0, 5, 400)])
    capfd.readouterr()
    report = index(tmp_path / "memos", speech_model=str(model))
    assert report.notes[0].startswith("Speech: found in ")
    query = "SELECT analysis, version, progress FROM analyses WHERE analysis != 'text'"
    assert rows_of(place, query) == [("speech", str(model), None)]
    assert all(start is None or 0 <= start <= end <= 5 for _, _, start, end in rows_of(place))
    assert index().notes == []
    assert capfd.readouterr() == ("", "")
