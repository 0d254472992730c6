"""Select the subtitle tracks of a video that have different texts."""

import re
from bisect import bisect_left
from collections.abc import Sequence

from indexer.decode.text.subtitle_cues import Cue

MAX_SHIFT_SECONDS = 1.0  # between the same cue in two tracks
MAX_SHOWN_SECONDS = 20.0  # of a cue that is compared
MAX_COMPARED_CUES = 50  # with each cue, so that the time is linear
MIN_SHARED_WORDS = 0.8  # of a cue, in the cues of another track at its time
MIN_SHARED_CUES = 0.9  # of a track, that another one has, too


def distinct_tracks(tracks: Sequence[Sequence[Cue]]) -> list[Sequence[Cue]]:
    """Return the tracks, each sorted by time, without those that another track contains.

    Of equal tracks the first is kept; of a plain one and one for the deaf, which adds sounds and speakers,
    the latter.
    """
    kept: list[Sequence[Cue]] = []
    by_words = sorted(tracks, key=lambda track: -sum(len(_words(cue.text)) for cue in track))
    for track in by_words:
        if track and not any(_contains(other, track) for other in kept):
            kept.append(track)
    return [track for track in tracks if any(track is other for other in kept)]


def _contains(track: Sequence[Cue], other: Sequence[Cue]) -> bool:
    """Return True if a track has nearly all cues of another one, at the same times."""
    starts = [cue.start for cue in track]
    words = [_words(cue.text) for cue in track]
    shared = 0
    for cue in other:
        first = bisect_left(starts, cue.start - MAX_SHOWN_SECONDS)
        last = bisect_left(starts, cue.end + MAX_SHIFT_SECONDS)
        shown = {
            word
            for at in range(max(first, last - MAX_COMPARED_CUES), last)
            if track[at].end >= cue.start - MAX_SHIFT_SECONDS
            for word in words[at]
        }
        own = _words(cue.text)
        shared += len(own & shown) >= MIN_SHARED_WORDS * len(own)
    return shared >= MIN_SHARED_CUES * len(other)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
