"""Tests of the times of Whisper's phrases."""

import pytest

from indexer.enrich.speech import TranscriptSegment
from indexer.enrich.whisper import MAX_PHRASE_PAUSE, split_at_pauses

transcribe = pytest.importorskip("faster_whisper.transcribe")


def segment(*words):
    """Return a segment of words, each (start, end, text)."""
    timed = [transcribe.Word(start, end, text, 1.0) for start, end, text in words]
    fields = {
        "id": 1,
        "seek": 0,
        "start": words[0][0],
        "end": words[-1][1],
        "text": "".join(text for *_, text in words),
        "tokens": [],
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
        "temperature": 0.0,
    }
    return transcribe.Segment(**fields, words=timed)


def test_segment_of_several_sentences_is_split_at_pauses():
    joined = segment(
        (98.9, 99.4, " The"), (99.4, 101.8, " morning,"), (104.3, 104.6, " we"), (104.6, 108.0, " planted,")
    )
    assert list(split_at_pauses(joined)) == [
        TranscriptSegment(98.9, 101.8, " The morning,"),
        TranscriptSegment(104.3, 108.0, " we planted,"),
    ]


def test_segment_with_short_pauses_stays_complete():
    pause = 0.9 * MAX_PHRASE_PAUSE
    complete = segment((1.0, 2.0, " An"), (2.0 + pause, 4.0, " elephant."))
    assert list(split_at_pauses(complete)) == [TranscriptSegment(1.0, 4.0, " An elephant.")]


def test_segment_without_words_stays_complete():
    bare = segment((1.0, 2.0, " Hello."))
    bare.words = None
    assert list(split_at_pauses(bare)) == [TranscriptSegment(1.0, 2.0, " Hello.")]
