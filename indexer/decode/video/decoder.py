"""A video: a segment of each scene, with its times, and its subtitles as passages.

Its frames are embedded here, some at a time, as its segments are made of what they show.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from indexer.decode.base import Decoded, Draft
from indexer.decode.images.thumbnail import thumbnail
from indexer.decode.metadata.perceptual_hash import layout, sharpness, small_grey
from indexer.decode.metadata.video_properties import footage_details
from indexer.decode.text.subtitle_cues import Cue
from indexer.decode.text.subtitles import drafts
from indexer.decode.video import cut_search, scenes
from indexer.decode.video.frame_converter import Frame, Lens
from indexer.decode.video.frame_sampling import Run, look, samples
from indexer.decode.video.packet_index import Reel
from indexer.decode.video.scenes import Sample, Scene, Step
from indexer.prefetch import ahead
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.media.av.container import open_container, video_stream

if TYPE_CHECKING:
    from av import VideoStream

CHUNK = 16  # frames embedded together
NEAR = 256  # pixels of each side of a frame, at least
PLAIN, GREY = 3.0, 8.0  # of 255: how little a blank frame's light varies, and how little colour it has


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Return the scenes of a video, then its subtitles; raises MediaError where no frame can be read."""
    reel, seen, size, metadata = _sample(file, embedder)
    shown = [_draft(reel, scene) for scene in _scenes(file, reel, seen, embedder)]
    details = footage_details(metadata, size, round(reel.seconds(reel.end), 3))
    return Decoded(shown + drafts(_heard(reel), embedder), details)


def decode_again(file: BinaryIO, embedder: Embedder, spans: Sequence[tuple[float, float]]) -> list[Draft]:
    """Embed the scenes that a video is known to have, in seconds, ascending; returns a segment of each."""
    reel, seen, _, _ = _sample(file, embedder)
    known = [Scene(reel.time(start), reel.time(end)) for start, end in spans]
    for scene in known:
        scene.samples += scene.within(seen)
    _, more = _look(file, reel, cut_search.lacking(reel, known), embedder)
    for scene in known:
        scene.samples += [replace(each, edge=each.time == scene.start) for each in scene.within(more)]
        # Of a damaged video there may be none; then the nearest is as good as it gets.
        scene.samples = scene.samples or [min(seen, key=lambda each: abs(each.time - scene.start))]
    return [_draft(reel, scene) for scene in known]


def _sample(
    file: BinaryIO, embedder: Embedder, *, one_by_one: bool = False
) -> tuple[Reel, list[Sample], tuple[int, int], dict[str, str]]:
    """Look at key frames all over a video: its packets, samples, width and height, and metadata."""
    with open_container(file) as container:
        stream = video_stream(container)
        reel, sizes = Reel(stream.time_base or Fraction(1, 1000)), list[tuple[int, int]]()

        def frames() -> Iterator[Frame]:
            lens = _lens(stream, embedder)
            for frame, size in samples(container, stream, reel, lens, one_by_one=one_by_one):
                sizes.append(size)
                yield frame

        # The next frames are decoded while some are embedded.
        chunks = ahead(lambda some: _embed(some, embedder), _chunks(frames()), threads=1, depth=2)
        seen = [sample for chunk in chunks for sample in chunk]
        metadata = dict(container.metadata)
    if seen:
        return reel, sorted(seen, key=lambda sample: sample.time), sizes[0], metadata
    if not one_by_one:
        return _sample(file, embedder, one_by_one=True)
    raise MediaError("damaged: no frame of it can be read")


def _scenes(file: BinaryIO, reel: Reel, seen: list[Sample], embedder: Embedder) -> list[Scene]:
    """Find where scenes begin, decoding what lies between samples as far as it is worth its time."""
    found = cut_search.gaps(reel, seen)
    taken = cut_search.chosen(found, reel)
    steps, between = _look(file, reel, cut_search.joined(gap.run for gap in taken), embedder)
    again, _ = _look(file, reel, cut_search.closer(reel, steps), embedder)
    steps = [scenes.best(again, step) for step in steps]
    looked = set(taken)
    cuts = [(1.0, gap.believed) for gap in found if gap.believed is not None and gap not in looked]
    cuts += [(step.moved, step.time) for step in steps]
    first_frames = [step.sample for step in steps]
    every = sorted([*seen, *between, *first_frames], key=lambda sample: sample.time)
    return scenes.scenes(reel, every, scenes.spread(cuts, reel))


def _look(
    file: BinaryIO, reel: Reel, runs: Sequence[Run], embedder: Embedder
) -> tuple[list[Step], list[Sample]]:
    """Decode these runs of packets; returns the cuts in them, and samples between those there are."""
    steps, between = list[Step](), list[Sample]()
    if not runs:
        return steps, between
    with open_container(file) as container:
        stream = video_stream(container)
        for stretch in look(container, stream, reel, _lens(stream, embedder), runs):
            if stretch.picture is not None:
                between += _embed([stretch.picture], embedder)
            jumps = scenes.notable(stretch)
            frames = [frame for jump in jumps for frame in (jump.before, jump.after)]
            seen = _embed(frames, embedder)
            for jump, before, after in zip(jumps, seen[::2], seen[1::2], strict=True):
                if scenes.is_cut(jump, stretch, before, after):
                    edge, moved = replace(after, edge=True), scenes.apart(before, after)
                    steps.append(Step(before.time, after.time, moved, edge, stretch.keys))
    return steps, between


def _lens(stream: "VideoStream", embedder: Embedder) -> Lens:
    return Lens(stream, max(NEAR, embedder.min_image_side))


def _chunks(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    left = iter(frames)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def _embed(frames: Sequence[Frame], embedder: Embedder) -> list[Sample]:
    """Embed frames, and note of each what is needed once its picture is let go."""
    if not frames:
        return []
    vectors = embedder.embed_images([embedder.prepare(frame.picture) for frame in frames])
    done, shown = list[Sample](), None
    for frame, vector in zip(frames, vectors, strict=True):
        grey = small_grey(frame.picture)
        blank = _is_blank(frame.picture, grey)
        sample = Sample(frame.time, vector, None, layout(grey), sharpness(grey), blank)
        if shown is None or scenes.is_another(shown, sample):
            shown = replace(sample, thumbnail=thumbnail(frame.picture))
        done.append(replace(sample, thumbnail=shown.thumbnail))  # one serves all that are alike
    return done


def _is_blank(picture: Image.Image, grey: Image.Image) -> bool:
    """Say whether nothing is to be seen: all black, white or grey."""
    light = np.asarray(grey, np.float32)
    red, green, blue = np.asarray(picture.resize((1, 1), Image.Resampling.BOX), np.float32).reshape(3)
    return bool(light.std() < PLAIN and max(red, green, blue) - min(red, green, blue) < GREY)


def _draft(reel: Reel, scene: Scene) -> Draft:
    return Draft(
        "video",
        start=reel.seconds(scene.start),
        end=reel.seconds(scene.end),
        vector=scene.vector,
        thumbnail=scene.clearest.thumbnail,
    )


def _heard(reel: Reel) -> list[Cue]:
    """Return the subtitles in the seconds of the video."""
    begun = reel.first * float(reel.unit)
    late = sorted(Cue(max(0.0, cue.start - begun), max(0.0, cue.end - begun), cue.text) for cue in reel.cues)
    return [cue for cue in late if cue.end > 0]
