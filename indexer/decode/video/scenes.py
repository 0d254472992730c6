"""The scenes of a video: samples of what it shows, parted by cuts and where the embedding moves."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.decode.metadata.perceptual_hash import grid_differs
from indexer.decode.video.frame_sampling import MIN_DIFFERENCE, FrameChange, RangeResult
from indexer.decode.video.packet_index import PacketIndex
from retrieval.types import Vectors

MAX_SAME_DISTANCE = 0.005  # 1 - cosine of two samples up to which nothing has happened, whatever packets tell
MAX_SCENE_DISTANCE = 0.03  # up to which it may be the same scene
MIN_OTHER_SCENE_DISTANCE = 0.15  # from which on it is another one, whatever lies between
MIN_CUT_DISTANCE = 0.008  # of two frames that follow each other: a cut, if they are unlike at a glance, too
MIN_SCENE_SECONDS, MAX_SCENE_SECONDS = 0.3, 120.0  # seconds of a scene


@dataclass(slots=True)
class Sample:
    """A frame that was embedded: its unit vector (d,), a WebP of it, its layout (48, 48), how sharp it is.

    The first frame after a cut is an `edge`: often it is not yet as clear as those that follow.
    """

    time: int
    vector: Vectors
    thumbnail: bytes | None
    brightness_grid: NDArray[np.uint8]
    sharpness: float
    is_blank: bool
    is_scene_start: bool = False


class Cut(NamedTuple):
    """Two frames that follow each other, of two scenes: their times, how far apart, and the second."""

    previous_time: int
    time: int
    distance: float
    sample: Sample
    key_frames_only: bool  # they are key frames: what is between may tell more


@dataclass(slots=True)
class Scene:
    """Samples that belong together, from the time of the first frame to that of the next scene's."""

    start: int
    end: int
    samples: list[Sample] = field(default_factory=list)

    def samples_within(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return those samples that are shown in it."""
        return [each for each in samples if self.start <= each.time < max(self.end, self.start + 1)]

    @property
    def representative_samples(self) -> list[Sample]:
        """Return what the scene is known by: no blank frames and no edges where there are others."""
        seen = [sample for sample in self.samples if not sample.is_blank] or self.samples
        return [sample for sample in seen if not sample.is_scene_start] or seen

    @property
    def vector(self) -> Vectors:
        """Return the unit mean of its samples' vectors, (d,)."""
        return mean_vector([sample.vector for sample in self.representative_samples])

    @property
    def is_blank(self) -> bool:
        """Say whether nothing is to be seen."""
        return all(sample.is_blank for sample in self.samples)

    @property
    def sharpest(self) -> Sample:
        """Return the sharpest sample."""
        return max(self.representative_samples, key=lambda sample: sample.sharpness)


def mean_vector(vectors: Sequence[Vectors]) -> Vectors:
    """Return the unit mean, (d,), of unit vectors; of some that cancel each other, the first."""
    total = np.sum(vectors, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else vectors[0], np.float32)


def cosine_distance(first: Sample, second: Sample) -> float:
    """Return 1 - cosine of what two samples show."""
    return 1.0 - float(first.vector @ second.vector)


def differs(first: Sample, second: Sample) -> bool:
    """Say whether two samples show two things, as embedded or as drawn: to most models all text is alike."""
    return cosine_distance(first, second) > MAX_SAME_DISTANCE or grid_differs(
        first.brightness_grid, second.brightness_grid
    )


def cut_candidates(result: RangeResult) -> list[FrameChange]:
    """Return the jumps of a stretch that may be cuts: those unlike what is usual, or the greatest."""
    unusual = [jump for jump in result.changes if jump.is_prominent(result.median_difference)]
    return (not result.key_frames_only and unusual) or result.changes[:1]


def is_cut(change: FrameChange, result: RangeResult, before: Sample, after: Sample) -> bool:
    """Say whether two frames that follow each other are of two scenes.

    Where all else stands still, as in a talk's slides, they are if a part is drawn anew.
    """
    moved = cosine_distance(before, after)
    redrawn = result.median_difference < MIN_DIFFERENCE and grid_differs(
        before.brightness_grid, after.brightness_grid
    )
    if result.key_frames_only:
        return moved > MAX_SCENE_DISTANCE or redrawn
    return moved > MIN_OTHER_SCENE_DISTANCE or (
        change.is_prominent(result.median_difference) and (moved > MIN_CUT_DISTANCE or redrawn)
    )


def strongest(cuts: Sequence[Cut], candidate: Cut) -> Cut:
    """Return the greatest of the steps within a vague one, else itself."""
    within = [
        step for step in cuts if candidate.previous_time <= step.previous_time and step.time <= candidate.time
    ]
    return max(within, key=lambda step: step.distance, default=candidate)


def split_scenes(index: PacketIndex, samples: Sequence[Sample], cuts: Iterable[int]) -> list[Scene]:
    """Return scenes, each with one sample or more, that begin at cuts and where the embedding has drifted.

    What is blank (black, white, grey) is no scene where there are others.
    """
    longest = MAX_SCENE_SECONDS / index.time_base
    starts = sorted(cuts)
    found: list[Scene] = []
    for sample in samples:
        cut = bisect_right(starts, sample.time)
        begun = starts[cut - 1] if cut else index.start_time
        scene = found[-1] if found else None
        if scene is None or begun > scene.start:
            found.append(Scene(max(begun, index.start_time), 0, [sample]))
        elif _leaves_scene(scene, sample) or sample.time - scene.start > longest:
            found.append(Scene(sample.time, 0, [sample]))
        else:
            scene.samples.append(sample)
    ends = [scene.start for scene in found[1:]] + [max(index.end_time, index.start_time)]
    for scene, end in zip(found, ends, strict=True):
        scene.end = end
    return [scene for scene in found if not scene.is_blank] or found[:1]


def suppress_close_cuts(cuts: Iterable[tuple[float, int]], index: PacketIndex) -> list[int]:
    """Return the times of cuts (strength, time); of some nearer to each other than SHORTEST the strongest."""
    kept: list[int] = []
    for _, time in sorted(cuts, key=lambda cut: (-cut[0], cut[1])):
        at = bisect_left(kept, time)
        if all(
            abs(time - other) * index.time_base >= MIN_SCENE_SECONDS
            for other in kept[max(0, at - 1) : at + 1]
        ):
            kept.insert(at, time)
    return kept


def _leaves_scene(scene: Scene, sample: Sample) -> bool:
    """Say whether a sample is of another scene though there is no cut between."""
    if sample.is_blank != scene.is_blank:
        return True
    return (
        not all(each.is_scene_start for each in scene.samples)
        and 1.0 - float(scene.vector @ sample.vector) > MIN_OTHER_SCENE_DISTANCE
    )
