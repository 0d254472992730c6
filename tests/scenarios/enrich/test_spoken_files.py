"""Tests of transcripts of spoken sentences, by a Whisper model of full size."""

import pytest

from indexer import IndexOptions, update_library
from retrieval import Library, SearchOptions
from tests.support.spoken_files import missing_programs, speech_model, word_errors, write_spoken_sentences

MAX_DEVIATION = 0.3  # seconds
QUERIES = {"umbrellas": 1, "passport": 4, "elephant": 6}  # a word -> its sentence

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"needs {' and '.join(missing_programs())}")


@pytest.fixture
def library(tmp_path, place, toy):
    """Return a library of one spoken file, and its sentences."""
    spoken = write_spoken_sentences(tmp_path / "memos" / "memo.wav")
    options = IndexOptions(speech_model=str(speech_model()))
    report = update_library([tmp_path / "memos"], library=place, embedder=toy, options=options)
    assert report.notes == ["Speech: found in 1 of 1 file."]
    with Library.open(place, embedder=toy) as opened:
        yield opened, spoken


def test_spoken_words_are_found_at_their_times(library):
    opened, spoken = library
    for word, number in QUERIES.items():
        hit = opened.search(word, kind="text", options=SearchOptions(by="keyword"))[0]
        sentence = spoken[number]
        assert word in hit.text
        assert (hit.start, hit.end) == pytest.approx((sentence.start, sentence.end), abs=MAX_DEVIATION)


def test_transcript_has_few_wrong_words(library):
    opened, spoken = library
    hits = sorted(opened.search("red", kind="text", count=100), key=lambda hit: hit.start)
    truth = " ".join(sentence.text for sentence in spoken)
    assert word_errors(truth, " ".join(hit.text for hit in hits)) <= 0.1 * len(truth.split())
