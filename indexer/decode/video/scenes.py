"""The scenes of a video: samples of what it shows, parted by cuts and where the embedding moves."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.decode.metadata.perceptual_hash import is_redrawn
from indexer.decode.video.frame_sampling import LEAST, Jump, Stretch
from indexer.decode.video.packet_index import Reel
from retrieval.types import Vectors

SAME = 0.005  # 1 - cosine of two samples up to which nothing has happened, whatever packets tell
STILL = 0.03  # up to which it may be the same scene
MOVED = 0.15  # from which on it is another one, whatever lies between
STEP = 0.008  # of two frames that follow each other: a cut, if they are unlike at a glance, too
SHORTEST, LONGEST = 0.3, 120.0  # seconds of a scene


@dataclass(slots=True)
class Sample:
    """A frame that was embedded: its unit vector (d,), a WebP of it, its layout (48, 48), how sharp it is.

    The first frame after a cut is an `edge`: often it is not yet as clear as those that follow.
    """

    time: int
    vector: Vectors
    thumbnail: bytes | None
    layout: NDArray[np.uint8]
    sharpness: float
    blank: bool
    edge: bool = False


class Step(NamedTuple):
    """Two frames that follow each other, of two scenes: their times, how far apart, and the second."""

    before: int
    time: int
    moved: float
    sample: Sample
    keys: bool  # they are key frames: what is between may tell more


@dataclass(slots=True)
class Scene:
    """Samples that belong together, from the time of the first frame to that of the next scene's."""

    start: int
    end: int
    samples: list[Sample] = field(default_factory=list)

    def within(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return those samples that are shown in it."""
        return [each for each in samples if self.start <= each.time < max(self.end, self.start + 1)]

    @property
    def shown(self) -> list[Sample]:
        """Return what the scene is known by: no blank frames and no edges where there are others."""
        seen = [sample for sample in self.samples if not sample.blank] or self.samples
        return [sample for sample in seen if not sample.edge] or seen

    @property
    def vector(self) -> Vectors:
        """Return the unit mean of its samples' vectors, (d,)."""
        return mean([sample.vector for sample in self.shown])

    @property
    def blank(self) -> bool:
        """Say whether nothing is to be seen."""
        return all(sample.blank for sample in self.samples)

    @property
    def clearest(self) -> Sample:
        """Return the sharpest sample."""
        return max(self.shown, key=lambda sample: sample.sharpness)


def mean(vectors: Sequence[Vectors]) -> Vectors:
    """Return the unit mean, (d,), of unit vectors; of some that cancel each other, the first."""
    total = np.sum(vectors, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else vectors[0], np.float32)


def apart(one: Sample, other: Sample) -> float:
    """Return 1 - cosine of what two samples show."""
    return 1.0 - float(one.vector @ other.vector)


def is_another(one: Sample, other: Sample) -> bool:
    """Say whether two samples show two things, as embedded or as drawn: to most models all text is alike."""
    return apart(one, other) > SAME or is_redrawn(one.layout, other.layout)


def notable(stretch: Stretch) -> list[Jump]:
    """Return the jumps of a stretch that may be cuts: those unlike what is usual, or the greatest."""
    unusual = [jump for jump in stretch.jumps if jump.is_prominent(stretch.usual)]
    return (not stretch.keys and unusual) or stretch.jumps[:1]


def is_cut(jump: Jump, stretch: Stretch, before: Sample, after: Sample) -> bool:
    """Say whether two frames that follow each other are of two scenes.

    Where all else stands still, as in a talk's slides, they are if a part is drawn anew.
    """
    moved = apart(before, after)
    redrawn = stretch.usual < LEAST and is_redrawn(before.layout, after.layout)
    if stretch.keys:
        return moved > STILL or redrawn
    return moved > MOVED or (jump.is_prominent(stretch.usual) and (moved > STEP or redrawn))


def best(steps: Sequence[Step], vague: Step) -> Step:
    """Return the greatest of the steps within a vague one, else itself."""
    within = [step for step in steps if vague.before <= step.before and step.time <= vague.time]
    return max(within, key=lambda step: step.moved, default=vague)


def scenes(reel: Reel, samples: Sequence[Sample], cuts: Iterable[int]) -> list[Scene]:
    """Return scenes, each with one sample or more, that begin at cuts and where the embedding has drifted.

    What is blank (black, white, grey) is no scene where there are others.
    """
    longest = LONGEST / reel.unit
    starts = sorted(cuts)
    found: list[Scene] = []
    for sample in samples:
        cut = bisect_right(starts, sample.time)
        begun = starts[cut - 1] if cut else reel.first
        scene = found[-1] if found else None
        if scene is None or begun > scene.start:
            found.append(Scene(max(begun, reel.first), 0, [sample]))
        elif _leaves(scene, sample) or sample.time - scene.start > longest:
            found.append(Scene(sample.time, 0, [sample]))
        else:
            scene.samples.append(sample)
    ends = [scene.start for scene in found[1:]] + [max(reel.end, reel.first)]
    for scene, end in zip(found, ends, strict=True):
        scene.end = end
    return [scene for scene in found if not scene.blank] or found[:1]


def spread(cuts: Iterable[tuple[float, int]], reel: Reel) -> list[int]:
    """Return the times of cuts (strength, time); of some nearer to each other than SHORTEST the strongest."""
    kept: list[int] = []
    for _, time in sorted(cuts, key=lambda cut: (-cut[0], cut[1])):
        at = bisect_left(kept, time)
        if all(abs(time - other) * reel.unit >= SHORTEST for other in kept[max(0, at - 1) : at + 1]):
            kept.insert(at, time)
    return kept


def _leaves(scene: Scene, sample: Sample) -> bool:
    """Say whether a sample is of another scene though there is no cut between."""
    if sample.blank != scene.blank:
        return True
    return not all(each.edge for each in scene.samples) and 1.0 - float(scene.vector @ sample.vector) > MOVED
