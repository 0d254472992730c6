"""Packet indexes and samples written by hand, for tests of scene detection without a video."""

from array import array
from collections.abc import Sequence
from fractions import Fraction
from math import sqrt

import numpy as np

from indexer.decode.video.packet_index import PacketIndex
from indexer.decode.video.scenes import Sample

TIME_BASE = Fraction(1, 10)  # of an index: 10 frames a second if times are consecutive


def packet_index(
    times: Sequence[int],
    keys: Sequence[int] = (0,),
    sizes: Sequence[int] | None = None,
    *,
    frame_pixels: int = 0,
    time_base: Fraction = TIME_BASE,
) -> PacketIndex:
    """Return the index of packets in decoding order; sizes default to 100 bytes."""
    return PacketIndex(
        time_base,
        array("q", times),
        array("q", sizes or [100] * len(times)),
        array("q", keys),
        start_time=min(times),
        end_time=max(times) + 1,
        frame_pixels=frame_pixels,
    )


def sample(
    time: int,
    distance: float = 0.0,
    *,
    brightness: int = 0,
    sharpness: float = 1.0,
    is_blank: bool = False,
    is_scene_start: bool = False,
) -> Sample:
    """Return a sample whose vector is `distance` (1 - cosine) away from that of a sample of distance 0."""
    cosine = 1.0 - distance
    vector = np.array([cosine, sqrt(1.0 - cosine**2)], np.float32)
    grid = np.full((48, 48), brightness, np.uint8)
    return Sample(time, vector, None, grid, sharpness, is_blank, is_scene_start)
