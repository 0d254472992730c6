"""The search for cuts between samples, from packet sizes and embeddings."""

import pytest

from indexer.decode.video.cut_search import (
    HD_PIXELS,
    PRIORITY_LIKELY_CUT,
    PRIORITY_LONG_INTERVAL,
    PRIORITY_NONE,
    PRIORITY_POSSIBLE_CUT,
    PRIORITY_REQUIRED,
    SampleInterval,
    intervals,
    merge_ranges,
    missing_sample_ranges,
    refinement_ranges,
    within_budget,
)
from indexer.decode.video.frame_sampling import DecodeRange
from indexer.decode.video.packet_index import PacketIndex
from indexer.decode.video.scenes import Cut, Scene
from tests.support.packets import packet_index, sample

KEY_BYTES = 1000


def group_of_frames(
    length: int, frame_bytes: int, sizes: dict[int, int] | None = None, keys: tuple[int, ...] = ()
) -> PacketIndex:
    """Return an index without B frames, with key frames at both ends and at `keys`."""
    key_rows = (0, *keys, length)
    bytes_by_row = {**dict.fromkeys(key_rows, KEY_BYTES), **(sizes or {})}
    rows = range(length + 1)
    return packet_index(rows, key_rows, [bytes_by_row.get(row, frame_bytes) for row in rows])


def interval(index: PacketIndex, end: int, distance: float) -> SampleInterval:
    """Return the interval between a sample at 0 and one at `end`."""
    return intervals(index, [sample(0), sample(end, distance)])[0]


def test_packet_spike_between_different_samples_is_a_likely_cut():
    index = group_of_frames(20, 10, sizes={8: 500})
    assert interval(index, 20, 0.1) == SampleInterval(
        expected_cut=8,
        decode_range=DecodeRange((0, 8), ((7, 8),), frozenset((0, 20))),  # the rest is not needed
        priority=PRIORITY_LIKELY_CUT,
    )


def test_several_spikes_are_ascending_windows_and_the_largest_is_the_expected_cut():
    index = group_of_frames(20, 10, sizes={5: 300, 8: 900, 14: 200})
    found = interval(index, 20, 0.1)
    assert found.expected_cut == 8
    assert found.decode_range.windows == ((4, 5), (7, 8), (13, 14))
    assert found.decode_range.rows == (0, 14)


def test_packet_below_four_times_the_median_is_not_a_spike():
    assert interval(group_of_frames(20, 10, sizes={8: 40}), 20, 0.1).decode_range.windows == ()
    assert interval(group_of_frames(20, 10, sizes={8: 41}), 20, 0.1).decode_range.windows == ((7, 8),)


def test_one_or_two_packets_are_always_spikes():
    index = group_of_frames(3, 10)
    assert interval(index, 3, 0.1).decode_range.windows == ((0, 1), (1, 2))


def test_spike_between_equal_samples_is_ignored():
    index = group_of_frames(20, 10, sizes={8: 500})
    found = interval(index, 20, 0.0)
    assert (found.expected_cut, found.priority) == (None, PRIORITY_NONE)


def test_spike_counts_if_only_the_brightness_grids_differ():
    index = group_of_frames(20, 10, sizes={8: 500})
    (found, _) = intervals(index, [sample(0), sample(20, brightness=200)])
    assert (found.expected_cut, found.priority) == (8, PRIORITY_LIKELY_CUT)


def test_with_b_frames_the_expected_cut_is_the_middle_of_the_window():
    times = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14]
    sizes = [1000, *[10] * 6, 500, *[10] * 8]  # the spike is row 7, of time 9; 7 and 8 are its B frames
    found = interval(packet_index(times, [0], sizes), 15, 0.1)
    assert found.expected_cut == 8
    assert found.decode_range.windows == ((6, 9),)
    assert found.decode_range.rows == (0, 9)  # up to the last B frame before time 9


def test_cut_at_the_key_frame_of_a_calm_interval_needs_no_decoding():
    found = interval(group_of_frames(20, 10), 20, 0.1)  # 190 bytes, fewer than a key frame
    assert (found.expected_cut, found.priority) == (20, PRIORITY_NONE)


def test_moderate_distance_in_a_busy_interval_is_a_possible_cut_at_the_second_sample():
    found = interval(group_of_frames(20, 100), 20, 0.1)  # 1,900 bytes
    assert (found.expected_cut, found.priority) == (None, PRIORITY_POSSIBLE_CUT)
    assert found.decode_range.windows == ((19, 20),)


def test_large_distance_in_a_busy_interval_is_expected_to_be_a_cut():
    found = interval(group_of_frames(20, 100), 20, 0.2)
    assert (found.expected_cut, found.priority) == (20, PRIORITY_POSSIBLE_CUT)


def test_key_frames_between_different_samples_are_decoded_alone():
    found = interval(group_of_frames(20, 100, keys=(10,)), 20, 0.1)
    assert found.decode_range.key_frames_only
    assert (found.expected_cut, found.priority) == (None, PRIORITY_REQUIRED)


def test_long_busy_interval_is_sampled():
    found = interval(group_of_frames(30, 100), 30, 0.0)  # 3 seconds
    assert (found.expected_cut, found.priority) == (None, PRIORITY_LONG_INTERVAL)
    assert found.decode_range.spaced_samples
    assert not interval(group_of_frames(20, 100), 20, 0.0).decode_range.spaced_samples


def test_very_long_busy_interval_is_required():
    assert interval(group_of_frames(120, 100), 120, 0.0).priority == PRIORITY_LONG_INTERVAL
    assert interval(group_of_frames(121, 100), 121, 0.0).priority == PRIORITY_REQUIRED
    assert interval(group_of_frames(121, 5), 121, 0.0).priority == PRIORITY_NONE  # 600 bytes: calm


def test_last_interval_extends_to_the_end_of_the_video():
    rows = range(21)
    sizes = [1000, *[10] * 7, 500, *[10] * 12]
    (found,) = intervals(packet_index(rows, [0], sizes), [sample(0)])
    assert (found.expected_cut, found.priority) == (8, PRIORITY_LIKELY_CUT)
    assert found.decode_range.boundaries == {0}


def test_each_sample_has_an_interval():
    index = group_of_frames(40, 10, keys=(20,))
    found = intervals(index, [sample(0), sample(20), sample(40)])
    assert [each.decode_range.boundaries for each in found] == [{0, 20}, {20, 40}, {40}]


def budget_interval(first: int, last: int, priority: int) -> SampleInterval:
    return SampleInterval(None, DecodeRange((first, last)), priority)


def test_budget_is_spent_on_the_most_urgent_intervals():
    index = packet_index(range(1000), frame_pixels=HD_PIXELS)  # a budget of 300 + 0.04 x 1000 frames
    likely = budget_interval(0, 200, PRIORITY_LIKELY_CUT)
    possible = budget_interval(200, 400, PRIORITY_POSSIBLE_CUT)
    long = budget_interval(400, 540, PRIORITY_LONG_INTERVAL)
    useless = budget_interval(540, 541, PRIORITY_NONE)
    required = budget_interval(600, 999, PRIORITY_REQUIRED)
    assert within_budget([useless, long, possible, likely, required], index) == [required, likely, long]


def test_smaller_frames_cost_less_of_the_budget():
    index = packet_index(range(1000), frame_pixels=HD_PIXELS // 2)
    candidates = [
        budget_interval(0, 300, PRIORITY_LIKELY_CUT),
        budget_interval(300, 600, PRIORITY_LIKELY_CUT),
    ]
    assert within_budget(candidates, index) == candidates  # 2 x 150 of 320


def test_overlapping_ranges_are_merged_in_ascending_order():
    ranges = [
        DecodeRange((5, 9), ((6, 7),), frozenset((5,)), key_frames_only=True),
        DecodeRange((0, 3), key_frames_only=True),
        DecodeRange((9, 12), ((10, 11),), frozenset((12,)), frozenset((11,)), spaced_samples=True),
    ]
    assert merge_ranges(ranges) == [
        DecodeRange((0, 3), key_frames_only=True),
        DecodeRange((5, 12), ((6, 7), (10, 11)), frozenset((5, 12)), frozenset((11,)), spaced_samples=True),
    ]
    assert merge_ranges([]) == []


def cut(before: int, after: int, *, key_frames_only: bool = False) -> Cut:
    return Cut(before, after, 0.1, sample(after), key_frames_only)


def test_cuts_with_frames_between_are_refined():
    index = packet_index(range(50), [0, 20, 40])
    assert refinement_ranges(index, [cut(4, 8), cut(22, 23)]) == [
        DecodeRange((0, 20), ((4, 8),), frozenset((4, 8)))
    ]


def test_cuts_between_key_frames_are_refined_within_the_budget():
    index = packet_index(range(1000), [0, 200, 400, 600, 800], frame_pixels=HD_PIXELS)
    cuts = [cut(0, 200, key_frames_only=True), cut(200, 400, key_frames_only=True), cut(610, 615)]
    assert [each.rows for each in refinement_ranges(index, cuts)] == [(0, 200), (600, 800)]


def test_scenes_without_samples_are_sampled_every_two_seconds():
    index = packet_index(range(100), range(0, 100, 10))
    ranges = missing_sample_ranges(index, [Scene(0, 50)])
    assert [each.rows for each in ranges] == [(0, 0), (20, 20), (40, 40)]
    assert [each.wanted_times for each in ranges] == [{0}, {20}, {40}]


@pytest.mark.parametrize(("end", "count"), [(120, 0), (121, 7)])
def test_scene_with_one_sample_has_enough_up_to_12_seconds(end, count):
    index = packet_index(range(200), range(0, 200, 10))
    assert len(missing_sample_ranges(index, [Scene(0, end, [sample(0)])])) == count


def test_scene_without_frames_has_no_range():
    assert missing_sample_ranges(packet_index([0, 50]), [Scene(10, 40)]) == []
