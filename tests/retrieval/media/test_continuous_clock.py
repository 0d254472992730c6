"""Timestamps continue where a file restarts them, in all streams alike."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from retrieval.media.av.continuous_clock import ContinuousClock

VIDEO, AUDIO, SUBTITLE = 0, 1, 2
UNITS = {VIDEO: Fraction(1, 1000), AUDIO: Fraction(1, 2000), SUBTITLE: Fraction(1, 1000)}
STREAMS = {index: SimpleNamespace(index=index, time_base=unit) for index, unit in UNITS.items()}


def corrected(packets, *, is_broadcast=True, streams=(VIDEO, AUDIO)):
    """Return (stream, seconds) of packets after the correction; seconds may be (pts, dts)."""
    made = []
    for index, seconds in packets:
        pts, dts = seconds if isinstance(seconds, tuple) else (seconds, seconds)
        unit = UNITS[index]
        times = {"pts": round(pts / unit), "dts": None if dts is None else round(dts / unit)}
        made.append(SimpleNamespace(stream=STREAMS[index], time_base=unit, **times))
    clock = ContinuousClock([STREAMS[index] for index in streams], is_broadcast=is_broadcast)
    return [(p.stream.index, float(p.pts * UNITS[p.stream.index])) for p in clock.correct(iter(made))]


def video(*seconds):
    return [(VIDEO, each) for each in seconds]


def part(start: float, count: int, streams=(VIDEO, AUDIO)):
    """Return packets of streams 0.5 seconds apart."""
    return [(index, start + number / 2) for number in range(count) for index in streams]


def times_of(index, packets):
    return [seconds for each, seconds in packets if each == index]


@pytest.mark.parametrize("starts", [[0, 0], [0, 0, 0, 0], [500, 0, 500], [0, 95_443, 3], [30, 95_000, 0.2]])
@pytest.mark.parametrize("count", [4, 9])
def test_parts_follow_each_other_whatever_their_timestamps(starts, count):
    packets = [packet for start in starts for packet in part(start, count)]
    expected = [starts[0] + number / 2 for number in range(count * len(starts))]
    for index in (VIDEO, AUDIO):
        assert times_of(index, corrected(packets)) == expected


@pytest.mark.parametrize("first", [VIDEO, AUDIO])
def test_streams_that_jump_at_different_packets_stay_synchronous(first):
    second = AUDIO if first == VIDEO else VIDEO
    packets = [
        *part(0, 10),  # up to 4.5
        *[(first, each) for each in (0.0, 0.5, 1.0)],
        *[(second, each) for each in (5.0, 0.0, 0.5, 1.0, 1.5)],  # 5.0 belongs to the first part
        *part(2, 4),
    ]
    found = corrected(packets)
    for index in (VIDEO, AUDIO):
        assert times_of(index, found)[-4:] == [7.0, 7.5, 8.0, 8.5]


def test_interrupted_stream_goes_on_with_the_others():
    packets = [*part(0, 4), *part(2, 40, [VIDEO]), *part(0, 4, [VIDEO]), *part(2, 4)]
    found = corrected(packets)
    assert times_of(VIDEO, found) == [number / 2 for number in range(52)]
    assert times_of(AUDIO, found) == [0, 0.5, 1, 1.5, 24, 24.5, 25, 25.5]


def test_stream_may_begin_in_a_later_part():
    found = corrected([*part(0, 60, [VIDEO]), *part(0, 60, [VIDEO]), *part(30, 4)])
    assert times_of(AUDIO, found) == [60, 60.5, 61, 61.5]


@pytest.mark.parametrize("wrong", [0.0, 7.0, 700.0, 95_000.0])
def test_single_wrong_timestamp_is_no_restart(wrong):
    found = corrected(video(3, 3.5, 4, wrong, 5, 5.5, 6), streams=[VIDEO])
    assert times_of(VIDEO, found) == [3, 3.5, 4, 4.5, 5, 5.5, 6]


def test_display_times_keep_their_distance_from_decoding_times():
    packets = video((0.2, 0), (0.6, 0.2), (0.4, 0.4), (0.2, 0), (0.6, 0.2), (0.4, 0.4))
    found = times_of(VIDEO, corrected(packets * 2, streams=[VIDEO]))
    assert found == pytest.approx([0.2, 0.6, 0.4, 0.8, 1.2, 1.0, 1.4, 1.8, 1.6, 2.0, 2.4, 2.2])


def test_gaps_stay_unless_they_are_jumps_of_the_clock():
    assert times_of(VIDEO, corrected(video(0, 1, 8, 9, 10))) == [0, 1, 8, 9, 10]
    assert times_of(VIDEO, corrected(video(0, 1, 80, 81, 82))) == [0, 1, 2, 3, 4]
    assert times_of(VIDEO, corrected(video(0, 1, 80, 81, 82), is_broadcast=False)) == [0, 1, 80, 81, 82]
    slides = [*part(0, 40, [AUDIO]), (VIDEO, 0), *part(20, 40, [AUDIO]), (VIDEO, 40)]
    slides += [*part(40, 40, [AUDIO]), (VIDEO, 60)]
    assert times_of(VIDEO, corrected(slides)) == [0, 40, 60]  # the sound goes on


def test_subtitles_follow_the_part_of_the_packet_after_them():
    packets = [*part(0, 10), (SUBTITLE, 0.1), *part(0, 3), (SUBTITLE, 1.2), *part(1.5, 4)]
    assert times_of(SUBTITLE, corrected(packets)) == [5.1, 6.2]
    assert corrected([(SUBTITLE, 1.0)]) == [(SUBTITLE, 1.0)]


def test_slow_part_after_a_short_one_is_a_restart():
    found = corrected(video(0, 0.2, 0.4, 0.6, 0, 1, 2, 3, 4), streams=[VIDEO])
    assert times_of(VIDEO, found) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.8, 2.8, 3.8, 4.8])


def test_packets_without_a_decoding_time_follow_the_packet_after_them():
    packets = video((1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (0.0, None), (1.0, 0.5), (1.2, 1.0), (1.5, 1.5))
    assert times_of(VIDEO, corrected(packets, streams=[VIDEO])) == [1, 2, 3, 3.5, 4.5, 4.7, 5]


def test_decoding_times_that_are_estimated_may_go_back():
    packets = video(0, 0.4, 0.2, 0.6, 1.0, 0.8)
    assert times_of(VIDEO, corrected(packets, is_broadcast=False)) == [0, 0.4, 0.2, 0.6, 1.0, 0.8]


def test_display_time_of_another_part_is_replaced():
    packets = video((1.2, 1.0), (1.4, 1.2), (900.0, 1.4), (900.2, 900), (900.4, 900.2), (900.6, 900.4))
    found = times_of(VIDEO, corrected(packets, streams=[VIDEO]))
    assert found == pytest.approx([1.2, 1.4, 1.6, 1.8, 2.0, 2.2])
