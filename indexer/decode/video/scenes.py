"""Split a video into scenes, at cuts and where the embedding changes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.decode.metadata.perceptual_hash import grid_differs
from indexer.decode.video.frame_sampling import MIN_DIFFERENCE, FrameChange, RangeResult, is_prominent
from indexer.decode.video.packet_index import PacketIndex
from retrieval.types import Vectors

# Distances are 1 - cosine.
MAX_SAME_DISTANCE = 0.005  # two samples up to this show no change, whatever the packets suggest
MIN_CUT_DISTANCE = 0.008  # two consecutive frames above this are a cut, if their pixels change, too
MAX_SCENE_DISTANCE = 0.03  # two samples up to this may belong to one scene
MIN_OTHER_SCENE_DISTANCE = 0.15  # two samples above this never do
MIN_SCENE_SECONDS, MAX_SCENE_SECONDS = 0.3, 120.0


@dataclass(slots=True)
class Sample:
    """An embedded frame."""

    time: int
    vector: Vectors  # (d,), of unit length
    thumbnail: bytes | None  # WebP
    brightness_grid: NDArray[np.uint8]  # (48, 48)
    sharpness: float
    is_blank: bool
    is_scene_start: bool = False  # the first frame after a cut, which often has less detail than the next


class Cut(NamedTuple):
    """Two consecutive frames of different scenes."""

    previous_time: int
    time: int
    distance: float  # 1 - cosine
    sample: Sample  # the second frame
    key_frames_only: bool  # if so, there are other frames between the two


@dataclass(slots=True)
class Scene:
    """Samples of one scene, and the times of its first frame and of the first frame of the next."""

    start: int
    end: int
    samples: list[Sample] = field(default_factory=list)

    def samples_within(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return the samples between start and end."""
        return [sample for sample in samples if self.start <= sample.time < max(self.end, self.start + 1)]

    @property
    def representative_samples(self) -> list[Sample]:
        """Return the samples without blank frames and scene starts, unless there are no others."""
        visible = [sample for sample in self.samples if not sample.is_blank] or self.samples
        return [sample for sample in visible if not sample.is_scene_start] or visible

    @property
    def vector(self) -> Vectors:
        """Return the unit mean of the vectors of the representative samples, (d,)."""
        return mean_vector([sample.vector for sample in self.representative_samples])

    @property
    def is_blank(self) -> bool:
        """Return True if all samples are blank."""
        return all(sample.is_blank for sample in self.samples)

    @property
    def sharpest(self) -> Sample:
        """Return the sharpest representative sample."""
        return max(self.representative_samples, key=lambda sample: sample.sharpness)


def mean_vector(vectors: Sequence[Vectors]) -> Vectors:
    """Return the unit mean, (d,), of unit vectors, or the first one if they cancel out."""
    total = np.sum(vectors, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else vectors[0], np.float32)


def cosine_distance(first: Sample, second: Sample) -> float:
    """Return 1 - cosine of the vectors of two samples."""
    return 1.0 - float(first.vector @ second.vector)


def differs(first: Sample, second: Sample) -> bool:
    """Return True if two samples differ in their embeddings or in their brightness grids.

    The grids matter for text, because most models embed all texts alike.
    """
    return cosine_distance(first, second) > MAX_SAME_DISTANCE or grid_differs(
        first.brightness_grid, second.brightness_grid
    )


def cut_candidates(result: RangeResult) -> list[FrameChange]:
    """Return the prominent changes of a result, or the greatest one if none is prominent."""
    prominent = [
        change for change in result.changes if is_prominent(change.difference, result.median_difference)
    ]
    return (not result.key_frames_only and prominent) or result.changes[:1]


def is_cut(change: FrameChange, result: RangeResult, before: Sample, after: Sample) -> bool:
    """Return True if two consecutive frames belong to different scenes.

    In a still video, such as the slides of a talk, a redrawn part of the frame is enough.
    """
    distance = cosine_distance(before, after)
    is_redrawn = result.median_difference < MIN_DIFFERENCE and grid_differs(
        before.brightness_grid, after.brightness_grid
    )
    if result.key_frames_only:
        return distance > MAX_SCENE_DISTANCE or is_redrawn
    return distance > MIN_OTHER_SCENE_DISTANCE or (
        is_prominent(change.difference, result.median_difference)
        and (distance > MIN_CUT_DISTANCE or is_redrawn)
    )


def strongest(cuts: Sequence[Cut], candidate: Cut) -> Cut:
    """Return the cut of the largest distance within the times of a candidate, or the candidate itself."""
    refined = [
        cut for cut in cuts if candidate.previous_time <= cut.previous_time and cut.time <= candidate.time
    ]
    return max(refined, key=lambda cut: cut.distance, default=candidate)


def split_scenes(index: PacketIndex, samples: Sequence[Sample], cuts: Iterable[int]) -> list[Scene]:
    """Return the scenes between the times of cuts, split further where the embedding changes.

    Every scene has a sample. Blank scenes (black, white, gray) are left out unless there is no other.
    """
    max_length = MAX_SCENE_SECONDS / index.time_base
    cut_times = sorted(cuts)
    scenes: list[Scene] = []
    for sample in samples:
        at = bisect_right(cut_times, sample.time)
        last_cut = cut_times[at - 1] if at else index.start_time
        scene = scenes[-1] if scenes else None
        if scene is None or last_cut > scene.start:
            scenes.append(Scene(max(last_cut, index.start_time), 0, [sample]))
        elif _leaves_scene(scene, sample) or sample.time - scene.start > max_length:
            scenes.append(Scene(sample.time, 0, [sample]))
        else:
            scene.samples.append(sample)
    ends = [scene.start for scene in scenes[1:]] + [max(index.end_time, index.start_time)]
    for scene, end in zip(scenes, ends, strict=True):
        scene.end = end
    return [scene for scene in scenes if not scene.is_blank] or scenes[:1]


def suppress_close_cuts(cuts: Iterable[tuple[float, int]], index: PacketIndex) -> list[int]:
    """Return the times of (strength, time) pairs, ascending and at least MIN_SCENE_SECONDS apart.

    Of cuts that are closer, the strongest is kept.
    """
    kept: list[int] = []
    for _, time in sorted(cuts, key=lambda cut: (-cut[0], cut[1])):
        at = bisect_left(kept, time)
        neighbors = kept[max(0, at - 1) : at + 1]
        if all(abs(time - neighbor) * index.time_base >= MIN_SCENE_SECONDS for neighbor in neighbors):
            kept.insert(at, time)
    return kept


def _leaves_scene(scene: Scene, sample: Sample) -> bool:
    """Return True if a sample belongs to another scene although no cut precedes it."""
    if sample.is_blank != scene.is_blank:
        return True
    return (
        not all(previous.is_scene_start for previous in scene.samples)
        and 1.0 - float(scene.vector @ sample.vector) > MIN_OTHER_SCENE_DISTANCE
    )
