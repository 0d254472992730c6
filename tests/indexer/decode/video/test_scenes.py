"""Scenes: cuts between frames, and their samples."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from indexer.decode.video.frame_converter import ConvertedFrame
from indexer.decode.video.frame_sampling import FrameChange, RangeResult
from indexer.decode.video.scenes import (
    Cut,
    Scene,
    cosine_distance,
    cut_candidates,
    differs,
    is_cut,
    mean_vector,
    split_scenes,
    strongest,
    suppress_close_cuts,
)
from tests.support.packets import packet_index, sample

INDEX = packet_index(range(100))


def spans(scenes: list[Scene]) -> list[tuple[int, int, list[int]]]:
    return [(scene.start, scene.end, [each.time for each in scene.samples]) for scene in scenes]


def change(difference: float) -> FrameChange:
    image = Image.new("RGB", (1, 1))
    return FrameChange(difference, ConvertedFrame(0, image), ConvertedFrame(1, image))


def test_scenes_begin_at_cuts():
    samples = [sample(time) for time in (0, 20, 40, 60)]
    assert spans(split_scenes(INDEX, samples, [30])) == [(0, 30, [0, 20]), (30, 100, [40, 60])]


def test_last_of_several_cuts_before_a_sample_begins_its_scene():
    samples = [sample(20), sample(40)]
    assert spans(split_scenes(INDEX, samples, [35, 22])) == [(0, 35, [20]), (35, 100, [40])]


def test_cut_without_a_later_sample_begins_no_scene():
    assert spans(split_scenes(INDEX, [sample(0), sample(60)], [90])) == [(0, 100, [0, 60])]


def test_changed_embedding_begins_a_scene_without_a_cut():
    samples = [sample(0), sample(20, 0.1), sample(40, 0.3), sample(60, 0.3)]
    assert spans(split_scenes(INDEX, samples, [])) == [(0, 40, [0, 20]), (40, 100, [40, 60])]


def test_first_frame_after_a_cut_is_not_compared_with_the_next_sample():
    samples = [sample(10, is_scene_start=True), sample(20, 0.3), sample(40, 0.3)]
    assert spans(split_scenes(INDEX, samples, [10])) == [(10, 100, [10, 20, 40])]


def test_scene_longer_than_two_minutes_is_split():
    index = packet_index(range(250), time_base=Fraction(1))
    samples = [sample(time) for time in (0, 60, 120, 121, 200)]
    assert spans(split_scenes(index, samples, [])) == [(0, 121, [0, 60, 120]), (121, 250, [121, 200])]


def test_blank_scenes_are_left_out_but_separate_others():
    samples = [sample(0), sample(20, is_blank=True), sample(40, is_blank=True), sample(60)]
    assert spans(split_scenes(INDEX, samples, [])) == [(0, 20, [0]), (60, 100, [60])]


def test_blank_video_has_one_scene():
    samples = [sample(0, is_blank=True), sample(50, is_blank=True)]
    assert spans(split_scenes(INDEX, samples, [])) == [(0, 100, [0, 50])]


def test_strongest_of_close_cuts_is_kept():
    assert suppress_close_cuts([(0.5, 10), (0.9, 12), (0.3, 15), (0.4, 14)], INDEX) == [12, 15]


def test_first_of_equally_strong_close_cuts_is_kept():
    assert suppress_close_cuts([(1.0, 12), (1.0, 10)], INDEX) == [10]
    assert suppress_close_cuts([], INDEX) == []


def test_prominent_changes_are_candidates():
    changes = [change(10.0), change(3.0), change(2.0)]
    assert cut_candidates(RangeResult(changes, 0.5)) == changes[:2]


@pytest.mark.parametrize(("median", "key_frames_only"), [(5.0, False), (0.5, True)])
def test_greatest_change_is_the_only_candidate_if_none_is_prominent_or_they_are_key_frames(
    median, key_frames_only
):
    changes = [change(10.0), change(3.0)]
    result = RangeResult(changes, median, key_frames_only=key_frames_only)
    assert cut_candidates(result) == changes[:1]
    assert cut_candidates(RangeResult([], median)) == []


@pytest.mark.parametrize(
    ("difference", "median", "key_frames_only", "distance", "brightness", "expected"),
    [
        (1.0, 9.0, False, 0.16, 0, True),  # another scene in any case
        (9.0, 1.0, False, 0.01, 0, True),  # a prominent change of pixels and a small one of the embedding
        (9.0, 9.0, False, 0.01, 0, False),  # not prominent
        (9.0, 1.0, False, 0.005, 0, False),  # the embedding stays the same
        (9.0, 0.0, False, 0.0, 200, True),  # a redrawn part in a still video
        (9.0, 1.0, False, 0.0, 200, False),  # ... and in a moving one
        (1.0, 9.0, True, 0.04, 0, True),
        (9.0, 0.5, True, 0.02, 0, False),
        (9.0, 0.0, True, 0.0, 200, True),
    ],
)
def test_cuts_are_confirmed_by_pixels_and_embeddings(
    difference, median, key_frames_only, distance, brightness, expected
):
    candidate = change(difference)
    result = RangeResult([candidate], median, key_frames_only=key_frames_only)
    after = sample(1, distance, brightness=brightness)
    assert is_cut(candidate, result, sample(0), after) is expected


def test_candidate_is_replaced_by_the_strongest_cut_within_it():
    candidate = Cut(10, 20, 0.5, sample(20), True)
    cuts = [
        Cut(11, 12, 0.2, sample(12), False),
        Cut(15, 16, 0.4, sample(16), False),
        Cut(19, 21, 0.9, sample(21), False),  # extends beyond it
    ]
    assert strongest(cuts, candidate) is cuts[1]
    assert strongest(cuts[2:], candidate) is candidate


def test_samples_differ_in_embedding_or_brightness():
    assert cosine_distance(sample(0), sample(1, 0.1)) == pytest.approx(0.1, abs=1e-6)
    assert differs(sample(0), sample(1, 0.01))
    assert not differs(sample(0), sample(1, 0.004))
    assert differs(sample(0), sample(1, brightness=25))
    assert not differs(sample(0), sample(1, brightness=24))


def test_representative_samples_exclude_blank_frames_and_scene_starts():
    start, blank, usual = sample(0, is_scene_start=True), sample(1, is_blank=True), sample(2)
    assert Scene(0, 3, [start, blank, usual]).representative_samples == [usual]
    assert Scene(0, 3, [start, blank]).representative_samples == [start]
    assert Scene(0, 3, [blank]).representative_samples == [blank]


def test_thumbnail_sample_is_the_sharpest_representative():
    samples = [sample(0, sharpness=9, is_scene_start=True), sample(1, sharpness=3), sample(2, sharpness=5)]
    assert Scene(0, 3, samples).sharpest.time == 2


def test_samples_within_a_scene_exclude_its_end():
    samples = [sample(time) for time in (0, 10, 20)]
    assert [each.time for each in Scene(0, 20).samples_within(samples)] == [0, 10]
    assert [each.time for each in Scene(20, 20).samples_within(samples)] == [20]  # at least one frame


def test_mean_vector_has_unit_length():
    np.testing.assert_allclose(
        mean_vector([np.float32([1, 0]), np.float32([0, 1])]), [0.5**0.5, 0.5**0.5], atol=1e-6
    )
    np.testing.assert_allclose(mean_vector([np.float32([1, 0]), np.float32([-1, 0])]), [1, 0])
