"""The choice of key frames, decode ranges, and the changes between consecutive frames."""

from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest

from indexer.decode.video.frame_converter import FrameConverter
from indexer.decode.video.frame_sampling import (
    ChangeDetector,
    DecodeRange,
    KeyFrameSampler,
    RangeResult,
    is_prominent,
)
from tests.support.packets import TIME_BASE, packet_index


def sampled_times(key_frame_times, time_base: Fraction = TIME_BASE) -> list[int]:
    sampler = KeyFrameSampler(time_base)
    return [time for time in key_frame_times if sampler.wants_sample(time)]


def test_key_frames_are_sampled_every_second_at_first_and_then_every_two():
    assert sampled_times(range(0, 351, 5)) == [*range(0, 300, 10), 310, 330, 350]


def test_key_frames_slightly_closer_than_the_distance_are_sampled():
    milliseconds = Fraction(1, 1000)
    assert sampled_times([0, 910, 1820], milliseconds) == [0, 910, 1820]
    assert sampled_times([0, 890, 1780], milliseconds) == [0, 1780]


def test_early_key_frames_are_sampled_but_not_within_a_third_of_a_second():
    assert sampled_times([0, 20, 40, 44, 46, 60]) == [0, 20, 40, 44, 60]


def test_key_frames_that_go_back_in_time_are_not_sampled():
    assert sampled_times([0, 20, 10, 40]) == [0, 20, 40]


def test_distance_doubles_after_10000_samples():
    times = sampled_times(range(0, 20 * 12_000, 20))
    assert len(times) == 11_000
    assert times[9_999:10_002] == [199_980, 200_020, 200_060]


def test_windows_include_their_ends():
    decode_range = DecodeRange((0, 9), ((2, 4), (8, 9)))
    assert [time for time in range(11) if decode_range.is_in_window(time)] == [2, 3, 4, 8, 9]
    assert not DecodeRange((0, 9)).is_in_window(0)


def test_union_of_ranges_decodes_what_either_needs():
    first = DecodeRange((4, 9), ((5, 6),), frozenset((4,)), frozenset((7,)), key_frames_only=True)
    second = DecodeRange((0, 6), ((1, 2), (5, 6)), frozenset((4, 6)), spaced_samples=True)
    assert first + second == DecodeRange(
        (0, 9), ((1, 2), (5, 6)), frozenset((4, 6)), frozenset((7,)), spaced_samples=True
    )


def test_prominent_difference_exceeds_four_times_the_median_and_rounding():
    assert not is_prominent(2.5, 0.5)
    assert is_prominent(2.6, 0.5)
    assert not is_prominent(0.5, 0.0)


def gray_frame(time: int, level: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
    frame.pts = time
    return frame


def detect(decode_range: DecodeRange, levels: list[int]) -> list[RangeResult]:
    """Return the sections of frames of uniform gray at the times 0, 1, ..."""
    with av.open(BytesIO(), "w", format="mp4") as container:
        converter = FrameConverter(container.add_stream("mpeg4", rate=10), 32)
    detector = ChangeDetector(decode_range, packet_index([0]).time_base, converter)
    results = [
        result for time, level in enumerate(levels) for result in detector.add_frame(gray_frame(time, level))
    ]
    return [*results, detector.finish_section()]


def summary(result: RangeResult) -> list[tuple[float, int, int]]:
    return [(change.difference, change.before.time, change.after.time) for change in result.changes]


def test_changes_are_reported_for_each_section():
    decode_range = DecodeRange((0, 6), boundaries=frozenset((3,)))
    first, second = detect(decode_range, [10, 10, 50, 50, 50, 50, 55])
    assert (summary(first), first.median_difference) == ([(40.0, 1, 2)], 0.0)
    assert (summary(second), second.median_difference) == ([(5.0, 5, 6)], 0.0)


def test_images_of_a_change_are_kept():
    (result,) = detect(DecodeRange((0, 1)), [10, 50])
    (change,) = result.changes
    assert (change.before.image.getpixel((5, 5)), change.after.image.getpixel((5, 5))) == (
        (10, 10, 10),
        (50, 50, 50),
    )


def test_four_greatest_changes_of_a_section_are_kept_in_descending_order():
    (result,) = detect(DecodeRange((0, 5)), [0, 10, 30, 60, 100, 150])
    assert [change.difference for change in result.changes] == [50.0, 40.0, 30.0, 20.0]
    assert result.median_difference == 30.0


def test_only_the_first_of_equal_changes_is_kept():
    (result,) = detect(DecodeRange((0, 4)), [0, 10, 20, 30, 40])
    assert summary(result) == [(10.0, 0, 1)]
    assert result.median_difference == 10.0


def test_equal_frames_have_no_change():
    (result,) = detect(DecodeRange((0, 2), key_frames_only=True), [9, 9, 9])
    assert (result.changes, result.median_difference, result.key_frames_only) == ([], 0.0, True)


def test_wanted_frames_are_returned_and_end_a_section():
    first, second = detect(DecodeRange((0, 3), wanted_times=frozenset((2,))), [0, 0, 90, 90])
    assert first.frame is not None and first.frame.time == 2
    assert first.frame.image.getpixel((5, 5)) == (90, 90, 90)
    assert (len(first.changes), second.changes, second.frame) == (1, [], None)


@pytest.mark.parametrize(("spaced", "times"), [(True, [20, 40]), (False, [])])
def test_spaced_samples_are_returned_every_two_seconds(spaced, times):
    decode_range = DecodeRange((0, 45), boundaries=frozenset((0,)), spaced_samples=spaced)
    frames = [result.frame for result in detect(decode_range, [0] * 46)]
    assert [frame.time for frame in frames if frame is not None] == times
