"""Of the subtitle tracks of a video, those with different texts are kept."""

from indexer.decode.text.subtitle_cues import Cue
from indexer.decode.text.subtitle_tracks import distinct_tracks

ENGLISH = [Cue(1, 3, "When I was young"), Cue(3, 5, "we lived by the sea."), Cue(8, 9, "Where is Anna?")]
GERMAN = [Cue(1, 3, "Als ich jung war,"), Cue(3, 5, "wohnten wir am Meer."), Cue(8, 9, "Wo ist Anna?")]
FOR_THE_DEAF = [
    Cue(0, 0.9, "[WAVES CRASHING]"),
    Cue(1.2, 5.1, "NARRATOR: When I was young\nwe lived by the sea."),
    Cue(6, 7, "(door slams)"),
    Cue(8, 9, "- Where is Anna?"),
]


def test_tracks_of_other_languages_are_kept_in_their_order():
    assert distinct_tracks([GERMAN, ENGLISH]) == [GERMAN, ENGLISH]


def test_equal_tracks_are_kept_once():
    assert distinct_tracks([ENGLISH, GERMAN, list(ENGLISH), list(GERMAN)]) == [ENGLISH, GERMAN]


def test_track_for_the_deaf_replaces_the_plain_one():
    assert distinct_tracks([ENGLISH, FOR_THE_DEAF, GERMAN]) == [FOR_THE_DEAF, GERMAN]


def test_forced_track_is_dropped_if_the_full_track_has_its_cues():
    assert distinct_tracks([ENGLISH[1:2], ENGLISH]) == [ENGLISH]
    song = [Cue(20, 22, "we lived by the sea.")]  # at another time
    assert distinct_tracks([ENGLISH, song]) == [ENGLISH, song]


def test_empty_tracks_are_dropped():
    assert distinct_tracks([[], ENGLISH, []]) == [ENGLISH]
    assert distinct_tracks([]) == []
